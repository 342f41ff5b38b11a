"""Tests of the ports of a process."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor

from piped import Mark
from piped.runtime.listeners import Listener, Listeners

HERE = Mark("site.yml", 3, 5)


class Port:
    """An open port."""

    def __init__(self, host: Any, closing: Deferred[None] | None = None) -> None:
        self.host, self.is_open = host, True
        self._closing = closing

    def getHost(self) -> Any:
        return self.host

    def stopListening(self) -> Deferred[None] | None:
        self.is_open = False
        return self._closing


class Endpoint:
    """An endpoint that gives a port, or fails."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def listen(self, factory: Any) -> Deferred[Any]:
        return fail(self.outcome) if isinstance(self.outcome, Exception) else succeed(self.outcome)


def listeners_on(*outcomes: Any) -> Listeners:
    listeners = Listeners()
    for number, outcome in enumerate(outcomes):
        listeners.add(Listener(f"web.{number}", "http", Endpoint(outcome), Factory(), HERE))
    return listeners


def opened(listeners: Listeners) -> list[str]:
    problems = Deferred.fromCoroutine(listeners.open())
    return [str(problem) for problem in problems.result]


def test_ports_open_in_the_order_in_which_they_were_asked_for() -> None:
    """Not before `open`; each with the factory of its owner."""
    reactor, listeners, factories = MemoryReactor(), Listeners(), [Factory(), Factory()]
    for port, factory in zip((8080, 8081), factories, strict=True):
        listeners.add(Listener("web", "http", TCP4ServerEndpoint(reactor, port), factory))
    assert reactor.tcpServers == []
    assert opened(listeners) == []
    assert [server[:2] for server in reactor.tcpServers] == list(zip((8080, 8081), factories, strict=True))


def test_a_port_that_is_in_use_is_a_problem_with_its_place() -> None:
    """What is wrong, where it is written, what to do; the other ports are open."""
    taken = CannotListenError("127.0.0.1", 8080, OSError(errno.EADDRINUSE, "Address already in use"))
    listeners = listeners_on(taken, Port(IPv4Address("TCP", "127.0.0.1", 8081)))
    assert opened(listeners) == [
        "site.yml:3:5: web.0 cannot listen on port 8080: address already in use"
        " – stop what is listening there, or choose another port"
    ]
    assert listeners.members[1].address == "http://127.0.0.1:8081"


@pytest.mark.parametrize(
    ("error", "told", "fix"),
    [
        (
            CannotListenError("", 80, OSError(errno.EACCES, "Permission denied")),
            "on port 80: permission denied",
            "priv",
        ),
        (CannotListenError("10.1.1.1", 80, OSError(errno.EADDRNOTAVAIL, "No")), "on port 80: no", "interface"),
        (CannotListenError(None, "/run/site", OSError(errno.ENOENT, "No such file")), "on /run/site: no such file", ""),
        (CannotListenError(None, "/run/site", "Cannot acquire lock"), "on /run/site: cannot acquire lock", ""),
        (OSError(errno.EMFILE, "Too many open files"), "web.0 cannot listen: too many open files", ""),
    ],
)
def test_whatever_keeps_a_port_from_opening_is_told(error: Exception, told: str, fix: str) -> None:
    """The reason of the system, and what to do where there is something to do."""
    [problem] = opened(listeners_on(error))
    assert told in problem
    assert fix in problem
    assert ("–" in problem) == bool(fix)


def test_what_is_no_trouble_with_a_port_is_raised() -> None:
    """An error in the program is not taken for one of the user."""
    opening = Deferred.fromCoroutine(listeners_on(LookupError("a bug")).open())
    assert opening.result.check(LookupError)
    opening.addErrback(lambda _: None)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (IPv4Address("TCP", "127.0.0.1", 80), "http://127.0.0.1:80"),
        (IPv6Address("TCP", "::1", 80), "http://[::1]:80"),
        (UNIXAddress(b"/run/site"), "http+unix:/run/site"),
        (UNIXAddress(None), "http+unix:"),
    ],
)
def test_an_open_port_says_where_it_listens(host: Any, address: str) -> None:
    """As one would type it; before, only what will answer there."""
    listeners = listeners_on(Port(host))
    [listener] = listeners.members
    assert (listener.address, str(listener)) == ("http", "web.0 on http")
    opened(listeners)
    assert (listener.address, str(listener)) == (address, f"web.0 on {address}")


def test_closing_waits_for_every_port() -> None:
    """Nobody listens any more, and the Deferred fires when all are really closed."""
    closing: Deferred[None] = Deferred()
    host = IPv4Address("TCP", "127.0.0.1", 80)
    slow, quick = Port(host, closing), Port(host)
    listeners = listeners_on(slow, quick)
    opened(listeners)
    closed = listeners.close()
    assert [slow.is_open, quick.is_open, closed.called] == [False, False, False]
    closing.callback(None)
    assert closed.called
    assert listeners.members[0].port is None


def test_what_never_opened_is_not_closed() -> None:
    """A stop after a failed start closes what is open, and a second one nothing."""
    taken = CannotListenError("", 80, OSError(errno.EADDRINUSE, "in use"))
    port = Port(IPv4Address("TCP", "127.0.0.1", 80))
    listeners = listeners_on(taken, port)
    assert listeners.close().called
    opened(listeners)
    assert listeners.close().called
    assert not port.is_open
    port.is_open = True
    listeners.close()
    assert port.is_open
