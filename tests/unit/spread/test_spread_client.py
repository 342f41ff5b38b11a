"""Tests of clients that stay connected."""

from __future__ import annotations

from typing import Any

import pytest
from spread_stage import Link, Mute, Reactor, Server
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, DNSLookupError
from twisted.python.failure import Failure

from piped import Backoff, RuntimeEnvironment
from piped.spread.client import PBClient
from piped.spread.errors import LinkLost
from piped.spread.options import ClientOptions, Endpoint

WHO = "main: [callback-deferred: {result_path: args.0}]"
CHECKER = "checker: {name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse, arguments: {ada: secret}}"


class Network:
    """An endpoint that connects to a server in memory, or fails, as a test says."""

    def __init__(self, server: Server) -> None:
        self.server, self.error = server, None
        self.tries = 0
        self.is_silent = self.is_mute = False

    def connect(self, factory: Any) -> Deferred[Any]:
        self.tries += 1
        connecting: Deferred[Any] = Deferred()
        if self.error is not None:
            connecting.errback(Failure(self.error))
        elif not self.is_silent:
            broker = factory.buildProtocol(None)
            server = Mute() if self.is_mute else self.server.service.factory.buildProtocol(None)
            self.link = Link(server, broker)
            self.server.links = [self.link]
            connecting.callback(broker)
        return connecting


class Consumer:
    """Who needs a resource; notes when it is there and when it is lost."""

    def __init__(self) -> None:
        self.resource: Any = None
        self.heard: list[str] = []

    def on_resource_ready(self, resource: Any) -> None:
        self.resource = resource
        self.heard.append("ready")

    def on_resource_lost(self, reason: Any) -> None:
        self.resource = None
        self.heard.append("lost")


class Stage:
    """A client that runs, and who needs its factory and its root object."""

    def __init__(self, options: str = "processor: main", **client: Any) -> None:
        self.server = Server(WHO, options)
        self.network = Network(self.server)
        self.clock = Reactor()
        waits = Backoff(1, 30, chance=lambda: 0.999)
        made = ClientOptions(endpoint=Endpoint("tcp:localhost:1"), keep_alive=None, **client)
        self.client = PBClient("main", made, self.clock, self.network, waits)
        self.client.configure(RuntimeEnvironment(reactor=self.clock))
        self.factory, self.root = Consumer(), Consumer()

    def start(self) -> None:
        self.client.startService()
        self.client.add_consumer(self.factory, False)
        self.client.add_consumer(self.root, True)
        self.pump()

    def pump(self) -> None:
        self.server.pump()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pump()


def test_a_client_connects_when_somebody_needs_it() -> None:
    """Nothing is connected for nobody; then factory and root object are there, and can be called."""
    stage = Stage()
    stage.client.startService()
    assert stage.network.tries == 0
    stage.start()
    assert stage.factory.resource is stage.client.factory
    told: list[Any] = []
    stage.root.resource.callRemote("x", 5).addBoth(told.append)
    stage.pump()
    assert told == [5]


def test_it_is_connected_again_when_the_link_is_lost() -> None:
    """The factory stays the same one, the root object is another; in between both are lost."""
    stage = Stage()
    stage.start()
    factory, root = stage.factory.resource, stage.root.resource
    stage.network.link.break_off()
    assert (stage.factory.heard, stage.root.heard) == (["ready", "lost"], ["ready", "lost"])
    stage.advance(2)
    assert stage.factory.resource is factory
    assert stage.root.resource is not None
    assert stage.root.resource is not root


@pytest.mark.parametrize("error", [ConnectionDone(), DNSLookupError("no such name"), OSError("out of files")])
def test_it_is_tried_for_ever_whatever_the_failure(error: Exception, caplog: Any) -> None:
    """Also a name that is not known today is tried again, ever later, up to half a minute; and told once."""
    stage = Stage()
    stage.network.error = error  # type: ignore[assignment] # a test says so
    stage.start()
    tries = []
    for _ in range(400):
        stage.advance(1)
        tries.append(stage.network.tries)
    assert tries[:5] == [1, 2, 2, 2, 3]
    assert tries[-1] - tries[-121] == 4
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert "cannot connect" in caplog.text
    stage.network.error = None
    stage.advance(30)
    assert stage.root.heard == ["ready"]


def test_after_a_success_it_is_tried_soon_again() -> None:
    """The wait grows with failures only."""
    stage = Stage()
    stage.network.error = ConnectionDone()  # type: ignore[assignment] # as above
    stage.start()
    for _ in range(100):
        stage.advance(1)
    stage.network.error = None
    stage.advance(30)
    stage.network.link.break_off()
    stage.advance(1.3)
    assert stage.root.heard == ["ready", "lost", "ready"]


def test_a_client_logs_in() -> None:
    """With a username, the root object is what the login has given."""
    stage = Stage(f"processor: main, {CHECKER}", username="ada", password="secret")
    stage.start()
    told: list[Any] = []
    stage.root.resource.callRemote("x", 5).addBoth(told.append)
    stage.pump()
    assert told == [5]


