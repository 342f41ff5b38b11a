"""Tests of the providers: what is offered, and how servers start and stop."""

from __future__ import annotations

from typing import Any

import pytest
from spread_stage import Link, Mute, Offer, Reactor, Server, assembled, resource
from twisted.internet.defer import Deferred, fail, succeed
from twisted.spread import pb

from piped.providers.spread_provider import PBClientProvider, PBServerProvider, PipedPBClientFactory
from piped.runtime.draining import drain

ECHO = "main: [callback-deferred: {result_path: args.0}]"


class Port:
    """An open port, which notes that it was closed."""

    is_open = True
    #: Fires when it is closed, if that takes its time.
    closing: Deferred[Any] | None = None

    def stopListening(self) -> Deferred[Any] | None:
        self.is_open = False
        return self.closing


class Place:
    """An endpoint that opens ports of memory."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self.is_taken = False

    def listen(self, factory: Any) -> Deferred[Any]:
        if self.is_taken:
            return fail(OSError("address in use"))
        self.ports.append(Port())
        return succeed(self.ports[-1])


def opened(server: Server) -> Place:
    """A server whose port is open, as after a start."""
    place = Place()
    [listener] = server.environment.listeners.members
    listener.endpoint = place
    server.service.startService()
    listener.port = (place.ports and place.ports[0]) or place.listen(None).result
    return place


def test_documented_classes_are_at_their_addresses() -> None:
    """The classes that the documents name can be imported from there."""
    assert issubclass(PipedPBClientFactory, pb.PBClientFactory)
    assert PBServerProvider.prefixes == ("pb.server.",)
    assert PBClientProvider.prefixes == ("pb.client.",)


def test_servers_and_clients_are_offered_by_their_names() -> None:
    """Also names with dots; two servers do not share their callers."""
    environment = assembled(
        """
        pb:
            servers:
                one: {listen: 0, processor: main}
                two.three: {listen: [0, 0], processor: main}
            clients:
                a.b: {endpoint: "tcp:localhost:1"}
        pipelines: {main: [passthrough]}
        """,
        Reactor(),
    )
    paths = set(environment.resource_manager.get_registered_resources())
    assert {"pb.server.one", "pb.server.two.three", "pb.client.a.b", "pb.client.a.b.root_object"} <= paths
    one, two = resource(environment, "pb.server.one"), resource(environment, "pb.server.two.three")
    assert one.factory is not two.factory
    assert [listener.owner for listener in environment.listeners.members] == [
        "pb.server.one",
        "pb.server.two.three",
        "pb.server.two.three",
    ]


def test_a_server_that_is_stopped_hangs_up_on_its_own_callers_and_listens_again() -> None:
    """Its port is closed and its callers are gone; started again it takes calls."""
    server, other = Server(ECHO), Server(ECHO)
    place = opened(server)
    server.root()
    other.root()
    stopped: list[Any] = []
    drain(list(server.environment.sources), 20, server.clock)
    server.service.stopService().addBoth(stopped.append)
    server.pump()
    assert stopped
    assert server.links[0].is_lost
    assert not other.links[0].is_lost
    assert [port.is_open for port in place.ports] == [False]
    server.service.startService()
    assert [port.is_open for port in place.ports] == [False, True]
    assert server.environment.listeners.members[0].port is place.ports[1]
    assert server.call("x", 1) == 1


def test_a_server_may_be_stopped_and_started_at_any_moment() -> None:
    """A start waits until the port is closed; whatever was said last is what is done."""
    server = Server(ECHO)
    place = opened(server)
    place.ports[0].closing = Deferred()
    fired: list[str] = []
    server.service.stopService().addBoth(lambda _: fired.append("stopped"))
    server.service.startService().addBoth(lambda _: fired.append("started"))
    assert (len(place.ports), fired) == (1, [])
    server.service.stopService().addBoth(lambda _: fired.append("stopped again"))
    place.ports[0].closing.callback(None)
    assert (len(place.ports), sorted(fired)) == (1, ["started", "stopped", "stopped again"])
    server.service.startService()
    assert [port.is_open for port in place.ports] == [False, True]
    server.service.stopService()
    server.service.startService()
    assert [port.is_open for port in place.ports] == [False, False, True]


def test_both_who_stop_a_server_hear_of_its_end() -> None:
    """A stop by the program, and one by the end of the process, wait for the same callers."""
    server = Server(ECHO)
    opened(server)
    server.root()
    fired: list[int] = []
    for number in range(2):
        server.service.stopService().addBoth(lambda _, number=number: fired.append(number))
    assert fired == []
    server.pump()
    assert sorted(fired) == [0, 1]


def test_a_port_that_was_taken_meanwhile_is_tried_again_by_the_next_start() -> None:
    """The start fails; once the port is free, another one works."""
    server = Server(ECHO)
    place = opened(server)
    server.service.stopService()
    place.is_taken = True
    failures: list[Any] = []
    server.service.startService().addErrback(failures.append)
    assert "address in use" in str(failures)
    server.service.stopService()
    place.is_taken = False
    server.service.startService()
    assert [port.is_open for port in place.ports] == [False, True]


def test_a_stopped_process_leaves_no_port_to_open_again() -> None:
    """Ports that the process has closed are not opened by a start of the service."""
    server = Server(ECHO)
    place = opened(server)
    server.environment.listeners.close()
    server.service.stopService()
    server.service.startService()
    assert len(place.ports) == 1


def test_what_was_answered_is_sent_before_the_end_and_nobody_is_waited_for_long() -> None:
    """A caller that does not take what was sent is cut after two seconds."""
    server = Server(ECHO)
    opened(server)
    broker = server.service.factory.buildProtocol(None)
    link = Link(broker, Mute())
    link.wires[0].disconnecting = False
    stopped: list[Any] = []
    server.service.stopService().addBoth(stopped.append)
    assert (stopped, link.wires[0].is_cut) == ([], False)
    server.clock.advance(2)
    assert link.wires[0].is_cut
    link.lose()
    assert stopped


@pytest.mark.parametrize("options", ["", ", wait_for_processor: true"])
def test_a_stop_waits_for_the_calls_that_are_under_way(options: str) -> None:
    """While a process stops, calls are processed to their end and new ones are refused, also those that may wait."""
    waiting: Deferred[Any] = Deferred()

    class Wait:
        def __call__(self, baton: Any) -> Any:
            return waiting.addCallback(lambda _: baton["deferred"].callback("done"))

    offer = Offer()
    server = Server("other: [passthrough]", f"processor: outside{options}", resources={"outside": offer})
    offer.deliver(Wait())
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    drained = drain(list(server.environment.sources), 20, server.clock)
    assert "about to stop" in server.ask(root, "x").value
    assert not drained.called
    waiting.callback(None)
    server.pump()
    assert (told, drained.called) == (["done"], True)


def test_no_more_connections_are_taken_than_allowed(caplog: Any) -> None:
    """Those above are hung up on, which is told once; when one has left, there is room again."""
    server = Server(ECHO, "processor: main, max_connections: 2")
    server.root()
    server.root()
    for _ in range(3):
        assert server.service.factory.buildProtocol(None) is None
    assert caplog.text.count("has 2 connections, and takes no more") == 1
    server.links[0].lose()
    assert server.call("x", 1) == 1
