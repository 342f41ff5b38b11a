"""Evaluator: statements as at Python's prompt, what they print, and how they end."""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import threading
import traceback
import warnings
from contextlib import redirect_stdout
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from piped.runtime.evaluating import REMEMBERED, Evaluation, Evaluator


class Prompt:
    """An evaluator and what it has written."""

    def __init__(self, **names: Any) -> None:
        self.evaluator = Evaluator(names)
        self.output = io.StringIO()

    def begin(self, source: str) -> Evaluation:
        return self.evaluator.evaluate(source, self.output.write)

    def told(self, source: str) -> str:
        """What stands on a screen after a source that waits for nothing."""
        evaluation = self.begin(source)
        assert evaluation.done()
        told = self.output.getvalue() + evaluation.report
        self.output = io.StringIO()
        return told


def test_expressions_are_shown_and_remembered() -> None:
    """The value of an expression is shown unless it is None, and is `_` afterwards."""
    prompt = Prompt(a=20)
    assert prompt.told("a + 1; None; b = 7; 'text'") == "21\n'text'\n"
    assert prompt.told("_ * 2") == "'texttext'\n"
    assert prompt.told("None") == ""
    assert prompt.evaluator.namespace["b"] == 7


def test_functions_see_what_is_defined_after_them() -> None:
    """The namespace is one module, however many sources write in it."""
    prompt = Prompt()
    prompt.told("def twice():\n    return 2 * later")
    prompt.told("later = 4")
    assert prompt.told("twice(), [later for _each in range(2)]") == "(8, [4, 4])\n"


def test_a_local_name_of_a_frame_hides_a_global_one() -> None:
    """What a person sees in a frame is what the code there sees, in comprehensions and functions too."""
    outer = {"name": "global", "other": "outer"}
    evaluator = Evaluator.in_frame({"name": "local"}, outer)
    output = io.StringIO()
    evaluator.evaluate("name, other; [name for _each in '1']; (lambda: name)(); name = 'new'; name", output.write)
    assert output.getvalue() == "('local', 'outer')\n['local']\n'local'\n'new'\n"
    assert outer == {"name": "global", "other": "outer"}


def test_a_traceback_shows_what_was_typed() -> None:
    """Also the lines of functions that were typed before; and nothing of how they came to be called."""
    prompt = Prompt()
    prompt.told("def divide(n):\n    return n / 0")
    told = prompt.told("divide(3)")
    assert told.startswith('Traceback (most recent call last):\n  File "<prompt 2>", line 1, in <module>\n')
    assert "    divide(3)\n" in told
    assert "    return n / 0\n" in told
    assert told.endswith("ZeroDivisionError: division by zero\n")
    assert "evaluating" not in told


def test_nobody_else_sees_what_was_typed() -> None:
    """A log that formats the same error knows no line of it."""
    evaluation = Prompt().begin("1 / 0  # a secret")
    error = evaluation.result()
    assert "secret" in evaluation.report
    assert error is not None
    assert "secret" not in "".join(traceback.format_exception(error))


def test_what_is_no_python_runs_not_even_in_part() -> None:
    """The mistake is told with its place alone, before the first statement has done anything."""
    prompt = Prompt(done=[])
    told = prompt.told("done.append(1)\na b")
    assert told == '  File "<prompt 1>", line 2\n    a b\n      ^\nSyntaxError: invalid syntax\n'
    assert "'return' outside function" in prompt.told("done.append(1); return 3")
    assert "null bytes" in prompt.told("\0")
    assert prompt.evaluator.namespace["done"] == []


def test_an_error_of_python_that_the_code_raises_keeps_its_traceback() -> None:
    """Only what is typed wrong is told without one."""
    assert "<prompt 1>" in Prompt().told("compile('a b', 'file', 'eval')")


def test_warnings_of_the_compiler_are_shown_and_go_nowhere_else() -> None:
    """Python would tell them with the line that was typed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert Prompt().told("1 is 1").startswith("SyntaxWarning: ")
    assert caught == []


def test_a_deferred_can_be_awaited() -> None:
    """What follows runs when it has fired; what it failed with is raised there."""
    prompt = Prompt(first=Deferred(), second=Deferred())
    evaluation = prompt.begin(
        "await first\nprint('then')\ntry:\n    await second\nexcept KeyError:\n    print('caught')"
    )
    prompt.evaluator.namespace["first"].callback(3)
    assert prompt.output.getvalue() == "3\nthen\n"
    prompt.evaluator.namespace["second"].errback(KeyError("x"))
    assert evaluation.done()
    assert prompt.output.getvalue() == "3\nthen\ncaught\n"


def test_asyncio_can_be_awaited() -> None:
    """Coroutines, futures, `async for` and asyncio's timeouts work beside Deferreds."""

    async def main() -> str:
        prompt = Prompt(asyncio=asyncio, succeed=succeed)
        await prompt.begin(
            "async def count():\n    for n in range(3):\n        await asyncio.sleep(0)\n        yield n\n"
            "async for each in count(): print(each)\n"
            "await asyncio.wait_for(asyncio.sleep(0, 'slept'), 5)\n"
            "[await succeed(n) for n in range(2)]\n"
            "try:\n    async with asyncio.timeout(0.001):\n        await asyncio.Future()\n"
            "except TimeoutError: print('late')\n"
        )
        return prompt.output.getvalue()

    assert asyncio.run(main()) == "0\n1\n2\n'slept'\n[0, 1]\nlate\n"


