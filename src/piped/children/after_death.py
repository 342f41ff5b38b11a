"""What the guard runs: hears of groups of processes on its standard input, and ends them when that ends.

It is run by its file name, imports nothing of Piped, and so starts in a few milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

#: Seconds from SIGTERM to SIGKILL, and between two looks whether somebody is left.
KILL_AFTER, LOOK = 5.0, 0.02


def left_over(lines: Iterable[str]) -> set[int]:
    """The groups that came ("+123") and did not go ("-123").

    Example:
        >>> sorted(left_over(["+12\\n", "+34\\n", "-12\\n", "+56\\n"]))
        [34, 56]
    """
    groups: set[int] = set()
    for line in lines:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    return groups


def end(groups: Iterable[int]) -> None:
    """Ask every process of the groups to end, and kill those that do not."""
    remaining = [group for group in groups if _send(group, signal.SIGTERM)]
    deadline = time.monotonic() + KILL_AFTER
    while remaining and time.monotonic() < deadline:
        time.sleep(LOOK)
        remaining = [group for group in remaining if _send(group, 0)]
    for group in remaining:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    end(left_over(sys.stdin))
