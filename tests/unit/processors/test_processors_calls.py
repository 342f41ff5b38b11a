"""Tests of the steps that call functions, resources and Deferreds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processors_stage import Offer, configured, result_of
from twisted.internet.defer import AlreadyCalledError, CancelledError, Deferred
from twisted.python.failure import Failure

from piped.ground.batons import BatonPath
from piped.ground.code import DottedName
from piped.ground.errors import ConfigurationError
from piped.ground.units import ResourcePath
from piped.processors.calls import CallDependency, CallNamedAny, callback_deferred, filled
from piped.runtime.environment import RuntimeEnvironment

Main = Callable[[str], Any]


def remember(*args: Any, **kwargs: Any) -> Any:
    """Changes its arguments, and gives what they were."""
    seen = [list(args[0]), dict(kwargs)]
    args[0].append(1)
    return seen


def called(environment: RuntimeEnvironment, name: str, **options: Any) -> Any:
    step = CallNamedAny(DottedName(name), **options)
    step.configure(environment)
    baton = options.pop("baton", {})
    return Deferred.fromCoroutine(step.process(baton)).result


@pytest.mark.parametrize(
    ("name", "options", "after"),
    [
        ("builtins.list", {}, {"result": []}),
        ("dict", {"kwargs": {"a": 1}, "output_path": "b.c"}, {"b": {"c": {"a": 1}}}),
        ("exceptions.int", {"args": ["ff", 16], "output_path": ""}, 255),
        ("twisted.internet.defer.succeed", {"args": [5]}, {"result": 5}),
    ],
)
def test_a_function_is_called_by_its_name(environment: RuntimeEnvironment, name: str, options: Any, after: Any) -> None:
    """The result, awaited, stands at the output path."""
    assert called(environment, name, **options) == after


def test_each_call_gets_its_own_arguments(environment: RuntimeEnvironment) -> None:
    """What a function does to its arguments does not reach the next call."""
    step = CallNamedAny(DottedName(f"{__name__}.remember"), args=[[]], kwargs={"a": [1]})
    step.configure(environment)
    for _ in range(2):
        baton = Deferred.fromCoroutine(step.process({})).result
        assert baton == {"result": [[], {"a": [1]}]}


def test_a_failing_call_fails(main: Main) -> None:
    """What the function raises is the failure of the step."""
    with pytest.raises(ValueError, match="invalid literal"):
        main("- call-named-any: {name: int, args: [x]}").run({})


def test_a_name_of_nothing_is_told_at_the_start(main: Main) -> None:
    """A name that cannot be imported is a mistake before any baton."""
    with pytest.raises(ConfigurationError, match=r"json\.lods"):
        main("- call-named-any: {name: json.lods}")


def test_a_name_of_what_cannot_be_called_is_told_at_the_start(main: Main) -> None:
    """A module or a number is a mistake before any baton."""
    with pytest.raises(ConfigurationError, match=r"os\.path cannot be called"):
        main("- call-named-any: {name: os.path}")


def test_a_call_takes_arguments_from_the_baton(main: Main) -> None:
    """`!path` among the arguments stands for what the baton has there."""
    site = main("- call-named-any: {name: dict, args: [[[a, !path n]]], kwargs: {b: !path n}}")
    assert site.run({"n": 5}) == [{"n": 5, "result": {"a": 5, "b": 5}}]


@settings(max_examples=20)
@given(
    st.recursive(
        st.integers() | st.builds(BatonPath, st.sampled_from(["n", "a.b"])),
        lambda members: st.lists(members) | st.dictionaries(st.text(), members),
    )
)
def test_every_path_in_an_option_is_filled(written: Any) -> None:
    """At any depth a `!path` becomes the baton's own value, and nothing of the option itself is handed out."""
    baton = {"n": object(), "a": {"b": object()}}
    values = {"n": baton["n"], "a.b": baton["a"]["b"]}  # type: ignore[index] # it is a mapping

    def expected(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: expected(member) for key, member in part.items()}
        return [expected(member) for member in part] if isinstance(part, list) else values.get(part, part)

    made = filled(baton, written)
    assert made == expected(written)
    assert made is not written or isinstance(written, int)


def test_what_yaml_cannot_say_is_copied_too() -> None:
    """An option that was given in Python is not handed out either."""
    written = [{"a"}]
    made = filled({}, written)
    made[0].add("b")
    assert written == [{"a"}]


