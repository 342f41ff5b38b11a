"""Prompt: what a person sees of what was typed; `on_screen` is without colours and movements."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from piped.runtime.console import Console
from piped_manhole.painting import Size
from piped_manhole.prompt import MOST_AHEAD, Prompt

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """The client's side of a prompt."""

    def __init__(self, **namespace: Any) -> None:
        self.told: list[str] = []
        self.status: int | None = None
        self.namespace = namespace
        self.prompt = Prompt(Console(namespace), self, "hello\n", Size(200, 50))
        self.prompt.begin()

    def tell(self, text: str) -> None:
        self.told.append(text)

    tell_error = tell

    def take_more(self) -> None:
        self.has_taken_more = True

    def leave(self, status: int) -> None:
        self.status = status

    def type(self, text: str) -> str:
        """What is printed because of some text."""
        self.told.clear()
        self.prompt.received(text.encode())
        return self.screen()

    def screen(self) -> str:
        return _ESCAPES.sub("", "".join(self.told)).replace("\r\n", "\n")


def test_a_line_is_evaluated() -> None:
    """Its value is shown, and the prompt comes back at the beginning of a line."""
    terminal = Terminal()
    assert "hello\n" in terminal.screen()
    assert "\n42\n" in terminal.type("6 * 7\r")
    assert terminal.type("print('x', end='')\r").endswith("\nx\n\r>>> ")
    assert "ZeroDivisionError" in terminal.type("1 / 0\r")


def test_a_block_is_indented_and_ends_with_an_empty_line() -> None:
    """As at Python's prompt; what comes at once, pasted or piped, has an indentation of its own."""
    terminal = Terminal()
    terminal.type("for n in range(2):\r")
    terminal.type("print(n)\r")
    assert "\n0\n1\n" in terminal.type("\r")
    assert "\n7\n8\n" in terminal.type("if True:\n    if True:\n        print(7)\n    print(8)\n\n")


def test_a_paste_is_not_evaluated_before_enter() -> None:
    """Empty lines in it end nothing."""
    terminal = Terminal()
    shown = terminal.type("\x1b[200~class A:\n    b = 1\n\n    c = 2\nprint(A.c)\x1b[201~")
    assert "\n2\n" not in shown
    assert "\n2\n" in terminal.type("\r")


def test_tab_completes() -> None:
    """The only possibility, what all have in common, or else a list of them; in front of a line it indents."""
    terminal = Terminal(banana=1, bandana=2)
    assert terminal.type("bana\t").endswith(">>> banana")
    assert "banana   bandana" not in terminal.type("\x15ba\t")
    assert "banana   bandana" in terminal.type("\t")
    assert terminal.type("\x15\t").endswith(">>>     ")
    assert "\x07" in terminal.type("nothing_like_this\t")


def test_ctrl_c_clears_the_line_or_cancels_what_is_waited_for() -> None:
    """It never ends the session."""
    waited: Deferred[None] = Deferred()
    terminal = Terminal(waited=waited)
    assert terminal.type("nonsense\x03").endswith("nonsense\n\r>>> ")
    assert terminal.type("await waited\r").endswith("await waited\n")
    assert "cancelled\n" in terminal.type("print('lost')\r\x03'typed' 'behind'\r")
    assert terminal.status is None
    assert "'typedbehind'" in terminal.screen()
    assert "lost" not in terminal.screen()


def test_what_is_typed_ahead_waits() -> None:
    """In order, and whole: above a bound the client has to wait too, until there is room."""
    waited: Deferred[str] = Deferred()
    terminal = Terminal(waited=waited)
    terminal.type("await waited\r")
    assert terminal.type("1 + 1\r2 + 2\r") == ""
    assert terminal.prompt.takes_more
    terminal.type("n = 1\r" * (MOST_AHEAD // 6) + "'en' 'd'\r")
    assert not terminal.prompt.takes_more
    waited.callback("there")
    assert terminal.has_taken_more
    assert terminal.prompt.takes_more
    shown = terminal.screen()
    assert "'end'\n" in shown
    assert shown.index("'there'\n") < shown.index("\n2\n") < shown.index("\n4\n")


def test_the_end() -> None:
    """Ctrl-D and exit() end the session; ctrl-D within a line does not."""
    terminal = Terminal()
    terminal.type("ab\x04")
    assert terminal.status is None
    terminal.type("\x15\x04never\r")
    assert terminal.status == 0
    terminal = Terminal()
    terminal.type("exit(3)\r'never'\r")
    assert (terminal.status, "never'\n" in terminal.screen()) == (3, False)


def test_input_that_ends_is_served_to_the_end() -> None:
    """Also what is still waited for, and a last line without an end."""
    waited: Deferred[str] = Deferred()
    terminal = Terminal(waited=waited)
    terminal.type("await waited\n1 + 1\n'last'")
    terminal.prompt.input_ended()
    assert terminal.status is None
    waited.callback("there")
    assert terminal.status == 0
    assert "'last'\n" in terminal.screen()


def test_hanging_up_cancels() -> None:
    """Nothing goes on for somebody who has gone."""
    cancelled: list[object] = []
    waited: Deferred[None] = Deferred(cancelled.append)
    terminal = Terminal(waited=waited)
    terminal.type("await waited\r1 + 1\r")
    terminal.told.clear()
    terminal.prompt.hang_up()
    assert cancelled == [waited]
    assert terminal.told == []


def test_the_terminal_is_left_as_it_was() -> None:
    """It stops to mark pastes, however the session ends."""
    for end in ("\x04", "exit()\r", "hang up"):
        terminal = Terminal()
        if end == "hang up":
            terminal.prompt.hang_up()
        else:
            terminal.type(end)
        told = "".join(terminal.told)
        assert told.rfind("\x1b[?2004l") > told.rfind("\x1b[?2004h"), end


def test_of_many_possibilities_some_are_shown() -> None:
    """And how many more there are."""
    terminal = Terminal(**{f"name_{n:04}": n for n in range(500)})
    assert "… 300 more" in terminal.type("name_0\t")