def test_a_refused_login_is_tried_again_but_not_often(caplog: Any) -> None:
    """It is told once, without the password, heard by who joined, and tried again after half a minute."""
    stage = Stage(f"processor: main, {CHECKER}", username="ada", password="wr0ng")
    failures: list[Any] = []
    stage.client.factory.on_failed_getting_root_object += failures.append
    stage.start()
    assert "pb.client.main cannot log in as 'ada': it was refused" in caplog.text
    assert "wr0ng" not in caplog.text + repr(stage.client.options)
    assert stage.root.heard == []
    for _ in range(29):
        stage.advance(1)
    assert (stage.network.tries, len(failures)) == (1, 1)
    for _ in range(61):
        stage.advance(1)
    assert stage.network.tries == 4
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_without_a_username_the_login_is_up_to_the_program() -> None:
    """The root object of a server with a checker can be used for a login of one's own."""
    stage = Stage(f"processor: main, {CHECKER}")
    stage.start()
    told: list[Any] = []
    stage.root.resource.callRemote("login", b"ada").addBoth(told.append)
    stage.pump()
    challenge, _ = told[0]
    assert len(challenge) == 16


def test_a_server_that_never_answers_is_given_up_in_time(caplog: Any) -> None:
    """Connecting takes login_timeout at most, then it is tried again."""
    stage = Stage(login_timeout=5)
    stage.network.is_silent = True
    stage.start()
    stage.advance(5)
    assert "cannot connect: TimeoutError: the server has not answered within 5 s" in caplog.text
    stage.network.is_silent = False
    stage.advance(2)
    assert stage.root.heard == ["ready"]


class Undecided:
    """A checker that lets everybody wait until it has an answer."""

    credentialInterfaces = (IUsernameHashedPassword,)
    answer: Any = None

    def requestAvatarId(self, credentials: Any) -> Any:
        return self.answer or Deferred()


def test_a_server_that_does_not_let_go_is_left_before_it_is_tried_again(caplog: Any) -> None:
    """One that neither answers nor closes is cut after two seconds; its end harms no later connection."""
    checker = f"checker: {{name: {__name__}.Undecided}}"
    stage = Stage(f"processor: main, {checker}", login_timeout=5, username="ada", password="secret")
    stage.start()
    first = stage.network.link
    first.wires[1].is_held = True
    stage.advance(5)
    assert "cannot log in: TimeoutError: the server has not answered within 5 s" in caplog.text
    Undecided.answer = b"ada"
    stage.advance(1.9)
    assert (stage.network.tries, first.wires[1].is_cut) == (1, False)
    stage.advance(0.1)
    assert first.is_lost
    stage.pump()
    assert (stage.network.tries, stage.root.heard) == (2, ["ready"])
    stage.network.link.break_off()
    assert stage.root.heard == ["ready", "lost"]


def test_a_stop_closes_a_connection_that_cannot_be_used_yet() -> None:
    """A server that has not said a word is left at once, too."""
    stage = Stage()
    stage.network.is_mute = True
    stage.start()
    stage.client.stopService()
    stage.pump()
    assert stage.network.link.is_lost
    assert stage.clock.getDelayedCalls() == []


def test_a_start_waits_for_the_end_of_what_was_before() -> None:
    """Stopped and started in one go, a client has one connection, and hears when that is lost."""
    stage = Stage()
    stage.start()
    stage.network.link.wires[1].is_held = True
    stage.client.stopService()
    stage.client.startService()
    stage.pump()
    assert stage.network.tries == 1
    stage.advance(2)
    assert (stage.network.tries, stage.root.heard) == (2, ["ready", "lost", "ready"])
    stage.network.link.break_off()
    assert stage.root.heard[-1] == "lost"


def test_a_stop_closes_the_connection_and_ends_the_trying() -> None:
    """A stopped client is gone; started again, it connects again."""
    stage = Stage()
    stage.start()
    stopped: list[Any] = []
    stage.client.stopService().addBoth(stopped.append)
    stage.pump()
    assert stopped == [None]
    assert stage.network.link.is_lost
    assert (stage.root.heard, stage.clock.getDelayedCalls()) == (["ready", "lost"], [])
    stage.client.startService()
    stage.pump()
    assert stage.root.heard == ["ready", "lost", "ready"]


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_stop_ends_what_is_under_way(is_silent: bool) -> None:
    """Also while it connects or logs in, nothing is left and nothing is tried any more."""
    stage = Stage(f"processor: main, {CHECKER}", username="ada", password="secret")
    stage.network.is_silent = is_silent
    stage.client.startService()
    stage.client.add_consumer(stage.root, True)
    stopped: list[Any] = []
    stage.client.stopService().addBoth(stopped.append)
    stage.pump()
    stage.advance(100)
    assert (stopped, stage.root.heard, stage.network.tries) == ([None], [], 1)
    assert stage.clock.getDelayedCalls() == []


def test_who_waits_for_the_root_object_hears_of_a_lost_link() -> None:
    """getRootObject() of the factory never waits in vain."""
    stage = Stage()
    factory, failures = stage.client.factory, []
    broker = factory.buildProtocol(None)
    factory.getRootObject().addErrback(failures.append)
    broker.makeConnection(stage.network.server.connect() and _Nowhere())
    broker.connectionLost(Failure(ConnectionDone()))
    assert isinstance(failures[0].value, LinkLost)


class _Nowhere:
    """A transport to nobody."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass


def test_who_leaves_is_told_nothing_more() -> None:
    """A consumer that was removed hears of nothing."""
    stage = Stage()
    stage.start()
    stage.client.remove_consumer(stage.root)
    stage.network.link.break_off()
    assert stage.root.heard == ["ready"]
