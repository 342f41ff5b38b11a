"""Tests of how failures are told to peers, and taken from them."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from twisted.spread import pb

from piped import PipedError, Rejected
from piped.exceptions import MissingCallback
from piped.spread.errors import RemoteError, remote_failure, told_state


def state_of(error: BaseException, **more: Any) -> dict[str, Any]:
    return told_state(Failure(error), **{"with_traceback": False, **more})


def test_a_failure_is_told_with_the_names_of_its_type_and_bases() -> None:
    """A caller may trap it by its name, or by that of a base."""
    state = state_of(KeyError("gone"))
    assert (state["type"], state["value"]) == (b"builtins.KeyError", "'gone'")
    assert state["parents"][:2] == ["builtins.KeyError", "builtins.LookupError"]


def test_our_own_exceptions_have_their_documented_address() -> None:
    """What stands in piped.exceptions is told by that name, which it has had since Piped 0.7, and by its other one."""
    assert state_of(MissingCallback("x"))["type"] == b"piped.exceptions.MissingCallback"
    names = state_of(Rejected("x"))["parents"]
    assert names[:2] == ["piped.exceptions.Rejected", "piped.ground.errors.Rejected"]
    assert "piped.exceptions.PipedError" in names


def test_message_detail_and_hint_are_one_line() -> None:
    """The text of our errors is told without their layout."""
    assert state_of(PipedError("no", "because", "do this"))["value"] == "no: because – do this"


def test_whatever_the_text_of_a_failure_is_it_can_be_sent() -> None:
    """Texts that are too long, or no proper texts, are told as far as they can be."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError("no text at all")

    assert len(state_of(ValueError("x" * 10**6))["value"]) < 33_000
    assert state_of(ValueError("a\udcff"))["value"] == "a\\udcff"
    assert "Odd" in state_of(Odd())["value"]


def test_a_traceback_is_told_only_when_asked_for() -> None:
    """Where it happened is nothing for everybody."""
    try:
        raise ValueError("here")
    except ValueError:
        failure = Failure()
    assert told_state(failure, False)["traceback"] == "Traceback unavailable\n"
    assert "test_a_traceback_is_told_only_when_asked_for" in told_state(failure, True)["traceback"]


def test_what_a_peer_says_of_a_failure_is_taken_whatever_it_is() -> None:
    """Not every peer tells a type, a text and bases; the call fails all the same."""
    for told in (None, 5, "text", {"type": "x"}, [b"list"]):
        failure = remote_failure(told)
        assert isinstance(failure.value, RemoteError)
        assert failure.check(pb.Error)
    odd = pb.CopiedFailure.__new__(pb.CopiedFailure)
    odd.__dict__ = {"type": 5, "value": None, "parents": 7}
    assert remote_failure(odd).value.remoteType == "5"


def test_an_exception_that_was_copied_is_that_exception() -> None:
    """A peer may send an exception of a class that was registered: it is the failure itself."""
    error = ValueError("copied")
    assert remote_failure(error).value is error
