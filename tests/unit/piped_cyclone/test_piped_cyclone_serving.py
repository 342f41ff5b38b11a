"""Ports: what endpoints say about TLS, and connections above the limit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from piped_cyclone.serving import Server, milliseconds, tls_of


class Stream:
    """A connection, as far as a server that turns it away has to know it."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def closed(self) -> bool:
        return self.is_closed


@pytest.mark.parametrize("written", ["8080", "tcp:8080:interface=0.0.0.0", "tcp6:80", "unix:/run/site", "systemd:a"])
def test_other_endpoints_have_no_tls(written: str) -> None:
    """A port, or a socket of the file system, is served in the clear."""
    assert tls_of(written) is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            "haproxy:tcp:80",
            "Tornado cannot serve 'haproxy:tcp:80': it needs a port, or one of tcp:",
        ),
        ("ssl:443:key.pem:cert.pem:TLSv1_METHOD", "Tornado knows no sslmethod: leave it out"),
        ("ssl:443:extraCertChain=c.pem", "Tornado knows no extraCertChain: append the chain to the file of certKey"),
        ("ssl:443:privateKey=none.pem", "the key and the certificate of 'ssl:443:privateKey=none.pem' cannot be used"),
        ("ssl:443", "the key and the certificate of 'ssl:443' cannot be used"),
    ],
)
def test_what_tornado_cannot_serve_is_told(written: str, told: str) -> None:
    """The reason says what to write instead."""
    with pytest.raises(ValueError, match=re.escape(told)):
        tls_of(written)


def test_a_file_that_is_no_key_is_told(tmp_path: Path) -> None:
    """Also one whose name has a colon, which stands behind a backslash."""
    (tmp_path / "a:b.pem").write_text("junk")
    with pytest.raises(ValueError, match=r"cannot be used: .*PEM"):
        tls_of(f"ssl:443:privateKey={tmp_path}/a\\:b.pem")


@pytest.mark.parametrize(("seconds", "most"), [(30, 30_000), (0.0001, 1), (1e9, 2**31 - 1)])
def test_a_time_fits_into_an_option_of_a_socket(seconds: float, most: int) -> None:
    """The shortest time is not for ever, and the longest does no harm."""
    assert milliseconds(seconds) == most


def test_connections_above_the_limit_are_hung_up_on() -> None:
    """Those that have ended make room."""
    server = Server(lambda request: None)
    server.max_connections = 2
    known = [Stream(), Stream()]
    server._streams.update(known)  # type: ignore[arg-type]  # as real ones that were served
    late = Stream()
    server.handle_stream(late, ("127.0.0.1", 4711))  # type: ignore[arg-type]  # it is not read from
    assert (late.is_closed, known[0].is_closed) == (True, False)
