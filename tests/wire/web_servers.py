"""A web server of a few lines that does exactly what a test tells it to, however wrong that is."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Received:
    """A request as it came over the wire; names of headers in small letters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: socket.socket = field(repr=False)

    @property
    def has_left(self) -> bool:
        """Waits until the client hangs up."""
        try:
            return self.connection.recv(1) == b""
        except ConnectionError:
            return True


class Server:
    """Answers each request on loopback with the bytes that `answer` gives; None hangs up. One thread per connection."""

    def __init__(self, answer: Callable[[Received], bytes | None], context: ssl.SSLContext | None = None) -> None:
        self.answer, self.context = answer, context
        self.requests: list[Received] = []
        self.connections = 0
        #: Counts the connections that are over.
        self.ended = threading.Semaphore(0)
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, target: str = "/", host: str = "127.0.0.1") -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://{host}:{self._listening.getsockname()[1]}{target}"

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            with connection, connection.makefile("rb") as stream:
                while (received := _received(stream, connection)) is not None:
                    self.requests.append(received)
                    answer = self.answer(received)
                    if answer is None:
                        return
                    connection.sendall(answer)
        except (OSError, ValueError):
            pass  # the client has left, or the test has ended
        finally:
            self.ended.release()


def _received(stream: Any, connection: socket.socket) -> Received | None:
    first = stream.readline().decode().split()
    if not first:
        return None
    headers = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = stream.read(int(headers.get("content-length", 0)))
    return Received(first[0], first[1], headers, body, connection)


def response(body: bytes = b"", *headers: str, code: int = 200) -> bytes:
    """A response with its length."""
    return "\r\n".join([f"HTTP/1.1 {code} Told", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


def certificates(folder: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """The file with an authority's certificate, and what a server of these names and addresses needs, made anew."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Authority", authority_key, "Authority", authority_key, ())
    leaf = _certificate("Authority", authority_key, names[0], key, names)
    ca_file, both = folder / f"{names[0]}-ca.pem", folder / f"{names[0]}.pem"
    ca_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return ca_file, context


def _certificate(issuer: str, issuer_key: Any, subject: str, key: Any, names: tuple[str, ...]) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
