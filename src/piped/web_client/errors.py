"""What can go wrong with a request to another server, as one exception that says so."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionClosed

# twisted.web.client has it too, but brings OpenSSL along, for which every other configuration would wait.
from twisted.web._newclient import RequestGenerationFailed

from piped import PipedError

#: Also those with a slash that is not encoded: then what seems to be the port of a host is no number.
_CREDENTIALS: Final = re.compile(r"//[^/?#]*@|//[^/?#@]*:(?!\d*(?:[/?#]|$)).*@")
#: The query, and what stands behind it or in its place.
_HIDDEN: Final = re.compile(r"([?#]).*", re.DOTALL)


class CutOffError(PipedError):
    """The connection was lost before the answer was whole: nobody knows whether the request was processed."""


class ResponseError(PipedError):
    """A server has answered that it did not do what it was asked for.

    `status` is the code, `response` the whole answer with the beginning of its body.
    """

    def __init__(self, msg: str, response: Any) -> None:
        super().__init__(msg)
        self.status: int = response.status
        self.response = response


def told_url(url: str) -> str:
    """A URL as messages show it, which are logged: without a password, and without its query, which may hold a key.

    Example:
        >>> told_url("https://ada:secret@example.org/a?key=17")
        'https://…@example.org/a?…'
    """
    return _HIDDEN.sub(r"\1…", _CREDENTIALS.sub("//…@", url))


def named(what: str, error: Exception) -> Exception:
    """The error with what was asked; a better one in place of those of Twisted that only hold others."""
    reasons: list[Exception] = [reason.value for reason in getattr(error, "reasons", ())]
    for reason in reasons or [error]:
        is_own = isinstance(error, RequestGenerationFailed)  # such as a file that cannot be read
        if not reasons or is_own or isinstance(reason, CancelledError | PipedError):
            reason.add_note(f"while asking {what}")
            return reason
    detail = "; ".join(dict.fromkeys(f"{type(reason).__name__}: {reason}" for reason in reasons))
    kind = CutOffError if isinstance(reasons[0], ConnectionClosed) else PipedError
    return kind(f"{what} got no whole answer", detail=detail)
