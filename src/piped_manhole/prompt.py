"""Prompt: a conversation on a terminal: keys come in, and what is typed is shown, completed and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from piped.runtime.console import Console
from piped_manhole.conversations import Conversation, Listener
from piped_manhole.keyboard import Key, Keyboard
from piped_manhole.line import INDENTATION, Line
from piped_manhole.painting import Painter, Size, columns

#: Bytes of what is typed while something is being waited for, above which the client has to wait too.
MOST_AHEAD = 128 * 1024
#: Names that are shown when several are possible.
MOST_NAMES = 200
_INTERRUPT = b"\x03"
_BELL = "\x07"
#: The terminal says where a paste begins and ends, as long as the prompt is there.
_WITH_PASTES, _WITHOUT_PASTES = "\x1b[?2004h", "\x1b[?2004l"


class Prompt(Conversation):
    """What a person sees.

    Args:
        greeting: what is told first.
        size: of the terminal.
    """

    def __init__(self, console: Console, listener: Listener, greeting: str, size: Size) -> None:
        super().__init__(console, listener)
        self._greeting = greeting
        self._keyboard, self._line, self._painter = Keyboard(), Line(), Painter(size)
        self._ahead = b""
        self._has_ended = False
        #: Whether the prompt is on the screen, and whether what was printed last has not ended its line.
        self._is_shown = self._is_line_begun = False
        line = self._line
        self._moves: dict[str, Callable[[], None]] = {
            "left": line.left,
            "right": line.right,
            "home": line.home,
            "end": line.end,
            "up": line.up,
            "down": line.down,
            "previous word": line.previous_word,
            "next word": line.next_word,
            "backspace": line.backspace,
            "delete": line.delete,
            "delete to home": line.delete_to_home,
            "delete to end": line.delete_to_end,
            "delete word": line.delete_word,
        }

    @property
    def takes_more(self) -> bool:
        return len(self._ahead) < MOST_AHEAD  # and below it, so that a ctrl-C is heard

    def begin(self) -> None:
        self._listener.tell(self._greeting)
        self.go_on()

    def resize(self, size: Size) -> None:
        """The terminal has another size now."""
        self._painter.resize(size)
        self._show()

    def received(self, data: bytes) -> None:
        if self.is_busy and _INTERRUPT in data:
            # What was typed before it is thrown away, as a terminal does.
            self._ahead, data = b"", data.rpartition(_INTERRUPT)[2]
            self.interrupt()
        self._ahead += data
        self._hear()

    def input_ended(self) -> None:
        self._has_ended = True
        self._hear()

    def go_on(self) -> None:
        self._come_back()
        self._hear()

    def hang_up(self) -> None:
        if self._is_shown and not self.is_over:
            self._listener.tell(_WITHOUT_PASTES)  # the terminal goes back to somebody else
        super().hang_up()

    def failed(self, report: str) -> None:
        self.tell(report)

    def tell(self, text: str) -> None:
        if text:
            self._is_line_begun = not text.endswith("\n")
            super().tell(text)

    def _come_back(self) -> None:
        """The prompt may be shown again, at the beginning of a line."""
        if self._is_line_begun:
            self.tell("\n")
        self._is_shown = True
        self._listener.tell(_WITH_PASTES)

    def _hear(self) -> None:
        """Use up what was typed, up to what has to be waited for."""
        while not self.is_over and not self.is_busy and self._ahead:
            # Line by line, as an evaluation may keep the rest waiting.
            end = min((at for at in map(self._ahead.find, (b"\r", b"\n")) if at >= 0), default=len(self._ahead) - 1) + 1
            piece, self._ahead = self._ahead[:end], self._ahead[end:]
            for key in self._keyboard.feed(piece):
                if self.is_over:
                    return
                self._press(key)
        if self._has_ended and not self._ahead and not self.is_busy and not self.is_over:
            if self._line.text.strip():  # the last line had no end
                self._accept()
            if not self.is_busy and not self.is_over:
                self._say_goodbye()
        self._show()

    def _press(self, key: Key) -> None:
        name, text = key
        if name in ("text", "paste"):
            self._line.insert(text)
        elif name in self._moves:
            self._moves[name]()
        elif name == "enter":
            self._enter()
        elif name == "tab":
            self._complete()
        elif name == "interrupt":
            self._show_end()
            self._line.clear()
        elif name == "end of input":
            if self._line.text:
                self._line.delete()
            else:
                self._say_goodbye()
        elif name == "clear":
            self._listener.tell(self._painter.clear())

    def _enter(self) -> None:
        line = self._line
        if line.is_on_last_line and not self._console.needs_more(line.text):
            self._accept()
            return
        margin = ""
        if not self._ahead:  # else it is pasted or piped, with an indentation of its own
            current = line.current
            margin = current[: len(current) - len(current.lstrip())]
            margin += INDENTATION if current.rstrip().endswith(":") else ""
        line.insert(f"\n{margin}")

    def _accept(self) -> None:
        self._show_end()
        text = self._line.take()
        if not text.strip():
            return
        self._is_shown = False
        self._listener.tell(_WITHOUT_PASTES)
        self.evaluate(text)
        if not self.is_busy and not self.is_over:
            self._come_back()

    def _complete(self) -> None:
        line = self._line
        if not line.current.strip():
            line.insert(INDENTATION)
            return
        names = self._console.completions(line.before)
        typed = len(self._console.typed_name(line.before))
        more = _common_beginning(names)[typed:]
        if more or not names:
            line.insert(more)
            self._listener.tell("" if more else _BELL)
            return
        if len(names) > 1:
            self._show_end()
            left_out = f"\n… {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            self._listener.tell(columns(names[:MOST_NAMES], self._painter.size.width) + left_out + "\n")

    def _show(self) -> None:
        if self._is_shown and not self.is_over:
            self._listener.tell(self._painter.draw(self._line.text, self._line.cursor))

    def _show_end(self) -> None:
        """Show the whole text once more, and go below it."""
        text = self._line.text
        self._listener.tell(self._painter.draw(text, len(text)) + self._painter.leave())

    def _say_goodbye(self) -> None:
        self._listener.tell(f"{_WITHOUT_PASTES}\n")
        self.leave(0)


def _common_beginning(names: Sequence[str]) -> str:
    first, last = min(names, default=""), max(names, default="")
    return next((first[:at] for at, each in enumerate(first) if each != last[at : at + 1]), first)
