"""Tests of the clients of statsd servers, on a network that exists in memory."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any

import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

from piped import ConfigurationError, RuntimeEnvironment
from piped_statsd.clients import StatsdClient, client, configured
from piped_statsd.wire import PACKET


class Socket:
    """What Twisted opens for datagrams."""

    def __init__(self, network: Network, protocol: Any, interface: str) -> None:
        self.network, self.protocol, self.interface = network, protocol, interface
        self.is_open = True

    def connect(self, host: str, port: int) -> None:
        if self.network.is_down:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.peer = (host, port)

    def write(self, packet: bytes) -> None:
        assert self.is_open
        if self.network.is_full:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self.network.sent.append((self.peer, packet.decode()))

    def stopListening(self) -> None:
        self.is_open = False


class Network(Clock):
    """A reactor whose clock stands still, and that keeps what is sent; names have the addresses of `addresses`."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[tuple[str, int], str]] = []
        self.sockets: list[Socket] = []
        self.is_down = self.is_full = self.has_no_sockets = False
        self.addresses: list[tuple[int, str]] = []
        self.looked_up: list[float] = []

    def listenUDP(self, port: int, protocol: Any, interface: str) -> Socket:
        if self.has_no_sockets:
            raise CannotListenError(interface, port, OSError("no more"))
        self.sockets.append(Socket(self, protocol, interface))
        return self.sockets[-1]

    def look_up(self, host: str, port: int, family: int, kind: int) -> list[Any]:
        assert (host, port, kind) == ("metrics.example", 8125, socket.SOCK_DGRAM)
        self.looked_up.append(self.seconds())
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, kind, 17, "", (address, port)) for family, address in self.addresses]


@pytest.fixture
def network() -> Network:
    return Network()


def made(network: Network, host: str = "10.0.0.1", chance: float = 0.5) -> StatsdClient:
    made = StatsdClient("default", host, 8125, uniform=lambda low, high: chance * high, look_up=network.look_up)
    made.configure(RuntimeEnvironment(reactor=network))
    return made


def started(network: Network, host: str = "10.0.0.1", chance: float = 0.5) -> StatsdClient:
    client = made(network, host, chance)
    client.startService()
    return client


SERVER = ("10.0.0.1", 8125)


def test_metrics_go_out_together_a_moment_later(network):
    """One datagram for what comes within a tenth of a second; nothing waits for it."""
    client = started(network)
    client.increment("a")
    client.gauge("b", 2)
    assert network.sent == []
    assert len(network.getDelayedCalls()) == 1
    network.advance(0.1)
    assert network.sent == [(SERVER, "a:1|c\nb:2|g")]
    network.advance(10)
    client.increment("c")
    network.advance(0.1)
    assert network.sent[1:] == [(SERVER, "c:1|c")]


def test_what_fills_a_datagram_goes_out_at_once(network):
    """A burst neither waits nor grows."""
    client = started(network)
    for _ in range(1000):
        client.increment("orders")
    assert len(network.sent) == 1000 * 11 // PACKET
    network.advance(0.1)
    assert sum(packet.count("orders") for _, packet in network.sent) == 1000
    assert max(len(packet) for _, packet in network.sent) <= PACKET
    assert not network.getDelayedCalls()


def test_a_sample_is_sent(network):
    """As often as chance has it."""
    client = started(network, chance=0.3)
    client.increment("a", sample_rate=0.2)
    client.increment("b", sample_rate=0.3)
    client.increment("c", sample_rate=0.4)
    network.advance(0.1)
    assert network.sent == [(SERVER, "c:1|c|@0.4")]


def test_what_comes_before_the_start_is_sent_then(network):
    """A pipeline may count before the way to the server is open."""
    client = made(network)
    client.increment("early")
    client.startService()
    assert network.sent == [(SERVER, "early:1|c")]


def test_a_stop_sends_what_waits_and_closes(network):
    """And leaves no timer behind; a new start opens it again."""
    client = started(network, "metrics.example")
    network.addresses = [(socket.AF_INET, "10.0.0.1")]
    network.advance(1)
    client.increment("last")
    assert client.stopService().called
    assert network.sent == [(SERVER, "last:1|c")]
    assert not network.sockets[0].is_open
    assert not network.getDelayedCalls()
    client.startService()
    client.increment("again")
    network.advance(0.1)
    assert network.sent[1:] == [(SERVER, "again:1|c")]


def test_a_name_is_looked_up_and_again_when_it_may_have_moved(network):
    """About once a minute: metrics follow to the new address, and the former socket is closed."""
    network.addresses = [(socket.AF_INET, "10.0.0.1")]
    client = started(network, "metrics.example", chance=1)
    network.advance(60)
    assert len(network.sockets) == 1
    network.addresses = [(socket.AF_INET, "10.0.0.2")]
    network.advance(60)
    client.increment("a")
    network.advance(0.1)
    assert network.looked_up == [0, 60, 120]
    assert network.sent == [(("10.0.0.2", 8125), "a:1|c")]
    assert [socket.is_open for socket in network.sockets] == [False, True]


