"""What can go wrong between two programs, as exceptions; and how an exception of one is told to the other."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from twisted.python.reflect import qual, safe_str
from twisted.spread import pb

from piped import PipedError, exceptions
from piped.spread.banana import MOST

#: A text that is longer is cut, so that it can be sent.
_LONGEST_TEXT = 32 * 1024
_LONGEST_TRACEBACK = MOST // 8


class CannotCross(PipedError):
    """A value that cannot be sent over Perspective Broker; nothing was sent."""


class LinkLost(PipedError, pb.PBConnectionLost):
    """The connection was lost, or is not there: whether a call in flight was carried out is not known."""


class TooManyCalls(PipedError):
    """As many calls as allowed wait for an answer on one connection."""


class RemoteError(pb.RemoteError, pb.Error):
    """What a call has failed with on the other side.

    `remoteType` is the full name of the exception there, `value` its text, and `remoteTraceback` its traceback, if the
    other side tells it.
    """

    def __init__(self, remote_type: str, value: str, remote_traceback: str = "") -> None:
        super().__init__(remote_type, value, remote_traceback)
        self.value = value
        self.add_note(f"on the other side it was a {remote_type}")


def remote_failure(told: Any) -> Failure:
    """The Failure that a call fails with; `check` and `trap` know the names of the remote exception and its bases.

    Args:
        told: what the other side has sent: a state as of `told_state`, or an exception that was copied.
    """
    is_copy = isinstance(told, pb.CopiedFailure)
    if isinstance(told, Exception) and not is_copy:  # every Failure is an exception, too
        return Failure(told)
    state = told.__dict__ if is_copy else {"value": told}
    text = [_text(state.get(part, "")) for part in ("type", "value", "traceback")]
    failure = Failure(RemoteError(*text))
    bases = state.get("parents", state.get("_parents"))
    names = [_text(name) for name in bases] if isinstance(bases, list | tuple) else []
    failure._parents = [*names, *failure.parents]
    return failure


def _text(written: Any) -> str:
    return written.decode("utf-8", "replace") if isinstance(written, bytes) else str(written)


class Told(pb.Copyable):
    """A failure on its way to a peer, which takes it for a failure of Twisted's.

    Args:
        with_traceback: tell where in our code it happened.
    """

    def __init__(self, failure: Failure, with_traceback: bool) -> None:
        self._failure, self._with_traceback = failure, with_traceback

    def getTypeToCopy(self) -> bytes:
        return b"twisted.spread.pb.CopyableFailure"

    def getStateToCopy(self) -> dict[str, Any]:
        return told_state(self._failure, self._with_traceback)


def told_state(failure: Failure, with_traceback: bool) -> dict[str, Any]:
    """What is told of a failure: the full name of its type and of the bases, the text, and the traceback if wanted."""
    error: Any = failure.value
    names = list(dict.fromkeys(name for kind in type(error).__mro__ for name in _names_of(kind)))
    traceback = failure.getTraceback() if with_traceback else "Traceback unavailable\n"
    return {
        "type": names[0].encode(),
        "value": _sendable(_words(error), _LONGEST_TEXT),
        "parents": names,
        "traceback": _sendable(traceback, _LONGEST_TRACEBACK),
        "tb": None,
        "frames": [],
        "stack": [],
        "count": failure.count,
        "captureVars": False,
    }


def _names_of(kind: type) -> list[str]:
    """The full names of a class: Piped's own exceptions have had another address since Piped 0.7, which comes first."""
    name = qual(kind)
    if getattr(exceptions, kind.__name__, None) is kind:
        return list(dict.fromkeys([f"{exceptions.__name__}.{kind.__name__}", name]))
    return [name]


def _words(error: BaseException) -> str:
    if not isinstance(error, PipedError):
        return str(safe_str(error))
    return "".join(filter(None, (error.msg, error.detail and f": {error.detail}", error.hint and f" – {error.hint}")))


def _sendable(text: str, most: int) -> str:
    text = text if len(text) <= most else f"{text[:most]}…"
    return text.encode("utf-8", "backslashreplace").decode()
