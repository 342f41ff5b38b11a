"""What is written is checked against what may be written: converted values, or Problems in the user's words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from annotated_types import MinLen
from pydantic import AfterValidator
from twisted.python.filepath import FilePath

from piped.config.reading import read_value
from piped.ground.batons import BatonPath
from piped.ground.code import Code, DottedName, Lambda
from piped.ground.errors import ConfigurationError, Mark, Problem, in_order
from piped.ground.units import (
    ContextName,
    Count,
    LevelName,
    OrPath,
    Path,
    PipelineName,
    Port,
    ProcessorPath,
    ResourcePath,
    Seconds,
)
from piped.spec.checking import Checker
from piped.spec.shapes import Arguments
from piped.spec.spec import Spec

ENVIRONMENT = {"PORT": "8080", "SECRET": "hush", "HOME": "/home/ada"}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Client:
    """A client.

    Args:
        host: where to go.
    """

    def __init__(self, name: str, host: str, from_: int = 1, **options: Any) -> None: ...


@dataclass
class Debug:
    allow: list[str]
    interval: Seconds = 60

    def __post_init__(self) -> None:
        if self.interval == 13:
            raise ValueError("the interval is unlucky")
        if self.interval == 14:
            raise ConfigurationError("no longer than a week", hint="take 7")


@dataclass
class Site:
    port: Port = 8080
    debug: Debug | None = None
    debugs: dict[str, Debug] = field(default_factory=dict)


class Even(int):
    """An even number; 2 is one."""

    @classmethod
    def __check__(cls, checker: Checker, node: Any) -> "Even | None":
        number = checker.value(int, node, owner="the pace")
        if number is not None and number % 2:
            checker.problems.append(Problem("odd", node.where))
        return None if number is None else cls(number)


class Named:
    """The name of a Site, or one as a mapping."""

    __shape__ = str | Site

    @classmethod
    def __check__(cls, checker: Checker, node: Any) -> Any:
        return checker.value(Site if node.is_mapping else str, node, owner="the site")


def no_cat(text: str) -> str:
    if text == "cat":
        raise ValueError("cats do not obey")
    return text


def checked(shape: Any, text: str, owner: str = "main") -> tuple[Any, list[str], Checker]:
    """The value, the Problems as a user sees them, and the checker."""
    reading = read_value(text, Mark("site.yml", 1, 1), ENVIRONMENT)
    assert not reading.problems
    checker = Checker(ENVIRONMENT)
    value = checker.value(shape, reading.root, owner=owner)
    return value, [str(problem).removeprefix("site.yml:") for problem in in_order(checker.problems)], checker


@pytest.mark.parametrize(
    ("shape", "text", "value"),
    [
        (int, "5", 5),
        (int, '"8080"', 8080),
        (int, "5.0", 5),
        (int, "${PORT}", 8080),
        (int, "${UNSET:-3}", 3),
        (float, "1", 1.0),
        (bool, "true", True),
        (bool | int, "true", True),
        (bool | int, "1", 1),
        (int | str, '"5"', "5"),
        (str, '"$${x}"', "${x}"),
        (str | None, "null", None),
        (bytes, '"\\n"', b"\n"),
        (Seconds, "0.5", 0.5),
        (Literal["a", 1], "a", "a"),
        (Colour, "red", Colour.RED),
        (Any, "{a: [1, x, '${SECRET}', !path b.c]}", {"a": [1, "x", "hush", BatonPath("b.c")]}),
        (Any | None, "[1]", [1]),
        (list[int], "[1, '2']", [1, 2]),
        (Sequence[str], "[a]", ["a"]),
        (list, "[a, 1]", ["a", 1]),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (tuple[int, str], "[1, a]", (1, "a")),
        (set[str], "[a, a]", {"a"}),
        (dict[str, int], "{a: 1}", {"a": 1}),
        (dict[int, str], "{1: a}", {1: "a"}),
        (dict[str, Any], "", {}),
        (list[str], "", []),
        (list[str] | str, "a", "a"),
        (list[str] | str, "[a]", ["a"]),
        (OrPath[Seconds], "!path a.b", BatonPath("a.b")),
        (OrPath[Seconds], "2", 2.0),
        (OrPath[str] | None, "!path ''", BatonPath("")),
        (FilePath, "~/x", FilePath("/home/ada/x")),
        (FilePath, "!filepath ~/x", FilePath("/home/ada/x")),
        (str | FilePath, "!filepath ~/x", FilePath("/home/ada/x")),
        (ResourcePath, "context.users", "context.users"),
        (DottedName, "os.path.join", "os.path.join"),
        (Annotated[list[int], MinLen(2)], "[1, 2]", [1, 2]),
        (Annotated[str, AfterValidator(no_cat)], "dog", "dog"),
        (Debug, "{allow: [a]}", Debug(["a"], 60)),
        (Site, "", Site()),
        (Site, "{debug: null, debugs: {x: {allow: [], interval: 1}}}", Site(debugs={"x": Debug([], 1)})),
        (Arguments[Client], "{host: h, from: 2, more: 3}", {"host": "h", "from_": 2, "more": 3}),
        (Even, "2", 2),
        (Even | None, "null", None),
    ],
)
def test_what_fits_becomes_a_value_of_its_type(shape, text, value):
    """Values arrive in the types that the annotation names."""
    found, problems, _ = checked(shape, text)
    assert problems == []
    assert found == value
    assert type(found) is type(value) or isinstance(found, str | FilePath | dict | Even)


@pytest.mark.parametrize(
    ("shape", "text", "problem"),
    [
        (Seconds, "soon", "1:1: main must be a number of at least 0 (s), not 'soon'"),
        (Seconds, "-1", "1:1: main must be a number of at least 0 (s), not -1"),
        (Seconds, "true", "1:1: main must be a number of at least 0 (s), not true"),
        (Seconds, "null", "1:1: main must be a number of at least 0 (s), not null"),
        (int, "false", "1:1: main must be a whole number, not false"),
        (int, "1.5", "1:1: main must be a whole number, not 1.5"),
        (str, "5", "1:1: main must be text, not 5"),
        (str, "{a: 1}", "1:1: main must be text, not a mapping"),
        (str, "[1, 2]", "1:1: main must be text, not a list of 2"),
        (bool, "maybe", "1:1: main must be true or false, not 'maybe'"),
        (Port, "70000", "1:1: main must be a TCP port, not 70000"),
        (Count, "0", "1:1: main must be a number of at least 1, not 0"),
        (Literal["json", "pickle"], "jsn", "1:1: main must be 'json' or 'pickle', not 'jsn' – did you mean 'json'?"),
        (Literal["json", "pickle"], "xml", "1:1: main must be 'json' or 'pickle', not 'xml'"),
        (Colour, "reb", "1:1: main must be 'red' or 'blue', not 'reb'"),
        (list[str], "[a, 5]", "1:5: an item of main must be text, not 5"),
        (list[str], "a", "1:1: main must be a list of texts, not 'a'"),
        (tuple[int, str], "[1]", "1:1: main must be a list of 2, not a list of 1"),
        (dict[str, int], "{a: b}", "1:5: option 'a' of main must be a whole number, not 'b'"),
        (dict[str, int], "[1]", "1:1: main must be a mapping, not a list of 1"),
        (dict[int, str], "{a: b}", "1:2: a name in main must be a whole number, not 'a'"),
        (
            dict[str, list[Seconds]],
            "{a: [x]}",
            "1:6: an item of option 'a' of main must be a number of at least 0 (s), not 'x'",
        ),
        (str | list[str], "5", "1:1: main must be text or a list of texts, not 5"),
        (str | list[str], "[5]", "1:2: an item of main must be text, not 5"),
        (str | list[str], "{}", "1:1: main must be text or a list of texts, not a mapping"),
        (Seconds | None, "x", "1:1: main must be a number of at least 0 (s), not 'x'"),
        (Seconds, "!path a", "1:1: main must be a number of at least 0 (s), not !path a – write it without !path"),
        (Path, "!path a", "1:1: main must be a path in the baton, not !path a – write it without !path"),
        (OrPath[Seconds], "x", "1:1: main must be a number of at least 0 (s) or a !path, not 'x'"),
        (
            dict[str, str],
            "{password: 1234}",
            "1:12: option 'password' of main must be text, not what is written there",
        ),
        (int, "amqp://guest:hush@host", "1:1: main must be a whole number, not what is written there"),
        (int, "'${SECRET}'", "1:1: main must be a whole number, not what '${SECRET}' stands for"),
        (
            Any,
            "{a: '${GONE}'}",
            "1:5: the environment variable GONE is not set – set it, or give a default: ${GONE:-default}",
        ),
        (FilePath, "5", "1:1: main must be the name of a file, not 5"),
        (ProcessorPath, "5", "1:1: main must be the resource that processes batons, not 5"),
        (ProcessorPath, "''", "1:1: main must be the resource that processes batons, not ''"),
        (ProcessorPath, "{provide: x}", "1:1: main needs the option 'provider' – add it: the path of the resource"),
        (
            ProcessorPath,
            "{provider: 5}",
            "1:12: option 'provider' of main must be the resource that processes batons, not 5",
        ),
        (ContextName, "{provider: x}", "1:1: main must be the name of a context, not a mapping"),
        (
            DottedName,
            "os.pathx",
            "1:1: main: cannot import 'os.pathx': AttributeError: module 'os' has no attribute 'pathx'",
        ),
        (Lambda, "'x: x +'", "1:8: main is no Python: invalid syntax – write it as 'arguments: expression'"),
        (Lambda | None, "'x: x +'", "1:8: main is no Python: invalid syntax – write it as 'arguments: expression'"),
        (
            Lambda,
            "3",
            "1:1: main must be the text behind the word `lambda`, not 3 – write it as 'arguments: expression'",
        ),
        (Code, "'x ='", "1:5: main is no Python: invalid syntax"),
        (Code, "|\n  x = 1\n  x ^\n", "3:6: main is no Python: invalid syntax"),
        (
            Annotated[list[int], MinLen(2)],
            "[1]",
            "1:1: main must be a list of whole numbers with a length of at least 2, not a list of 1",
        ),
        (Annotated[str, AfterValidator(no_cat)], "cat", "1:1: main must be text (cats do not obey), not 'cat'"),
        (Debug, "{allow: [], interval: 13}", "1:1: main: the interval is unlucky"),
        (Debug, "{allow: [], interval: 14}", "1:1: main: no longer than a week – take 7"),
        (Debug, "3", "1:1: main must be a mapping, not 3"),
        (Debug, "{}", "1:1: main needs the option 'allow' – add it: a list of texts"),
        (Site, "{debug: {alow: 1, allow: []}}", "1:10: main.debug has no option 'alow' – did you mean 'allow'?"),
        (Site, "{debugs: {x: {}}}", "1:11: main.debugs.x needs the option 'allow' – add it: a list of texts"),
        (
            Arguments[Debug],
            "{allow: [], interval: x}",
            "1:23: option 'interval' of main must be a number of at least 0 (s), not 'x'",
        ),
        (Even, "3", "1:1: odd"),
        (Even | str, "[]", "1:1: main must be an even number or text, not a list of 0"),
    ],
)
def test_what_does_not_fit_is_told_in_the_users_words_at_its_place(shape, text, problem):
    """What is wrong, with the value that was written, at the line and column of that very value."""
    value, problems, _ = checked(shape, text)
    assert problems == [problem]
    assert value is None


def test_every_mistake_is_told_at_once():
    """A person repairs a file in one round."""
    text = "{port: -1, debug: {allow: [1, 2], intervall: 3}, debugs: [], prot: 3}"
    assert len(checked(Site, text)[1]) == 6


def test_located_texts_know_their_place():
    """A later Problem about a name can point at it; a lambda knows where its text begins."""
    shape = dict[str, ProcessorPath | Lambda | DottedName]
    text = "{a: pipeline.x, b: y}"
    assert checked(dict[str, ProcessorPath], text)[0]["b"].where == Mark("site.yml", 1, 20)
    assert checked(DottedName, "os")[0].where == Mark("site.yml", 1, 1)
    value = checked(dict[str, Lambda], "a: |\n  x:\n    x\nb: 'x: x'\nc: x")[0]
    assert value is None
    value = checked(dict[str, Lambda], "a: |\n  x:\n    x\nb: 'x: x'")[0]
    assert (value["a"].where, value["b"].where) == (Mark("site.yml", 2, 3), Mark("site.yml", 4, 5))
    assert shape


def test_code_is_not_filled_from_the_environment():
    """A `${` inside a lambda is the lambda's own."""
    assert checked(Lambda, "'x: \"${SECRET}\"'")[0].bind({})(1) == "${SECRET}"


