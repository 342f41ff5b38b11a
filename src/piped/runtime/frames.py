"""The frames of an error, kept alive: their source, their variables, and a prompt in each of them."""

from __future__ import annotations

import asyncio
import linecache
import os
from collections.abc import Callable, Iterator, Mapping, Sized
from itertools import islice
from pathlib import Path
from reprlib import Repr
from types import TracebackType
from typing import Any

import twisted

from piped.runtime.evaluating import Evaluation, Evaluator
from piped.runtime.logs import traceback_of

#: Lines of source that are shown before the one that has failed, and behind it.
AROUND = 6
#: Frames that are kept of one error, half of them from either end: a recursion without end has a thousand.
MOST_FRAMES = 60
#: Errors that led to each other.
MOST_LINKS = 10
MOST_VARIABLES = 100
#: Pipelines that are named, one in the other.
MOST_NOTES = 20
#: Signs of one variable, of a note, of a headline, and of a traceback as text.
LONGEST_VALUE, LONGEST_NOTE, LONGEST_HEADLINE, LONGEST_TEXT = 1000, 1000, 2000, 100_000
#: Folders with code that users have not written, and rarely want to look into.
_ENGINE = tuple(
    f"{folder}{os.sep}"
    for folder in (Path(__file__).parents[1], Path(twisted.__file__).parent, Path(asyncio.__file__).parent)
)


class _Brief(Repr):
    """A Repr that leaves mappings in their order, and stops looking when it has seen enough. Good for one value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 20
        self.maxstring = self.maxlong = 300
        self.maxother = LONGEST_VALUE
        # What lies at the bottom counts once on each level above it.
        self._room = (self.maxlevel + 1) * LONGEST_VALUE

    def repr1(self, x: Any, level: int) -> str:
        if self._room <= 0:
            return self.fillvalue
        text = self._large(x, level) or super().repr1(x, level)
        self._room -= len(text)
        return text

    def _large(self, x: Any, level: int) -> str:
        """A part of what Repr would leave to the value's own repr, which shows all of it; "" for anything else."""
        if isinstance(x, bytes | bytearray) and len(x) > self.maxstring:
            return f"{x[: self.maxstring]!r}{self.fillvalue}"
        ways: list[tuple[type[Sized], Callable[[Any, int], str]]]
        ways = [(dict, self.repr_dict), (list, self.repr_list), (tuple, self.repr_tuple)]
        for kind, show in ways:
            if isinstance(x, kind) and type(x) is not kind and len(x) > self.maxdict:
                return f"{type(x).__name__}({show(x, level)})"
        return ""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if x and level <= 0:
            return "{...}"
        shown = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)
        ]
        return f"{{{', '.join(shown + ['...'] * (len(x) > self.maxdict))}}}"


def shown(value: Any) -> str:
    """A short repr of anything, also of what cannot be shown.

    Example:
        >>> shown({"n": range(9), "letters": "a" * 1000})[:40]
        "{'n': range(0, 9), 'letters': 'aaaaaaaaa"
    """
    try:
        return cut(_Brief().repr(value), LONGEST_VALUE)
    except Exception as error:  # its own code: one variable that cannot be shown must not hide the others
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def cut(text: str, most: int) -> str:
    """A text of so many signs at most, and a sign that some are missing."""
    return text if len(text) <= most else f"{text[:most]}…"


class Frame:
    """One frame of an error: where it was, and what it can see, for as long as it is kept."""

    def __init__(self, traceback: TracebackType) -> None:
        self._frame, self._instruction = traceback.tb_frame, traceback.tb_lasti
        code = self._frame.f_code
        self.file, self.function, self.line = code.co_filename, code.co_qualname, traceback.tb_lineno
        self._evaluator: Evaluator | None = None

    @property
    def is_engine(self) -> bool:
        """Whether its code is Piped's own, or Twisted's or asyncio's, rather than a user's."""
        return self.file.startswith(_ENGINE)

    @property
    def local(self) -> Mapping[str, Any]:
        """Its variables."""
        return self._frame.f_locals

    def source(self) -> list[tuple[int, str]]:
        """The lines around the one that has failed, with their numbers; none where nobody knows them."""
        lines = linecache.getlines(self.file, self._frame.f_globals)
        first = max(self.line - AROUND, 1)
        return [(number, text.rstrip("\n")) for number, text in enumerate(lines[first - 1 : self.line + AROUND], first)]

    def failing(self, text: str) -> tuple[int, int]:
        """Which signs of its line, from where to where, were being evaluated; none of them if that is not known.

        Args:
            text: the line.
        """
        positions = self._frame.f_code.co_positions()
        begin, end, left, right = next(islice(positions, self._instruction // 2, None), (None,) * 4)
        if left is None or right is None:
            return 0, 0
        return _signs(text, left), _signs(text, right) if end == begin else len(text)

    def variables(self) -> list[tuple[str, str]]:
        """The names and values of its variables, in words."""
        return [(name, shown(value)) for name, value in islice(self.local.items(), MOST_VARIABLES)]

    def evaluate(self, source: str, write: Callable[[str], object]) -> Evaluation:
        """Run statements with the names that the frame sees; what they define lasts as long as the frame.

        Values can be changed, but which value a variable of the frame has cannot: names are those of a copy.
        """
        if self._evaluator is None:
            self._evaluator = Evaluator.in_frame(self.local, self._frame.f_globals)
        return self._evaluator.evaluate(source, write)


def _signs(text: str, count: int) -> int:
    """How many signs so many bytes are: Python counts columns in UTF-8."""
    return len(text.encode("utf-8", "replace")[:count].decode("utf-8", "replace"))


class Link:
    """One error of several that led to each other.

    Attributes:
        headline: its type and text.
        led_by: how the one before it is to blame; "" for the first.
        frames: outermost first.
        left_out: how many frames in the middle were too many to be kept.
    """

    def __init__(self, error: BaseException, led_by: str) -> None:
        self.headline, self.led_by = headline_of(error), led_by
        frames = [Frame(traceback) for traceback in _tracebacks(error)]
        self.left_out = max(len(frames) - MOST_FRAMES, 0)
        if self.left_out:
            half = MOST_FRAMES // 2
            frames[half:-half] = []
        self.frames = frames


class KeptError:
    """An error with its live frames, and those of the errors that led to it, the first of them first.

    Whatever the frames refer to lives on until this is forgotten.

    Example:
        >>> def divide(n):
        ...     return n / 0
        >>> try:
        ...     divide(3)
        ... except ZeroDivisionError as error:
        ...     kept = KeptError(error)
        >>> kept.headline
        'ZeroDivisionError: division by zero'
        >>> evaluation = kept.frame(-1).evaluate("n + 1", print)
        4
        <BLANKLINE>
    """

    def __init__(self, error: BaseException) -> None:
        self.links = list(reversed([Link(*linked) for linked in islice(_chain(error), MOST_LINKS)]))
        self.headline = self.links[-1].headline
        #: Which pipeline and which step has failed, and where that is written; the innermost first.
        notes = islice(getattr(error, "__notes__", ()), MOST_NOTES)
        self.notes = [cut(note, LONGEST_NOTE) for note in notes if isinstance(note, str)]
        self.traceback = cut(traceback_of(error), LONGEST_TEXT)
        self._frames = [frame for link in self.links for frame in link.frames]

    def frame(self, number: int) -> Frame:
        """A frame by its number over all errors, from 0; -1 is where the last error was raised.

        Raises:
            IndexError: there is none.
        """
        return self._frames[number]

    def baton(self, fallback: Any) -> Any:
        """What the innermost frame calls `baton`: what the step was given that has failed."""
        for frame in reversed(self.links[-1].frames):
            found = frame.local.get("baton")
            if found is not None:
                return found
        return fallback


def headline_of(error: BaseException) -> str:
    """The type and text of an error, also of one that cannot tell its text."""
    try:
        text = str(error)
    except Exception as broken:  # its own code
        text = f"its text cannot be told: {type(broken).__name__}"
    return cut(f"{type(error).__qualname__}: {text}".rstrip(": "), LONGEST_HEADLINE)


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """An error and those that led to it, each with how the next one is to blame."""
    seen = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        before, led_by = current.__cause__, "which was the direct cause of"
        if before is None and not current.__suppress_context__:
            before, led_by = current.__context__, "and while that was handled"
        yield current, led_by if before is not None else ""
        current = before


def _tracebacks(error: BaseException) -> Iterator[TracebackType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next
