"""Calls: what a peer calls becomes a baton, and is answered by the Deferred in it."""

from __future__ import annotations

import reprlib
import weakref
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.spread import pb

from piped import NotReadyError, Outcome, Refusal, Seconds, Source, Ticket, TimeoutError  # noqa: A004 - Piped's own
from piped.exceptions import MissingCallback
from piped.pipelines.input_output import Words
from piped.spread.banana import Expression, Unreadable

#: Stands for no default answer; null is one.
NO_ANSWER: Final[Any] = Words("an error")
#: The `avatar_id` where nobody has to log in.
ANYBODY: Final[Any] = object()


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How calls are answered.

    Args:
        default: the answer of a pipeline that gives none.
        timeout: how long an answer may take.
        is_waiting: let calls wait while the processor is not ready.
        max_waiting: how many of them.
        is_cancelled: stop what is done for a peer that has left.
    """

    default: Any = NO_ANSWER
    timeout: Seconds | None = None
    is_waiting: bool = False
    max_waiting: int = 1000
    is_cancelled: bool = False


class Calls:
    """All calls of a server.

    Args:
        source: takes the batons.
    """

    def __init__(self, source: Source, answering: Answering, clock: Any) -> None:
        self.source, self.answering, self.clock = source, answering, clock
        #: Those that wait for the processor, in the order of their coming.
        self._waiting: dict[Call, dict[str, Any]] = {}
        source.on_open += self._opened

    def begin(self, baton: dict[str, Any]) -> Deferred[Any]:
        """A Deferred of the answer; cancelled, nobody wants it any more."""
        call = Call(self, baton["deferred"])
        refusal = self._take(call, baton)
        if refusal is not None:
            self._refused(call, baton, refusal)
        return call.answer

    def forget(self, call: Call) -> None:
        """Do no more for a call."""
        self._waiting.pop(call, None)
        if call.ticket is not None:
            self.source.cancel(call.ticket)

    def _take(self, call: Call, baton: dict[str, Any]) -> Refusal | None:
        ticket = self.source.take(baton, call.processed)
        if isinstance(ticket, Refusal):
            return ticket
        if not ticket.is_settled:
            call.ticket = ticket
        return None

    def _refused(self, call: Call, baton: dict[str, Any], refusal: Refusal) -> None:
        """Keep a call until the processor is ready, if it may wait."""
        why = refusal.value
        if self.answering.is_waiting and refusal is not Refusal.DRAINING:
            if len(self._waiting) < self.answering.max_waiting:
                self._waiting[call] = baton
                return
            why = f"{len(self._waiting)} calls wait for it already"
        call.end(Failure(NotReadyError(f"{self.source.name}: {why}")))

    def _opened(self) -> None:
        while self._waiting and self.source.is_open:
            call = next(iter(self._waiting))
            self._take(call, self._waiting.pop(call))


class Call:
    """One call that is to be answered once.

    Args:
        deferred: what the pipeline answers with.
    """

    __slots__ = ("__weakref__", "_calls", "_deferred", "_kept", "_timer", "answer", "ticket")

    def __init__(self, calls: Calls, deferred: Deferred[Any]) -> None:
        self._calls = calls
        self._deferred = deferred
        #: Refers to the Deferred once the pipeline has ended: then it is there for as long as somebody keeps it.
        self._kept: weakref.ref[Deferred[Any]] | None = None
        self.ticket: Ticket | None = None
        self.answer: Deferred[Any] = Deferred(self._unwanted)
        timeout = calls.answering.timeout
        self._timer = None if timeout is None else calls.clock.callLater(timeout, self._too_late, timeout)

    def processed(self, outcome: Outcome) -> None:
        """Called when the pipeline has ended."""
        self.ticket = None
        deferred = self._deferred
        del self._deferred
        if isinstance(outcome, Failure):
            self.end(outcome)
        deferred.addBoth(self.end)
        if not self.answer.called:
            self._kept = weakref.ref(deferred, self._let_go)

    def end(self, result: Any) -> None:
        """Answer with a result or a Failure, if there is no answer yet."""
        if not self.answer.called:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._kept = None
            self.answer.callback(result)

    def _let_go(self, _: object) -> None:
        # Whoever let the Deferred go may have done so in a thread, or within anything.
        self._calls.clock.callFromThread(self._missing)

    def _missing(self) -> None:
        default = self._calls.answering.default
        if default is NO_ANSWER:
            what = f"{self._calls.source.name}: the pipeline has ended, and nobody keeps the deferred of its baton"
            self.end(Failure(MissingCallback(what, hint="fire it with callback-deferred, or set default_callback")))
        else:
            self.end(default)

    def _too_late(self, timeout: Seconds) -> None:
        kept = self._kept
        self.end(Failure(TimeoutError(f"{self._calls.source.name} did not answer within {timeout:g} s")))
        self._calls.forget(self)
        _cancel(kept)

    def _unwanted(self, _: object) -> None:
        """Called when the peer has left."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.ticket is None or self._calls.answering.is_cancelled:
            self._calls.forget(self)
        kept, self._kept = self._kept, None
        _cancel(kept)


def _cancel(kept: weakref.ref[Deferred[Any]] | None) -> None:
    """Let whoever keeps the Deferred know that it is of no use any more; it may still be fired."""
    deferred = kept() if kept is not None else None
    if deferred is not None:
        deferred.cancel()


class Door(pb.Root):
    """What a peer calls: any name is understood.

    Args:
        avatar_id: who has logged in.
    """

    def __init__(self, calls: Calls, avatar_id: Any = ANYBODY) -> None:
        self._calls, self._avatar_id = calls, avatar_id

    def remoteMessageReceived(self, broker: Any, message: str, args: Expression, kw: Expression) -> Deferred[Any]:
        """The expression of the answer, once it is there."""
        arguments, named = broker.unserialize(args), broker.unserialize(kw)
        if not isinstance(arguments, tuple | list) or not isinstance(named, dict):
            raise Unreadable("arguments that are none")
        baton = {
            "message": message,
            "args": list(arguments),
            "kwargs": {_name_of(key): value for key, value in named.items()},
            "deferred": Deferred(),
        }
        if self._avatar_id is not ANYBODY:
            baton["avatar_id"] = self._avatar_id
        return self._calls.begin(baton).addCallback(broker.serialize)


def _name_of(key: Any) -> str:
    try:
        return key if isinstance(key, str) else str(key, "utf-8")  # programs in Python 2 send bytes
    except (TypeError, UnicodeDecodeError):
        raise Unreadable(f"an argument whose name is no text but {reprlib.repr(key)}") from None
