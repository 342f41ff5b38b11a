"""HTTP as bytes: what a client may send that no library would."""

import socket
import ssl
from urllib.parse import urlsplit


class Reply:
    """A response: `code`, `headers` by their names in small letters, `body`; `rest` is what came behind it."""

    def __init__(self, data, without_body=False):
        head, _, self.rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if without_body else int(self.headers.get("content-length", len(self.rest)))
        self.body, self.rest = self.rest[:length], self.rest[length:]


def connect(url, timeout=30, certificate=None):
    """A connection to the site of a URL, or to a UNIX socket whose path is given; over TLS with a certificate."""
    if "://" not in str(url):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(str(url))
        return connection
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout)
    if certificate is None:
        return connection
    return ssl.create_default_context(cafile=certificate).wrap_socket(connection, server_hostname=parts.hostname)


def rest_of(connection):
    """All that comes until the other side closes, or breaks off."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    connection.close()
    return b"".join(parts)


def ask(url, target, *headers, method="GET", **options):
    """The response to one request whose target is sent as it is written."""
    connection = connect(url, **options)
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return Reply(rest_of(connection), without_body=method == "HEAD")
