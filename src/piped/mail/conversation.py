"""A line of conversation with a client of SMTP: what is read, waited for, answered and ended, whatever it means."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from piped import told
from piped.mail import replies
from piped.mail.reading import Data, Fault, Incoming
from piped.mail.replies import Reply
from piped.mail.turns import Turn, begin
from piped.runtime.awaiting import is_cancellation

if TYPE_CHECKING:
    from piped.mail.server import SmtpServer

_log = logging.getLogger("piped.mail")
#: Bytes of commands that are taken while one is being worked on; a client that sends more has to wait.
_MOST_AHEAD: Final = 64 * 1024
#: Bytes of a mail that count as a sign of life: one byte now and then does not.
_SIGN_OF_LIFE: Final = 4096
#: Seconds for the last answer to be taken.
_FAREWELL: Final = 10.0
#: What is said to a line, at once or later; None where everything was said.
Answer = Reply | Coroutine[Any, Any, Reply] | None


class Conversation(Protocol):
    """Reads one line after the other, and has each answered before the next; a subclass knows what to say.

    Commands that wait for a lambda or for a pipeline keep those behind them waiting, so that answers come in order
    however far ahead a client sends.
    """

    transport: Any

    def __init__(self, server: SmtpServer) -> None:
        self.server, self.options = server, server.options
        #: The address of the client.
        self.peer = ""
        self.is_secure = False
        self._incoming = Incoming()
        #: What takes the mail that is being sent; None between mails.
        self._data: Data | None = None
        self._turn: Turn | None = None
        self._errors = self._silent_bytes = 0
        self._is_admitted = self._is_reading = self._is_ahead = self._is_unheard = self._is_closing = False
        self._timer: Any = None

    # What a subclass says

    def do(self, line: bytes) -> Answer:
        """The answer to a line."""
        raise NotImplementedError

    def data_ended(self, data: Data) -> Answer:
        """The answer to a mail."""
        raise NotImplementedError

    def forget(self) -> None:
        """Let go of the mail that was begun."""
        raise NotImplementedError

    # The connection

    def connectionMade(self) -> None:
        peer = self.transport.getPeer()
        self.peer = str(getattr(peer, "host", peer))
        self.is_secure = bool(ISSLTransport.providedBy(self.transport))
        self._is_admitted = self.server.admit(self)
        self.transport.registerProducer(self, True)
        self._wait(self.options.idle_timeout, self._idle)
        hello = Reply(220, f"{self.server.host} ESMTP", is_error=False)
        self._say(hello if self._is_admitted else replies.TOO_MANY_CONNECTIONS)

    def dataReceived(self, data: bytes) -> None:
        if self._is_closing:
            return
        self._incoming.feed(data)
        self._read()
        if len(self._incoming) > _MOST_AHEAD:
            self._is_ahead = True
            self.transport.pauseProducing()

    def pauseProducing(self) -> None:
        """Answer nothing more for now: the client does not take what it was told."""
        # Reading goes on until it is too much: a handshake of TLS needs it before anything can be written.
        self._is_unheard = True

    def resumeProducing(self) -> None:
        """Go on with what was sent meanwhile, and with what comes."""
        self._is_unheard = False
        self._read()

    def stopProducing(self) -> None:
        """Nothing: the connection is over, which is told otherwise."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_closing = True
        self._wait(None)
        self.forget()
        if self._is_admitted:
            self.server.forget(self)
        if self._turn is not None:
            self._turn.stop()

    def shut_down(self) -> None:
        """Say goodbye; what is being processed is not waited for."""
        if not self._is_closing:
            self._say(replies.SHUTTING_DOWN)

    def _idle(self) -> None:
        _log.debug("%s: %s was silent for too long", self.server.name, self.peer)
        self._say(replies.IDLE)

    def _wait(self, seconds: float | None, then: Callable[[], object] | None = None) -> None:
        """Let something happen unless the client is heard of before; None ends the waiting."""
        if self._timer is not None and self._timer.active():
            if seconds is not None and then == self._timer.func:
                self._timer.reset(seconds)
                return
            self._timer.cancel()
        self._timer = None if seconds is None else self.server.clock.callLater(seconds, then)

    def _say(self, reply: Reply) -> None:
        if self._is_closing:
            return
        if reply.is_error:
            self._errors += 1
            if self._errors > self.options.max_errors:
                _log.info("%s hangs up on %s: too many errors", self.server.name, self.peer)
                reply = replies.TOO_MANY_ERRORS
        self.transport.write(reply.line)
        if reply.hangs_up:
            self._is_closing = True
            self.forget()
            # One that takes no answer is not waited for.
            self._wait(_FAREWELL, self.transport.abortConnection)
            self.transport.unregisterProducer()  # whom it would wait for
            self.transport.loseConnection()

    # Reading

    def _read(self) -> None:
        """Do what has been sent, as far as nothing has to be waited for."""
        if self._is_reading:
            return
        self._is_reading = True
        try:
            while self._turn is None and not self._is_closing and not self._is_unheard and self._read_more():
                pass
        finally:
            self._is_reading = False
        if self._is_ahead and not self._is_closing and len(self._incoming) <= _MOST_AHEAD:
            self._is_ahead = False
            self.transport.resumeProducing()

    def _read_more(self) -> bool:
        """Do one thing that has been sent; false if there is nothing."""
        if self._data is not None:
            data = self._incoming.rest()
            if data:
                self._read_data(self._data, data)
            return bool(data)
        line = self._incoming.line()
        if line is None:
            return False
        self._wait(self.options.idle_timeout, self._idle)
        self._answer(self._do(line))
        return True

    def _answer(self, answer: Answer) -> None:
        if answer is None:
            return
        if isinstance(answer, Reply):
            self._say(answer)
            return
        turn = self._turn = begin(answer)
        if not turn.done():
            self._wait(None)
        turn.when_ended(self._turn_ended)

    def _turn_ended(self, turn: Turn) -> None:
        self._turn = None
        error = turn.exception()
        if error is None:
            reply: Reply | None = turn.result()
        elif is_cancellation(error) and self._is_closing:
            reply = None
        else:
            _log.error("%s failed for %s: %s", self.server.name, self.peer, told(error), exc_info=error)
            reply = replies.LOCAL_ERROR
        if self._is_closing:
            return
        if self._timer is None:
            self._wait(self.options.idle_timeout, self._idle)
        if reply is not None:
            self._say(reply)
        self._read()

    def _do(self, line: bytes | Fault) -> Answer:
        if isinstance(line, Fault):
            return replies.BARE_IN_LINE if line is Fault.BARE else replies.LINE_TOO_LONG
        return self.do(line)

    def _read_data(self, data: Data, received: bytes) -> None:
        behind = data.feed(received)
        self._silent_bytes += len(received)
        if behind is not None:
            self._incoming.feed(behind)
            self._data, self._silent_bytes = None, 0
            self._answer(self.data_ended(data))
        elif data.received > 2 * self.options.max_message_size + _MOST_AHEAD:
            self._say(replies.TOO_LONG_CONTENT)
        elif self._silent_bytes >= _SIGN_OF_LIFE:
            self._silent_bytes = 0
            self._wait(self.options.idle_timeout, self._idle)
