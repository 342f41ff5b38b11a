"""What was confirmed and what was processed, from the files in which both sides have written it down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Line:
    """One message that was processed: `came` are seconds since 1970, `channel` is unique among all processes."""

    number: int
    queue: str
    is_redelivered: bool
    came: float
    channel: str

    @classmethod
    def read(cls, text: str) -> Self:
        number, queue, flag, came, channel = text.split()
        return cls(int(number), queue, flag == "1", float(came), channel)


def lines(record: Path) -> list[Line]:
    """Every whole line of a record, in order."""
    text = record.read_text() if record.exists() else ""
    return [Line.read(each) for each in text[: text.rfind("\n") + 1].splitlines()]


def numbers(record: Path) -> set[int]:
    """The numbers that a publisher has written down."""
    text = record.read_text() if record.exists() else ""
    return {int(each) for each in text[: text.rfind("\n") + 1].split()}


@dataclass(frozen=True, slots=True)
class Tally:
    """The account of one kind of fault.

    `processed` is how many different numbers were; `duplicated` how often one was once more, and `unmarked` how many
    of these came without the flag `redelivered`, in the order in which they came: another one that came earlier may be
    recorded later. `lost` are those that were confirmed, and never processed.
    """

    confirmed: int
    processed: int
    duplicated: int
    unmarked: int
    lost: tuple[int, ...]

    @classmethod
    def of(cls, confirmed: set[int], processed: list[Line]) -> Self:
        seen: set[int] = set()
        duplicated = unmarked = 0
        for line in sorted(processed, key=lambda line: line.came):
            if line.number in seen:
                duplicated += 1
                unmarked += not line.is_redelivered
            seen.add(line.number)
        return cls(len(confirmed), len(seen), duplicated, unmarked, tuple(sorted(confirmed - seen)))


def pause_after(moment: float, processed: list[Line], *, on_new_channels: bool) -> float | None:
    """Seconds from a moment to the first message of every queue that came later; None as long as one has none.

    Args:
        on_new_channels: count only those of channels that have brought nothing before that moment, for others may
            bring what was on its way when their connection was lost.
    """
    old = {line.channel for line in processed if line.came <= moment} if on_new_channels else set()
    firsts: dict[str, float] = {}
    for line in processed:
        if line.came > moment and line.channel not in old:
            firsts[line.queue] = min(line.came, firsts.get(line.queue, line.came))
    queues = {line.queue for line in processed}
    return max(firsts.values()) - moment if queues and firsts.keys() == queues else None