def test_what_is_awaited_can_be_cancelled() -> None:
    """To stop an evaluation cancels what it waits for; the rest does not run."""
    prompt = Prompt(waiting=Deferred())
    evaluation = prompt.begin("await waiting\nprint('then')")
    evaluation.stop()
    assert evaluation.done()
    assert evaluation.report == "cancelled\n"
    assert prompt.output.getvalue() == ""


def test_what_the_code_raises_is_the_result() -> None:
    """Also what asks for the end of the program: whoever waits decides, and nothing is logged of it."""
    with capturedLogs() as logged:
        assert isinstance(Prompt().begin("raise SystemExit(3)").result(), SystemExit)
        assert isinstance(Prompt().begin("raise KeyboardInterrupt").result(), KeyboardInterrupt)
        assert isinstance(Prompt().begin("1 / 0").result(), ZeroDivisionError)
        Prompt().begin("1 / 0")
        gc.collect()
    assert logged == []


def test_a_value_that_cannot_be_shown_is_an_error() -> None:
    """The traceback says whose __repr__ it was."""
    prompt = Prompt()
    prompt.told("class Odd:\n    def __repr__(self):\n        return 1 / 0")
    assert "in __repr__" in prompt.told("Odd()")


def test_it_says_whether_its_own_code_is_running() -> None:
    """A signal can interrupt only what is on the stack; what waits has to be stopped."""
    busy = []
    prompt = Prompt(waiting=Deferred(), note=lambda: busy.append(prompt.evaluator.latest.is_busy))  # type: ignore[union-attr]
    evaluation = prompt.begin("note()\nawait waiting\nnote()")
    busy.append(evaluation.is_busy)
    prompt.evaluator.namespace["waiting"].callback(None)
    busy.append(evaluation.is_busy)
    assert busy == [True, False, True, False]


# What is printed:


def test_what_others_print_meanwhile_is_not_caught() -> None:
    """Only what the statements cause belongs to them, not what the process or its threads print at that time."""
    screen = io.StringIO()
    with redirect_stdout(screen):
        thread = threading.Thread(target=print, args=("a thread",))
        prompt = Prompt(waiting=Deferred(), run=lambda: (thread.start(), thread.join()))
        evaluation = prompt.begin("print('begun')\nrun()\nawait waiting\nprint('ended')")
        print("the process")
        prompt.evaluator.namespace["waiting"].callback(None)
        print("later")
    assert evaluation.done()
    assert prompt.output.getvalue() == "begun\n(None, None)\nended\n"
    assert screen.getvalue() == "a thread\nthe process\nlater\n"


def test_what_a_statement_has_left_behind_prints_where_everybody_prints() -> None:
    """Nobody reads what is caught once the evaluation has ended, so it is not lost there."""
    screen = io.StringIO()

    async def main(prompt: Prompt) -> None:
        await prompt.begin("task = asyncio.ensure_future(say())")
        await prompt.evaluator.namespace["task"]

    async def say() -> None:
        print("late")

    prompt = Prompt(asyncio=asyncio, say=say)
    with redirect_stdout(screen):
        asyncio.run(main(prompt))
    assert (prompt.output.getvalue(), screen.getvalue()) == ("", "late\n")


def test_what_is_caught_may_be_printed() -> None:
    """Whoever gets the output can pass it on to the standard output, where everybody prints."""
    screen = io.StringIO()
    with redirect_stdout(screen):
        Evaluator({}).evaluate("print('one', end='')\n'two'", lambda text: print(f"<{text}>", end=""))
    assert screen.getvalue() == "<one><><'two'\n>"


def test_the_stream_that_is_put_in_front_is_the_stream() -> None:
    """Code that asks for the encoding or the descriptor of the standard output gets what it got before."""

    class Screen(io.StringIO):
        encoding = "koi8-r"  # type: ignore[assignment]

        def isatty(self) -> bool:
            return True

    with redirect_stdout(Screen()) as screen:
        prompt = Prompt(sys=sys)
        assert prompt.told("sys.stdout.isatty()") == "False\n"  # or help() would wait for a pager
        assert prompt.told("sys.stdout.writelines(['a', 'b'])") == "ab"
        assert (sys.stdout.isatty(), sys.stdout.encoding) == (True, "koi8-r")
        sys.stdout.writelines(["c", "d"])
    assert screen.getvalue() == "cd"


@given(st.lists(st.integers(0, 2), max_size=12))
def test_evaluations_that_wait_side_by_side_catch_their_own_output(turns: list[int]) -> None:
    """In whatever order they go on, each one's output is its own."""
    prompts = [Prompt(doors=[], Deferred=Deferred, me=number) for number in range(3)]
    screen = io.StringIO()
    with redirect_stdout(screen):
        for prompt in prompts:
            prompt.begin("while True:\n    doors.append(Deferred())\n    await doors[-1]\n    print(me)")
        for number in turns:
            prompts[number].evaluator.namespace["doors"][-1].callback(None)
    assert screen.getvalue() == ""
    assert [prompt.output.getvalue() for prompt in prompts] == [f"{n}\n" * turns.count(n) for n in range(3)]


def test_the_memory_of_sources_is_bounded() -> None:
    """A prompt that is open for years remembers the latest lines only."""
    prompt = Prompt()
    prompt.told("def first(): 1 / 0")
    assert "def first()" in prompt.told("first()")
    for _ in range(REMEMBERED):
        prompt.told("0")
    assert "def first()" not in prompt.told("first()")


@pytest.mark.parametrize("source", ["", "# nothing", "\n\n"])
def test_nothing_is_evaluated_to_nothing(source: str) -> None:
    """An empty source is none of a mistake."""
    assert Prompt().told(source) == ""
