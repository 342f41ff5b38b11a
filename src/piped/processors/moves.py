"""Moves: remap's common case as straight code, generated for the paths of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from piped.ground.batons import NOTHING_THERE, keys_of
from piped.pipelines.mapping import Entry
from piped.pipelines.processor import Baton
from piped.pipelines.runs import PLAIN


def moving(entries: Sequence[Entry], go_on: Callable[[int, Baton], Any]) -> Callable[[Baton], Any]:
    """A function that moves the values of a baton, as long as nothing is out of the ordinary.

    It asks `go_on(position, baton)` to do all from an entry on whose value is missing, is no item of items, may have
    to be awaited, or is to be put where no dict is; so nothing of what these mean is said here a second time.

    Example:
        >>> move = moving([Entry("user.name", "name")], go_on=lambda position, baton: f"from {position} on")
        >>> move({"user": {"name": "Ada"}}), move({})
        ({'user': {'name': 'Ada'}, 'name': 'Ada'}, 'from 0 on')
    """
    lines = ["def move(baton):"]
    for position, entry in enumerate(entries):
        lines += ["    " + line.format(bail=f"return go_on({position}, baton)") for line in _lines(entry)]
    lines.append("    return baton")
    names = {"go_on": go_on, "PLAIN": PLAIN, "NOTHING_THERE": NOTHING_THERE}
    exec(compile("\n".join(lines), f"<remap of {len(entries)}>", "exec"), names)
    made: Callable[[Baton], Any] = names["move"]  # type: ignore[assignment] # the code has put it there
    return made


def _lines(entry: Entry) -> list[str]:
    keys = keys_of(entry.input_path)
    if not keys or not entry.output_path:
        return ["{bail}"]
    *way, last = map(_quoted, keys_of(entry.output_path))
    lines = [
        "try:",
        f"    value = baton{''.join(f'[{_quoted(key)}]' for key in keys)}",
        "except NOTHING_THERE:",
        "    {bail}",
    ]
    lines += ["if type(value) not in PLAIN or type(baton) is not dict:", "    {bail}"]
    holder = "baton"
    for key in way:
        lines += [f"holder = {holder}.get({key})", "if type(holder) is not dict:", "    {bail}"]
        holder = "holder"
    return [*lines, f"{holder}[{last}] = value"]


def _quoted(key: str) -> str:
    """As a literal, safe from `str.format`."""
    return repr(key).replace("{", "{{").replace("}", "}}")
