"""Bodies of requests that are read while they are sent."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from client_stage import result_of
from twisted.internet.defer import Deferred, execute
from twisted.internet.testing import StringTransport
from twisted.web.iweb import UNKNOWN_LENGTH

from piped.web.bodies import Upload
from piped.web_client.outgoing import FromFile, Outgoing, outgoing


def body_of(value: Any) -> Outgoing:
    found: Outgoing = result_of(Deferred.fromCoroutine(outgoing(value, execute)))
    return found


def sent(body: Outgoing) -> bytes:
    transport = StringTransport()
    result_of(body.producer().startProducing(transport))
    value: bytes = transport.value()
    return value


class Pipe:
    """Something that is only read on."""

    def __init__(self, *parts: Any) -> None:
        self._parts = list(parts)

    def read(self, size: int) -> Any:
        return self._parts.pop(0) if self._parts else b""


def test_a_file_is_sent_from_where_it_stands(tmp_path: Path) -> None:
    """As often as it has to be, with its length; an upload is the file in it."""
    name = tmp_path / "file"
    name.write_bytes(b"0123456789" * 20_000)
    with name.open("rb") as file:
        file.seek(5)
        for value in (file, Upload("file", "text/plain", 200_000, file)):
            body = body_of(value)
            assert (body.producer().length, body.can_repeat) == (199_995, True)
            assert sent(body) == sent(body) == name.read_bytes()[5:]
            file.seek(5)
    with name.open() as text:
        assert body_of(text).producer().length == 200_000


def test_what_is_only_read_on_is_sent_once() -> None:
    """Nobody knows its length, and it cannot be sent again."""
    body = body_of(Pipe(b"a", "ø"))
    assert (body.producer().length, body.can_repeat) == (UNKNOWN_LENGTH, False)
    assert sent(body) == "aø".encode()


def test_a_reader_keeps_the_pace_of_the_server() -> None:
    """Nothing is written while the connection has enough, and nothing after it was told to stop."""
    for ends in ("resumeProducing", "stopProducing"):
        transport, producer = StringTransport(), body_of(Pipe(b"a", b"b")).producer()
        producer.pauseProducing()
        ended = producer.startProducing(transport)
        assert (transport.value(), ended.called) == (b"", False)
        getattr(producer, ends)()
        assert (transport.value(), ended.called) == ((b"ab", True) if ends == "resumeProducing" else (b"", False))


def test_a_file_that_cannot_be_read_fails() -> None:
    """With the error of the file."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        sent(body_of(Broken()))


def test_who_still_reads_does_not_mix_up_the_parts() -> None:
    """A thread may read for a try that was given up while another one reads for the next try."""

    class File:
        is_reading, may_go_on, position = Event(), Event(), 0

        def seek(self, position: int) -> None:
            self.position = position

        def read(self, size: int) -> bytes:
            self.is_reading.set()
            self.may_go_on.wait(20)
            return b"%d" % self.position

    file, found = File(), dict[int, bytes]()
    body = FromFile(file, execute, 0, 20)

    def read(position: int) -> Thread:
        thread = Thread(target=lambda: found.update({position: result_of(body._read(position))}))
        thread.start()
        return thread

    first = read(0)
    assert file.is_reading.wait(20)
    second = read(10)
    second.join(0.05)  # it waits, or has moved the place where the first one reads
    file.may_go_on.set()
    first.join()
    second.join()
    assert found == {0: b"0", 10: b"10"}


def test_a_part_that_comes_too_late_is_not_sent() -> None:
    """A thread may give what it has read after the connection is lost."""
    reads: list[Deferred[bytes]] = []

    def in_thread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if function.__name__ == "_measured":
            return execute(function, *arguments)
        reads.append(Deferred())
        return reads[-1]

    body = result_of(Deferred.fromCoroutine(outgoing(Pipe(), in_thread)))
    transport, producer = StringTransport(), body.producer()
    ended = producer.startProducing(transport)
    producer.stopProducing()
    reads[0].callback(b"late")
    assert (transport.value(), ended.called) == (b"", False)
