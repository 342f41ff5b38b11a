"""A ZooKeeper in memory, behind what Piped uses of kazoo's client; its network and sessions fail as a test says."""

from __future__ import annotations

import itertools
import textwrap
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from kazoo.exceptions import ConnectionLoss, NodeExistsError, NoNodeError, NotEmptyError, SessionExpiredError
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent, ZnodeStat
from twisted.internet.task import Clock

from piped import RuntimeEnvironment
from piped.config.document import Document
from piped.config.gathering import gather_text
from piped_zookeeper.paths import parent_of
from piped_zookeeper.providers import ZookeeperClientProvider


class Reactor(Clock):
    """A clock that stands still, into which threads may call."""

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.callLater(0, function, *args)

    def settle(self) -> None:
        """Do all that is due at this moment, and what comes of it."""
        while any(call.getTime() <= self.seconds() for call in self.getDelayedCalls()):
            self.advance(0)


class Answer:
    """What a call of kazoo gives at once."""

    def __init__(self) -> None:
        self.value: Any = None
        self.exception: BaseException | None = None
        self._is_known = False
        self._links: list[Callable[[Answer], Any]] = []

    def rawlink(self, link: Callable[[Answer], Any]) -> None:
        self._links.append(link)
        if self._is_known:
            link(self)

    def tell(self, value: Any = None, exception: BaseException | None = None) -> None:
        self.value, self.exception, self._is_known = value, exception, True
        for link in self._links:
            link(self)


class Tree:
    """The nodes of an ensemble."""

    def __init__(self) -> None:
        #: By path: the data, the session of an ephemeral node, the zxid that made it, and how often it was written.
        self.nodes: dict[str, list[Any]] = {"/": [b"", 0, 0, 0]}
        self.zxid = 0
        self.numbers: dict[str, Any] = defaultdict(itertools.count)
        self.sessions = itertools.count(101)
        self.watches: dict[tuple[str, str], dict[Any, None]] = defaultdict(dict)

    def stat(self, path: str) -> ZnodeStat:
        data, owner, made, version = self.nodes[path]
        children = len(self.children(path))
        return ZnodeStat(made, self.zxid, 0, 0, version, 0, 0, owner, len(data), children, made)

    def children(self, path: str) -> list[str]:
        return [each.rpartition("/")[2] for each in self.nodes if each != "/" and parent_of(each) == path]

    def fire(self, kind: str, path: str, event: str) -> None:
        for watch in self.watches.pop((kind, path), {}):
            watch(WatchedEvent(event, KeeperState.CONNECTED, path))

    def create(self, session: int, path: str, data: bytes, ephemeral: bool, sequence: bool) -> str:
        if sequence:
            path += f"{next(self.numbers[parent_of(path)]):010}"
        if path in self.nodes:
            raise NodeExistsError
        if parent_of(path) not in self.nodes:
            raise NoNodeError
        self.zxid += 1
        self.nodes[path] = [data, session if ephemeral else 0, self.zxid, 0]
        self.fire("data", path, EventType.CREATED)
        self.fire("children", parent_of(path), EventType.CHILD)
        return path

    def set(self, path: str, data: bytes) -> ZnodeStat:
        if path not in self.nodes:
            raise NoNodeError
        self.zxid += 1
        self.nodes[path][0] = data
        self.nodes[path][3] += 1
        self.fire("data", path, EventType.CHANGED)
        return self.stat(path)

    def delete(self, path: str) -> None:
        if path not in self.nodes:
            raise NoNodeError
        if self.children(path):
            raise NotEmptyError
        self.zxid += 1
        del self.nodes[path]
        self.fire("data", path, EventType.DELETED)
        self.fire("children", path, EventType.DELETED)
        self.fire("children", parent_of(path), EventType.CHILD)

    def end(self, session: int) -> None:
        for path in [path for path, node in self.nodes.items() if node[1] == session and session]:
            self.delete(path)


