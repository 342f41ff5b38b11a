"""Who may debug: the clients on a list, where the request is really theirs and not another page's."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

_log = logging.getLogger("piped.web")
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: The addresses of a name, in words; may block no one.
Resolve = Callable[[str], Deferred[list[str]]]

LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
#: What proxies add. It is never believed, but it tells that the client is not the one who is connected.
_OF_PROXIES = re.compile(rb"(x-)?forwarded(-.*)?|via|x-real-ip|x-scheme|.*-(client|connecting)-ip", re.IGNORECASE)
#: Numbers and dots are an address, or nothing.
_LIKE_AN_ADDRESS = re.compile(r"[0-9./]+")


def networks_of(entry: str) -> tuple[Network, ...] | None:
    """The addresses that an entry of the list stands for; None for a name that has to be looked up.

    Raises:
        ValueError: it is neither an address, nor a network, nor a name.

    Example:
        >>> networks_of("192.0.2.7"), networks_of("dev.example")
        ((IPv4Network('192.0.2.7/32'),), None)
    """
    if entry.lower() == "localhost":
        return LOOPBACK
    try:
        return (ip_network(entry, strict=False),)
    except ValueError:
        if _LIKE_AN_ADDRESS.fullmatch(entry) or not _NAME.fullmatch(entry):
            raise ValueError(f"{entry!r} is neither an address, nor a network, nor a name") from None
        return None


class Guests:
    """The clients on a list.

    Args:
        allow: addresses, networks and names. `localhost` is the loopback range, whatever it is looked up as.
        hosts: names by which the site may be addressed, besides addresses and localhost: any other name may belong to
            a page that has made a browser believe that this server is a part of it.
        resolve: looks names up.
    """

    def __init__(self, allow: Iterable[str], hosts: Iterable[str], resolve: Resolve) -> None:
        self._resolve = resolve
        self._hosts = {_bare(host) for host in hosts} | {"localhost"}
        self._networks: list[Network] = []
        #: The addresses of each name when it was last looked up.
        self._named: dict[str, list[Network]] = {}
        self._lost: set[str] = set()
        for entry in allow:
            networks = networks_of(entry)
            if networks is None:
                self._named[entry] = []
            else:
                self._networks += networks

    @property
    def names(self) -> list[str]:
        """What has to be looked up from time to time."""
        return list(self._named)

    def look_up(self) -> Deferred[Any]:
        """Look all names up anew; fires when all answers are there. One that cannot be found is nobody's."""

        def found(addresses: list[str], name: str) -> None:
            self._named[name] = [ip_network(_parsed(address)) for address in addresses]
            self._lost.discard(name)

        def lost(failure: Failure, name: str) -> None:
            self._named[name] = []
            if name not in self._lost:  # told once, however often it is looked up
                self._lost.add(name)
                _log.warning("cannot look up %s, which may debug: %s", name, failure.value)

        looked_up = [self._resolve(name).addCallback(found, name).addErrback(lost, name) for name in self._named]
        return DeferredList(looked_up)

    def includes(self, peer: str) -> bool:
        """Whether a client with this address is on the list."""
        address = _parsed(peer)
        named = (network for networks in self._named.values() for network in networks)
        return any(address in network for network in (*self._networks, *named))

    def refusal(self, peer: str, headers: Headers) -> str:
        """Why a request may not debug; "" if it may.

        Args:
            peer: the address of the client that is connected; "" if it has none.
            headers: of the request.
        """
        if not peer or not self.includes(peer):
            return f"{peer or 'a client without an address'} is not on the list"
        for name, _ in headers.getAllRawHeaders():
            if _OF_PROXIES.fullmatch(name):
                return f"it came through a proxy, as its header {name.decode('latin-1')} tells"
        written = headers.getRawHeaders("host") or []
        host = written[0] if len(written) == 1 else ""
        if not self._is_ours(host):
            return f"its Host is {host!r}, which is neither an address, nor localhost, nor one of debug.hosts"
        return ""

    def _is_ours(self, host: str) -> bool:
        name = _bare(host)
        try:
            ip_address(name)
        except ValueError:
            return name in self._hosts
        return True


def foreign(headers: Headers, origin: str) -> str:
    """Why a request was not made by a page of `origin`, which is ours; "" if nothing tells against it.

    Browsers say with every POST where it comes from; what says nothing is no browser.
    """
    for said in headers.getRawHeaders("origin") or []:
        if said.lower() != origin.lower():
            return f"it comes from another origin, {said!r}"
    for said in headers.getRawHeaders("sec-fetch-site") or []:
        if said != "same-origin":
            return f"it comes from another site, as Sec-Fetch-Site tells: {said!r}"
    return ""


def peer_of(transport: Any) -> str:
    """The address of who is connected; "" where there is none, or where a PROXY header claims another one."""
    claimed = transport.getPeer()
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    peer = transport.getPeer()
    host = getattr(peer, "host", "")
    return host if isinstance(host, str) and getattr(claimed, "host", "") == host else ""


def _bare(host: str) -> str:
    """The name or address in a Host header, without port and brackets."""
    name, colon, port = host.lower().rpartition(":")
    name = name if colon and port.isdigit() else host.lower()
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def _parsed(address: str) -> Address:
    """An address; one of IPv4 that came in the clothes of IPv6 as what it is."""
    parsed = ip_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed
