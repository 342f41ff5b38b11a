"""The signature of a function or class is the schema of its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from piped.ground.units import Seconds
from piped.spec.spec import NOTHING, Spec

if TYPE_CHECKING:
    from nowhere import Unseen


def wait(baton, /, *, delay: Seconds, from_: str = "here"):
    """Hold the baton.

    Args:
        delay: how long.
        from_: where it comes from.

    Example:
        - wait: {delay: 1}
    """


class Base:
    """A base.

    :param node_name: how drawings call it.
    """

    def __init__(self, node_name: str | None = None) -> None: ...


class Middle(Base):
    def __init__(self, retries: int = 3, node_name: Unseen = "middle", **options: Any) -> None:
        """Make one.

        Args:
            retries: how often.
        """


class Silent(Middle):
    """Said by itself."""


class Mine(Silent):
    """Mine.

    Args:
        extra: one more.
    """

    def __init__(self, *args: Any, extra: list[Unseen], retries: float = 1, **kwargs: Any) -> None: ...


@dataclass
class Site:
    port: int = 80
    allow: list[str] = field(default_factory=list)
    made: int = field(default=1, init=False)


@dataclass
class BiggerSite(Site):
    """More.

    Args:
        wait: how long.
    """

    wait: Seconds = 1


def test_a_function_gives_its_options_with_their_texts():
    """What the framework supplies is no option; a trailing underscore belongs to Python alone."""
    spec = Spec.of(wait)
    assert (spec.name, spec.summary, spec.takes_any) == ("wait", "Hold the baton.", False)
    assert spec.examples == ("- wait: {delay: 1}",)
    delay, from_ = spec.parameters
    assert (delay.name, delay.argument, delay.annotation, delay.text) == ("delay", "delay", Seconds, "how long.")
    assert (delay.required, delay.default) == (True, NOTHING)
    assert (from_.name, from_.argument, from_.default, from_.required) == ("from", "from_", "here", False)
    assert from_.text == "where it comes from."


def test_the_first_positional_parameter_is_the_baton_whatever_it_is_called():
    """A function may call its baton `request`; it is still no option."""

    def answer(request, status=200): ...

    assert [one.name for one in Spec.of(answer).parameters] == ["status"]


def test_a_class_takes_the_options_of_its_bases_as_far_as_its_keywords_go():
    """A subclass declares only what is new; the nearest declaration wins and the base's options come last."""
    spec = Spec.of(Mine)
    assert [one.name for one in spec.parameters] == ["extra", "retries", "node_name"]
    assert spec.by_name["retries"].default == 1
    assert spec.by_name["retries"].annotation is float
    assert spec.by_name["node_name"].default == "middle"
    assert [one.text for one in spec.parameters] == ["one more.", "how often.", "how drawings call it."]
    assert not spec.takes_any


def test_a_class_without_keywords_hides_the_options_of_its_base():
    """What a constructor does not pass on cannot be written."""

    class Closed(Base):
        def __init__(self, only: int) -> None: ...

    assert [one.name for one in Spec.of(Closed).parameters] == ["only"]


def test_a_constructor_is_inherited_with_its_options():
    """A subclass that changes only behaviour has the options of its base."""
    assert [one.name for one in Spec.of(Silent).parameters] == ["retries", "node_name"]
    assert Spec.of(Silent).summary == "Said by itself."


@pytest.mark.parametrize(
    ("made", "takes_any"),
    [(lambda baton, **options: None, True), (lambda baton, x=1: None, False), (dict, True), (object, False)],
)
def test_keywords_that_nobody_declares_take_anything(made, takes_any):
    """Options are refused only where somebody has said which there are."""
    assert Spec.of(made).takes_any is takes_any


def test_names_for_the_type_checker_only_mean_anything():
    """An import under `if TYPE_CHECKING:` costs the annotation, not the other annotations."""
    spec = Spec.of(Mine)
    assert spec.by_name["extra"].annotation is Any
    assert spec.by_name["retries"].annotation is float


def test_a_dataclass_gives_its_fields():
    """Fields are options: inherited ones too, those made by the class not; its signature is no docstring."""
    spec = Spec.of(BiggerSite)
    assert [(one.name, one.annotation, one.default) for one in spec.parameters] == [
        ("port", int, 80),
        ("allow", list[str], []),
        ("wait", Seconds, 1),
    ]
    assert Spec.of(Site).summary == ""


def test_parameters_without_annotation_mean_anything():
    """Classes in the old manner need no types."""

    class Old:
        def __init__(self, a, b=1): ...

    assert [one.annotation for one in Spec.of(Old).parameters] == [Any, Any]


def test_a_spec_is_made_once():
    """Asking again gives the same object, so that checking ten thousand steps is cheap."""
    assert Spec.of(Mine) is Spec.of(Mine)


def test_options_can_be_taken_out():
    """What the framework supplies itself is no option for that place."""
    assert [one.name for one in Spec.of(Base).without("node_name").parameters] == []
