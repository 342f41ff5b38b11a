"""CPU time of commands that are run as a person runs them."""

import os
import subprocess
import sys
from pathlib import Path

PIPED = Path(sys.executable).with_name("piped")


def cpu_seconds(*arguments: object, times: int = 5, folder: str | None = None) -> float:
    """The least CPU time (user and system) of several calls of `piped`; fails when one of them fails."""
    return min(_once(arguments, folder) for _ in range(times))


def _once(arguments: tuple[object, ...], folder: str | None) -> float:
    before = os.times()
    subprocess.run([PIPED, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return spent
