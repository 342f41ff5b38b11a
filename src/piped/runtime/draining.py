"""Sources: all sources of a process, and how they come to rest before it stops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger

from piped.resources.events import Clock
from piped.runtime.sources import Source

log = Logger()


class Sources:
    """The sources of batons; each joins when it is made."""

    def __init__(self) -> None:
        self._sources: dict[Source, None] = {}

    def add(self, source: Source) -> Source:
        """Let a source be drained when the process stops; gives it back."""
        self._sources[source] = None
        return source

    def discard(self, source: Source) -> None:
        """Let go of a source that will not be used again."""
        self._sources.pop(source, None)

    def __iter__(self) -> Iterator[Source]:
        return iter(list(self._sources))

    def __len__(self) -> int:
        return len(self._sources)


def drain(sources: Iterable[Source], deadline: float, clock: Clock) -> Deferred[list[str]]:
    """Let no source take anything more, and wait until all that is running has been settled.

    After `deadline` seconds the rest is cancelled; the Deferred gives the names of the sources that had not finished.
    """
    sources = list(sources)
    resting = DeferredList([source.drain() for source in sources])
    if resting.called:
        return succeed([])
    finished: Deferred[list[str]] = Deferred()

    def rested(_: object) -> None:
        if timer.active():
            timer.cancel()
            finished.callback([])

    def expired() -> None:
        late = [source for source in sources if not source.is_drained]
        for source in late:
            log.warn("{source} did not finish {n} batons in time", source=source.name, n=source.running)
            source.stop_running()
        finished.callback([source.name for source in late])

    timer = clock.callLater(deadline, expired)
    resting.addCallback(rested)
    return finished