def test_references_are_collected_for_those_who_know_what_exists():
    """Every path of a resource and every name of a pipeline that was met, in order; nothing of rejected choices."""
    shape = dict[str, ProcessorPath | list[ContextName] | PipelineName]
    checker = checked(shape, "{a: pipeline.x, b: [users, '${SECRET}'], c: {provider: y}}")[2]
    assert [(type(one), str(one)) for one in checker.references] == [
        (ProcessorPath, "pipeline.x"),
        (ContextName, "users"),
        (ContextName, "hush"),
        (ProcessorPath, "y"),
    ]
    assert checked(list[ContextName] | list[int], "[a, b, 3]")[2].references == []


def test_a_dependency_may_be_a_mapping_with_more_for_its_provider():
    """The long form keeps what else is written beside the path."""
    value, problems, checker = checked(ProcessorPath, "{provider: pipeline.x, more: ['${SECRET}']}")
    assert problems == []
    assert value == {"provider": "pipeline.x", "more": ["hush"]}
    assert value["provider"].where == checker.references[0].where == Mark("site.yml", 1, 12)


def test_values_are_fresh_copies():
    """Nobody's change to his options reaches another place of the configuration."""
    root = read_value("{a: [1]}", Mark("site.yml", 1, 1), {}).root
    first = Checker({}).value(Any, root, owner="x")
    first["a"].append(2)
    assert Checker({}).value(Any, root, owner="x") == {"a": [1]}


def options_of(function: Any, text: str, **more: Any) -> tuple[Any, list[str]]:
    root = read_value(text, Mark("site.yml", 1, 1), {}).root
    checker = Checker({})
    found = checker.options(Spec.of(function), root, owner="wait", where=Mark("site.yml", 9, 9), **more)
    return found, [str(problem).removeprefix("site.yml:") for problem in in_order(checker.problems)]


def wait(baton, *, delay: Seconds, from_: str | None = None, level: LevelName = "info", way: Path = None): ...  # type: ignore[assignment]


def test_options_become_keyword_arguments():
    """Only what is written is passed on, by Python's names: defaults stay Python's own."""
    assert options_of(wait, "{delay: 2, from: null, way: null}") == ({"delay": 2.0, "from_": None, "way": None}, [])


def test_a_missing_option_is_missed_at_the_owners_name():
    """The text of the option says what to write."""
    assert options_of(wait, "{}")[1] == ["9:9: wait needs the option 'delay' – add it: a number of at least 0 (s)"]
    assert options_of(wait, "")[1] == options_of(wait, "{}")[1]


def test_an_unknown_option_is_told_at_its_key():
    """A slip gets the closest option that there is."""
    assert options_of(wait, "{delay: 1, levle: info}") == (
        None,
        ["1:12: wait has no option 'levle' – did you mean 'level'?"],
    )
    assert options_of(lambda baton: None, "{a: 1}")[1] == ["1:2: wait has no option 'a' – wait has no options"]


