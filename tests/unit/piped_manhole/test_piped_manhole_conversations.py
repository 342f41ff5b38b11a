"""Conversations without a terminal: commands, and scripts that are piped in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from piped.runtime.console import Console
from piped_manhole.conversations import Command, Script


class Client:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.out, self.error = "", ""
        self.status: int | None = None

    def tell(self, text: str) -> None:
        self.out += text

    def tell_error(self, text: str) -> None:
        self.error += text

    def leave(self, status: int) -> None:
        assert self.status is None, "it has ended twice"
        self.status = status

    def take_more(self) -> None:
        """Nobody holds anything back."""


def commanded(text: str, **namespace: Any) -> tuple[Client, Command]:
    client = Client()
    command = Command(Console(namespace), client, text)
    command.begin()
    return client, command


def piped(*pieces: str, **namespace: Any) -> Client:
    client = Client()
    script = Script(Console(namespace), client)
    for piece in pieces:
        if not script.is_over:
            script.received(piece.encode())
    if not script.is_over:
        script.input_ended()
    return client


@pytest.mark.parametrize(
    ("text", "out", "status"),
    [
        ("1 + 1", "2\n", 0),
        ("print(1); 2", "1\n2\n", 0),
        ("exit()", "", 0),
        ("exit(300)", "", 44),
        ("exit('why')", "", 1),
        ("1 / 0", "", 1),
        ("a b", "", 1),
    ],
)
def test_a_command_has_an_exit_status(text: str, out: str, status: int) -> None:
    """0, what exit() was given, or 1 for whatever goes wrong."""
    client, _ = commanded(text)
    assert (client.out, client.status) == (out, status)
    assert (client.error != "") == (status == 1)


def test_a_command_may_wait() -> None:
    """It ends when what it waits for is there; interrupted, it has failed."""
    waited: Deferred[int] = Deferred()
    client, _ = commanded("await waited", waited=waited)
    assert client.status is None
    waited.callback(3)
    assert (client.out, client.status) == ("3\n", 0)
    client, command = commanded("await waited", waited=Deferred())
    command.interrupt()
    assert (client.error, client.status) == ("cancelled\n", 1)


SCRIPT = '''\
x = """a

b"""
for n in range(2):
    if n:
        print(n)

    else:
        print("none")
try:
    1 / 0
except ZeroDivisionError:
    print("caught")
finally:
    print("finally")
def double(n):
    return 2 * n
@double
class A: pass
print(x, double(4)) if True else None
(1 +
 2)'''.replace("@double\nclass A: pass\n", "")


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=10))
def test_a_script_is_python_as_in_a_file(cuts: list[int]) -> None:
    """Blocks need no empty line behind them, and may have some within; however the network cuts it."""
    cuts = sorted(cuts)
    client = piped(*(SCRIPT[a:b] for a, b in zip([0, *cuts], [*cuts, len(SCRIPT)], strict=True)))
    assert client.error == ""
    assert client.out == "none\n1\ncaught\nfinally\na\n\nb 8\n3\n"
    assert client.status == 0


def test_a_script_runs_as_it_comes() -> None:
    """A statement that is complete does not wait for the end of the input."""
    client = Client()
    script = Script(Console({}), client)
    script.received(b"print(1)\nfor n in range(2):\n    print(n)\n")
    assert client.out == "1\n"
    script.received(b"print(2)\r\n")
    assert client.out == "1\n0\n1\n2\n"


def test_a_long_block_costs_no_more_than_its_length() -> None:
    """It is looked at when it may have ended, and not again for each of its lines."""

    class Counting(Console):
        asked = 0

        def needs_more(self, text: str) -> bool:
            self.asked += 1
            return super().needs_more(text)

    client, console = Client(), Counting({})
    script = Script(console, client)
    script.received(b"def last():\n" + b"    a = 1\n" * 2000 + b"    return a\nlast()\n")
    assert (client.out, console.asked) == ("1\n", 3)


def test_the_first_failure_ends_a_script() -> None:
    """What stands behind it may have relied on it."""
    client = piped("print(1)\n1 / 0\nprint(2)\n")
    assert (client.out, client.status) == ("1\n", 1)
    assert "ZeroDivisionError" in client.error


def test_a_script_has_a_bound() -> None:
    """A statement that never ends is not gathered for ever."""
    client = piped("'''", *["x" * 100_000] * 20)
    assert (client.status, "too long" in client.error) == (1, True)