class Service:
    """A resource that tells how it was called."""

    count = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return ["called", list(args), kwargs]

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        return ["asked", list(args), kwargs]

    def later(self, deferred: Deferred[Any]) -> Deferred[Any]:
        return deferred

    async def add(self, first: int, second: int) -> int:
        return first + second

    def _hide(self) -> str:
        return "hidden"


@pytest.fixture
def service(environment: RuntimeEnvironment) -> Callable[..., CallDependency]:
    """Makes a step that calls the resource `a.service`."""
    Offer(environment, "a.service", Service())

    def make(**options: Any) -> CallDependency:
        return configured(CallDependency(ResourcePath("a.service"), **options), environment)  # type: ignore[no-any-return] # it is that step

    return make


def ran(step: CallDependency, baton: Any) -> Any:
    return result_of(Deferred.fromCoroutine(step.process(baton)))


@pytest.mark.parametrize(
    ("options", "result"),
    [
        ({}, ["called", [], {}]),
        ({"arguments": 5}, ["called", [5], {}]),
        ({"arguments": None}, ["called", [None], {}]),
        ({"arguments": [1, 2]}, ["called", [[1, 2]], {}]),
        ({"method": "ask", "arguments": {"a": 1}}, ["asked", [{"a": 1}], {}]),
        ({"method": "ask", "arguments": {"a": 1}, "unpack_arguments": True}, ["asked", [], {"a": 1}]),
        ({"method": "ask", "arguments": [1, 2], "unpack_arguments": True}, ["asked", [1, 2], {}]),
        ({"method": "ask", "unpack_arguments": True}, ["asked", [], {}]),
        ({"method": "_hide"}, "hidden"),
        ({"method": "add", "arguments": [1, 2], "unpack_arguments": True}, 3),
        ({"method": BatonPath("call.method")}, ["asked", [], {}]),
        ({"arguments": BatonPath("call.row"), "unpack_arguments": True}, ["called", [1, 2], {}]),
        ({"arguments": BatonPath("call.tuple"), "unpack_arguments": True}, ["called", [3], {}]),
        ({"arguments": BatonPath("call.names"), "unpack_arguments": True}, ["called", [], {"b": 2}]),
        ({"arguments": [BatonPath("call.method"), "x"], "unpack_arguments": True}, ["called", ["ask", "x"], {}]),
    ],
)
def test_a_resource_is_called(service: Any, options: dict[str, Any], result: Any) -> None:
    """With nothing, one argument, or a list or mapping of them; each from the configuration or from the baton."""
    call = {"method": "ask", "row": [1, 2], "tuple": (3,), "names": {"b": 2}}
    assert ran(service(output_path="out", **options), {"call": call})["out"] == result


@pytest.mark.parametrize(("path", "after"), [(None, {}), ("a.b", {"a": {"b": 3}}), ("", 3)])
def test_what_a_resource_returns_goes_where_it_is_told_to(service: Any, path: str | None, after: Any) -> None:
    """null discards it, '' makes it the baton."""
    step = service(method="add", arguments={"first": 1, "second": 2}, unpack_arguments=True, output_path=path)
    assert ran(step, {}) == after


def test_what_a_call_does_not_say_is_left_out(site: Main) -> None:
    """Without further options a resource is called with nothing, and what it returns is discarded."""
    running = site("""
        contexts: {users: [Ada]}
        pipelines:
          main: [call-dependency: {dependency: {provider: context.users}, method: clear}]
          look: [fetch-context: {context: users}]
    """)
    assert running.run({"n": 1}) == [{"n": 1}]
    assert running.run({}, "look") == [{"users": []}]


@pytest.mark.parametrize("method", ["_hide", "__class__", 5, None])
def test_a_baton_cannot_call_what_is_private(service: Any, method: Any) -> None:
    """A method's name that comes with a baton must be one that others may call; the error names its path."""
    with pytest.raises(ValueError, match="what lies at 'm' is no name of a method: "):
        ran(service(method=BatonPath("m")), {"m": method})


@pytest.mark.parametrize("options", [{"method": BatonPath("a.b")}, {"arguments": [BatonPath("a.b")]}])
def test_a_call_needs_what_it_takes_from_the_baton(service: Any, options: dict[str, Any]) -> None:
    """What the baton lacks is told by its path, and nothing is called."""
    with pytest.raises(LookupError, match="the baton has nothing at 'a\\.b'"):
        ran(service(**options), {"a": {}})


