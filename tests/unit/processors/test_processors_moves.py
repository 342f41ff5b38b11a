"""Tests of the code that remap's common case becomes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from piped import MappingProcessor
from piped.processors.values import Remap


class Slowly(MappingProcessor):
    """What remap means, said by the base alone."""

    def process_mapping(self, input: Any, input_path: str, output_path: str | None, baton: Any) -> Any:
        return input


paths = st.sampled_from(["", "a", "b", "a.b", "b.a.c", "it's {x}", "a\\.b"])
mappings = st.lists(st.builds(lambda source, target: {source: target}, paths, st.none() | paths), max_size=4)
holders = st.recursive(
    st.none() | st.integers() | st.builds(complex),
    lambda members: st.dictionaries(st.sampled_from(["a", "b", "c", "it's {x}", "a.b"]), members, max_size=3),
    max_leaves=8,
)


@given(mappings, holders, st.booleans())
@example([{"a": "b"}, {"b": "a"}], {"a": 1, "b": 2}, True)
def test_remap_does_what_a_mapping_of_values_says(mapping: list[Any], baton: Any, skips: bool) -> None:
    """Whatever the paths and the baton are, the fast way comes to what the plain one comes to."""
    outcomes = []
    for kind in (Slowly, Remap):
        step, own = kind(mapping, skip_if_nonexistent=skips, input_fallback="fallback"), deepcopy(baton)
        try:
            outcomes.append((step.process(own), own))
        except (AttributeError, TypeError) as error:
            outcomes.append((type(error), str(error)))
    assert repr(outcomes[0]) == repr(outcomes[1])  # a baton may contain itself by now


def test_remap_waits_for_a_deferred_in_the_middle() -> None:
    """A Deferred in the baton is waited for, and what was moved before is not moved again."""
    baton = {"a": 1, "b": succeed(2)}
    made = Deferred.fromCoroutine(Remap([{"a": "c"}, {"c": "a"}, {"b": "c"}]).process(baton))
    assert made.result == {"a": 1, "b": baton["b"], "c": 2}


def test_a_subclass_of_remap_says_itself_what_is_moved() -> None:
    """Who overrides `process_mapping` is asked."""

    class Doubling(Remap):
        def process_mapping(self, input: Any, input_path: str, output_path: str | None, baton: Any) -> Any:
            return input * 2

    assert Doubling({"a": "b"}).process({"a": 2}) == {"a": 2, "b": 4}
