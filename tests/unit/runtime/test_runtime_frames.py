"""KeptError: what a failure has left on the stack, to be looked at and evaluated in."""

from __future__ import annotations

import gc
import linecache
import tracemalloc
import weakref
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from piped.ground.code import Lambda
from piped.ground.errors import Mark
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.runtime.frames import LONGEST_VALUE, MOST_FRAMES, MOST_LINKS, MOST_VARIABLES, Frame, KeptError, shown
from piped.runtime.running import Pipeline

somewhere = "global"


class Thing:
    """Something that a frame refers to."""


def divide(number: int, things: Any = None) -> float:
    somewhere = "local"
    return number / 0 if somewhere else number  # the line that fails


def kept(call: Callable[[], Any]) -> KeptError:
    """What a call has failed with; without the frame of this function."""
    try:
        call()
    except Exception as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        return KeptError(error)
    raise AssertionError("it did not fail")


def told(frame: Frame, source: str) -> str:
    """What is shown of statements that wait for nothing."""
    parts: list[str] = []
    evaluation = frame.evaluate(source, parts.append)
    assert evaluation.done()
    return "".join(parts) + evaluation.report


def step(process: Callable[[Any], Any]) -> Processor:
    made = Processor()
    made.id, made.where = "failing", Mark("site.yml", 7, 9)
    made.process = process  # type: ignore[method-assign]  # a step that is a function
    return made


def test_frames_are_there_from_the_outermost_to_the_innermost() -> None:
    """Each knows its function, file and line; -1 is where it was raised."""
    error = kept(lambda: divide(3))
    assert [frame.function.rpartition(".")[2] for frame in error.links[0].frames] == ["<lambda>", "divide"]
    assert error.frame(-1) is error.frame(1)
    assert error.frame(-1).file == __file__
    assert "the line that fails" in dict(error.frame(-1).source())[error.frame(-1).line]
    with pytest.raises(IndexError):
        error.frame(2)


def test_the_part_of_the_line_that_failed_is_known() -> None:
    """Also behind signs that are more than one byte."""
    frame = kept(lambda: divide(3)).frame(-1)
    line = dict(frame.source())[frame.line]
    begin, end = frame.failing(line)
    assert line[begin:end] == "number / 0"

    def accented() -> Any:
        é = "é"
        return "éé" and é + None  # type: ignore[operator]  # it is to fail

    frame = kept(accented).frame(-1)
    line = dict(frame.source())[frame.line]
    begin, end = frame.failing(line)
    assert line[begin:end] == "é + None"


def test_an_expression_over_several_lines_is_marked_in_its_first() -> None:
    """From where it begins to the end of that line."""

    def spread() -> Any:
        return divide(  # over several lines
            3
        )

    frame = kept(spread).frame(-2)
    line = dict(frame.source())[frame.line]
    begin, end = frame.failing(line)
    assert line[begin:end] == "divide(  # over several lines"


def test_code_of_a_configuration_shows_the_configuration(tmp_path: Path) -> None:
    """A lambda in YAML has its line, with the part that failed, and the lines around it."""
    file = tmp_path / "site.yml"
    file.write_text("as it was before somebody changed it\n")
    linecache.getlines(str(file))
    step = "    - eval-lambda: {lambda: baton: baton[1]}"
    file.write_text(f"pipelines:\n  it:\n{step}\n")
    function = Lambda("baton: baton[1]", Mark(str(file), 3, 1 + step.index("baton"))).bind({})
    frame = kept(lambda: function({})).frame(-1)
    source = dict(frame.source())
    assert (frame.line, source[1]) == (3, "pipelines:")
    begin, end = frame.failing(source[3])
    assert source[3][begin:end] == "baton[1]"


def test_what_nobody_knows_the_source_of_has_none() -> None:
    """Code that was made from a text shows no lines, and does not fail."""
    frame = kept(lambda: exec(compile("1 / 0", "<nowhere>", "exec"))).frame(-1)
    assert (frame.source(), frame.failing("")) == ([], (0, 0))


