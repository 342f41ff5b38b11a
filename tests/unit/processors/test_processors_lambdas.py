"""Tests of the steps that run Python written in the configuration."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from piped.ground.code import Code, Lambda
from piped.ground.errors import ConfigurationError
from piped.processors.lambdas import EvalLambda, ExecCode
from piped.runtime.environment import RuntimeEnvironment

Main = Callable[[str], Any]


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ("lambda: 'n: n + 1'", 1, 2),
        ("lambda: 'n: n + 1', input_path: n", {"n": 1}, {"n": 2}),
        ("lambda: 'n: n + 1', input_path: n, output_path: m", {"n": 1}, {"n": 1, "m": 2}),
        ("lambda: 'n: n.append(1)', input_path: n, output_path: null", {"n": []}, {"n": [1]}),
        ("lambda: 'n: gone', input_path: gone", {"n": 1}, {"n": 1}),
        ("lambda: 'n: sqrt(n) + two', namespace: {sqrt: math.sqrt, two: 2}", 9, 5.0),
        ("lambda: 'n: self.pipeline_name'", 1, "main"),
        ("lambda: 'n: None'", 1, None),
    ],
)
def test_a_lambda_makes_the_output(main: Main, options: str, before: Any, after: Any) -> None:
    """The result stands where the input was, or where the options say."""
    assert main(f"- eval-lambda: {{{options}}}").run(before) == [after]


def test_a_lambda_may_give_a_deferred(main: Main) -> None:
    """What comes later is waited for."""
    site = main("- eval-lambda: {lambda: 'd: d', input_path: later, output_path: now}")
    later: Deferred[int] = Deferred()
    running = site.start({"later": later})
    assert not running.called
    later.callback(5)
    assert running.result[0]["now"] == 5


def test_a_traceback_shows_where_the_lambda_is_written(main: Main) -> None:
    """A failure in a lambda points into the configuration."""
    site = main("- passthrough\n- eval-lambda:\n    lambda: 'n: n[5]'")
    with pytest.raises(KeyError) as raised:
        site.run({})
    assert any(
        frame.filename.endswith("site.yml") and frame.lineno == 5
        for frame in traceback.extract_tb(raised.value.__traceback__)
    )


@pytest.mark.parametrize("name", ["consumer", "self", "dependencies"])
def test_a_dependency_may_have_any_name(site: Main, name: str) -> None:
    """No name is taken already."""
    running = site(f"""
        contexts: {{users: [Ada]}}
        pipelines:
          main:
            - eval-lambda:
                lambda: "_: self.dependencies['{name}']"
                dependencies: {{{name}: context.users}}
    """)
    assert running.run({}) == [["Ada"]]


def test_a_lambda_finds_its_dependencies(site: Main) -> None:
    """`self.dependencies` has the resources that the step names."""
    running = site("""
        contexts: {users: [Ada]}
        pipelines:
          main:
            - eval-lambda:
                lambda: "baton: self.dependencies.known"
                dependencies: {known: {provider: context.users}}
    """)
    assert running.run({}) == [["Ada"]]


def test_what_is_no_lambda_is_told_with_its_place(main: Main) -> None:
    """A mistake in a lambda is found before anything runs."""
    with pytest.raises(ConfigurationError) as raised:
        main("- eval-lambda: {lambda: 'n: n +'}")
    [problem] = raised.value.problems
    assert problem.where.line == 3


def test_a_lambda_made_in_python_is_checked_too(environment: RuntimeEnvironment) -> None:
    """A step that is made in Python tells of its mistakes when it is configured."""
    with pytest.raises(ConfigurationError, match="the lambda of eval-lambda is no Python"):
        EvalLambda(lambda_=Lambda("n: n +")).configure(environment)


def test_there_has_to_be_a_lambda(main: Main) -> None:
    """eval-lambda without a lambda is a mistake."""
    with pytest.raises(ConfigurationError, match="lambda"):
        main("- eval-lambda: {input_path: a}")


def test_a_wrong_namespace_is_told_at_the_start(main: Main) -> None:
    """A name that cannot be imported is told at its place while the configuration is checked."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:\d+:\d+: the namespace: cannot .* 'math\.sqirt'"):
        main("- eval-lambda: {lambda: 'n: n', namespace: {sqrt: math.sqirt}}")


