"""Whether a request is sent once more, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeoutError

from piped.ground.errors import PipedError, TimeoutError  # noqa: A004 - the documented name
from piped.web_client.errors import CutOffError
from piped.web_client.retrying import Retries, retry_after_of

METHODS = st.sampled_from(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "PURGE"])
CODES = st.sampled_from([200, 404, 429, 500, 502, 503, 504])
ERRORS = st.sampled_from(
    [Refused(), DNSLookupError(), ConnectTimeoutError(), CutOffError("x"), TimeoutError("x"), PipedError("x")]
)
NOT_SENT = (Refused, DNSLookupError, ConnectTimeoutError)


@given(METHODS, st.integers(1, 3), CODES | ERRORS, st.none() | st.booleans(), st.integers(0, 3))
def test_nothing_is_done_twice_that_may_not_be(
    method: str, tried: int, outcome: int | Exception, repeatable: bool | None, times: int
) -> None:
    """A retry is one of so many, for a cause, and of what is safe to repeat or has not reached the server."""
    allowed = Retries(times, repeatable=repeatable).allows(method, tried, outcome)
    is_idempotent = method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
    is_safe = is_idempotent if repeatable is None else repeatable
    is_cause = outcome in (429, 502, 503, 504) or isinstance(outcome, (*NOT_SENT, CutOffError, TimeoutError))
    assert allowed is (tried <= times and is_cause and (is_safe or isinstance(outcome, NOT_SENT)))


@pytest.mark.parametrize("outcome", [503, CutOffError("x"), TimeoutError("x")])
def test_post_is_not_repeated(outcome: int | Exception) -> None:
    """Unless somebody says that it does no harm."""
    assert not Retries(3).allows("POST", 1, outcome)
    assert Retries(3, repeatable=True).allows("POST", 1, outcome)
    assert not Retries(3, repeatable=False).allows("GET", 1, outcome)


@pytest.mark.parametrize(
    ("on", "outcome"),
    [
        ([500], 503),
        (["connection"], TimeoutError("x")),
        (["connection"], ConnectTimeoutError()),
        (["timeout"], Refused()),
        (["timeout"], CutOffError("x")),
        ([], 503),
        (["connection", "timeout"], CancelledError()),
        (["connection", "timeout"], OSError("the disk is full")),
    ],
)
def test_only_what_was_named_is_a_cause(on: list[int | str], outcome: int | Exception) -> None:
    """What `on` leaves out is not tried again, nor is what nobody can better."""
    assert not Retries(5, on=on).allows("GET", 1, outcome)  # type: ignore[arg-type]  # the checker has made them


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_wait_has_its_bounds(tried: int, chance: float, wait: float, max_wait: float) -> None:
    """It is never below nothing or above the longest one, however often it was tried, and doubles in between."""
    retries = Retries(wait=wait, max_wait=max_wait)
    paused = retries.pause(tried, chance)
    assert paused is not None
    assert 0 <= paused <= max_wait
    if tried < 50:
        assert paused == chance * min(max_wait, wait * 2 ** (tried - 1))


@given(st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_server_is_left_alone_as_long_as_it_asks(retry_after: float, chance: float) -> None:
    """No retry comes before retry-after; one that would be too late does not come."""
    paused = Retries(wait=2, max_wait=50).pause(3, chance, retry_after)
    if retry_after > 50:
        assert paused is None
    else:
        assert paused is not None
        assert retry_after <= paused <= retry_after + 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        (" 7 ", 7),
        ("9" * 500, float("9" * 18)),
        ("Thu, 01 Jan 1970 00:16:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:16:41 GMT", 1),
        ("Thu, 32 Jan 1970 00:16:41 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    """What is neither says nothing."""
    assert retry_after_of(value, now=1000) == seconds


@given(st.text())
def test_no_retry_after_does_harm(value: str) -> None:
    """Whatever a server writes there."""
    seconds = retry_after_of(value, now=0)
    assert seconds is None or seconds >= 0