def test_variables_are_shown_briefly() -> None:
    """However many and however large they are, and in their order."""
    things = {"z": [*range(100)], "a": "b" * 100_000, "n": 10**1000}
    variables = dict(kept(lambda: divide(3, things)).frame(-1).variables())
    assert variables["somewhere"] == "'local'"
    assert variables["things"].startswith("{'z': [0, 1, 2")
    assert len(variables["things"]) <= LONGEST_VALUE + 1

    def many() -> None:
        exec("\n".join(f"v{n} = {n}" for n in range(2000)) + "\n1 / 0", {})

    assert len(kept(many).frame(-1).variables()) == MOST_VARIABLES
    assert shown({n: n for n in range(21)}).endswith("19: 19, ...}")
    assert shown({1: {2: {3: {4: {5: 6}}}}}) == "{1: {2: {3: {4: {...}}}}}"
    assert shown({1: {2: {3: {4: {}}}}}) == "{1: {2: {3: {4: {}}}}}"


def test_of_a_large_value_no_more_is_looked_at_than_is_shown() -> None:
    """A page is made at once though a variable is huge: nothing of it is copied, and few members are asked."""
    asked: list[int] = []

    class Told:
        def __repr__(self) -> str:
            asked.append(1)
            return "told" * 10

    members = [Told() for _ in range(1000)]
    for large in (
        defaultdict(list, enumerate(members)),
        OrderedDict.fromkeys(members),
        Counter(members),
        type("Rows", (list,), {})(members),
        [[[members] * 20] * 20] * 20,
    ):
        asked.clear()
        assert len(shown(large)) <= LONGEST_VALUE + 1
        assert 0 < len(asked) < 200
    for data in (b"x" * 10_000_000, bytearray(10_000_000)):
        tracemalloc.start()
        text = shown({"data": data})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert text.startswith(f"{{'data': {data[:9]!r}"[:-2].rstrip("'"))
        assert peak < 1_000_000
    assert shown(defaultdict(list, {1: [2]})) == "defaultdict(<class 'list'>, {1: [2]})"


def test_a_value_that_cannot_be_shown_hides_no_other() -> None:
    """A repr that fails, or that lies about what it is, is told as such."""

    class Odd:
        def __repr__(self) -> str:
            raise ValueError("not today")

    odd_list = type("list", (), {})()
    variables = dict(kept(lambda: divide(3, Odd())).frame(-1).variables())
    assert variables["number"] == "3"
    assert "Odd" in variables["things"]
    assert "ValueError" in variables["things"] or "instance at" in variables["things"]
    assert shown(odd_list).startswith("<list")


def test_statements_see_what_the_frame_sees() -> None:
    """A local name hides a global one; objects are the very ones, and new names last as long as the frame."""
    things = [Thing()]
    frame = kept(lambda: divide(3, things)).frame(-1)
    assert told(frame, "number, somewhere, Thing.__name__") == "(3, 'local', 'Thing')\n"
    assert told(frame, "twice = 2 * number\nthings.append(twice)") == ""
    assert told(frame, "twice") == "6\n"
    assert things[1:] == [6]
    assert somewhere == "global"
    assert "NameError" in told(frame, "nothing_of_that_name")


def test_each_frame_has_names_of_its_own() -> None:
    """What is defined in one frame is not there in another."""
    error = kept(lambda: divide(3))
    told(error.frame(1), "mine = 1")
    assert "NameError" in told(error.frame(0), "mine")


def test_errors_that_led_to_each_other_are_all_there() -> None:
    """The cause comes first, as in a traceback, and frames are counted through."""

    def twice() -> None:
        try:
            divide(3)
        except ZeroDivisionError as error:
            raise ValueError("cannot share") from error

    error = kept(twice)
    assert [(link.headline, link.led_by) for link in error.links] == [
        ("ZeroDivisionError: division by zero", ""),
        ("ValueError: cannot share", "which was the direct cause of"),
    ]
    assert error.headline == "ValueError: cannot share"
    assert error.frame(-1).function.endswith("twice")
    assert error.frame(1).function == "divide"


def test_an_error_while_another_was_handled_is_told_so_unless_it_was_suppressed() -> None:
    """As Python does it: `raise … from None` shows nothing of what was before."""

    def handling(suppress: bool) -> None:
        try:
            divide(3)
        except ZeroDivisionError:
            if suppress:
                raise KeyError("b") from None
            raise KeyError("a")  # noqa: B904 - a context without a cause is what this is about

    assert [link.led_by for link in kept(lambda: handling(False)).links] == ["", "and while that was handled"]
    assert len(kept(lambda: handling(True)).links) == 1


