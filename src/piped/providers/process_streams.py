"""Streams of a command: what hears its output and its errors, and what writes its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import MinLen
from twisted.internet.defer import Deferred, gatherResults, succeed

from piped import Bytes, ConfigurationError, DottedName, PipedError, Problem, ProcessorPath, Source
from piped.children.pipes import MOST, PipeReader, PipeWriter
from piped.lines.feeding import LineFeed
from piped.lines.splitting import LineSplitter
from piped.resources.dependency import InstanceDependency

if TYPE_CHECKING:
    from piped.providers.process_provider import ProcessProtocol


class OutputProtocol:
    """Hears what a command writes to one of its streams; the base of those that `stdout.protocol` may name.

    A subclass has `data_received`, and what else it needs of these. There is one object for each stream, for as many
    runs of the command as there are; it is the resource `process.<name>.stdout` or `.stderr`.

    Args:
        name: such as "process.worker.stdout".
        options: of the stream.
        process: whose stream it is.
    """

    def __init__(self, name: str, options: OutputOptions, process: ProcessProtocol) -> None:
        self.name, self.options, self.process = name, options, process

    def start(self) -> None:
        """Called when the service starts."""

    def connected(self, reader: PipeReader) -> None:
        """Called for each run; with the reader's `pauseProducing()` the command waits, until `resumeProducing()`."""

    def data_received(self, data: bytes) -> None:
        """Called with what has been written, as it comes."""
        raise NotImplementedError

    def when_taken(self) -> Deferred[None]:
        """Fires when nothing waits any more of what was received."""
        return succeed(None)

    def ended(self) -> None:
        """Called when a run writes nothing more."""

    def stop(self) -> None:
        """Called when the service stops, before the command is ended; what it writes after that still comes."""


class LineOutput(OutputProtocol):
    """Gives lines to a processor one at a time, and lets the command wait meanwhile; without one they are logged."""

    def __init__(self, name: str, options: OutputOptions, process: ProcessProtocol) -> None:
        super().__init__(name, options, process)
        environment, source = process.runtime_environment, None
        if options.processor is not None:
            dependency = environment.add_processor(InstanceDependency(self, name), options.processor)
            source = environment.sources.add(Source(name, dependency, max_running=1))
        splitter = LineSplitter(options.delimiter.encode(), options.max_length)
        self._feed = LineFeed(name, splitter, source, environment)

    def start(self) -> None:
        self._feed.start()

    def connected(self, reader: PipeReader) -> None:
        self._feed.connected(reader)

    def data_received(self, data: bytes) -> None:
        self._feed.data_received(data)

    def when_taken(self) -> Deferred[None]:
        return self._feed.when_taken()

    def ended(self) -> None:
        self._feed.ended()

    def stop(self) -> None:
        self._feed.stop()


class RedirectToStdout:
    """Stands for the output as the place where the errors of a command go: as `2>&1` does in a shell."""


class InputProtocol:
    """Writes to the standard input of a command; the resource `process.<name>.stdin`.

    A subclass that `stdin.protocol` names may change what is written.
    """

    def __init__(self, name: str, process: ProcessProtocol) -> None:
        self.name, self.process = name, process
        self._writer: PipeWriter | None = None

    def connected(self, writer: PipeWriter) -> None:
        """Called for each run of the command."""
        self._writer = writer

    def write(self, data: str | bytes) -> Deferred[None]:
        """Write text, as UTF-8, or bytes; what comes back fires when there is room for more: wait for it.

        Raises:
            PipedError: the command does not run, reads no more, or far too much waits to be read.
        """
        return self._connected().write(data.encode() if isinstance(data, str) else data)

    def close(self) -> None:
        """End the input when everything was written: a command such as `sort` waits for that.

        Raises:
            PipedError: the command does not run.
        """
        self._connected().end()

    def _connected(self) -> PipeWriter:
        if self._writer is None:
            raise PipedError(f"{self.process.name} has not been started")
        return self._writer


class EchoInput(InputProtocol):
    """Writes to the standard input of a command, and gives the same to what hears its output."""

    #: Bytes that were echoed since the last time that all had been taken.
    _untaken = 0

    def write(self, data: str | bytes) -> Deferred[None]:
        """As InputProtocol; there is room for more when what was echoed has been taken as well."""
        data = data.encode() if isinstance(data, str) else data
        if self._untaken and self._untaken + len(data) > MOST:
            raise PipedError(
                f"the echo of {self.name} is full: {self._untaken} bytes wait to be processed",
                hint="wait for what write() returns before you write more",
            )
        written = super().write(data)
        self._untaken += len(data)
        self.process.stdout.data_received(data)
        taken = self.process.stdout.when_taken().addCallback(self._all_taken)
        return gatherResults([written, taken]).addCallback(lambda _: None)

    def _all_taken(self, _: None) -> None:
        self._untaken = 0


_LINES, _INPUT = DottedName(f"{__name__}.LineOutput"), DottedName(f"{__name__}.InputProtocol")


def require(name: DottedName, base: type) -> None:
    """Refuse, at its place, a name that stands for no subclass.

    Raises:
        ConfigurationError: it does not.
    """
    found = name.load()
    if not (isinstance(found, type) and issubclass(found, base)):
        fix = f"name {base.__module__}.{base.__name__} or a subclass of your own"
        raise ConfigurationError(problems=[Problem(f"{name} is no {base.__name__}", name.where, fix)])


@dataclass(frozen=True)
class OutputOptions:
    """What becomes of the output or the errors of a command.

    Args:
        processor: gets `{line: text}` for each line. Without one the lines are logged at level debug.
        delimiter: what ends a line.
        max_length: the most bytes of a line. A longer one is told in the log and dropped.
        protocol: what hears the bytes as they come: a subclass of piped.providers.process_streams.OutputProtocol. For
            `stderr` it may be piped.providers.process_streams.RedirectToStdout, which sends them to the output.
    """

    processor: ProcessorPath | None = None
    delimiter: Annotated[str, MinLen(1)] = "\n"
    max_length: Bytes = 16384
    protocol: DottedName = _LINES

    def __post_init__(self) -> None:
        if self.protocol.load() is not RedirectToStdout:
            require(self.protocol, OutputProtocol)
        elif self.processor is not None:
            raise ConfigurationError(
                "with RedirectToStdout no line comes to the processor", hint="leave out the processor, or the protocol"
            )


@dataclass(frozen=True)
class StdoutOptions(OutputOptions):
    __doc__ = OutputOptions.__doc__

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.protocol, OutputProtocol)


@dataclass(frozen=True)
class InputOptions:
    """What writes to the standard input of a command.

    Args:
        protocol: what writes: a subclass of piped.providers.process_streams.InputProtocol. There is also
            piped.providers.process_streams.EchoInput, which gives what is written to `stdout` as well.
    """

    protocol: DottedName = _INPUT

    def __post_init__(self) -> None:
        require(self.protocol, InputProtocol)
