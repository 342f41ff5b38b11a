"""Connections to other web servers: what they trust, how they are made, and how many are kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

# twisted.web.client has it too, but brings OpenSSL along, for which every other configuration would wait.
from twisted.web._newclient import BODY, HTTP11ClientProtocol
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from piped import ConfigurationError, PipedError, Seconds

#: Bytes of the headers of an answer, with those of all answers before it that only say that it is to come.
MOST_HEADERS: Final = 256 * 1024
#: Connections that are kept for the next requests: to one server, to all, and for how many seconds.
KEPT_FOR_ONE: Final = 16
_KEPT_FOR_ALL: Final = 256
_KEPT_FOR: Final = 60
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Trust:
    """Whom a connection over TLS trusts, and how it proves who asks.

    Args:
        ca_file: certificates (PEM), one of which must vouch for the server; None for those of the system.
        cert_file: the certificate of the client and those between it and its authority (PEM).
        key_file: its key (PEM); None where it is in `cert_file`.
        verify: whether the certificate of the server is checked.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True


def pool_for(reactor: Any) -> Any:
    """A pool of connections, whose headers have a bound, and of which no more are kept than is good."""
    from twisted.web.client import HTTPConnectionPool  # late, as it brings OpenSSL along

    pool: Any = HTTPConnectionPool(reactor)
    pool._factory = partial(Connections, idle={})
    pool.maxPersistentPerHost, pool.cachedConnectionTimeout = KEPT_FOR_ONE, _KEPT_FOR
    return pool


def policy_for(trust: Trust) -> Any:
    """An IPolicyForHTTPS.

    Raises:
        ConfigurationError: a file cannot be read, or does not hold what it should.
    """
    from twisted.web.client import HostnameCachingHTTPSPolicy  # late, as it brings OpenSSL along

    own: Any = _Policy(trust)
    return HostnameCachingHTTPSPolicy(own)


@implementer(IPolicyForHTTPS)
class _Policy:
    def __init__(self, trust: Trust) -> None:
        self._is_strict = trust.verify
        self._root = None if trust.ca_file is None else _trust_root(trust.ca_file)
        self._options = {} if trust.cert_file is None else _own_certificate(trust.cert_file, trust.key_file)

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        from twisted.internet.ssl import optionsForClientTLS

        host = hostname.decode("ascii")
        creator: Any = optionsForClientTLS(host, self._root, extraCertificateOptions=dict(self._options))
        return creator if self._is_strict else _Unchecked(creator)


@implementer(IOpenSSLClientConnectionCreator)
class _Unchecked:
    """Makes connections that name the server that they want, and take any certificate for its own."""

    def __init__(self, creator: Any) -> None:
        self._creator = creator

    def clientConnectionForTLS(self, protocol: Any) -> Any:
        from OpenSSL.SSL import VERIFY_NONE

        connection = self._creator.clientConnectionForTLS(protocol)
        connection.set_verify(VERIFY_NONE, lambda *_: True)  # without one the other stays
        return connection


def _trust_root(ca_file: str) -> Any:
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    return trustRootFromCertificates([Certificate.loadPEM(block) for block in _certificates(ca_file)])


def _own_certificate(cert_file: str, key_file: str | None) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates
    from OpenSSL.SSL import Error
    from twisted.internet.ssl import CertificateOptions

    certificate, *chain = load_pem_x509_certificates(b"".join(_certificates(cert_file)))
    name = key_file or cert_file
    try:
        with open(name, "rb") as file:
            key = load_pem_private_key(file.read(), None)
    except (OSError, TypeError, ValueError) as error:  # TypeError: it needs a password
        raise ConfigurationError(f"the key in {name!r} cannot be read: {error}") from error
    options: dict[str, Any] = {"privateKey": key, "certificate": certificate, "extraCertChain": chain}
    try:
        CertificateOptions(**options).getContext()
    except Error as error:
        raise ConfigurationError(f"the key in {name!r} does not belong to the certificate in {cert_file!r}") from error
    return options


def _certificates(name: str) -> list[bytes]:
    from OpenSSL.crypto import Error
    from twisted.internet.ssl import Certificate

    try:
        with open(name, "rb") as file:
            blocks = [_BEGIN + block for block in file.read().split(_BEGIN)[1:]]
        for block in blocks:
            Certificate.loadPEM(block)
    except (OSError, Error) as error:
        raise ConfigurationError(f"the certificates in {name!r} cannot be read: {error}") from error
    if not blocks:
        raise ConfigurationError(f"{name!r} holds no certificate", hint="it must be a PEM file")
    return blocks


