"""Whether a request is sent once more after it failed, and after how long: decisions without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, Literal

from annotated_types import Ge, Le
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeoutError

from piped import (
    Seconds,
    TimeoutError,  # noqa: A004 - the documented name
)
from piped.web_client.errors import CutOffError

Status = Annotated[int, Ge(100), Le(599)]
#: What can make a request fail: a code of the answer, no connection or a lost one, a try that took too long.
Cause = Status | Literal["connection", "timeout"]
#: Source: RFC 9110, section 9.2.2.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


Times = Annotated[int, Ge(0)]
_CAUSES: Final[tuple[Cause, ...]] = ("connection", "timeout", 429, 502, 503, 504)


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again, and when.

    Args:
        times: how often; once more for each.
        on: after what: codes of answers, `connection` (there was none, or it was lost), `timeout` (of a connection, or
            of `attempt_timeout`).
        wait: the longest wait before the first retry; it doubles with each one. Waits are random up to that. If the
            server says `retry-after`, that comes first.
        max_wait: the longest wait; a server that asks for more is not asked again.
        repeatable: whether it does no harm to send a request twice; left out, as its method promises: not for POST, nor
            for PATCH. What has not reached the server is sent again in any case.
    """

    times: Times = 3
    on: Sequence[Cause] = _CAUSES
    wait: Seconds = 0.5
    max_wait: Seconds = 30
    repeatable: bool | None = None

    def allows(self, method: str, tried: int, outcome: int | Exception) -> bool:
        """Whether to try again after a code, or after an exception.

        Args:
            tried: how often it was sent already.
        """
        if tried > self.times or not self._is_cause(outcome):
            return False
        if isinstance(outcome, ConnectError | DNSLookupError):
            return True
        return method in _IDEMPOTENT if self.repeatable is None else self.repeatable

    def _is_cause(self, outcome: int | Exception) -> bool:
        if isinstance(outcome, int):
            return outcome in self.on
        if isinstance(outcome, TimeoutError | ConnectTimeoutError):
            return "timeout" in self.on
        return isinstance(outcome, ConnectError | DNSLookupError | CutOffError) and "connection" in self.on

    def pause(self, tried: int, chance: float, retry_after: Seconds | None = None) -> Seconds | None:
        """How long to wait before the next try; None where the server asks for more than the longest wait.

        Anything between nothing and a bound that doubles: so that those who failed together do not come back together.

        Args:
            tried: how often it was sent already.
            chance: a number from 0 to below 1, another one each time.
            retry_after: for how long the server wants to be left alone.

        Example:
            >>> retries = Retries(wait=1, max_wait=10)
            >>> [retries.pause(tried, chance=0.5) for tried in (1, 2, 3, 4, 5, 6)]
            [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
            >>> retries.pause(1, 0.5, retry_after=7), retries.pause(1, 0.5, retry_after=3600)
            (7.5, None)
        """
        if retry_after is not None:
            # Not at once when it is over: others were told the same.
            return retry_after + chance * self.wait if retry_after <= self.max_wait else None
        # No number of tries makes a number that no float can hold.
        return chance * min(self.max_wait, self.wait * 2.0 ** min(tried - 1, 64))


def retry_after_of(value: str | None, now: float) -> Seconds | None:
    """For how long the header `retry-after` wants a server to be left alone; None where it says nothing.

    Args:
        now: seconds since 1970.

    Source: RFC 9110, section 10.2.3.

    Example:
        >>> retry_after_of("120", now=0), retry_after_of("Thu, 01 Jan 1970 00:01:00 GMT", now=50)
        (120.0, 10.0)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:18])  # any more digits are for ever, too
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None
