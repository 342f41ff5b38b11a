"""Tests of MappingProcessor."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from piped.ground.errors import ConfigurationError
from piped.pipelines.mapping import Entry, MappingProcessor, entries_of


class Repeat(MappingProcessor):
    """Repeats a text."""

    def process_mapping(
        self, input: Any, input_path: str, output_path: str | None, baton: Any, *, times: int = 2
    ) -> Any:
        return input * times


class Collect(MappingProcessor):
    """Awaits its inputs and remembers them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[Any] = []

    def process_mapping(self, input: Any, input_path: str, output_path: str | None, baton: Any, **extras: Any) -> Any:
        self.seen.append((input_path, extras))
        return input


@pytest.mark.parametrize(
    "mapping",
    [
        [{"a": "b"}],
        [{"a": {"output_path": "b"}}],
        [{"input_path": "a", "output_path": "b"}],
        [{"a": {"input_path": "a", "output_path": "b"}}],
        {"a": "b"},
        {"a": {"output_path": "b"}},
    ],
)
def test_every_spelling_means_the_same(mapping: Any) -> None:
    """All ways to write "from a to b" do the same."""
    assert Repeat(mapping).process({"a": "x"}) == {"a": "x", "b": "xx"}


@pytest.mark.parametrize("mapping", [["a"], {"a": {}}, [{"a": {}}], [{"input_path": "a"}], {"a": "a"}])
def test_the_output_goes_where_the_input_was(mapping: Any) -> None:
    """Without an output path the input is replaced."""
    assert Repeat(mapping).process({"a": "x"}) == {"a": "xx"}


@given(st.dictionaries(st.text("abc", min_size=1), st.none() | st.text("abc", min_size=1)))
def test_a_mapping_is_the_list_of_its_items(mapping: dict[str, str | None]) -> None:
    """The list spelling and the mapping spelling give the same entries in the same order."""
    assert entries_of(mapping) == entries_of([{path: target} for path, target in mapping.items()])


@pytest.mark.parametrize("mapping", [{"a": None}, [{"a": None}], [{"input_path": "a", "output_path": None}]])
def test_a_discarded_entry_still_runs(mapping: Any) -> None:
    """null as the output path leaves the baton alone, but the work is done."""
    step = Collect(mapping)
    assert step.process({"a": 1}) == {"a": 1}
    assert step.seen == [("a", {})]


def test_the_whole_baton_can_be_replaced() -> None:
    """'' makes the result the baton, which the following entries read."""
    assert Repeat([{"a": ""}, {"": {"times": 3}}]).process({"a": "x"}) == "xxxxxx"


def test_the_whole_baton_can_be_read() -> None:
    """'' as the input path is the baton itself."""
    baton: dict[str, Any] = {}
    assert Collect({"": "self"}).process(baton)["self"] is baton


def test_prefixes_are_put_in_front() -> None:
    """The output path is the input path without its prefix, behind the output prefix."""
    step = Repeat(["a", {"b": "c"}], input_path_prefix="in.", output_path_prefix="out.")
    assert step.process({"in": {"a": "x", "b": "y"}})["out"] == {"a": "xx", "c": "yy"}


def test_what_is_missing_is_left_out_unless_there_is_a_fallback() -> None:
    """Each entry is skipped by itself; a fallback takes the place of what is missing."""
    assert Repeat(["a", "b"]).process({"b": "x"}) == {"b": "xx"}
    step = Repeat(["a", "b"], skip_if_nonexistent=False, input_fallback="f")
    assert step.process({"b": "x"}) == {"a": "ff", "b": "xx"}


def test_extras_reach_the_function() -> None:
    """What is written besides the paths is given to the function by name."""
    assert Repeat({"a": {"times": 3}, "b": {"output_path": "c", "times": 1}}).process({"a": "x", "b": "y"}) == {
        "a": "xxx",
        "b": "y",
        "c": "y",
    }


def test_an_unknown_extra_is_told_when_the_step_is_made() -> None:
    """A typing error in an entry is a mistake with advice, not a crash with the first baton."""
    with pytest.raises(ConfigurationError) as raised:
        Repeat({"a": {"tims": 3}})
    assert raised.value.msg == "'a' has no option 'tims'"
    assert raised.value.hint == "did you mean 'times'?"


def test_a_step_that_takes_anything_gets_any_extra() -> None:
    """A subclass with **extras is given them all."""
    step = Collect({"a": {"color": "red"}})
    step.process({"a": 1})
    assert step.seen == [("a", {"color": "red"})]


def test_a_subclass_may_refuse_entries() -> None:
    """The hook `validate_entry` sees each entry, prefixed, before any baton."""
    seen: list[Entry] = []

    class Careful(Repeat):
        def validate_entry(self, entry: Entry) -> None:
            seen.append(entry)

    Careful(["a", {"b": None}], input_path_prefix="x.")
    assert seen == [Entry("x.a", "a"), Entry("x.b", None)]


@pytest.mark.parametrize(
    ("mapping", "prefix", "message"),
    [
        ([{"a": {"input_path": "b"}}], "", "the entry 'a' reads 'b' too"),
        ([{"output_path": "b"}], "", "nothing says which path"),
        ([{}], "", "nothing says which path"),
        ([{"a": "b", "c": "d"}], "", "nothing says which path"),
        ([""], "x.", "'x.' ends with a dot"),
        (["a."], "", "'a.' ends with a dot"),
        ([1], "", "1 is no entry"),
        ([{"a": 1}], "", "1 is no place"),
        ([{"a": {"output_path": 1}}], "", "output path 1 of 'a' is no text"),
        ([{"input_path": None}], "", "input path None is no text"),
    ],
)
def test_what_cannot_be_meant_is_refused(mapping: Any, prefix: str, message: str) -> None:
    """An entry that reads nothing, or two things, is a mistake when the step is made."""
    with pytest.raises(ConfigurationError, match=message):
        Repeat(mapping, input_path_prefix=prefix)


def test_results_are_awaited_in_order() -> None:
    """An entry runs when the one before has its result, however many of them have to wait."""
    first: Deferred[int] = Deferred()
    step = Collect(["a", "gone", "b", "c"])
    later = Deferred.fromCoroutine(step.process({"a": first, "b": 2, "c": succeed(3)}))
    assert step.seen == [("a", {})]
    first.callback(1)
    assert later.result == {"a": 1, "b": 2, "c": 3}
    assert [path for path, _ in step.seen] == ["a", "b", "c"]
