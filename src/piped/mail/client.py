"""A conversation with a server of SMTP, as a client: commands go out, answers come back in order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from piped import Seconds
from piped.mail.errors import SMTPConnectError, SMTPProtocolError, SMTPTimeoutError, SMTPTLSError

#: Bytes of one answer.
_MOST: Final = 64 * 1024
#: Bytes of a mail that are sent at a time.
_PIECE: Final = 64 * 1024
_LINE: Final = re.compile(rb"(\d\d\d)(?:([ -])(.*))?")


@dataclass(frozen=True, slots=True)
class Response:
    """What a server says: the code, and its text, of several lines joined by line feeds."""

    code: int
    text: str

    @property
    def is_good(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_for_now(self) -> bool:
        """Whether the same may be good later."""
        return 400 <= self.code < 500

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.text.split())}"


class Client(Protocol):
    """One connection.

    Args:
        clock: times what is waited for.
        patience: for each answer, and for each piece of a mail to be taken.
    """

    transport: Any

    def __init__(self, clock: Any, patience: Seconds) -> None:
        self._clock, self._patience = clock, patience
        self._buffer = b""
        self._lines: list[bytes] = []
        self._responses: deque[Response] = deque()
        #: Answers that are to come, the first of them to the connection itself.
        self._expected = 1
        self._waiting: Deferred[Response] | None = None
        self._lost: Exception | None = None
        self._timer: Any = None
        #: How many answers have come.
        self.answered = 0
        #: Called when the connection is over.
        self.on_lost: Callable[[], object] | None = None

    @property
    def is_lost(self) -> bool:
        return self._lost is not None

    async def ask(self, *commands: bytes, ahead: bool = False) -> list[Response]:
        """The answers to commands.

        Args:
            ahead: send all of them before the first answer.

        Raises:
            SMTPClientError: there is no answer, or none that can be understood.
        """
        if ahead:
            self._send(b"".join(command + b"\r\n" for command in commands), len(commands))
            return [await self.answer() for _ in commands]
        answers = []
        for command in commands:
            self._send(command + b"\r\n", 1)
            answers.append(await self.answer())
        return answers

    async def answer(self) -> Response:
        """The next answer.

        Raises:
            SMTPClientError: there is none, or none that can be understood.
        """
        if self._responses:
            return self._responses.popleft()
        if self._lost is not None:
            raise self._lost
        waiting: Deferred[Response] = Deferred(self._cancelled)
        self._waiting = waiting
        self._watch()
        return await waiting

    async def send(self, content: bytes) -> Response:
        """The answer to the content of a mail, in which dots are doubled already."""
        self._send(b"", 1)
        pieces = _Pieces(content, self.transport, self._watch)
        if self._lost is None:
            self.transport.registerProducer(pieces, False)
        answer = await self.answer()
        if not pieces.are_sent:  # it has heard enough: what is left would be taken for commands
            self.abort()
        return answer

    def start_tls(self, context: Any) -> None:
        """Speak TLS from now on; what was sent before is forgotten, as somebody between may have said it."""
        self._buffer, self._lines = b"", []
        self.transport.startTLS(context)

    def abort(self) -> None:
        """Hang up at once."""
        self._end(SMTPConnectError(-1, b"the connection was given up"))
        if self.transport is not None:  # it was connected
            self.transport.abortConnection()

    def _cancelled(self, waiting: Deferred[Response]) -> None:
        # Whoever waits hears that it was cancelled: after a lost connection he would try again.
        self._waiting = None
        self.abort()

    def quit(self) -> None:
        """Hang up politely, without waiting for an answer."""
        if self._lost is None:
            self.transport.write(b"QUIT\r\n")
            self._end(SMTPConnectError(-1, b"the connection was closed"))
            self.transport.loseConnection()
            self._timer = self._clock.callLater(self._patience, self.transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        if self._lost is not None:
            return
        self._buffer += data
        if len(self._buffer) + sum(map(len, self._lines)) > _MOST:
            self._fail(SMTPProtocolError(-1, b"the server talks too much"))
        # One at a time: whoever hears an answer may begin TLS, and what came behind it must not be heard then.
        while b"\n" in self._buffer and self._lost is None:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._read(line.rstrip(b"\r"))

    def _read(self, line: bytes) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            shown = _shown(line.decode(errors="replace"))
            self._fail(SMTPProtocolError(-1, b"the server does not speak SMTP: " + shown))
            return
        self._lines.append(match[3] or b"")
        if match[2] != b"-":
            text = b"\n".join(self._lines).decode(errors="replace")
            self._lines = []
            self._answered(Response(int(match[1]), text))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._lost is None:
            self._end(_error_of(reason))
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.on_lost is not None:
            self.on_lost()

    def _answered(self, response: Response) -> None:
        if self._expected == 0:
            self._fail(SMTPConnectError(response.code, _shown(response.text)))
            return
        self._expected -= 1
        self.answered += 1
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._responses.append(response)
            return
        self._watch(is_on=False)
        waiting.callback(response)

    def _send(self, data: bytes, expected: int) -> None:
        if self._lost is None:
            self._expected += expected
            self.transport.write(data)

    def _watch(self, is_on: bool = True) -> None:
        """Give up unless something happens in time."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(self._patience, self._too_late) if is_on else None

    def _too_late(self) -> None:
        self._fail(SMTPTimeoutError(-1, f"no answer within {self._patience:g} s".encode()))

    def _fail(self, error: Exception) -> None:
        self._end(error)
        self.transport.abortConnection()

    def _end(self, error: Exception) -> None:
        """Nothing is waited for any more."""
        if self._lost is not None:
            return
        self._lost = error
        self._watch(is_on=False)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(error)


@implementer(IPullProducer)
class _Pieces:
    """Sends the content of a mail as fast as it is taken."""

    def __init__(self, content: bytes, transport: Any, on_piece: Callable[[], object]) -> None:
        self._content, self._at = content, 0
        self._transport, self._on_piece = transport, on_piece
        self.are_sent = False

    def resumeProducing(self) -> None:
        piece = self._content[self._at : self._at + _PIECE]
        self._at += len(piece)
        self._transport.write(piece)
        self.are_sent = self._at >= len(self._content)
        if self.are_sent:
            self._transport.unregisterProducer()
        else:
            self._on_piece()

    def stopProducing(self) -> None:
        """Nothing: the connection is over, which others hear of."""


def _shown(text: str) -> bytes:
    return " ".join(text.split())[:200].encode()


def _error_of(reason: Failure) -> Exception:
    """What a lost connection is for those who wait for an answer; a certificate that is refused stays refused."""
    error: Any = reason.value
    if type(error).__module__.startswith(("OpenSSL", "service_identity")):
        return SMTPTLSError(-1, f"TLS cannot be spoken with this server: {_reason(error)}".encode())
    return SMTPConnectError(-1, b"the connection was lost: " + _shown(str(error)))


def _reason(error: Any) -> str:
    parts = error.args[0] if error.args else ""
    return "; ".join(part[-1] for part in parts) if isinstance(parts, list) and parts else repr(error)