class FakeKazoo:
    """One client; `calls` are those that were made, and what is `held` is answered when a test says so."""

    session_timeout = 9.0

    def __init__(self, tree: Tree, **options: Any) -> None:
        self.tree, self.options = tree, options
        self.calls: list[tuple[str, str]] = []
        self.is_held = self.is_stopped = self.is_cut = False
        self.client_state = KeeperState.CLOSED
        self.client_id: tuple[int, bytes] | None = None
        self._held: list[tuple[Answer, Callable[[], Any]]] = []
        self._listener: Callable[[str], Any] = lambda _: None
        self._session = 0
        self._watching: list[tuple[tuple[str, str], Any]] = []

    # What a test does

    def connect(self) -> None:
        if not self._session:
            self._session = next(self.tree.sessions)
        self.client_id = (self._session, b"secret")
        self._change(KazooState.CONNECTED, KeeperState.CONNECTED)

    def lose(self) -> None:
        self.client_id = None
        held, self._held = self._held, []
        for answer, _ in held:
            answer.tell(exception=ConnectionLoss())
        for key, watch in self._watching:
            self.tree.watches[key].pop(watch, None)
        self._watching = []
        self._change(KazooState.SUSPENDED, KeeperState.CONNECTING)

    def expire(self) -> None:
        self.tree.end(self._session)
        self._session = 0
        self._change(KazooState.LOST, KeeperState.EXPIRED_SESSION)

    def end(self, detail: str) -> None:
        self.client_id = None
        self._change(KazooState.LOST, detail)

    def answer(self) -> None:
        """Answer what is held, and hold nothing more."""
        self.is_held = False
        held, self._held = self._held, []
        for answer, act in held:
            self._tell(answer, act)

    def leave_unanswered(self) -> Answer:
        """What is held and will not be answered, but by the test."""
        [(answer, _)] = self._held
        self._held.clear()
        return answer

    # What Piped uses of kazoo

    def add_listener(self, listener: Callable[[str], Any]) -> None:
        self._listener = listener

    def start_async(self) -> None:
        self.client_state = KeeperState.CONNECTING

    def stop(self) -> None:
        if self.client_id is not None:  # else the server knows nothing of it
            self.tree.end(self._session)
        self.is_stopped = True

    def close(self) -> None:
        assert self.is_stopped

    def cut(self) -> None:
        self.is_cut = True

    def sync_async(self, path: str) -> Answer:
        return self._called("sync", path, lambda: path)

    def get_async(self, path: str, watch: Any = None) -> Answer:
        def get() -> Any:
            if path not in self.tree.nodes:
                raise NoNodeError
            self._watch("data", path, watch)
            return self.tree.nodes[path][0], self.tree.stat(path)

        return self._called("get", path, get)

    def exists_async(self, path: str, watch: Any = None) -> Answer:
        def exists() -> Any:
            self._watch("data", path, watch)
            return self.tree.stat(path) if path in self.tree.nodes else None

        return self._called("exists", path, exists)

    def get_children_async(self, path: str, watch: Any = None) -> Answer:
        def children() -> Any:
            if path not in self.tree.nodes:
                raise NoNodeError
            self._watch("children", path, watch)
            return self.tree.children(path)

        return self._called("get_children", path, children)

    def create_async(
        self, path: str, data: bytes, acl: Any = None, ephemeral: bool = False, sequence: bool = False
    ) -> Answer:
        create = lambda: self.tree.create(self._session, path, data, ephemeral, sequence)  # noqa: E731 - as the others
        return self._called("create", path, create)

    def set_async(self, path: str, data: bytes, version: int) -> Answer:
        return self._called("set", path, lambda: self.tree.set(path, data))

    def delete_async(self, path: str, version: int) -> Answer:
        return self._called("delete", path, lambda: self.tree.delete(path))

    # Inner workings

    def _watch(self, kind: str, path: str, watch: Any) -> None:
        if watch is not None:
            self.tree.watches[kind, path][watch] = None
            self._watching.append(((kind, path), watch))

    def _called(self, method: str, path: str, act: Callable[[], Any]) -> Answer:
        self.calls.append((method, path))
        answer = Answer()
        if self.is_held:
            self._held.append((answer, act))
        elif self.client_id is None:
            answer.tell(exception=SessionExpiredError())
        else:
            self._tell(answer, act)
        return answer

    @staticmethod
    def _tell(answer: Answer, act: Callable[[], Any]) -> None:
        try:
            answer.tell(act())
        except Exception as error:
            answer.tell(exception=error)

    def _change(self, state: str, detail: str) -> None:
        self.client_state = detail
        self._listener(state)


class Offer:
    """A resource that is there as long as a test wants it."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource
        self._consumers: list[Any] = []

    def add_consumer(self, dependency: Any) -> None:
        self._consumers.append(dependency)
        dependency.on_resource_ready(self._resource)

    def come(self) -> None:
        for consumer in self._consumers:
            consumer.on_resource_ready(self._resource)

    def go(self) -> None:
        for consumer in self._consumers:
            consumer.on_resource_lost("a test wants it so")


#: Those that run; see the fixture that stops them.
started: list[Process] = []

EVENTS = ("starting", "stopping", "connected", "reconnecting", "reconnected", "expired")


class Process:
    """A process with the client `main`, the leader `office` and the lock `printer`; it has been started.

    `events` is what the resource `told` was told, which hears of all events; `clients` are those of kazoo, in turn.
    """

    def __init__(self, tree: Tree, *, needs: str | None = None, client: str = "", connect: bool = True) -> None:
        self.tree, self.reactor, self.events = tree, Reactor(), []
        self.clients: list[FakeKazoo] = []
        self.told = Offer(lambda baton: self.events.append(baton["event"]))
        events = ", ".join(f"{event}: told" for event in EVENTS)
        text = f"""
            zookeeper:
              clients:
                main: {{servers: "a,b", events: {{{events}}}, {client}}}
              leaders:
                office: {{client: main, path: /office}}
              locks:
                printer: {{client: main, path: /printer}}
        """
        document = Document(gather_text(textwrap.dedent(text), "site.yml", environ={}).root)
        self.environment = RuntimeEnvironment(document, reactor=self.reactor)
        self.environment.resource_manager.register("told", self.told)
        provider = ZookeeperClientProvider(self._make)
        provider.configure(self.environment)
        manager = self.environment.dependency_manager
        self.client = manager.add_dependency(manager.as_dependency("zookeeper.client.main"))
        if needs is not None:
            self.held = manager.add_dependency(manager.as_dependency(needs))
        manager.resolve_initial_states()
        self.environment.application.startService()
        started.append(self)
        self.environment.after_start()
        if connect:
            self.connect()

    def _make(self, **options: Any) -> FakeKazoo:
        self.clients.append(FakeKazoo(self.tree, **options))
        return self.clients[-1]

    @property
    def kazoo(self) -> FakeKazoo:
        return self.clients[-1]

    def service(self, path: str) -> Any:
        """The service behind a resource."""
        return self.environment.application.getServiceNamed("zookeeper").getServiceNamed(path)

    def connect(self) -> None:
        self.kazoo.connect()
        self.reactor.settle()

    def lose(self) -> None:
        self.kazoo.lose()
        self.reactor.settle()

    def expire(self) -> None:
        self.kazoo.expire()
        self.reactor.settle()
