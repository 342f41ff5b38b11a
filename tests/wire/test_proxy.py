"""The network that tests break does what it is told."""

import contextlib
import socket
import threading
import time

import pytest
from servers.proxy import TO_CLIENT, TO_SERVER, Proxy


def echo(connection):
    with connection, contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            connection.sendall(piece)


def serve(listening):
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=echo, args=[listening.accept()[0]], daemon=True).start()


@pytest.fixture
def proxy():
    """A proxy before a server that sends back what comes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=[listening], daemon=True).start()
        with Proxy(listening.getsockname()[1]) as proxy:
            yield proxy
        listening.shutdown(socket.SHUT_RDWR)


def client(proxy):
    connection = socket.create_connection(("127.0.0.1", proxy.port), 30)
    connection.sendall(b"there?")
    assert connection.recv(100) == b"there?"
    return connection


def is_silent(connection):
    connection.settimeout(0.2)
    try:
        return not connection.recv(100)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(30)


@pytest.mark.parametrize("directions", [(), (TO_SERVER,), (TO_CLIENT,)])
def test_what_is_held_comes_when_it_goes_on(proxy, directions):
    """Held in one direction or both, the connection stays, and nothing that was sent is missing."""
    with client(proxy) as connection:
        proxy.hold(*directions)
        connection.sendall(b"later")
        assert is_silent(connection)
        assert proxy.connections == 1
        proxy.go_on()
        assert connection.recv(100) == b"later"


def test_a_cut_resets_every_connection_also_a_held_one(proxy):
    """Who was connected gets a reset, not an end; who connects again is served."""
    with client(proxy) as first, client(proxy) as second:
        proxy.hold()
        proxy.cut()
        for connection in (first, second):
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
    proxy.go_on()
    client(proxy).close()


def test_slow_is_no_faster_than_it_was_told(proxy):
    """Half a second's worth of bytes takes at least half a second."""
    with client(proxy) as connection:
        proxy.slow(50_000)
        began, left = time.monotonic(), 25_000
        connection.sendall(bytes(left))
        while left:
            left -= len(connection.recv(65536))
        assert time.monotonic() - began >= 0.49


def test_an_end_is_passed_on(proxy):
    """A client that has said everything still gets the rest of the answer, and then the end."""
    with client(proxy) as connection:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"bye"
        assert connection.recv(100) == b""


def test_who_connects_while_it_is_closed_is_reset():
    """A client that comes at the last moment finds nobody, and leaves nothing open behind it."""
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as stack:
            with Proxy(silent.getsockname()[1]) as proxy:
                late = [stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 30)) for _ in range(5)]
            for connection in late:
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)


def test_a_server_that_is_away_looks_so():
    """The connection of the client is reset."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def connect(proxy):
        # The reset may come before this has heard that it was connected.
        with socket.create_connection(("127.0.0.1", proxy.port), 30) as connection:
            connection.recv(1)

    with Proxy(port) as proxy, pytest.raises(ConnectionResetError):
        connect(proxy)
