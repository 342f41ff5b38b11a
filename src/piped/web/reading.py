"""Requests read from the bytes of a connection: heads by llhttp, bodies by their length, one after the other."""

from __future__ import annotations

import logging
from io import BytesIO
from math import inf
from typing import Any, Final

from twisted.web import http

# What Twisted's own channel makes of bodies in chunks; it has no public name.
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

from piped import told
from piped.runtime.turns import Turns
from piped.web.connection import NO_LINE, TOO_MUCH, Connection
from piped.web.heads import (
    END,
    BadHead,
    are_fields,
    cannot_be_head,
    has_one_host,
    is_persistent,
    is_target,
    length_of_body,
    read_head,
)
from piped.web.request import Request

#: What becomes of the bytes that come: they are a head, a body of a known length or in chunks, they wait until a
#: request is answered, they are another protocol's, or nobody's.
HEAD, LENGTH, CHUNKS, WAITING, UPGRADED, DEAF = range(6)
_COMING: Final = (HEAD, LENGTH, CHUNKS)
#: Bytes of further requests that are kept while one is being answered, and of chunks that are read at once.
PIECE: Final = 16 * 1024
#: A body of so many bytes is kept in memory if it comes at once; Twisted puts larger ones into files.
_SHORT: Final = 100_000 - 1
_log = logging.getLogger("piped.web")


class RequestReader(Connection):
    """Makes requests of what was put into `_data`, and has each served before it looks at the next.

    Nothing goes line by line: a head is handed to a parser in one piece.
    """

    #: What came and is not understood yet, from `_at` on.
    _data = b""
    _at = 0
    _state = HEAD
    _request: Any = None
    #: Method, target and version of the request.
    _words = NO_LINE
    _is_persistent = True
    #: Whether the transport asks to wait.
    _is_paused = False
    #: Whether `_read` is at work, or will be, and goes on by itself.
    _is_at_work = False
    #: Bytes of the body that did not come yet.
    _missing = 0
    _chunks: Any = None
    _upgraded: Any = None

    def resume_reading(self) -> None:
        raise NotImplementedError

    def _begin_head(self) -> None:
        self._is_idle = False
        if not self._is_closing:
            self.deadline = self.site.now() + self.site.options.header_timeout

    def _read(self) -> None:
        """Understand what came, one request after the other, as far as that is possible now."""
        if self._is_at_work:
            return
        self._is_at_work, turns = True, None
        try:
            while self._data and not self._is_paused and _READERS[self._state](self):
                if self._at >= len(self._data):
                    self._data, self._at = b"", 0
                elif turns is None:
                    turns = Turns(self.site.reactor)
                elif (turn := turns.due()) is not None:
                    turn.addCallback(self._next_turn)
                    return
        except Exception as error:
            # Such as a full disk: a body that is not short goes to a file.
            _log.error("a request could not be read: %s", told(error), exc_info=error)
            if self._state in _COMING:
                self.refuse(http.INTERNAL_SERVER_ERROR)
            else:
                self.transport.abortConnection()
        self._is_at_work = False

    def _next_turn(self, _: object) -> None:
        self._is_at_work = False
        self._read()
        self._listen()

    def _listen(self) -> None:
        """Have more come, where that is what is waited for."""
        if self._state in _COMING:
            self.resume_reading()

    def _read_head(self) -> bool:
        data, begin, options = self._data, self._at, self.site.options
        if data.startswith(b"\r\n", begin):
            begin += 2  # what some clients send behind a body (RFC 9112, 2.2)
        last = data.find(END, begin)
        end = len(data) if last < 0 else last + len(END)
        if end - begin > options.max_header_size:
            is_long = data.find(b"\r\n", begin, begin + options.max_header_size) < 0
            self.refuse(http.REQUEST_URI_TOO_LONG if is_long else TOO_MUCH)
            return False
        if last < 0:
            if cannot_be_head(data[begin:]):
                self.refuse(http.BAD_REQUEST)
            elif self._is_idle:
                self._begin_head()
            return False
        try:
            method, target, version, headers, count = read_head(data[begin:end])  # no copy where that is all
            self._words = method, target, version
            length = length_of_body(version, headers)
            if not is_target(method, target) or not has_one_host(version, headers):
                raise BadHead(http.BAD_REQUEST)
        except BadHead as error:
            self.refuse(error.code)
            return False
        if count > options.max_headers:
            self.refuse(TOO_MUCH)
            return False
        self._at = end
        self._is_idle = False
        if self.site.write_entry is not None:
            self._began = self.site.now()
        self._request = request = Request(self)
        request.requestHeaders._rawHeaders = headers
        if b"Cookie" in headers:
            request.parseCookies()
        self._is_persistent = is_persistent(version, headers) and not self.site.is_closing
        if not self._is_persistent:
            request.setHeader(b"Connection", b"close")
        if length == 0:
            request.content = BytesIO()
            self._serve(request)
        else:
            self._await_body(request, length, headers.get(b"Expect"))
        return True

    def _await_body(self, request: Request, length: int | None, expected: list[bytes] | None) -> None:
        here = len(self._data) - self._at
        if length is not None and length <= min(here, self.site.max_body, _SHORT):
            request.content = BytesIO(self._data[self._at : self._at + length])
            self._at += length
            self._serve(request)
            return
        self._expect_body(self.site.now())
        self._count_body(here)
        request.gotLength(length)
        if self._is_closing:
            return  # it is too long
        if length is None:
            self._state = CHUNKS
            self._chunks = _ChunkedTransferDecoder(request.handleContentChunk, self._chunks_ended)
        else:
            self._state = LENGTH
            self._missing = length
        is_asked = expected and expected[0].lower() == b"100-continue" and self._words[2] == b"HTTP/1.1"
        if is_asked and not here:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_length(self) -> bool:
        part = self._data[self._at : self._at + self._missing]
        self._at += len(part)
        self._missing -= len(part)
        self._request.handleContentChunk(part)
        if self._missing == 0 and not self._is_closing:
            self._request.content.seek(0)
            self._serve(self._request)
        return not self._is_closing

    def _read_chunks(self) -> bool:
        # Piece by piece, as one of many small chunks takes its time.
        piece = self._data[self._at : self._at + PIECE]
        self._at += len(piece)
        try:
            self._chunks.dataReceived(piece)
        except _MalformedChunkedDataError:
            self.refuse(http.BAD_REQUEST)
        return not self._is_closing

    def _chunks_ended(self, rest: bytes) -> None:
        chunks, self._chunks = self._chunks, None
        if not are_fields(chunks._trailerHeaders):
            self.refuse(http.BAD_REQUEST)
        elif not self._is_closing:
            self._at -= len(rest)
            self._request.content.seek(0)
            self._serve(self._request)

    def _serve(self, request: Request) -> None:
        self._state = WAITING
        self.deadline = inf
        request.serve(*self._words)

    def _stay(self) -> bool:
        return False

    def _read_upgraded(self) -> bool:
        data, self._data, self._at = self._data[self._at :], b"", 0
        self._upgraded.dataReceived(data)
        return True


_READERS: Final = {
    HEAD: RequestReader._read_head,
    LENGTH: RequestReader._read_length,
    CHUNKS: RequestReader._read_chunks,
    WAITING: RequestReader._stay,
    UPGRADED: RequestReader._read_upgraded,
    DEAF: RequestReader._stay,
}
