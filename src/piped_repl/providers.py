"""The door of the prompt: the section `repl`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.python.filepath import FilePath

from piped import DottedName, ResourcePath, RuntimeEnvironment, provider
from piped.spec.spec import Spec
from piped_repl.bootstrap import Bootstrap
from piped_repl.console import Console
from piped_repl.repl import REPL

if TYPE_CHECKING:
    from piped.config.nodes import Node
    from piped.spec.checking import Checker

_OWN_REPL, _OWN_CONSOLE = DottedName("piped_repl.repl.REPL"), DottedName("piped_repl.console.Console")


@dataclass(frozen=True)
class Wanted:
    """What the section comes to: whether there is to be a prompt, and the call that makes it."""

    enabled: bool
    make: Callable[[], Any]


@dataclass(frozen=True)
class ReplOptions:
    """The prompt of a process.

    Args:
        enabled: show it; `piped run --repl` sets this.
        dependencies: resources by the names under which `dependencies` has them.
        bootstrap: Python that runs before the first prompt, as if it was typed; or `!filepath` of it.
        history: keeps what was typed, readable by its owner only; without it `piped/history` in `$XDG_STATE_HOME`,
            or in `~/.local/state`.
        repl_implementation: the class of the whole prompt. A subclass of `piped_repl.repl.REPL` gets all options, any
            other class those that its constructor names.
        console_manhole: the class that evaluates and completes what is typed, a subclass of
            `piped_repl.console.Console`.
        force_blocking_stdout: keep the terminal in blocking mode, as programs and the shell expect it.
    """

    enabled: bool = False
    dependencies: dict[str, ResourcePath] = field(default_factory=dict)
    bootstrap: Bootstrap | None = None
    history: FilePath | None = None  # type: ignore[type-arg]  # the checker knows the class, not its kinds
    repl_implementation: DottedName = _OWN_REPL
    console_manhole: DottedName = _OWN_CONSOLE
    force_blocking_stdout: bool = True

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Wanted | None:
        if node.value is not None and not node.is_mapping:
            checker.refuse("repl", "a mapping", node)
            return None
        implementation = _class_at("repl_implementation", object, checker, node)
        console = _class_at("console_manhole", Console, checker, node)
        if implementation is None or console is None:
            return None
        if issubclass(implementation, REPL):
            arguments = checker.options(Spec.of(cls), node, owner="repl", where=node.named_at)
            if arguments is None:
                return None
            options = cls(**arguments)
            return Wanted(options.enabled, partial(implementation, options))
        enabled = node.at("enabled")
        is_enabled = enabled is not None and checker.value(bool, enabled, owner="option 'enabled' of repl")
        others = ("enabled", "repl_implementation")
        arguments = checker.options(Spec.of(implementation), node, owner="repl", where=node.named_at, ignore=others)
        return None if arguments is None else Wanted(is_enabled, partial(implementation, **arguments))


def _class_at(option: str, base: type, checker: Checker, node: Node) -> type | None:
    """The class that an option names, or its `base` where it is not written; None for a Problem."""
    written = node.at(option)
    if written is None:
        return REPL if base is object else base
    name = checker.value(DottedName, written, owner=f"option {option!r} of repl")
    if name is None:
        return None
    named = name.load()
    if isinstance(named, type) and issubclass(named, base):
        return named
    what = "a class" if base is object else f"a subclass of {base.__module__}.{base.__qualname__}"
    checker.refuse(f"option {option!r} of repl", f"the name of {what}", written)
    return None


@provider("repl", ReplOptions)
class REPLProvider:
    """A Python prompt inside the running process, on the terminal it was started from: `piped run --repl site.yaml`.

    At the prompt there are `runtime_environment`, the `dependencies` by their names (also as `d`), and the `pipelines`:
    `await pipelines["hello"]({"name": "you"})`. Deferreds and what asyncio waits for can be awaited, and `_` is the
    last result. Ctrl-C ends what was typed, whether it computes or waits, or clears the line; it never stops the
    process, which ctrl-D and `exit()` do.

    What is typed runs where all batons run: a statement that computes for a second holds up the whole service for that
    second, one that awaits holds up nothing. Lines are logged above the prompt; what is typed is never logged.

    It needs asyncio, on which Piped runs unless told otherwise with `-r`. Without a terminal there is no prompt.

    Example:
        repl:
            enabled: true
            dependencies:
                hello: pipeline.processor_name
            bootstrap: |
                import json
    """

    prefixes = ()

    @staticmethod
    def offers(options: Wanted) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        wanted: Wanted = runtime_environment.get_options(self)
        if wanted.enabled:
            service = wanted.make()
            service.configure(runtime_environment)
            # Not before: tools that start the services for another purpose, such as `piped trace`, show no prompt.
            runtime_environment.after_start += partial(service.setServiceParent, runtime_environment.application)