def test_a_name_that_is_unknown_is_tried_again_ever_more_rarely(network, caplog):
    """Metrics wait meanwhile, as many as there is room for; the log says it once."""
    client = started(network, "metrics.example", chance=1)
    client.increment("a")
    for _ in range(300):
        network.advance(1)
    assert network.looked_up == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    [line] = caplog.messages
    assert line.startswith("statsd.default: there is no way to metrics.example: gaierror: ")
    network.addresses = [(socket.AF_INET, "10.0.0.1")]
    network.advance(60)
    assert network.sent == [(SERVER, "a:1|c")]
    network.addresses, network.looked_up = [], []
    for _ in range(62):
        network.advance(1)
    assert network.looked_up == [420, 421]


def test_a_name_that_is_gone_keeps_its_last_address(network):
    """A name server that is down stops no metrics."""
    network.addresses = [(socket.AF_INET, "10.0.0.1")]
    client = started(network, "metrics.example", chance=1)
    network.addresses = []
    network.advance(60)
    client.increment("a")
    network.advance(0.1)
    assert network.sent == [(SERVER, "a:1|c")]


def test_retries_are_spread(network):
    """Not all processes ask the name server at the same moment: chance takes off up to a half."""
    started(network, "metrics.example", chance=0.5)
    network.advance(0.5)
    assert network.looked_up == [0, 0.5]


def test_a_name_with_both_kinds_of_addresses_means_the_older(network):
    """`localhost` is `::1` as well, where few servers listen; a name that has only that is used with it."""
    network.addresses = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
    started(network, "metrics.example")
    network.addresses = [(socket.AF_INET6, "::1")]
    started(network, "metrics.example")
    assert [(one.peer[0], one.interface) for one in network.sockets] == [("127.0.0.1", ""), ("::1", "::")]


def test_an_address_needs_no_name_server(network):
    """It is used as it stands, and nothing is asked later."""
    started(network, "::1")
    network.advance(600)
    assert network.looked_up == []
    assert (network.sockets[0].peer, network.sockets[0].interface) == (("::1", 8125), "::")


@pytest.mark.parametrize("trouble", ["is_down", "has_no_sockets"])
def test_a_network_that_is_not_there_yet_is_tried_again(network, trouble, caplog):
    """Nothing is left open by an attempt that failed."""
    setattr(network, trouble, True)
    client = started(network)
    client.increment("a")
    network.advance(1)
    setattr(network, trouble, False)
    network.advance(2)
    assert network.sent == [(SERVER, "a:1|c")]
    assert [one.is_open for one in network.sockets][-1]
    assert not any(one.is_open for one in network.sockets[:-1])
    assert len(caplog.messages) == 1


def test_what_cannot_be_sent_is_dropped_and_told_once(network, caplog):
    """No call of a client ever fails for it."""
    client = started(network)
    network.is_full = True
    for _ in range(500):
        client.increment("orders")
    network.advance(0.1)
    network.is_full = False
    client.increment("a")
    network.advance(0.1)
    assert network.sent == [(SERVER, "a:1|c")]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("statsd.default: metrics are dropped: BlockingIOError")


def test_too_much_for_the_time_until_there_is_a_way_is_told(network, caplog):
    """The oldest are kept, up to a bound."""
    client = made(network)
    for _ in range(20_000):
        client.increment("orders")
    [line] = caplog.messages
    assert line.startswith("statsd.default: metrics are dropped")
    client.startService()
    assert sum(len(packet) for _, packet in network.sent) < 70_000


def test_a_server_that_is_not_there_is_told_once(network, caplog):
    """As a warning; metrics go on."""
    client = started(network)
    for _ in range(3):
        network.sockets[0].protocol.connectionRefused()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "statsd.default: nobody listens on 10.0.0.1:8125")
    ]
    client.increment("a")
    network.advance(0.1)
    assert len(network.sent) == 1


def test_modules_find_clients_by_their_names(network):
    """Also those that ask before the configuration is read; the first name is `default`."""
    early, other = client(), client("other")
    here = started(network)

    @early.timed("took")
    def step() -> None:
        network.advance(0.02)

    configured({"default": here})
    step()
    network.advance(0.1)
    assert network.sent == [(SERVER, "took:20.0|ms")]
    with pytest.raises(ConfigurationError, match="there is no statsd client 'other'"):
        other.increment("a")
    configured({})
    with pytest.raises(ConfigurationError, match="there is no statsd client 'default'"):
        early.increment("a")
