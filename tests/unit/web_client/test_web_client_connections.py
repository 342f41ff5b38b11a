"""Connections to other servers: their bounds, and what they trust."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from client_stage import asking, result_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web._newclient import Request as ClientRequest
from twisted.web.http_headers import Headers

from piped.ground.errors import ConfigurationError, PipedError
from piped.web_client.connections import MOST_HEADERS, Connections, Trust, Turns, policy_for


class Transport(StringTransport):
    """A transport that knows how it was closed."""

    is_aborted = False

    def abortConnection(self) -> None:
        self.is_aborted = True


def connected(
    keep: Callable[[Any], object] = lambda _: None, idle: dict[Any, None] | None = None
) -> tuple[Transport, Any, Deferred[Any]]:
    """A connection on which something was asked, and what comes of it."""
    connections = Connections(keep, "x", {} if idle is None else idle)
    transport, connection = Transport(), cast(Any, connections.buildProtocol(None))
    connection.makeConnection(transport)
    return (
        transport,
        connection,
        connection.request(ClientRequest(b"GET", b"/", Headers({"host": ["x"]}), None, persistent=True)),
    )


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: %s\r\n" % (b"a" * 1000)),
        (b"HTTP/1.1 200 OK\r\nX-A: a\r\n", b" a" * 500 + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    ],
)
def test_headers_have_a_bound(start: bytes, more: bytes) -> None:
    """A server that never comes to the end of its headers is hung up on, and does not fill the memory."""
    transport, connection, answer = connected()
    connection.dataReceived(start)
    for _ in range(MOST_HEADERS // len(more)):
        connection.dataReceived(more)
    assert not transport.is_aborted
    connection.dataReceived(more)
    assert transport.is_aborted
    failure: list[Any] = []
    answer.addErrback(failure.append)
    [reason] = failure[0].value.reasons
    assert reason.value.msg == f"the headers have more than {MOST_HEADERS} bytes"


def test_a_body_does_not_count_as_headers() -> None:
    """However much of it there is."""
    transport, connection, _ = connected()
    connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(100):
        connection.dataReceived(b"x" * 10_000)
    assert not transport.is_aborted


def test_hanging_up_waits_for_no_farewell() -> None:
    """Over TLS a server could keep a connection that nobody wants any more, and go on sending."""
    transport, connection, answer = connected()
    connection.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
    collecting = asking(result_of(answer), max_body=10)
    connection.dataReceived(b"x" * 11)
    assert transport.is_aborted
    with pytest.raises(PipedError, match="more than 10 bytes"):
        result_of(collecting)


def test_a_connection_that_was_hung_up_is_not_kept() -> None:
    """An answer that comes to its end after nobody wanted it does not bring its connection back."""
    kept: list[Any] = []
    transport, connection, answer = connected(kept.append)
    connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
    collecting = asking(result_of(answer), max_body=10)
    connection.dataReceived(b"x" * 20)
    with pytest.raises(PipedError, match="more than 10 bytes"):
        result_of(collecting)
    assert (transport.is_aborted, kept) == (True, [])


def test_connections_that_wait_have_a_bound() -> None:
    """However many servers are asked, only so many connections are kept: the oldest is closed for a new one."""
    idle: dict[Any, None] = {}
    transports = []
    for _ in range(257):
        transport, connection, answer = connected(lambda _: None, idle)
        connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        result_of(answer)
        transports.append((transport, connection))
    assert [transport.is_aborted for transport, _ in transports] == [True] + [False] * 256
    transports[1][1].request(ClientRequest(b"GET", b"/", Headers({"host": ["x"]}), None, persistent=True))
    transports[2][1].connectionLost(Failure(ConnectionDone()))
    assert len(idle) == 254


def test_turns_come_in_order() -> None:
    """So many at a time ask one server, others are not held up by them, and who is cancelled gives up his place."""
    turns = Turns(1)
    first = result_of(Deferred.fromCoroutine(turns.take("a")))
    waiting = [Deferred.fromCoroutine(turns.take("a")) for _ in range(3)]
    end_other = result_of(Deferred.fromCoroutine(turns.take("b")))
    waiting[0].addErrback(lambda failure: failure.trap(CancelledError))
    waiting[0].cancel()
    assert [each.called for each in waiting] == [True, False, False]
    first()
    assert [each.called for each in waiting] == [True, True, False]
    result_of(waiting[1])()
    result_of(waiting[2])()
    end_other()
    assert not turns.is_in_use


def test_files_that_are_no_certificates_are_told(tmp_path: Path) -> None:
    """A file that is missing, empty, or holds something else is a mistake of the configuration."""
    empty, broken, both = tmp_path / "empty", tmp_path / "broken", tmp_path / "both"
    empty.write_text("")
    broken.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    key, other_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    both.write_bytes(certificate_of(key) + pem(other_key))
    for trust, what in (
        (Trust(ca_file=str(tmp_path / "none")), "cannot be read"),
        (Trust(ca_file=str(empty)), "no certificate"),
        (Trust(cert_file=str(broken)), "cannot be read"),
        (Trust(cert_file=str(both), key_file=str(empty)), r"the key in .*empty' cannot be read"),
        (Trust(cert_file=str(both)), "does not belong to the certificate"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            policy_for(trust)


def certificate_of(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    start = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def pem(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded
