"""What each peer does around its work: see how much CPU time the messages between the first and the last take."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass
class Work:
    """What a process is to do, as its command line says, and how far it is.

    Args:
        scenario: consume, forward, serve or call.
        port: of the broker on loopback.
        count: how many messages, or calls.
        body: what calls carry.
    """

    scenario: str
    port: int
    count: int
    body: bytes = b"twelve bytes"
    done: int = 0
    _began: float = field(default=0.0, repr=False)

    def begin(self) -> None:
        self._began = time.process_time()

    def one(self) -> bool:
        """Count one more; true, and told, when it was the last."""
        if not self.done:
            self.begin()
        self.done += 1
        if self.done < self.count:
            return False
        print((time.process_time() - self._began) / self.count * 1e6, flush=True)
        return True


#: How many messages are on their way to one process, and how many calls wait for an answer.
PREFETCH, CALLS = 200, 50


def work() -> Work:
    scenario, port, count = sys.argv[1:4]
    return Work(scenario, int(port), int(count))
