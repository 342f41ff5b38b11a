"""Tests of InputOutputProcessor."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from piped.pipelines.input_output import InputOutputProcessor


class Shout(InputOutputProcessor):
    """Makes a text loud; what it cannot make loud it passes on."""

    def process_input(self, input: Any, baton: Any) -> Any:
        return input.upper() if isinstance(input, str) else input


class Later(InputOutputProcessor):
    """Gives what the Deferred in its input gives."""

    def process_input(self, input: Any, baton: Any) -> Any:
        return input


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ({}, "a", "A"),
        ({"input_path": "x"}, {"x": "a"}, {"x": "A"}),
        ({"input_path": "x", "output_path": "y.z"}, {"x": "a"}, {"x": "a", "y": {"z": "A"}}),
        ({"input_path": "x", "output_path": "y"}, {"x": "a", "y": 1}, {"x": "a", "y": "A"}),
        ({"input_path": "x", "output_path": ""}, {"x": "a"}, "A"),
        ({"input_path": "x", "output_path": None}, {"x": "a"}, {"x": "a"}),
        ({"input_path": "gone"}, {"x": "a"}, {"x": "a"}),
        ({"input_path": "x", "skip_if_nonexistent": False, "input_fallback": "b"}, {"x": None}, {"x": None}),
        ({"input_path": "gone", "skip_if_nonexistent": False, "input_fallback": "b"}, {}, {"gone": "B"}),
        ({"input_path": "gone", "skip_if_nonexistent": False}, {}, {"gone": None}),
    ],
)
def test_reads_and_writes_where_it_is_told(options: dict[str, Any], before: Any, after: Any) -> None:
    """The result stands where the options say: in place, elsewhere, as the baton, or nowhere."""
    assert Shout(**options).process(before) == after


def test_gives_the_same_baton_on() -> None:
    """A result inside a baton changes that baton, no copy of it."""
    baton = {"x": "a"}
    assert Shout(input_path="x").process(baton) is baton


def test_calls_nothing_for_what_is_missing() -> None:
    """A baton without the input is skipped without asking the step."""

    class Never(InputOutputProcessor):
        def process_input(self, input: Any, baton: Any) -> Any:
            raise AssertionError

    assert Never(input_path="gone").process({}) == {}


def test_a_result_may_come_later() -> None:
    """What `process_input` returns is awaited before it is written."""
    later: Deferred[str] = Deferred()
    given = Deferred.fromCoroutine(Later(input_path="x", output_path="y").process({"x": later}))
    assert not given.called
    later.callback("now")
    assert given.result == {"x": later, "y": "now"}


def test_a_path_that_reads_like_the_default_is_a_path() -> None:
    """Only leaving `output_path` out means the input path."""
    step = Shout(input_path="x", output_path="the input path")
    assert step.process({"x": "a"}) == {"x": "a", "the input path": "A"}


def test_a_subclass_has_to_say_how() -> None:
    """Forgetting `process_input` is told by its name."""

    class Forgetful(InputOutputProcessor):
        pass

    with pytest.raises(NotImplementedError, match="Forgetful has no process_input"):
        Forgetful().process({})