def test_only_what_has_items_is_unpacked(service: Any) -> None:
    """A text or number is no list of arguments; the error shows it."""
    with pytest.raises(TypeError, match="only a list or a mapping can be unpacked as arguments, not 'Ada'"):
        ran(service(arguments="Ada", unpack_arguments=True), {})


def test_each_call_of_a_resource_gets_its_own_arguments(environment: RuntimeEnvironment) -> None:
    """What a resource does to its argument does not reach the next call."""
    Offer(environment, "a.function", lambda given: given.append(1) or given)
    step = configured(CallDependency(ResourcePath("a.function"), arguments=[], output_path=""), environment)
    assert [ran(step, {}), ran(step, {})] == [[1], [1]]


def test_a_call_waits_for_the_resource_and_for_its_answer(environment: RuntimeEnvironment) -> None:
    """The baton goes on when both have come; a cancelled one waits for nothing any more."""
    offer = Offer(environment, "a.service")
    answer: Deferred[int] = Deferred()
    options: dict[str, Any] = {"method": "later", "arguments": BatonPath("answer"), "output_path": ""}
    step = configured(CallDependency(ResourcePath("a.service"), **options), environment)
    waiting = Deferred.fromCoroutine(step.process({"answer": answer}))
    offer.deliver(Service())
    assert not waiting.called
    answer.callback(7)
    assert result_of(waiting) == 7
    abandoned: Deferred[int] = Deferred()
    waiting = Deferred.fromCoroutine(step.process({"answer": abandoned}))
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    assert abandoned.called


@pytest.mark.parametrize(
    ("options", "fired_with"),
    [
        ({}, 5),
        ({"result": None}, None),
        ({"result": [1]}, [1]),
        ({"result_path": "gone"}, None),
        ({"result_path": "a.b"}, 6),
    ],
)
def test_a_deferred_is_fired(options: dict[str, Any], fired_with: Any) -> None:
    """With the configured result, else with what the baton has."""
    deferred: Deferred[Any] = Deferred()
    assert callback_deferred({"deferred": deferred, "result": 5, "a": {"b": 6}}, **options) is None
    assert result_of(deferred) == fired_with


def test_a_deferred_gets_a_result_of_its_own() -> None:
    """What is done to a result does not reach whoever waits for the next one."""
    written: list[int] = []
    deferred: Deferred[Any] = Deferred()
    callback_deferred({"d": deferred}, deferred_path="d", result=written)
    assert result_of(deferred) is not written


def test_a_failure_makes_the_deferred_fail() -> None:
    """What an error consumer has trapped can be handed on."""
    deferred: Deferred[Any] = Deferred()
    callback_deferred({"deferred": deferred, "failure": Failure(KeyError("a"))}, result_path="failure")
    with pytest.raises(KeyError):
        result_of(deferred)


@pytest.mark.parametrize(
    ("baton", "there"),
    [({}, "nothing"), ({"a": {}}, "nothing"), ({"a": {"d": None}}, "None"), ({"a": {"d": "x"}}, "'x'")],
)
def test_what_is_no_deferred_is_told(baton: Any, there: str) -> None:
    """The error names the path, and what lies there instead."""
    with pytest.raises(TypeError, match=rf"there is no Deferred at 'a\.d' to be fired, but {there}$"):
        callback_deferred(baton, deferred_path="a.d")


def test_a_deferred_fires_once() -> None:
    """The error of a second time names the path, and what the Deferred holds."""
    deferred: Deferred[Any] = Deferred()
    callback_deferred({"d": deferred}, deferred_path="d", result="first")
    with pytest.raises(AlreadyCalledError, match="the Deferred at 'd' has fired already; it holds 'first'"):
        callback_deferred({"d": deferred}, deferred_path="d", result="second")
    assert result_of(deferred) == "first"


def test_a_cancelled_deferred_may_be_fired() -> None:
    """Whoever gave up waiting is no reason for a pipeline to fail."""
    deferred: Deferred[Any] = Deferred()
    deferred.cancel()
    callback_deferred({"deferred": deferred})
    with pytest.raises(CancelledError):
        result_of(deferred)


def test_somebody_waits_for_a_pipeline(main: Main) -> None:
    """A whole pipeline can answer whoever put a Deferred in its baton."""
    deferred: Deferred[Any] = Deferred()
    site = main("- eval-lambda: {input_path: n, output_path: result, lambda: 'n: n + 1'}\n- callback-deferred")
    site.run({"n": 1, "deferred": deferred})
    assert result_of(deferred) == 2