def test_endless_chains_and_recursions_are_bounded() -> None:
    """A failure keeps the ends of what is too long, and says how much is missing; errors in a circle end."""

    def deep(n: int) -> float:
        return deep(n - 1) if n else divide(1)

    link = kept(lambda: deep(200)).links[0]
    assert (len(link.frames), link.left_out) == (MOST_FRAMES, 203 - MOST_FRAMES)
    assert (link.frames[0].function.rpartition(".")[2], link.frames[-1].function) == ("<lambda>", "divide")
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert len(KeptError(first).links) == 2
    chained: BaseException = ValueError()
    for _ in range(100):
        latest = ValueError()
        latest.__cause__, chained = chained, latest
    assert len(KeptError(chained).links) == MOST_LINKS


def test_an_error_that_cannot_tell_its_text_is_kept() -> None:
    """Neither a failing __str__ nor notes that are no texts hinder anybody from looking."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("nothing to say")

    error = Mute()
    error.__notes__ = ["in pipeline it, step one", 3]  # type: ignore[list-item]  # that is the point
    mute = KeptError(error)
    assert mute.headline.endswith("Mute: its text cannot be told: ValueError"), mute.headline
    assert mute.notes == ["in pipeline it, step one"]
    assert "Mute" in mute.traceback


def test_code_of_the_engine_is_told_from_a_users() -> None:
    """Piped's and Twisted's own frames are known as such, a bundle's are not."""

    def process(baton: Any) -> Any:
        return divide(3)

    frames = kept(lambda: Pipeline(Graph("it", [step(process)])).run({})).links[0].frames
    assert [frame.is_engine for frame in frames[-2:]] == [False, False]
    assert all(frame.is_engine for frame in frames[1:-2])


def test_the_baton_is_that_of_the_step_that_failed() -> None:
    """What the step was given, however deep it lies; without any, what the caller knows."""

    inner = Pipeline(Graph("inner", [step(lambda given: divide(given["n"]))]))
    outer = Pipeline(Graph("outer", [step(lambda given: inner.run({"n": given["n"] + 1}))]))
    error = kept(lambda: outer.run({"n": 1}))
    assert error.baton("other") == {"n": 2}
    place = "step failing (site.yml:7:9)"
    assert error.notes == [f"in pipeline inner, {place}", f"in pipeline outer, {place}"]
    assert kept(lambda: divide(3)).baton("other") == "other"


@pytest.mark.parametrize("kind", ["coroutine", "generator", "callback"])
def test_frames_live_on_when_a_step_has_waited(kind: str) -> None:
    """A step that fails after a wait has its variables too, in whichever way it waits."""
    waiting: Deferred[int] = Deferred()

    async def coroutine(baton: Any) -> Any:
        mine = await waiting
        return mine / 0

    @inlineCallbacks
    def generator(baton: Any) -> Any:
        mine = yield waiting
        return mine / 0

    def fail(mine: int) -> float:
        return mine / 0

    processes: dict[str, Callable[[Any], Any]] = {
        "coroutine": coroutine,
        "generator": generator,
        "callback": lambda baton: waiting.addCallback(fail),
    }
    outcome: list[Any] = []
    Pipeline(Graph("it", [step(processes[kind])]))({"n": 1}).addErrback(outcome.append)
    waiting.callback(7)
    [failure] = outcome
    assert isinstance(failure, Failure)
    assert failure.value is not None
    assert told(KeptError(failure.value).frame(-1), "mine") == "7\n"


def test_an_error_that_was_never_raised_has_no_frames() -> None:
    """There is nothing to look into, and nothing fails."""
    error = KeptError(ValueError("made by hand"))
    assert (error.links[0].frames, error.headline) == ([], "ValueError: made by hand")


def test_what_frames_refer_to_is_let_go_with_them() -> None:
    """Objects live as long as the failure is kept, and no longer, evaluated in or not."""
    thing: Thing | None = Thing()
    watched = weakref.ref(thing)  # type: ignore[arg-type]  # it is no None yet
    held = [thing]
    error: KeptError | None = kept(lambda: divide(3, held.pop()))
    thing = None
    gc.collect()
    assert watched() is not None
    assert error is not None
    assert told(error.frame(-1), "things").startswith("<")
    error = None
    gc.collect()
    assert watched() is None