def code(environment: RuntimeEnvironment, text: str, **options: Any) -> ExecCode:
    step = ExecCode(Code(text), **options)
    step.configure(environment)
    return step


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("return input + 1", 6),
        ("pass", None),
        ("return self.name", "exec-code"),
        ("return baton is input", True),
        ("\n    total = 0\n    for n in range(input):\n        total += n\n    return total", 10),
        ("total = input\n    if total:\n        total = 7\n    return total", 7),
        ("if input:\n\treturn 1\nreturn 0", 1),
        ("def double(n):\n    return 2 * n\nreturn double(input)", 10),
        ("return exceptions.ValueError is ValueError and collections.OrderedDict.__name__", "OrderedDict"),
        ("return [m.__name__ for m in (copy, logging, pdb, pprint, sys, tempfile)][0]", "copy"),
        ("return defer.succeed(8)", 8),
        ("return failure.Failure.__name__, reflect.qual(dict), service.Service.__name__, logger.name[:5]",
         ("Failure", "builtins.dict", "Service", "piped")),
    ],
)  # fmt: skip
def test_code_makes_the_output(environment: RuntimeEnvironment, text: str, after: Any) -> None:
    """The block is the body of a function; what it returns is the output."""
    step = code(environment, text, input_path="n", output_path="out")
    given = step.process({"n": 5})
    if text.startswith("return defer"):
        given = Deferred.fromCoroutine(given).result
    if text == "return baton is input":
        after = False
    assert given["out"] == after


def test_code_replaces_the_baton(environment: RuntimeEnvironment) -> None:
    """With the default paths the baton is the input, and the output takes its place: None if nothing is returned."""
    assert code(environment, "return [input, baton]").process(1) == [1, 1]
    assert code(environment, "input.append(2)").process([1]) is None
    assert code(environment, "input.append(2)", output_path=None).process([1]) == [1, 2]


def test_code_sees_the_reactor_of_its_environment(environment: RuntimeEnvironment) -> None:
    """`reactor` is the one that the process runs on."""
    assert code(environment, "return reactor").process({}) is environment.reactor


def test_code_sees_its_namespace(environment: RuntimeEnvironment) -> None:
    """Texts are imported, other values are there as they are."""
    step = code(environment, "return floor(n)", namespace={"floor": "math.floor", "n": 2.5})
    assert step.process({}) == 2


def test_code_may_await(main: Main) -> None:
    """`await` waits for a Deferred."""
    site = main("- exec-code:\n    code: |\n      first = await input['later']\n      return first + 1")
    later: Deferred[int] = Deferred()
    running = site.start({"later": later})
    assert not running.called
    later.callback(1)
    assert running.result == [2]


def test_code_may_yield_deferreds(main: Main) -> None:
    """`inline_callbacks` waits for what is yielded, and `defer.returnValue` is not needed."""
    site = main("""
        - exec-code:
            inline_callbacks: true
            code: |
              first = yield input['later']
              second = yield defer.succeed(2)
              return first + second
    """)
    later: Deferred[int] = Deferred()
    running = site.start({"later": later})
    later.callback(1)
    assert running.result == [3]


@pytest.mark.parametrize("inline_callbacks", ["true", "false"])
def test_code_waits_in_one_way(main: Main, inline_callbacks: str) -> None:
    """With both `await` and `yield` nobody would run it: that is a mistake, with its place."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:3:7: .* awaits and yields – wait"):
        main(f"- exec-code: {{inline_callbacks: {inline_callbacks}, code: 'await input; yield 1'}}")


def test_code_finds_its_dependencies(site: Main) -> None:
    """`self.dependencies` has the resources that the step names."""
    running = site("""
        contexts: {users: [Ada]}
        pipelines:
          main:
            - exec-code:
                code: return self.dependencies.known
                dependencies: {known: {provider: context.users}}
    """)
    assert running.run({}) == [["Ada"]]


@pytest.mark.parametrize("use_file", ["true", "false"])
def test_a_traceback_shows_the_line_of_the_code(main: Main, use_file: str) -> None:
    """A failure in a block points at its line in the configuration."""
    site = main(f"- exec-code:\n    use_file: {use_file}\n    code: |\n      a = 1\n      raise KeyError(a)")
    with pytest.raises(KeyError) as raised:
        site.run({})
    assert any(
        frame.filename.endswith("site.yml") and frame.lineno == 7
        for frame in traceback.extract_tb(raised.value.__traceback__)
    )


def test_what_is_no_code_is_told_with_its_line(main: Main) -> None:
    """A mistake in a block is found before anything runs, at its line."""
    with pytest.raises(ConfigurationError) as raised:
        main("- exec-code:\n    code: |\n      a = 1\n      return a +")
    assert raised.value.problems[0].where.line == 6


@pytest.mark.parametrize("name", ["util", "processing", "base"])
def test_what_is_gone_says_what_took_its_place(environment: RuntimeEnvironment, name: str) -> None:
    """Code of Piped 0.7 that used a module of its insides is told what to use."""
    with pytest.raises(AttributeError, match=rf"{name}.something is not offered any more: import piped; it has"):
        code(environment, f"return {name}.something(1)").process({})


def test_a_failed_deferred_fails_the_call(main: Main) -> None:
    """A Deferred's failure is the failure of the step."""
    site = main("- eval-lambda: {lambda: 'd: d', input_path: d}")
    with pytest.raises(ValueError, match="no"):
        site.run({"d": fail(ValueError("no"))})
    assert site.run({"d": succeed(1)}) == [{"d": 1}]
