"""Keyboard: the bytes that a terminal sends as keys and text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

#: An escape sequence, whole or as far as it has come. Source: ECMA-48, 5.4 and 8.3.16; xterm's control sequences.
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?<=>]*[ -/]*(?P<csi>[@-~])?|O(?P<ss3>[ -~])?|(?P<alt>[^\[O]))?")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
_KEYS: Final = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x01": "home",
    "\x02": "left",
    "\x03": "interrupt",
    "\x04": "end of input",
    "\x05": "end",
    "\x06": "right",
    "\x0b": "delete to end",
    "\x0c": "clear",
    "\x0e": "down",
    "\x10": "up",
    "\x15": "delete to home",
    "\x17": "delete word",
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b[1~": "home",
    "\x1b[3~": "delete",
    "\x1b[4~": "end",
    "\x1b[7~": "home",
    "\x1b[8~": "end",
    "\x1b[1;5C": "next word",
    "\x1b[1;5D": "previous word",
    "\x1bf": "next word",
    "\x1bb": "previous word",
    "\x1b\x7f": "delete word",
}
_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"
#: No key sends more; what is longer is none.
_LONGEST_ESCAPE = 32
#: Characters of one paste that are kept.
MOST_PASTED: Final = 1_000_000

#: A key by its name, or "text" and "paste" with what was typed or pasted.
Key = tuple[str, str]


class Keyboard:
    """Reads keys, in whatever pieces they come.

    Example:
        >>> keyboard = Keyboard()
        >>> list(keyboard.feed(b"ab\\x1b["))
        [('text', 'ab')]
        >>> list(keyboard.feed(b"A"))
        [('up', '')]
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._pasted: list[str] | None = None
        self._room = MOST_PASTED

    def feed(self, data: bytes) -> Iterator[Key]:
        """The keys that are complete now; to be used up before more is fed."""
        self._rest += self._decoder.decode(data)
        while self._rest:
            key = self._key() if self._pasted is None else self._paste(self._pasted)
            if key is None:
                return
            if key[0]:
                yield key

    def _key(self) -> Key | None:
        """The next key; None while it is incomplete, ("", "") for one that nobody knows."""
        if plain := _PLAIN.match(self._rest):
            return "text", self._take(plain.end())
        if self._rest[0] != "\x1b":
            return _KEYS.get(self._take(1), ""), ""
        escape = _ESCAPE.match(self._rest)
        assert escape is not None  # it begins with one
        if not any(escape.groups()):
            # Bytes that belong to no sequence are behind it, or far too many: it is given up.
            is_incomplete = escape.end() == len(self._rest) <= _LONGEST_ESCAPE
            if not is_incomplete:
                self._take(escape.end())
            return None if is_incomplete else ("", "")
        sequence = self._take(escape.end())
        if sequence == _PASTE:
            self._pasted, self._room = [], MOST_PASTED
        return _KEYS.get(sequence, ""), ""

    def _paste(self, pasted: list[str]) -> Key | None:
        """The paste that is under way; None until it ends."""
        end = self._rest.find(_PASTED)
        if end < 0:
            # The beginning of the sequence that ends it may be here already.
            self._keep(pasted, self._take(max(len(self._rest) - len(_PASTED) + 1, 0)))
            return None
        self._keep(pasted, self._take(end))
        self._take(len(_PASTED))
        self._pasted = None
        return "paste", "".join(pasted).replace("\r\n", "\n").replace("\r", "\n")

    def _keep(self, pasted: list[str], text: str) -> None:
        kept = text[: self._room]
        self._room -= len(kept)
        if kept:
            pasted.append(kept)

    def _take(self, count: int) -> str:
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken
