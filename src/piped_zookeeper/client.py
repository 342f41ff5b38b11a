"""Client: ZooKeeper as pipelines and services use it, with Deferreds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.states import ZnodeStat
from twisted.internet.defer import Deferred

from piped import PipedError
from piped.resources.events import Event
from piped_zookeeper.errors import DisconnectException
from piped_zookeeper.link import Link
from piped_zookeeper.paths import below, node_path, parent_of
from piped_zookeeper.reads import Reads

Watch = Callable[[Any], Any]


class Client:
    """A connection to ZooKeeper: the same object as long as the process runs, whatever becomes of its sessions.

    Calls while there is no connection fail at once with `DisconnectException`, and so do those that wait when it is
    lost; those may have been done, or not. What ZooKeeper refuses fails as an exception of `kazoo.exceptions`, such as
    `NoNodeError`. Every Deferred may be cancelled; what was called for may be done none the less.

    A `watch` is called once, in the reactor, with kazoo's `WatchedEvent`: when what was read changes, and when the
    connection is lost.

    Args:
        name: what the configuration calls it.
        most_cached: how many answers are kept.
    """

    def __init__(self, name: str, most_cached: int) -> None:
        self.name = name
        self._link: Link | None = None
        self.reads = Reads(self._fetch, most_cached)
        #: Called when the connection is lost, before anybody who needs the client hears of it.
        self.on_disconnected: Event[[]] = Event()

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    @property
    def is_certain(self) -> bool:
        """Whether the server cannot have ended the session yet, by the time since it was heard of."""
        return self._link is not None and self._link.is_certain

    @property
    def session_id(self) -> int | None:
        """The session, as nodes have it as their `ephemeralOwner`; None while there is no connection."""
        return self._link.session_id if self._link is not None else None

    @property
    def session_timeout(self) -> float | None:
        """How long the server keeps the session without a sign of life, in seconds."""
        return self._link.session_timeout if self._link is not None else None

    def use(self, link: Link | None) -> None:
        """Speak through a link, or through none; what was kept is forgotten."""
        self._link = link
        self.reads.clear()
        if link is None:
            self.on_disconnected()

    # Reading

    def get(self, path: str, *, cached: bool = False, watch: Watch | None = None) -> Deferred[tuple[bytes, ZnodeStat]]:
        """The data and the metadata of a node.

        Args:
            cached: what was read before is good enough, as long as ZooKeeper has not said that it changed.
        """
        return self._read("get", path, cached, watch)

    def get_children(self, path: str, *, cached: bool = False, watch: Watch | None = None) -> Deferred[list[str]]:
        """The names of the nodes below one, in no order."""
        return self._read("get_children", path, cached, watch)

    def exists(self, path: str, *, cached: bool = False, watch: Watch | None = None) -> Deferred[ZnodeStat | None]:
        """The metadata of a node; None if there is none."""
        return self._read("exists", path, cached, watch)

    def sync(self) -> Deferred[Any]:
        """Fires when the server that this is connected to knows what was written before, on any server."""
        return self._call("sync", "/")

    # Writing

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Write the data of a node; gives its metadata.

        Args:
            version: the version that it must have (else BadVersionError); -1 for any.
        """
        path = node_path(path)
        return self._write(path, "set", path, _checked(data), version)

    def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        acl: Sequence[Any] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> Deferred[str]:
        """Make a node; gives its path.

        Args:
            acl: kazoo's ACLs, if not those of the configuration.
            ephemeral: it is gone when the session is.
            sequence: a number that is higher each time is put behind its name.
        """
        path = node_path(path, keep_slash=sequence)
        how = {"acl": acl, "ephemeral": ephemeral, "sequence": sequence}
        return self._write(path, "create", path, _checked(data), **how)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """Delete a node that has no children."""
        path = node_path(path)
        return self._write(path, "delete", path, version).addCallback(lambda _: None)

    def create_recursive(self, path: str, data: bytes = b"", **how: Any) -> Deferred[str]:
        """As `create`, and make the nodes above it that are missing."""
        return Deferred.fromCoroutine(self._create_recursive(path, data, how))

    def ensure_path(self, path: str) -> Deferred[None]:
        """Make a node without data, and those above it, as far as they are missing."""
        return Deferred.fromCoroutine(self._ensure_path(node_path(path)))

    def delete_recursive(self, path: str) -> Deferred[None]:
        """Delete a node and all that is below it; what is gone already is no failure.

        Raises:
            PipedError: it is the root, which is refused: a path that came out empty would delete everything.
        """
        path = node_path(path)
        if path == "/":
            raise PipedError("/ is not deleted with all that is below it", hint="name each node that is to be deleted")
        return Deferred.fromCoroutine(self._delete_recursive(path))

    def transaction(self, make: Callable[[Any], Any]) -> Deferred[list[Any]]:
        """Do several things at once, or none of them; gives a result for each, an exception for one that is in the way.

        Args:
            make: is given kazoo's `TransactionRequest`, to say what is to be done.

        Example:
            def swap(transaction):
                transaction.check("/shop/open", 3)
                transaction.set_data("/shop/open", b"no")
                transaction.create("/shop/closed-since", b"noon")

            await client.transaction(swap)
        """
        if self._link is None:
            return self._call("transaction")
        return self._link.build(make).addBoth(self._transacted)

    # Inner workings

    def _call(self, method: str, *args: Any, **options: Any) -> Deferred[Any]:
        if self._link is not None:
            return self._link.call(method, *args, **options)
        failed: Deferred[Any] = Deferred()
        what = " ".join((method, *map(str, args[:1])))
        failed.errback(DisconnectException(f"{what}: zookeeper.client.{self.name} is not connected"))
        return failed

    def _read(self, method: str, path: str, cached: bool, watch: Watch | None) -> Deferred[Any]:
        path = node_path(path)
        if cached and watch is None and self._link is not None:
            return self.reads.read(method, path)
        return self._fetch(method, path, watch)

    def _fetch(self, method: str, path: str, watch: Watch | None) -> Deferred[Any]:
        return self._call(method, path, watch=watch)

    def _write(self, path: str, method: str, *args: Any, **options: Any) -> Deferred[Any]:
        def wrote(result: Any) -> Any:
            self.reads.wrote(path)
            return result

        return self._call(method, *args, **options).addBoth(wrote)

    def _transacted(self, result: Any) -> Any:
        self.reads.clear()
        return result

    async def _create_recursive(self, path: str, data: bytes, how: dict[str, Any]) -> str:
        try:
            return await self.create(path, data, **how)
        except NoNodeError:
            above = parent_of(path) if not path.endswith("/") else node_path(path)
            await self._ensure_path(above)
            return await self.create(path, data, **how)

    async def _ensure_path(self, path: str) -> None:
        missing: list[str] = []
        # Looked for, and not just made: who may not make a node is told so also where there is one.
        while await self.exists(path) is None:
            missing.append(path)
            if path == "/":  # that of a client with another root
                break
            path = parent_of(path)
        for each in reversed(missing):
            try:
                await self.create(each)
            except NodeExistsError:  # somebody else was faster
                continue

    async def _delete_recursive(self, path: str) -> None:
        todo = [path]
        while todo:
            try:
                children = await self.get_children(todo[-1])
                if children:
                    todo += [below(todo[-1], name) for name in children]
                    continue
                await self.delete(todo[-1])
            except NoNodeError:
                pass
            todo.pop()

    def __repr__(self) -> str:
        return f"<Client zookeeper.client.{self.name}{'' if self.is_connected else ', not connected'}>"


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise PipedError(f"the data of a node must be bytes, not {type(data).__name__}")
    return data
