"""Contexts: data that pipelines share, in memory or kept in a file."""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import LoopingCall

from piped import ConfigurationError, Problem, RuntimeEnvironment, Seconds, provider

logger = logging.getLogger(__name__)


@provider("contexts", dict[str, Any])
class ContextProvider:
    """Shared data as resources: each is one object, and a change to it is seen by everybody at once.

    Resources: `context.<name>`, ready from the start.

    Example:
        contexts:
            my_context:
                foo: bar
            another_context: this is a string
    """

    prefixes = ("context.",)

    def __init__(self) -> None:
        self.contexts: dict[str, Any] = {}

    @staticmethod
    def offers(options: dict[str, Any]) -> Iterable[str]:
        return (f"context.{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.contexts = runtime_environment.get_options(self) or {}
        for path in self.offers(self.contexts):
            runtime_environment.resource_manager.register(path, self)

    def add_consumer(self, dependency: Any) -> None:
        dependency.on_resource_ready(self.contexts[dependency.provider.removeprefix("context.")])


@dataclass(frozen=True)
class PersistedContextOptions:
    """Where and how one context is kept.

    Args:
        kind: the format of the file. A pickle can run any code when it is read: it needs `allow_pickle`.
        file: where it is kept; `<name>.<kind>` by default. `~` and `$VAR` are expanded.
        initial_data: what it holds when there is no file yet, or one that cannot be read.
        interval: how often it is written when it changed; 0 writes it only when the process stops.
        allow_pickle: the file is trusted like the program itself.
    """

    kind: Literal["json", "pickle"] = "json"
    file: str | None = None
    initial_data: Any = field(default_factory=dict)
    interval: Seconds = 30
    allow_pickle: bool = False


@provider("persisted_contexts", dict[str, PersistedContextOptions])
class PersistedContextProvider:
    """Shared data as resources that survives a restart.

    The file is replaced as a whole, so that it is complete whenever the process dies. One that cannot be read is
    kept beside as `<file>.broken-<time>`.

    Resources: `persisted_context.<name>`, loaded when it is first used, which is at the start.

    Example:
        persisted_contexts:
            some_context:
                kind: json
                file: some_context.json
                initial_data: {}
    """

    prefixes = ("persisted_context.",)

    def __init__(self) -> None:
        self.contexts: dict[str, PersistedContext] = {}

    @staticmethod
    def offers(options: dict[str, Any]) -> Iterable[str]:
        return (f"persisted_context.{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        services = MultiService()
        options: dict[str, PersistedContextOptions] = runtime_environment.get_options(self) or {}
        for name, wanted in options.items():
            self.contexts[name] = PersistedContext(name, wanted, runtime_environment)
            self.contexts[name].setServiceParent(services)
            runtime_environment.resource_manager.register(f"persisted_context.{name}", self)
        services.setServiceParent(runtime_environment.application)

    def add_consumer(self, dependency: Any) -> None:
        context = self.contexts[dependency.provider.removeprefix("persisted_context.")]
        dependency.on_resource_ready(context.get())


class PersistedContext(Service):
    """One context with its file: loaded once, written when it changed."""

    def __init__(self, name: str, options: PersistedContextOptions, environment: RuntimeEnvironment) -> None:
        self.setName(name)
        self.options, self.environment = options, environment
        if options.kind == "pickle" and not options.allow_pickle:
            raise self._problem(
                "kind",
                f"the persisted context {name!r} would be read from a pickle, which can run any code",
                "use kind: json, or say allow_pickle: true if nobody else can write that file",
            )
        self.file = os.path.expandvars(os.path.expanduser(options.file or f"{name}.{options.kind}"))
        is_json = options.kind == "json"
        self.dump: Callable[[Any], bytes] = _dump_json if is_json else pickle.dumps
        self.load: Callable[[bytes], Any] = json.loads if is_json else pickle.loads
        self.data: Any = None
        self._is_loaded = False
        self._one_at_a_time = DeferredLock()
        self._written: bytes | None = None
        self._writing: LoopingCall | None = None

    def _problem(self, key: str, what: str, fix: str) -> ConfigurationError:
        path = ("persisted_contexts", self.name, key)
        return ConfigurationError(problems=[Problem(what, self.environment.configuration_manager.where(path), fix)])

    def get(self) -> Any:
        """The data itself, the same object for everybody."""
        if not self._is_loaded:
            self.data, self._is_loaded = self._read(), True
        return self.data

    def startService(self) -> None:
        super().startService()
        if self.options.interval > 0:
            self._writing = LoopingCall(self.save)
            self._writing.clock = self.environment.reactor
            self._writing.start(self.options.interval, now=False)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._writing is not None and self._writing.running:
            self._writing.stop()
        return self.save()

    async def _save(self) -> None:
        if not self._is_loaded:
            return
        try:
            # Made here and not in the thread: meanwhile a pipeline could change what is being written.
            content = self.dump(self.data)
            if content != self._written:
                await self.environment.in_thread(_replace, self.file, content)
                self._written = content
        except (OSError, TypeError, ValueError, pickle.PicklingError) as error:
            logger.error("the persisted context %r is not saved to %s: %s", self.name, self.file, error)

    def save(self) -> Deferred[None]:
        """Write the data if it was used and has changed; a failure is logged, the next time tries again."""
        return self._one_at_a_time.run(lambda: Deferred.fromCoroutine(self._save()))

    def _read(self) -> Any:
        try:
            with open(self.file, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return deepcopy(self.options.initial_data)
        except OSError as error:
            raise self._problem(
                "file", f"{self.file} cannot be read: {error.strerror}", "check its permissions"
            ) from error
        try:
            data = self.load(content)
        except Exception as error:  # a pickle may raise anything
            kept = f"{self.file}.broken-{int(self.environment.wall_clock())}"
            os.replace(self.file, kept)
            logger.error("%s cannot be read (%s): kept as %s, begun anew", self.file, error, kept)
            return deepcopy(self.options.initial_data)
        self._written = content
        logger.info("the persisted context %r was read from %s", self.name, self.file)
        return data


def _dump_json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def _replace(file: str, content: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there as a whole."""
    temporary = f"{file}.new"
    with open(temporary, "wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    os.replace(temporary, file)
    folder = os.open(os.path.dirname(os.path.abspath(file)), os.O_RDONLY)
    try:
        os.fsync(folder)  # else the name may still be the old file's after a power cut
    finally:
        os.close(folder)