def test_options_that_are_no_mapping_are_told():
    """`- wait: 3` is a mistake, not a crash."""
    assert options_of(wait, "3") == (None, ["1:1: the options of wait must be a mapping, not 3"])


def test_keys_that_belong_to_somebody_else_are_ignored():
    """The notation of pipelines has keys beside the options."""
    assert options_of(wait, "{delay: 1, id: x, consumers: [a]}", ignore={"id", "consumers"}) == ({"delay": 1.0}, [])


def test_a_class_in_the_old_manner_takes_anything_it_names():
    """Parameters without annotations get plain values, `!path` included."""

    class Old:
        def __init__(self, a, b=1): ...

    assert options_of(Old, "{a: !path x, b: [1, {c: d}]}") == ({"a": BatonPath("x"), "b": [1, {"c": "d"}]}, [])
    assert options_of(Old, "{a: 1, c: 2}")[1] == ["1:8: wait has no option 'c' – there is: a, b"]


def test_a_module_that_fails_is_told_at_its_own_line(tmp_path, monkeypatch):
    """The line of the user's module that raises is named, not the one that imports it."""
    (tmp_path / "shop_that_fails.py").write_text("\nimport json\njson.loads('x')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = checked(DottedName, "shop_that_fails.Handler")[1]
    assert re.fullmatch(
        r"\S*shop_that_fails.py:3:1: cannot be imported: JSONDecodeError: Expecting value: line 1 column 1 \(char 0\)"
        r" – it is imported for main at site.yml:1:1",
        problem,
    )


def test_no_word_of_the_library_reaches_the_user():
    """Also a shape that only pydantic knows is refused in plain words, at the place inside it."""
    from datetime import datetime, timedelta
    from typing import NamedTuple

    class Pair(NamedTuple):
        left: int
        right: int

    for shape, text in ((datetime, "x"), (timedelta, "[]"), (Pair, "[1, x]"), (dict[str, datetime], "{a: 3x}")):
        (problem,) = checked(shape, text)[1]
        assert not re.search(r"pydantic|Input|valid|parse|type=", problem)
    assert checked(Pair, "[1, x]")[1][0].startswith("1:5: ")


def test_a_mistake_inside_what_checks_itself_is_told_where_it_is():
    """An option of several kinds, one of which is written: what is wrong in it is told, not that it is none of them."""
    (problem,) = checked(Named | None, "{prot: 1}")[1]
    assert problem == "1:2: the site has no option 'prot' – did you mean 'port'?"