@implementer(IAgentEndpointFactory)
class Endpoints:
    """Where a URL leads.

    Args:
        policy: an IPolicyForHTTPS.
        connect_timeout: how long making a connection may take, name resolution and every address included.
    """

    def __init__(self, reactor: Any, policy: Any, connect_timeout: Seconds) -> None:
        self._reactor, self._policy, self._timeout = reactor, policy, connect_timeout

    def endpointForURI(self, uri: Any) -> Any:
        # Late, as it brings OpenSSL along.
        from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

        host = uri.host.decode("ascii")
        found = HostnameEndpoint(self._reactor, host, uri.port, timeout=self._timeout)
        endpoint: Any = _Endpoint(self._reactor, found, f"{host}:{uri.port}", self._timeout)
        if uri.scheme == b"http":
            return endpoint
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """One whose timeout is for all addresses of a host together, and for finding them."""

    def __init__(self, reactor: Any, found: Any, server: str, seconds: Seconds) -> None:
        self._clock, self._found, self._server, self._seconds = reactor, found, server, seconds

    def connect(self, factory: Any) -> Deferred[Any]:
        def too_late(result: Any, seconds: float) -> Any:
            if isinstance(result, Failure):
                raise ConnectTimeoutError(string=f"no connection to {self._server} within {seconds:g} s")
            return result

        connecting: Deferred[Any] = self._found.connect(factory)
        return connecting.addTimeout(self._seconds, self._clock, too_late)


class Connections(Factory):
    """Makes the connections of a pool, on which headers have a bound: Twisted would take them without end.

    Args:
        when_quiet: takes a connection that can be used again.
        idle: those of all servers that can, the one that has waited longest first.
    """

    noisy = False

    def __init__(self, when_quiet: Callable[[Any], object], server: str, idle: dict[Any, None]) -> None:
        self._when_quiet, self._server, self._idle = when_quiet, server, idle

    def __repr__(self) -> str:
        return f"<Connections to {self._server}>"

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Connection(self._keep, self._idle)

    def _keep(self, connection: Any) -> None:
        if connection.is_left:
            return
        self._idle[connection] = None
        if len(self._idle) > _KEPT_FOR_ALL:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.transport.loseConnection()  # the pool gives out none that is closed
        self._when_quiet(connection)


class _Connection(HTTP11ClientProtocol):
    _received = 0

    def __init__(self, when_quiet: Callable[[Any], object], idle: dict[Any, None]) -> None:
        super().__init__(when_quiet)
        self._idle = idle
        #: Whether it was hung up; the end of an answer may still come to light.
        self.is_left = False

    def makeConnection(self, transport: Any) -> None:
        transport.loseConnection = self._leave
        super().makeConnection(transport)

    def _leave(self) -> None:
        # Whoever hangs up has heard enough, and over TLS it is the server who decides how long a farewell takes.
        self.is_left = True
        transport: Any = self.transport
        transport.abortConnection()

    def request(self, request: Any) -> Any:
        self._idle.pop(self, None)
        return super().request(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._idle.pop(self, None)
        super().connectionLost(reason)

    def dataReceived(self, bytes: bytes) -> None:
        super().dataReceived(bytes)
        if self._parser is None or self._parser.state == BODY:
            self._received = 0
            return
        self._received += len(bytes)
        if self._received > MOST_HEADERS:
            self._giveUp(Failure(PipedError(f"the headers have more than {MOST_HEADERS} bytes")))


class Turns:
    """Lets so many at a time at most ask one server; the others wait for their turn, in order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[Deferred[None]]] = {}

    @property
    def is_in_use(self) -> bool:
        """Whether it remembers any server."""
        return bool(self._taken or self._waiting)

    async def take(self, server: Hashable) -> Callable[[], None]:
        """Wait for a turn; gives what ends it, to be called once."""
        if self._taken.get(server, 0) >= self._limit:
            queue = self._waiting.setdefault(server, deque())
            turn: Deferred[None] = Deferred(queue.remove)
            queue.append(turn)
            await turn  # whoever ends a turn passes it on
        else:
            self._taken[server] = self._taken.get(server, 0) + 1
        return partial(self._pass_on, server)

    def _pass_on(self, server: Hashable) -> None:
        queue = self._waiting.get(server)
        if queue:
            queue.popleft().callback(None)
            return
        self._waiting.pop(server, None)
        self._taken[server] -= 1
        if not self._taken[server]:
            del self._taken[server]


def expanded(file: str | None) -> str | None:
    """The name of a file, `~` expanded."""
    return None if file is None else os.path.expanduser(file)
