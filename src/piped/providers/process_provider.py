"""Processes: commands that run beside the process, their output as batons, line by line."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import MinLen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.filepath import FilePath

from piped import (
    DottedName,
    PipedService,
    RuntimeEnvironment,
    Seconds,
    Source,
    provider,
)
from piped.children.child import Child, Command, in_words
from piped.children.guard import Guard
from piped.providers.process_streams import (
    InputOptions,
    InputProtocol,
    OutputOptions,
    OutputProtocol,
    RedirectToStdout,
    StdoutOptions,
    require,
)
from piped.runtime.backoff import Backoff

logger = logging.getLogger(__name__)
_PROCESS = DottedName(f"{__name__}.ProcessProtocol")


@dataclass(frozen=True)
class ProcessOptions:
    """One command.

    Args:
        executable: its name, looked for as a shell does, or its path. It sees the environment variables of Piped.
        args: its arguments, as they are: no shell reads them.
        path: the folder in which it works; the one of Piped by default.
        enabled: exist at all.
        spawn: start it by itself; otherwise `spawn()` of the resource does.
        spawn_consumerless: start it with Piped; otherwise only when somebody depends on one of its resources.
        restart: start it again when it has ended, however it ended, or could not be started.
        restart_wait: how long to wait before that, a quarter more or less by chance. It is doubled each time, up to a
            minute, until the command has run for a minute.
        kill_after: how long it may take to end after SIGTERM; then it gets SIGKILL.
        stdout: its output.
        stderr: its errors.
        stdin: its input.
        protocol: what starts it: a subclass of piped.providers.process_provider.ProcessProtocol.
    """

    executable: Annotated[str, MinLen(1)]
    args: list[str | int | float] = field(default_factory=list)
    path: FilePath | None = None  # type: ignore[type-arg]  # the checker knows the class, not its kinds
    enabled: bool = True
    spawn: bool = True
    spawn_consumerless: bool = True
    restart: bool = False
    restart_wait: Seconds = 1
    kill_after: Seconds = 5
    stdout: StdoutOptions = field(default_factory=StdoutOptions)
    stderr: OutputOptions = field(default_factory=OutputOptions)
    stdin: InputOptions = field(default_factory=InputOptions)
    protocol: DottedName = _PROCESS

    def __post_init__(self) -> None:
        require(self.protocol, ProcessProtocol)


class ProcessProtocol(PipedService):
    """One command, which is started and started again; the resource `process.<name>`.

    A subclass that `protocol` names may override `process_started` and `process_ended`.
    """

    name: str

    def __init__(self, name: str, options: ProcessOptions, guard: Guard) -> None:
        super().__init__()
        self.setName(f"process.{name}")
        self.options, self._guard = options, guard
        #: The one that runs.
        self.child: Child | None = None
        #: The one that was started, until the last process of its group has ended.
        self._remains: Child | None = None
        #: Who wants which of our resources.
        self._consumers: dict[Any, Any] = {}
        self._is_wanted = False
        self._wish: Deferred[None] | None = None

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        options = self.options
        self.stdout: OutputProtocol = options.stdout.protocol.load()(f"{self.name}.stdout", options.stdout, self)
        self.stderr = self.stdout
        if not self._is_merged:
            self.stderr = options.stderr.protocol.load()(f"{self.name}.stderr", options.stderr, self)
        self.stdin: InputProtocol = options.stdin.protocol.load()(f"{self.name}.stdin", self)
        # Takes no batons: it closes when the process begins to stop, after which nothing is started again.
        self._open = Source(self.name, max_running=None)
        runtime_environment.sources.add(self._open)

    @property
    def _is_merged(self) -> bool:
        return self.options.stderr.protocol.load() is RedirectToStdout

    @property
    def _outputs(self) -> list[OutputProtocol]:
        return [self.stdout] if self._is_merged else [self.stdout, self.stderr]

    # For users and subclasses

    def spawn(self) -> None:
        """Start the command; does nothing while it runs, or is about to be started again."""
        self._is_wanted = self.child is None
        wish, self._wish = self._wish, None
        if wish is not None:
            wish.callback(None)

    def process_started(self, pid: int) -> None:
        """Called when the command was started; which is logged."""
        # Not the arguments: there may be secrets among them.
        logger.info("%s was started: %s, pid %d", self.name, self.options.executable, pid)

    def process_ended(self, code: int, lasted: Seconds, is_asked: bool) -> None:
        """Called when the command has ended; which is logged.

        Args:
            code: its exit code, or the number of the signal that has killed it as a negative one.
            lasted: how long it has run.
            is_asked: because we have asked for it.
        """
        level = logging.INFO if is_asked or code == 0 else logging.WARNING
        when = "when it was asked to end" if is_asked else f"after {lasted:.3g} s"
        logger.log(level, "%s %s %s", self.name, in_words(code), when)

    # What the provider calls

    def add_consumer(self, dependency: Any, resource: Any) -> None:
        """Give somebody a resource of ours, whenever it is there."""
        self._consumers[dependency] = resource
        if self._is_there(resource):
            dependency.on_resource_ready(resource)
        if self.options.spawn and self.running:
            self.spawn()

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.pop(dependency, None)

    def _is_there(self, resource: Any) -> bool:
        # What is started by `spawn()` has to be there for that.
        return self.child is not None or (resource is self and not self.options.spawn and bool(self.running))

    # Running

    def stopService(self) -> Deferred[None]:
        """Stop; who does not wait for it any more has the command killed."""

        def kill(_: object) -> None:
            if self._remains is not None:
                self._remains.kill()
            end(None)

        def end(_: object) -> None:
            if not stopped.called:
                stopped.callback(None)

        stopped: Deferred[None] = Deferred(kill)
        super().stopService().addBoth(end)
        return stopped

    async def run(self) -> None:
        """Start the command when it is wanted, again and again if it is to be, until the service stops."""
        self._open.reopen()
        for output in self._outputs:
            output.start()
        self._tell_ready()
        # What nobody needs is a source, and `piped trace` keeps those closed.
        is_source = self.options.spawn_consumerless and self._open.is_open
        self._is_wanted = self.options.spawn and (is_source or bool(self._consumers))
        try:
            await self._keep_running()
        except GeneratorExit:  # nobody runs this any more, so that it could wait for nothing
            raise
        except BaseException:  # a stop is a CancelledError
            await self._end()
            raise

    async def _keep_running(self) -> None:
        backoff = Backoff(self.options.restart_wait)
        while True:
            if not self._is_wanted:
                self._wish = Deferred()
                await self._wish
            self._is_wanted = False
            lasted = await self._live()
            if self.options.restart and self._open.is_open:
                wait = backoff.next(lasted)
                logger.info("%s is started again in %.3g s", self.name, wait)
                await deferLater(self.runtime_environment.reactor, wait)
            # It may be wanted already: by whoever heard of the end before we are done with it.
            self._is_wanted |= self.options.restart and self._open.is_open

    async def _live(self) -> Seconds:
        """One run of the command; gives how long it has lasted."""
        try:
            child = self.launch()
        except OSError as error:
            why = f"cannot be started: {error.strerror}: {error.filename or self.options.executable}"
            logger.error("%s %s", self.name, why)
            self._tell_lost(why)
            return 0
        self._begin(child)
        lasted = self._ended(await child.when_ended(), is_asked=False)
        # Also whom it has left behind; and until all that it said is processed, no other one begins to speak.
        await child.end(self.options.kill_after)
        self._remains = None
        return lasted

    async def _end(self) -> None:
        """End the command because the service stops."""
        for output in self._outputs:
            output.stop()
        is_running, self.child = self.child is not None, None
        self._tell_lost("it is not started any more")
        if self._remains is not None:
            await self._remains.end(self.options.kill_after)
            if is_running:
                self._ended(await self._remains.when_ended(), is_asked=True)
            self._remains = None

    def launch(self) -> Child:
        """Start the command.

        Raises:
            OSError: it cannot be started.
        """
        folder = self.options.path.path if self.options.path else None
        errors = None if self._is_merged else self.stderr
        command = Command(self.name, self._arguments(), folder, self.stdout, errors)
        return Child(command, self.runtime_environment.reactor, self._guard)

    def _arguments(self) -> list[str]:
        return [self.options.executable, *map(str, self.options.args)]

    def _begin(self, child: Child) -> None:
        self.child = self._remains = child
        self._began = self.runtime_environment.reactor.seconds()
        self.stdin.connected(child.stdin)
        for output, reader in zip(self._outputs, (child.stdout, child.stderr), strict=False):
            if reader is not None:
                output.connected(reader)
        self.process_started(child.pid)
        self._tell_ready()

    def _ended(self, code: int, is_asked: bool) -> Seconds:
        self.child = None
        lasted: Seconds = self.runtime_environment.reactor.seconds() - self._began
        self._tell_lost(in_words(code))
        self.process_ended(code, lasted, is_asked)
        return lasted

    def _tell_ready(self) -> None:
        for dependency, resource in list(self._consumers.items()):
            if self._is_there(resource):
                dependency.on_resource_ready(resource)

    def _tell_lost(self, reason: str) -> None:
        for dependency, resource in list(self._consumers.items()):
            if not self._is_there(resource):
                dependency.on_resource_lost(reason)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


@provider("processes", dict[str, ProcessOptions])
class ProcessProvider(MultiService):
    """Commands that run beside the process, and end with it.

    Each line that a command writes becomes a baton `{line: text}`, one at a time: while the pipeline works, or is not
    ready, the command waits when it has written some 64 KiB more. What is no UTF-8 in a line becomes U+FFFD.

    A command is ended with all processes that it has started: by SIGTERM, and by SIGKILL if that does not help. That
    also holds when Piped dies without a stop. Only what makes a session of its own, as daemons do, gets away.

    Resources: `process.<name>`, with `spawn()`; `process.<name>.stdin`, with `write(text_or_bytes)`, which gives a
    Deferred to wait for, and `close()`; `process.<name>.stdout` and `.stderr`. They are there while the command runs;
    with `spawn: false` the first one always is.

    Example:
        processes:
            journal:
                executable: journalctl
                args: [--follow, --output, json]
                restart: true
                stdout:
                    processor: processor_name
    """

    prefixes = ("process.",)

    def __init__(self) -> None:
        super().__init__()
        self._guard = Guard()
        #: By resource path: whose it is, and the resource.
        self._resources: dict[str, tuple[ProcessProtocol, Any]] = {}

    @staticmethod
    def offers(options: dict[str, ProcessOptions]) -> Iterable[str]:
        return (
            f"process.{name}{part}"
            for name, each in options.items()
            if each.enabled
            for part in ("", ".stdin", ".stdout", ".stderr")
        )

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        for name, options in runtime_environment.get_options(self).items():
            if options.enabled:
                process = options.protocol.load()(name, options, self._guard)
                process.configure(runtime_environment)
                process.setServiceParent(self)
                for part in ("stdin", "stdout", "stderr"):
                    self._resources[f"{process.name}.{part}"] = process, getattr(process, part)
                self._resources[process.name] = process, process
        for path in self._resources:
            runtime_environment.resource_manager.register(path, self)
        self.setServiceParent(runtime_environment.application)

    def add_consumer(self, resource_dependency: Any) -> None:
        process, resource = self._resources[resource_dependency.provider]
        process.add_consumer(resource_dependency, resource)

    def remove_consumer(self, resource_dependency: Any) -> None:
        process, _ = self._resources[resource_dependency.provider]
        process.remove_consumer(resource_dependency)

    def stopService(self) -> Deferred[Any]:
        """Stop all commands; nobody has to guard them after that."""
        stopped: Deferred[Any] = super().stopService()
        return stopped.addBoth(lambda _: self._environment.in_thread(self._guard.close))
