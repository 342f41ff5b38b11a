"""Standard input: what is typed or piped into the process, as batons, line by line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen
from twisted.application.service import Service

from piped import Bytes, ProcessorPath, RuntimeEnvironment, Source, provider
from piped.lines.blocking import BlockingReader
from piped.lines.feeding import LineFeed
from piped.lines.splitting import LineSplitter
from piped.resources.dependency import InstanceDependency

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StdinOptions:
    """How the standard input is read.

    Args:
        processor: gets `{line: text}` for each line, and `{line: null}` at the end.
        enabled: whether it is read at all.
        delimiter: what ends a line.
        max_length: the most bytes of a line. A longer one is told in the log and dropped.
    """

    processor: ProcessorPath
    enabled: bool = True
    delimiter: Annotated[str, MinLen(1)] = "\n"
    max_length: Bytes = 16384


@provider("stdin", StdinOptions)
class StdinProvider(Service):
    """The lines of the standard input as batons `{line: text}`, one at a time, and `{line: null}` at its end.

    What is no UTF-8 in a line becomes U+FFFD. While the pipeline works, or is not ready, no more than 64 KiB is read
    ahead. The end of the input does not stop the process: a pipeline that wants that has a `shutdown`.

    Example:
        stdin:
            processor: processor_name
    """

    prefixes = ()

    @staticmethod
    def offers(options: StdinOptions) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        options: StdinOptions = runtime_environment.get_options(self)
        if not options.enabled:
            return
        dependency = runtime_environment.add_processor(InstanceDependency(self, "stdin"), options.processor)
        self._source = runtime_environment.sources.add(Source("stdin", dependency, max_running=1))
        self._source.on_open += self._read
        splitter = LineSplitter(options.delimiter.encode(), options.max_length)
        self.feed = LineFeed("stdin", splitter, self._source, runtime_environment)
        self._reader = BlockingReader("stdin", 0, self.received, runtime_environment.reactor)
        self.feed.connected(self._reader)
        self.setServiceParent(runtime_environment.application)

    def startService(self) -> None:
        super().startService()
        self.feed.start()
        if sys.__stdin__ is None:  # the descriptor may belong to something else by now
            logger.warning("the standard input was closed before the start")
            self.feed.ended(tells=True)
        else:
            self._read()

    def _read(self) -> None:
        # Not before the first line can be processed: in a `piped trace` that is never, and the input is for others.
        if self.running and self._source.is_open:
            self._reader.start()

    def stopService(self) -> None:
        super().stopService()
        self._reader.stop()
        self.feed.stop()

    def received(self, data: bytes) -> None:
        """Have what was read processed; nothing is the end."""
        if data:
            self.feed.data_received(data)
        else:
            self.feed.ended(tells=True)
