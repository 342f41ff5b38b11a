"""Line: a text of one or several lines while it is typed, and the texts that were typed before."""

from __future__ import annotations

import re
from typing import Final

#: Characters of what is typed before Enter is pressed.
MOST_TYPED: Final = 1_000_000
#: Texts that are remembered, and characters of all of them together.
MOST_REMEMBERED: Final = 1000
MOST_HISTORY: Final = 4_000_000
#: What Tab and a block add, and what a tab stands for.
INDENTATION: Final = "    "
_WORD_BEFORE = re.compile(r"\w+\W*$")
_WORD_AFTER = re.compile(r"\W*\w+")


class Line:
    """What is being typed, with the place of the cursor in it.

    Example:
        >>> line = Line()
        >>> line.insert("print()"); line.left(); line.insert("1")
        >>> line.text, line.cursor
        ('print(1)', 7)
    """

    def __init__(self) -> None:
        self.text, self.cursor = "", 0
        self._history: list[str] = []
        self._size = 0
        #: Which text of the history is shown; behind the last one, what is new.
        self._shown = 0
        self._new = ""

    @property
    def before(self) -> str:
        """What stands before the cursor."""
        return self.text[: self.cursor]

    @property
    def current(self) -> str:
        """The part of the cursor's line that stands before the cursor."""
        return self.before.rsplit("\n", 1)[-1]

    @property
    def is_on_last_line(self) -> bool:
        return "\n" not in self.text[self.cursor :]

    def insert(self, text: str) -> None:
        """Type or paste something; what cannot be seen is left out."""
        text = "".join(
            each for each in text[:MOST_TYPED].replace("\t", INDENTATION) if each == "\n" or each.isprintable()
        )
        text = text[: MOST_TYPED - len(self.text)]
        self._become(self.before + text + self.text[self.cursor :], self.cursor + len(text))

    def take(self) -> str:
        """The whole text, which is remembered; what is typed next begins anew."""
        text = self.text
        if text.strip() and (not self._history or self._history[-1] != text):
            self._history.append(text)
            self._size += len(text)
            while len(self._history) > MOST_REMEMBERED or self._size > MOST_HISTORY:
                self._size -= len(self._history.pop(0))
        self.clear()
        return text

    def clear(self) -> None:
        """Throw away what is being typed."""
        self._become("", 0)
        self._shown, self._new = len(self._history), ""

    # Moving

    def left(self) -> None:
        self.cursor = max(self.cursor - 1, 0)

    def right(self) -> None:
        self.cursor = min(self.cursor + 1, len(self.text))

    def home(self) -> None:
        self.cursor = self._begin()

    def end(self) -> None:
        self.cursor = self._end()

    def previous_word(self) -> None:
        self.cursor = self._word_begin()

    def next_word(self) -> None:
        found = _WORD_AFTER.match(self.text, self.cursor)
        self.cursor = found.end() if found else len(self.text)

    def up(self) -> None:
        """The line above, or the text before this one."""
        begin = self._begin()
        if begin == 0:
            self._show(self._shown - 1)
            return
        above = self.text.rfind("\n", 0, begin - 1) + 1
        self.cursor = min(above + self.cursor - begin, begin - 1)

    def down(self) -> None:
        """The line below, or the text behind this one."""
        end = self._end()
        if end == len(self.text):
            self._show(self._shown + 1)
            return
        below = end + 1 + self.cursor - self._begin()
        self.cursor = end + 1
        self.cursor = min(below, self._end())

    # Deleting

    def backspace(self) -> None:
        """Delete what stands before the cursor: a whole indentation where there is nothing else."""
        current = self.current
        is_margin = current != "" and not current.strip()
        self._cut(self.cursor - ((len(current) - 1) % len(INDENTATION) + 1 if is_margin else 1), self.cursor)

    def delete(self) -> None:
        self._cut(self.cursor, self.cursor + 1)

    def delete_to_home(self) -> None:
        self._cut(self._begin(), self.cursor)

    def delete_to_end(self) -> None:
        self._cut(self.cursor, self._end())

    def delete_word(self) -> None:
        self._cut(self._word_begin(), self.cursor)

    def _begin(self) -> int:
        return self.text.rfind("\n", 0, self.cursor) + 1

    def _end(self) -> int:
        end = self.text.find("\n", self.cursor)
        return len(self.text) if end < 0 else end

    def _word_begin(self) -> int:
        found = _WORD_BEFORE.search(self.before)
        return found.start() if found else 0

    def _cut(self, begin: int, end: int) -> None:
        begin = max(begin, 0)
        self._become(self.text[:begin] + self.text[end:], begin)

    def _show(self, number: int) -> None:
        if not 0 <= number <= len(self._history):
            return
        if self._shown == len(self._history):
            self._new = self.text
        self._shown = number
        text = self._new if number == len(self._history) else self._history[number]
        self._become(text, len(text))

    def _become(self, text: str, cursor: int) -> None:
        self.text, self.cursor = text, cursor
