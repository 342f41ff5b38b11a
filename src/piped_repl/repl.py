"""REPL: the loop of reading, evaluating and telling the result, as a service of the process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.python.filepath import FilePath

from piped import ConfigurationError, PipedService, RuntimeEnvironment, told
from piped_repl.console import Console
from piped_repl.terminal import Terminal

if TYPE_CHECKING:
    from piped_repl.bootstrap import Bootstrap
    from piped_repl.providers import ReplOptions

logger = logging.getLogger("piped_repl")


class REPL(PipedService):
    """A prompt on the terminal of the process, in the reactor's thread: a statement that is busy holds up everything.

    Args:
        options: as written in the section `repl`.
    """

    name = "repl"

    def __init__(self, options: ReplOptions) -> None:
        super().__init__()
        self.options = options

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        if not isinstance(runtime_environment.reactor, AsyncioSelectorReactor):
            kind = type(runtime_environment.reactor).__name__
            raise ConfigurationError(f"the prompt does not work on {kind}", hint="run with -r asyncio, or without -r")
        self.dependencies = runtime_environment.create_dependency_map(self, **self.options.dependencies)
        dependency_manager = runtime_environment.dependency_manager
        self._pipelines = dependency_manager.add_dependency(self, {"provider": "pipeline_provider"})
        # The prompt goes as soon as the stop begins, before anything is drained: ctrl-C can then cut that short.
        runtime_environment.reactor.addSystemEventTrigger("before", "shutdown", self.stopService)

    @property
    def namespace(self) -> Mapping[str, Any]:
        """The names that the prompt has from the beginning."""
        return {
            "runtime_environment": self.runtime_environment,
            "dependencies": self.dependencies,
            "d": self.dependencies,
            "pipelines": self._pipelines.get_resource(),
        }

    async def run(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            logger.warning("there is no prompt: standard input and output are no terminal")
            return
        console = self.options.console_manhole.load()(self.namespace)
        history = self.options.history or default_history(os.environ)
        interrupt = partial(self._interrupt, console)
        with Terminal(console, history.path, interrupt, self.options.force_blocking_stdout) as terminal:
            if self.options.bootstrap:
                await self._run_bootstrap(self.options.bootstrap, console, terminal)
            terminal.write(self._greeting())
            # A statement that was cancelled by the stop ends like any other.
            while self.running and await self._turn(console, terminal):
                pass

    async def _turn(self, console: Console, terminal: Terminal) -> bool:
        """Read, evaluate, and tell the result; gives whether to go on."""
        try:
            text = await terminal.read()
        except KeyboardInterrupt:
            return True
        except EOFError:
            self.runtime_environment.ask_for_stop()
            return False
        evaluation = console.evaluate(text, terminal.write)
        error = await evaluation
        if isinstance(error, SystemExit):
            self.runtime_environment.ask_for_stop()
            return False
        terminal.write(evaluation.report)
        return True

    async def _run_bootstrap(self, bootstrap: Bootstrap, console: Console, terminal: Terminal) -> None:
        try:
            tree = bootstrap.parse()
        except (OSError, ValueError, SyntaxError) as error:
            logger.error("repl.bootstrap (%s) cannot be run: %s", bootstrap.where, told(error))
            return
        failed = await console.run(tree, bootstrap.file, terminal.write)
        if failed is not None:
            logger.error("repl.bootstrap (%s) failed: %s", bootstrap.where, told(failed), exc_info=failed)

    def _interrupt(self, console: Console) -> None:
        """Ctrl-C, or SIGINT from elsewhere: ends what is evaluated, at once if it is busy, else what it waits for."""
        evaluation = console.latest
        if evaluation is None or evaluation.done():
            return
        if evaluation.is_busy:
            raise KeyboardInterrupt
        self.runtime_environment.reactor.callFromThread(evaluation.stop)

    def _greeting(self) -> str:
        names = ", ".join(self.namespace)
        return f"Piped {version('piped')} – ctrl-D or exit() stops the process; there are: {names}\n"


def default_history(environ: Mapping[str, str]) -> FilePath[str]:
    """Where the history is kept unless told otherwise.

    Source: XDG Base Directory Specification, XDG_STATE_HOME.

    Example:
        >>> default_history({"XDG_STATE_HOME": "/state"}).path
        '/state/piped/history'
    """
    state = environ.get("XDG_STATE_HOME", "")
    # The specification wants a relative one to be ignored.
    folder = state if os.path.isabs(state) else os.path.expanduser("~/.local/state")
    return FilePath(os.path.join(folder, "piped", "history"))
