"""The wire format of statsd: a line for each metric, and lines that share a datagram."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Literal

#: Counter, gauge, histogram, milliseconds, set.
Kind = Literal["c", "g", "h", "ms", "s"]
#: What goes through a network with a usual MTU in one piece.
PACKET = 1432
#: How many bytes wait at most while it is not known where to send them.
MOST_WAITING = 64 * 1024

_NOT_IN_NAMES = re.compile(r"[:|@#\s]")
_NOT_IN_TAGS = re.compile(r"[|,#\r\n]")


def line(name: str, value: float | str, kind: Kind, tags: Iterable[str] = (), sample_rate: float = 1) -> bytes:
    """One metric; what would mean something else on the wire is `_` in names, tags and texts.

    Source: b_metrics.md of etsy/statsd; tags and histograms as in the datagram format of DogStatsD, version 1.0.

    Example:
        >>> line("orders", 1, "c", ["shop:oslo", "new"], 0.1)
        b'orders:1|c|@0.1|#shop:oslo,new'
        >>> line("left", -3, "g")
        b'left:0|g\\nleft:-3|g'
    """
    name = _NOT_IN_NAMES.sub("_", name)
    # The sign makes numbers of what only counts as one, such as True.
    written = _NOT_IN_NAMES.sub("_", value) if isinstance(value, str) else str(+value)
    end = f"|{kind}"
    if sample_rate < 1:
        end += f"|@{sample_rate:g}"
    if tags:
        tags = [tags] if isinstance(tags, str) else tags  # one that was meant as a list of its own
        end += "|#" + ",".join(_NOT_IN_TAGS.sub("_", tag) for tag in tags)
    # A gauge with a sign is one to add to; there is no other way to make it negative than from 0.
    first = f"{name}:0{end}\n" if kind == "g" and written.startswith("-") else ""
    return f"{first}{name}:{written}{end}".encode(errors="replace")


class Outbox:
    """Lines that wait to be sent; what is too much is dropped and counted."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        #: How many bytes wait, and how many lines were dropped.
        self.size = self.dropped = 0

    def add(self, line: bytes) -> None:
        if len(line) > PACKET or self.size + len(line) > MOST_WAITING:
            self.dropped += 1
            return
        self._lines.append(line)
        self.size += len(line) + 1

    @property
    def is_full(self) -> bool:
        """Whether more waits than a datagram holds."""
        return self.size > PACKET + 1

    def take(self) -> bytes:
        """Take out a datagram of the oldest lines, as many as fit; b"" when nothing waits."""
        taken, size = [], 0
        while self._lines and size + len(self._lines[0]) <= PACKET:
            taken.append(self._lines.popleft())
            size += len(taken[-1]) + 1
        self.size -= size
        return b"\n".join(taken)
