"""Guard: a process that ends the children when the process that has started them dies, however that dies."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys

from piped.children import after_death

logger = logging.getLogger("piped.children")


class Guard:
    """Tells another process which groups there are; it ends them when this one is gone, be it by SIGKILL.

    That process starts with the first child, hears no SIGTERM, and ends with the last word from here.
    """

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Have a group ended when this process dies."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """Forget a group that has ended: its number may stand for another one soon."""
        self._groups.discard(group)
        if self._process is not None:
            self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the process end, and wait for it: milliseconds, if every child has ended before."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def _tell(self, words: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(words.encode())
                return
            except BrokenPipeError:
                logger.warning("the guard of the child processes was killed: starting another one")
                self.close()
        try:
            self._start()
        except OSError as error:
            logger.error("the guard of the child processes cannot be started: %s", error)

    def _start(self) -> None:
        groups = "".join(f"+{group}\n" for group in sorted(self._groups))
        # Inherited from its first moment: who stops a service signals all of its processes, and needs this one last.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", after_death.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        assert self._process.stdin is not None
        self._process.stdin.write(groups.encode())
