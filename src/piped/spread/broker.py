"""Broker: one connection of Perspective Broker, with bounds on what comes, and calls that never wait in vain."""

from __future__ import annotations

import logging
import reprlib
from dataclasses import dataclass
from typing import Any, Final

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.spread import pb

from piped import Bytes, Count, NotReadyError, Rejected, Seconds, told
from piped.spread.banana import Decoder, Expression, Unreadable, encoded
from piped.spread.errors import LinkLost, Told, TooManyCalls, remote_failure
from piped.spread.jellying import jellied
from piped.spread.pressure import Pressure
from piped.spread.unjellying import unjellied

_log = logging.getLogger("piped.spread")

#: How large an expression may be as long as nobody has logged in.
_MOST_BEFORE: Final = 64 * 1024
#: What a peer may say, and what is called then.
_COMMANDS: Final = {
    b"version": "proto_version",
    b"message": "proto_message",
    b"answer": "proto_answer",
    b"error": "proto_error",
    b"decref": "proto_decref",
    b"cachemessage": "proto_cachemessage",
    b"decache": "proto_decache",
    b"uncache": "proto_uncache",
    b"didNotUnderstand": "proto_didNotUnderstand",
}
#: How long a peer may take, when the connection is closed, for what was sent to it.
LAST_WORDS: Final[Seconds] = 2
#: An object that no peer has: every one answers a call of it at once, without asking its program.
_PING: Final = (b"message", 0, b"piped.ping", b"ping", 1, [b"tuple"], [b"dictionary"])
#: Failures that say how things are, and not that something is broken.
_EXPECTED: Final = (pb.Error, pb.NoSuchMethod, UnauthorizedLogin, Rejected, NotReadyError, TooManyCalls, Unreadable)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one connection may cost.

    Args:
        max_message_size: how large a call or an answer may be: its bytes, where each value counts for at least 32.
        max_calls: how many calls may wait for an answer, in each direction.
        keep_alive: after so long a silence the peer is asked whether it is there; after another one it is hung up on.
        login_timeout: how long a peer may take until it can call.
        with_tracebacks: tell peers where in our code a call has failed.
    """

    max_message_size: Bytes = 10 * 1024 * 1024
    max_calls: Count = 1000
    keep_alive: Seconds | None = 60
    login_timeout: Seconds = 30
    with_tracebacks: bool = False


class Broker(pb.Broker):
    """One connection.

    Args:
        name: how log lines call the server or client, such as "pb.server.main".
        clock: the reactor.
        limits: what it may cost.
        needs_login: take little from the peer until `admit` is called; otherwise until it speaks Perspective Broker.
    """

    serializingPerspective: Any = None
    #: The calls that wait for an answer of the peer, by their number.
    waitingForAnswers: Any
    #: What Twisted's annotations do not say: the transport, and the factory with its `broker_lost`.
    transport: Any
    factory: Any

    def __init__(self, name: str, clock: Any, limits: Limits, *, is_client: bool, needs_login: bool = False) -> None:
        super().__init__(isClient=is_client)
        self.name, self.clock, self.limits = name, clock, limits
        self.needs_login = needs_login
        self._decoder = Decoder(self.incomingVocabulary, limits.max_message_size if is_client else _MOST_BEFORE)
        #: Calls of the peer that are not answered yet.
        self._unanswered: dict[Deferred[Any], None] = {}
        self._was_heard = self._was_asked = self._is_over = False
        self._timers: list[Any] = []
        self._pressure: Pressure | None = None
        #: The kinds of refusals that the log was told of: a peer may run into one very often.
        self._told_of: set[type] = set()

    @property
    def peer(self) -> str:
        """Who is at the other end, as log lines call it."""
        address = self.transport.getPeer()
        host, port = getattr(address, "host", None), getattr(address, "port", None)
        return f"{host}:{port}" if host else str(getattr(address, "name", None) or address)

    # The connection

    def connectionMade(self) -> None:
        super().connectionMade()
        self._timers = [self.clock.callLater(self.limits.login_timeout, self._too_late)]
        self._keep_alive()

    def connectionReady(self) -> None:
        super().connectionReady()
        # Not before: TLS pauses whoever writes during its handshake, for which there has to be read. And not at both
        # ends: each would wait for the other one to read.
        self._pressure = Pressure(None if self.isClient else self.transport, self._send_pages)
        self.transport.registerProducer(self._pressure, True)
        if not self.needs_login:
            self.admit()

    def admit(self) -> None:
        """Let the peer call, with all that is allowed."""
        self._decoder.most = self.limits.max_message_size
        if not self._is_over and self._timers[0].active():
            self._timers[0].cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_over = True
        self._cancel_timers()
        waiting, self.waitingForAnswers = self.waitingForAnswers or {}, {}
        unanswered, self._unanswered = self._unanswered, {}
        super().connectionLost(reason)
        for answer in unanswered:
            answer.cancel()
        for call in list(waiting.values()):
            if not call.called:
                call.errback(Failure(LinkLost(f"{self.name} has lost its connection: {told(reason.value)}")))
        self.factory.broker_lost(self, reason)

    def hang_up(self) -> None:
        """Close the connection once everything is sent, and in any case soon."""
        if self._is_over:
            return
        self._is_over = True
        self._cancel_timers()
        self._timers = [self.clock.callLater(LAST_WORDS, self.transport.abortConnection)]
        if self._pressure is not None:
            self.transport.unregisterProducer()  # without which TLS would not close
        self.transport.loseConnection()

    def cut(self, reason: str) -> None:
        """Close the connection at once, and say so."""
        if not self._is_over:
            self._is_over = True
            _log.warning("%s hangs up on %s: %s", self.name, self.peer, reason)
            self.transport.abortConnection()

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()

    def _too_late(self) -> None:
        self.cut(f"no login within {self.limits.login_timeout:g} s" if self.needs_login else "it does not speak")

    def _keep_alive(self) -> None:
        if self.limits.keep_alive:
            self._timers[1:] = [self.clock.callLater(self.limits.keep_alive, self._look)]

    def _look(self) -> None:
        """Ask a peer that was silent whether it is there; hang up on one that has not answered."""
        if self._was_asked and not self._was_heard:
            self.cut(f"it was silent for {2 * (self.limits.keep_alive or 0):g} s")
            return
        self._was_asked = not self._was_heard
        if self._was_asked and self.currentDialect is not None:
            self.sendCall(*_PING)
        self._was_heard = False
        self._keep_alive()

    # What comes

    def dataReceived(self, data: bytes) -> None:
        self._was_heard = True
        if self._is_over:
            return
        try:
            for expression in self._decoder.feed(data):
                self.callExpressionReceived(expression)
                if self._is_over:
                    return
        except Unreadable as error:
            self.cut(f"it sent {error}")
        except Exception as error:
            _log.debug("%s cannot read what %s sent", self.name, self.peer, exc_info=error)
            self.cut(f"it broke the protocol: {told(error)}")

    def expressionReceived(self, expression: Expression) -> None:
        if type(expression) is not list or not expression or type(expression[0]) is not bytes:
            raise Unreadable("something that is no message")
        method = _COMMANDS.get(expression[0])
        if method is None:
            raise Unreadable(f"the unknown command {reprlib.repr(expression[0])}")
        getattr(self, method)(*expression[1:])

    def unserialize(self, expression: Expression, perspective: Any = None) -> Any:
        self.unserializingPerspective = perspective
        try:
            return unjellied(expression, self)
        finally:
            self.unserializingPerspective = None

    def _recvMessage(
        self, find: Any, number: int, luid: Any, message: bytes, is_asked: Any, args: Any, kwargs: Any
    ) -> None:
        """What a call of an object of ours comes to, or of one that is kept up to date for us."""
        try:
            if len(self._unanswered) >= self.limits.max_calls:
                raise TooManyCalls(f"{self.limits.max_calls} calls wait for an answer", hint="send them a little later")
            try:
                target = find(luid)
            except (KeyError, TypeError):
                target = None
            if target is None:
                raise pb.Error("Invalid Object ID")
            outcome = target.remoteMessageReceived(self, _name(message), args, kwargs)
        except Exception:  # whatever it is, the caller is told
            outcome = Failure()
        if isinstance(outcome, Deferred):
            self._unanswered[outcome] = None
            outcome.addBoth(self._answer, number, message, is_asked, outcome)
        else:
            self._answer(outcome, number, message, is_asked, None)

    def _answer(self, outcome: Any, number: int, message: bytes, is_asked: Any, waited: Any) -> None:
        self._unanswered.pop(waited, None)
        if isinstance(outcome, Failure):
            self._log_failure(outcome, message)
            expression = self._told(outcome) if is_asked and not self._is_over else None
        else:
            expression = outcome
        if is_asked and not self._is_over:
            self.sendCall(b"error" if isinstance(outcome, Failure) else b"answer", number, expression)

    def _told(self, failure: Failure) -> Expression:
        if isinstance(failure.value, pb.Jellyable):
            try:
                return self.serialize(failure.value)
            except Exception:  # how it is sent is the user's code; told otherwise it is better than not at all
                _log.exception("%s cannot send a failure as it is", self.name)
        return self.serialize(Told(failure, self.limits.with_tracebacks))

    def _log_failure(self, failure: Failure, message: bytes) -> None:
        error: Any = failure.value
        called = message[:80].decode(errors="replace")
        if self._is_over and isinstance(error, CancelledError | LinkLost):
            _log.debug("%s: the peer left while %r was under way", self.name, called)
        elif isinstance(error, _EXPECTED):
            # A refused login was told by who has refused it.
            is_told = message == _PING[3] or isinstance(error, UnauthorizedLogin) or type(error) in self._told_of
            if isinstance(error, NotReadyError | TooManyCalls):
                self._told_of.add(type(error))
            level = logging.DEBUG if is_told else logging.INFO
            _log.log(level, "%s: %r of %s: %s", self.name, called, self.peer, told(error))
        else:
            traceback = error if error.__traceback__ else None
            _log.error("%s: %r of %s failed: %s", self.name, called, self.peer, told(error), exc_info=traceback)

    def sendDecRef(self, luid: int) -> None:
        # Whoever lets go of a remote object may do so in a thread.
        self.clock.callFromThread(self._release, luid)

    def _release(self, luid: int) -> None:
        if not self._is_over:
            super().sendDecRef(luid)

    def proto_didNotUnderstand(self, command: Any) -> None:
        raise Unreadable("that it does not understand us")

    # What is sent

    def sendEncoded(self, expression: Expression) -> None:
        symbols = self.outgoingSymbols if self.currentDialect == b"pb" else {}
        self.transport.write(encoded(expression, symbols))

    def serialize(
        self, object: Any, perspective: Any = None, method: Any = None, args: Any = None, kw: Any = None
    ) -> Any:
        """What stands for an object, or a Deferred of that.

        Raises:
            CannotCross: it cannot be sent.
        """
        return self._serialized(object, perspective, "the result")

    def _serialized(self, value: Any, perspective: Any, name: str) -> Any:
        if isinstance(value, Deferred):
            return value.addCallback(self._serialized, perspective, name)
        if self._is_over:
            raise LinkLost(f"{self.name} is not connected any more")
        self.serializingPerspective = perspective
        try:
            return jellied(value, self, name)
        finally:
            self.serializingPerspective = None

    def registerPageProducer(self, pager: Any) -> None:
        self.pageProducers.append(pager)
        if len(self.pageProducers) == 1:
            self._send_pages()

    def _send_pages(self) -> None:
        """Let those that send something large go on, until the peer has to catch up."""
        while self.pageProducers and self._pressure is not None and self._pressure.is_taken:
            for pager in list(self.pageProducers):
                pager.sendNextPage()
                if not pager.stillPaging():
                    self.pageProducers.remove(pager)

    def _sendMessage(
        self, prefix: bytes, perspective: Any, luid: Any, message: bytes, args: Any, kw: dict[str, Any]
    ) -> Deferred[Any] | None:
        """What `callRemote` of a reference comes to. Unlike Twisted's, it never raises, and can be cancelled."""
        is_asked = kw.pop("pbanswer", True)
        waiting = self.waitingForAnswers
        if self._is_over or waiting is None:
            return fail(LinkLost(f"{self.name} is not connected any more"))
        if len(waiting) >= self.limits.max_calls:
            return fail(TooManyCalls(f"{self.name}: {len(waiting)} calls wait for an answer", hint="raise max_calls"))
        if self._pressure is not None and not self._pressure.admits(self.limits.max_calls):
            return fail(TooManyCalls(f"{self.name}: the other side does not take the calls that were sent"))
        try:
            sent = [self._serialized(args, perspective, "args"), self._serialized(kw, perspective, "kwargs")]
        except Exception:  # also that of a copyable, which is the user's code
            return fail()
        number = self.newRequestID()
        answer: Deferred[Any] | None = None
        if is_asked:
            answer = waiting[number] = Deferred(lambda _: waiting.pop(number))
        self.sendCall(prefix + b"message", number, luid, message, int(bool(is_asked)), *sent)
        return answer

    def proto_answer(self, number: Any, expression: Expression) -> None:
        call = (self.waitingForAnswers or {}).pop(number, None)
        if call is None:
            return  # to a ping, or a call that was cancelled meanwhile
        try:
            value = self.unserialize(expression)
        except Unreadable:
            call.errback()
        else:
            call.callback(value)

    def proto_error(self, number: Any, expression: Expression) -> None:
        call = (self.waitingForAnswers or {}).pop(number, None)
        if call is None:
            return
        try:
            failure = remote_failure(self.unserialize(expression))
        except Unreadable:
            failure = Failure()
        call.errback(failure)


def _name(message: Any) -> str:
    try:
        return str(message, "utf-8")
    except (TypeError, UnicodeDecodeError) as error:
        raise Unreadable("the name of a method that is no text") from error
