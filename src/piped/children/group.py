"""Group: the processes that one child and its own children are, signalled and ended together."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from glob import glob
from typing import Any

from twisted.internet.task import deferLater

from piped import Seconds

logger = logging.getLogger("piped.children")

#: From one look whether somebody is left to the next, which comes ever later.
FIRST_LOOK: Seconds = 0.01
LONGEST_LOOK: Seconds = 0.2


class Group:
    """The processes of a session, by the number of the one that leads it.

    Those that have left it with a session of their own, as daemons do, are not of it any more.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    def send(self, number: int) -> bool:
        """Send a signal to each; whether anybody was there to get it. Signal 0 only asks that."""
        try:
            os.killpg(self.number, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # Nobody of it is ours. Whoever may not be signalled cannot be waited for either.
            if number:
                logger.warning("%s: processes of another user in group %d are left alone", self.name, self.number)
            return False
        return True

    def is_left(self) -> bool:
        """Whether one of them lives; those that have ended, and whose parent does not ask how, do not."""
        return self.send(0) and _one_lives(self.number)

    async def end(self, reactor: Any, kill_after: Seconds) -> None:
        """Ask all to end, and kill those that have not after `kill_after` seconds; returns when nobody is left."""
        self.send(signal.SIGTERM)
        deadline, is_killed, wait = reactor.seconds() + kill_after, False, FIRST_LOOK
        while self.is_left():
            if not is_killed and reactor.seconds() >= deadline:
                logger.warning("%s did not end within %g s of SIGTERM: killing it", self.name, kill_after)
                is_killed = self.send(signal.SIGKILL)
            await deferLater(reactor, wait)
            wait = min(1.5 * wait, LONGEST_LOOK)

    def fetch(self) -> None:
        """Let those vanish that have ended after their parent, where that made us their parent: in a container, it may.

        Called after the leader was fetched by who has started it, and wants to know how it has ended.
        """
        with suppress(ChildProcessError):
            while os.waitpid(-self.number, os.WNOHANG) != (0, 0):
                pass


def _one_lives(group: int) -> bool:
    """Where the system tells of its processes: whether one of a group has not ended; elsewhere it is taken for true."""
    files = glob("/proc/[0-9]*/stat")
    for file in files:
        try:
            with open(file, "rb") as opened:
                state, _, its_group = opened.read().rpartition(b")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):  # it has ended just now
            continue
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return not files
