"""Lambdas and blocks of Python inside configurations: how they become functions, and where their mistakes are told."""

import inspect
import traceback

import pytest
from twisted.internet.defer import Deferred

from piped.ground.code import Code, Lambda
from piped.ground.errors import Mark

WHERE = Mark("site.yml", 14, 11)
STEP = "self, input, baton"


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        (Lambda, "x: x y", (14, 14)),
        (Lambda, "request.path", (14, 18)),
        (Lambda, "x: x +", (14, 17)),
        (Lambda, "x: (\n x y)", (15, 11)),
        (Code, "x = 1\nx y", (15, 13)),
        (Code, "return 1 +", (14, 21)),
        (Code, "    x = 1\n    if x y:\n        pass", (15, 20)),
        (Code, "global input", (14, 11)),
    ],
)
def test_a_syntax_error_has_its_line_and_column_in_the_configuration(kind, text, place):
    """An editor that jumps to the place of a syntax error lands on it."""
    with pytest.raises(SyntaxError) as caught:
        kind(text, WHERE).compile(*[STEP] * (kind is Code))
    assert (caught.value.filename, caught.value.lineno, caught.value.offset) == ("site.yml", *place)


@pytest.mark.parametrize("text", ["x: [one / 0 for one in x]", "x:\n [one / 0 for one in x]"])
def test_a_failing_lambda_shows_the_columns_of_the_configuration(text):
    """A traceback marks the failing part of the very line, also inside a comprehension."""
    with pytest.raises(ZeroDivisionError) as caught:
        Lambda(text, WHERE).bind({})([1])
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    row = text.count("\n")
    first = text.split("\n")[row].index("one / 0")
    assert (last.lineno, last.colno) == (14 + row, first + (10 if row == 0 else 0))


def test_a_failing_block_shows_its_line_and_columns():
    """A traceback marks the failing part of the line in the configuration."""
    with pytest.raises(TypeError) as caught:
        Code("if input:\n    return input + None\n", WHERE).bind(STEP, {})(None, 1, {})
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.colno, last.end_colno) == ("site.yml", 15, 21, 33)


@pytest.mark.parametrize(
    "text",
    [
        "x = input\nreturn x * 2",
        "x = input\n    y = x * 2\n    return y",
        "    x = input\n    return x * 2",
        "if input:\n    return input * 2",
        "\tx = input\n\treturn x * 2",
        "x = input\n\n\n    return x * 2\n",
        "text = '''\n'''\nreturn input * 2 if text == '\\n' else None",
    ],
)
def test_a_block_may_be_indented_as_a_docstring_is(text):
    """Common indentation means nothing, with or without the first line; tabs count to the next eighth column."""
    assert Code(text).bind(STEP, {})(None, 21, {}) == 42


def test_a_block_without_statements_gives_none():
    """A comment alone is a block that does nothing."""
    assert Code("# later").bind(STEP, {})(None, 1, {}) is None


def test_a_block_sees_a_copy_of_its_namespace():
    """What a block makes global stays with that function."""
    namespace = {"step": 2}
    function = Code("global count\ncount = globals().get('count', 0) + step\nreturn count").bind(STEP, namespace)
    assert [function(None, 1, {}), function(None, 1, {})] == [2, 4]
    assert namespace == {"step": 2}


@pytest.mark.parametrize("text", ["return await input", "async with input:\n  pass", "return [x async for x in input]"])
def test_a_block_that_awaits_is_a_coroutine_function(text):
    """`await` may be written without ceremony."""
    assert inspect.iscoroutinefunction(Code(text).bind(STEP, {}))


def test_an_await_in_an_inner_function_leaves_the_block_as_it_is():
    """Only what the block itself awaits makes it a coroutine function."""
    function = Code("async def later():\n    await input\nreturn later").bind(STEP, {})
    assert inspect.iscoroutinefunction(function(None, 1, {}))


def test_inline_callbacks_wait_for_what_is_yielded():
    """With inline_callbacks a block yields Deferreds and gets their results."""
    waiting: Deferred[int] = Deferred()
    results: list[int] = []
    function = Code("value = yield input\nreturn value + 1").bind(STEP, {}, inline_callbacks=True)
    function(None, waiting, {}).addCallback(results.append)
    assert results == []
    waiting.callback(1)
    assert results == [2]


def test_inline_callbacks_do_not_need_a_yield():
    """A block that happens to wait for nothing gives its result at once."""
    assert Code("return input").bind(STEP, {}, inline_callbacks=True)(None, 3, {}) == 3
