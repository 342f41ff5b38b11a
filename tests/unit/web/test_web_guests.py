"""Guests: who may debug, and which requests are really theirs."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from twisted.internet.address import HostnameAddress, IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.web.http_headers import Headers

from piped.web.guests import Guests, foreign, networks_of, peer_of


def nobody(name: str) -> Deferred[list[str]]:
    return fail(OSError(f"no such host: {name}"))


def guests(*allow: str, hosts: list[str] | None = None, resolve: Any = nobody) -> Guests:
    return Guests(allow, hosts or [], resolve)


def refusal(peer: str = "127.0.0.1", **headers: str) -> str:
    """What is said to a request that would be all right without these headers."""
    given = {"Host": "127.0.0.1:8080"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return guests("localhost", hosts=["dev.example"]).refusal(peer, Headers({name: [v] for name, v in given.items()}))


@pytest.mark.parametrize(
    ("entry", "peer", "is_included"),
    [
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST", "127.8.9.10", True),
        ("localhost", "::1", True),
        ("localhost", "::ffff:127.0.0.1", True),
        ("localhost", "192.0.2.1", False),
        ("localhost", "::ffff:192.0.2.1", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.7/24", "192.0.3.1", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("2001:db8::/32", "2001:db8::9", True),
        ("::/0", "192.0.2.1", False),
    ],
)
def test_addresses_and_networks(entry: str, peer: str, is_included: bool) -> None:
    """`localhost` is the whole loopback range, in both families and in either's clothes; networks are networks."""
    assert guests(entry).includes(peer) == is_included


@pytest.mark.parametrize("entry", ["", "*", "300.1.2.3", "192.0.2.0/99", "a b", "http://dev.example", "1.2.3"])
def test_what_is_no_client_is_refused(entry: str) -> None:
    """A slip of the pen never lets somebody in, nor is it looked up."""
    with pytest.raises(ValueError, match="neither an address"):
        networks_of(entry)


def test_names_are_what_they_were_looked_up_as_last() -> None:
    """A name lets all of its addresses in, new ones once it was looked up anew, and nobody before."""
    known = {"dev.example": ["192.0.2.1", "2001:db8::1", "fe80::1%eth0"]}
    some = guests("dev.example", "198.51.100.1", resolve=lambda name: succeed(known[name]))
    assert some.names == ["dev.example"]
    assert not some.includes("192.0.2.1")
    some.look_up()
    assert all(some.includes(address) for address in ("192.0.2.1", "2001:db8::1", "fe80::1%eth1", "198.51.100.1"))
    known["dev.example"] = ["192.0.2.2"]
    some.look_up()
    assert [some.includes(address) for address in ("192.0.2.1", "192.0.2.2")] == [False, True]


def test_a_name_that_cannot_be_looked_up_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    """Its old addresses are no longer let in, and each time that it is lost is told once."""
    found, lost = succeed(["192.0.2.1"]), nobody("dev.example")
    answers = [found, lost, nobody("dev.example"), succeed(["192.0.2.1"]), nobody("dev.example")]
    some = guests("dev.example", resolve=lambda name: answers.pop(0))
    included = []
    for _ in range(5):
        assert some.look_up().called
        included.append(some.includes("192.0.2.1"))
    assert included == [True, False, False, True, False]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "cannot look up dev.example" in caplog.text


def test_a_client_on_the_list_may_debug() -> None:
    """By an address, by localhost, and by the names that the site says it has."""
    for host in ("127.0.0.1", "127.0.0.1:80", "[::1]:8080", "[::1]", "localhost:8080", "LOCALHOST", "dev.example:1"):
        assert refusal(Host=host) == ""


@pytest.mark.parametrize("peer", ["192.0.2.1", ""])
def test_others_may_not(peer: str) -> None:
    """Who is not on the list, or has no address at all."""
    assert "not on the list" in refusal(peer)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:8080", "", "localhost:x"]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    """A page that had its own name point to this server (DNS rebinding) gets nothing."""
    assert "its Host is" in refusal(Host=host)


def test_one_host_is_needed() -> None:
    """Without a Host header, or with two, nobody knows what a browser believes."""
    for hosts in ([], ["127.0.0.1", "evil.example"]):
        headers = Headers({"Host": hosts}) if hosts else Headers()
        assert "its Host is ''" in guests("localhost").refusal("127.0.0.1", headers)


@pytest.mark.parametrize(
    "header",
    ["X_Forwarded_For", "x_forwarded_host", "Forwarded", "Via", "X_Real_IP", "CF_Connecting_IP"],
)
def test_who_comes_through_a_proxy_may_not(header: str) -> None:
    """A proxy on this machine does not make its clients local, whatever the headers say."""
    assert "came through a proxy" in refusal(**{header: "127.0.0.1"})


def test_forwarded_headers_let_nobody_in() -> None:
    """Who is not on the list is not believed to be somebody else."""
    headers = Headers({"Host": ["127.0.0.1"], "X-Forwarded-For": ["127.0.0.1"]})
    assert "192.0.2.1 is not on the list" in guests("localhost").refusal("192.0.2.1", headers)


@pytest.mark.parametrize(
    ("headers", "is_foreign"),
    [
        ({}, False),
        ({"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "http://LOCALHOST:8080"}, False),
        ({"Origin": "http://localhost:3000"}, True),
        ({"Origin": "https://localhost:8080"}, True),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "http://localhost:8080", "Sec-Fetch-Site": "cross-site"}, True),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], is_foreign: bool) -> None:
    """Browsers say from which page a request comes: any but our own is foreign, another port's too."""
    given = Headers({name: [value] for name, value in headers.items()})
    assert bool(foreign(given, "http://localhost:8080")) == is_foreign


class Transport:
    """Something that is connected to a peer, maybe around another transport."""

    def __init__(self, peer: Any, transport: Any = None) -> None:
        self.peer = peer
        if transport is not None:
            self.transport = transport

    def getPeer(self) -> Any:
        return self.peer


def test_a_peer_is_who_is_connected() -> None:
    """Through TLS too; but neither what a PROXY header claims, nor what has no address."""
    real = IPv4Address("TCP", "192.0.2.1", 1)
    assert peer_of(Transport(real)) == "192.0.2.1"
    assert peer_of(Transport(real, Transport(real))) == "192.0.2.1"
    assert peer_of(Transport(IPv4Address("TCP", "127.0.0.1", 1), Transport(real))) == ""
    assert peer_of(Transport(UNIXAddress("/run/site"))) == ""
    assert peer_of(Transport(HostnameAddress(b"localhost", 1))) == ""
