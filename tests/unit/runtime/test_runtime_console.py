"""Console: when a text is complete, how it is completed, and what it gives."""

from __future__ import annotations

import doctest
import functools
import io
import os
import warnings
from typing import Any

import pytest

import piped.runtime.console
from piped.resources.dependency import InstanceDependency
from piped.runtime.console import Console
from piped.runtime.environment import RuntimeEnvironment


class Thing:
    """Something with attributes of every kind; each that runs code says so by failing."""

    __slots__ = ("__dict__", "slot")

    plain = {"a": 1}
    _private = 1

    def __init__(self) -> None:
        self.slot = "text"
        self.inner = {"b": 2}

    @property
    def costly(self) -> str:
        raise AssertionError("a property was run")

    @functools.cached_property
    def cached(self) -> str:
        raise AssertionError("a cached property was run")

    def method(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"__getattr__ was asked for {name}")


def test_the_example_runs() -> None:
    """What the docstring shows is what happens."""
    assert doctest.testmod(piped.runtime.console).failed == 0


@pytest.mark.parametrize(
    "text",
    [
        "for each in range(3):",
        "for each in range(3):\n    print(each)",
        "if x:\n    y\nelse:",
        "call(",
        "'''text",
        "async with lock:",
        "async with lock:\n    await work()",
        "@decorated",
        "x = 1\nwhile True:",
        "  if indented:",
    ],
)
def test_more_lines_are_asked_for(text: str) -> None:
    """What has begun, or may go on as a block does, is not evaluated yet."""
    assert Console({}).needs_more(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "await something",
        "for each in range(3):\n    print(each)\n",
        "for each in range(3):\n    print(each)\n    ",
        "class A:\n    def f(self):\n        pass\n\n    def g(self):\n        pass\n",
        "a b",
        "def f(:",
        "\0",
        "  indented = 1",
        "# a remark",
        "(" * 1000 + ")" * 1000,
    ],
)
def test_a_complete_text_is_evaluated(text: str) -> None:
    """So is one that is wrong, as no further line mends it; a block ends with an empty line."""
    assert not Console({}).needs_more(text)


def test_asking_whether_it_is_complete_warns_of_nothing() -> None:
    """Warnings come once, when it is evaluated; elsewhere they would be logged with what was typed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not Console({}).needs_more("1 is 1")
    assert caught == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thi", ["thing"]),
        ("print(thi", ["thing"]),
        ("x = 1\nthi", ["thing"]),
        ("Excep", ["Exception", "ExceptionGroup"]),
        ("lamb", ["lambda"]),
        ("thing.pl", ["plain"]),
        ("thing._pri", ["_private"]),
        ("thing.inner.item", ["items"]),
        ("thing.slot.upp", ["upper"]),
        ("thing.plain.key", ["keys"]),
        ("thing.costly.upp", []),
        ("thing.cached.attrna", []),
        ("thing.nowhere.upp", []),
        ("nowhere.upp", []),
        ("os.path.basena", ["basename"]),
        ("thing.method().upp", []),
        ("'text'.upp", []),
        ("1.re", []),
        ("", []),
        ("(", []),
    ],
)
def test_names_and_attributes_are_completed(text: str, expected: list[str]) -> None:
    """What is simply there is offered; no property is run to find out, nor any `__getattr__`."""
    assert Console({"thing": Thing(), "os": os}).completions(text) == expected


def test_private_names_are_offered_only_when_they_are_asked_for() -> None:
    """A point offers what is meant for the public."""
    offered = Console({"thing": Thing()}).completions("thing.")
    assert {"plain", "inner", "slot", "costly", "cached", "method"} == set(offered)


def test_an_object_whose_members_cannot_be_listed_offers_nothing() -> None:
    """Somebody's `__dir__` may fail: that is no reason to disturb who is typing."""

    class Odd:
        def __dir__(self) -> list[str]:
            raise LookupError

    assert Console({"odd": Odd()}).completions("odd.") == []


def test_dependencies_are_completed_with_what_is_there() -> None:
    """The names of resources that are ready, and their attributes."""
    environment = RuntimeEnvironment()
    store = InstanceDependency(Thing(), "store")
    dependencies = environment.create_dependency_map(object(), store=store)
    console = Console({"d": dependencies})
    assert console.completions("d.sto") == []
    environment.dependency_manager.resolve_initial_states()
    assert console.completions("d.sto") == ["store"]
    assert console.completions("d.store.inner.item") == ["items"]


@pytest.mark.parametrize(("text", "typed"), [("a.b.cd", "cd"), ("a.", ""), ("print(x", "x"), ("", ""), ("f().x", "")])
def test_it_tells_what_a_completion_replaces(text: str, typed: str) -> None:
    """The part of the name that stands there already."""
    assert Console.typed_name(text) == typed


def test_what_is_pasted_with_its_indentation_is_evaluated() -> None:
    """Lines that were copied from within a function run as they are."""
    output = io.StringIO()
    assert Console({}).evaluate("    a = 6\n    a * 7\n", output.write).result() is None
    assert output.getvalue() == "42\n"


@pytest.mark.parametrize("text", ["exit()", "quit()", "exit(0)"])
def test_exit_asks_for_the_end(text: str) -> None:
    """As at every Python prompt; the standard one would close the standard input."""
    assert isinstance(Console({}).evaluate(text, print).result(), SystemExit)


def test_exit_without_brackets_says_how() -> None:
    """As at every Python prompt."""
    output = io.StringIO()
    Console({}).evaluate("exit", output.write)
    assert output.getvalue() == "exit() or ctrl-D ends the session\n"


def test_names_that_are_given_win() -> None:
    """A dependency may be called `quit`."""
    assert Console({"quit": 3}).namespace["quit"] == 3
