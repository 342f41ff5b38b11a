"""Where a server listens."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactor

from piped.runtime.endpoints import endpoint


def listening_of(written: str | int, interface: str = "127.0.0.1") -> tuple[object, str]:
    reactor = MemoryReactor()
    endpoint(reactor, written, interface).listen(object())
    port, _, _, interface = reactor.tcpServers[0]
    return port, interface


@pytest.mark.parametrize("written", [8080, "8080", " 8080 "])
def test_a_bare_port_listens_on_loopback(written: str | int) -> None:
    """A port without an address is not reachable from other machines."""
    assert listening_of(written) == (8080, "127.0.0.1")


def test_a_bare_port_listens_on_the_interface_that_is_asked_for() -> None:
    """`interface:` opens a port to others; IPv6 addresses need no escapes."""
    assert listening_of(0, "0.0.0.0") == (0, "0.0.0.0")
    assert listening_of(8080, "::1") == (8080, "::1")


def test_an_endpoint_listens_where_it_says() -> None:
    """The old form tcp:8789 listens on every address, an endpoint with an interface there."""
    assert listening_of("tcp:8789") == (8789, "")
    assert listening_of("tcp:8789:interface=127.0.0.1") == (8789, "127.0.0.1")


@pytest.mark.parametrize("written", ["8080", "tcp:8080", "tcp:8080:interface=127.0.0.1"])
def test_a_burst_of_clients_is_held(written: str) -> None:
    """However a port is written, the system holds a thousand connections for it while the process is busy."""
    reactor = MemoryReactor()
    endpoint(reactor, written).listen(object())
    assert reactor.tcpServers[0][2] == 1024


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    """A check never asks for a passphrase at the terminal."""
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match="its key is encrypted"):
        endpoint(None, f"ssl:1234:privateKey={key}:certKey={key}")


def test_who_says_how_many_are_held_is_obeyed() -> None:
    """An endpoint with a backlog of its own keeps it."""
    reactor = MemoryReactor()
    endpoint(reactor, "tcp:8080:backlog=5").listen(object())
    assert reactor.tcpServers[0][2] == 5


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (70000, "70000 is no port"),
        ("tcp:70000", "70000 is no port"),
        ("tcp:interface=127.0.0.1:port=70000", "70000 is no port"),
        ("8080x", "'8080x' is no endpoint"),
        ("tpc:8080", "'tpc:8080' is no endpoint"),
        ("tcp:http-", "'tcp:http-' is no endpoint"),
        ("", "'' is no endpoint"),
        ("ssl:1234:privateKey=/nowhere/key.pem", "is no endpoint: cannot read /nowhere/key.pem: no such file"),
        (f"ssl:1234:privateKey={__file__}", "is no endpoint: its key or certificate is not in the PEM form"),
    ],
)
def test_what_cannot_listen_is_told_with_its_reason(written: str | int, told: str) -> None:
    """A mistake in an endpoint says what is wrong, before anything is started."""
    with pytest.raises(ValueError, match=told):
        endpoint(None, written)
