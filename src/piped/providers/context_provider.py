"""Contexts: data that pipelines share, in memory or kept in a file."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.task import LoopingCall
from twisted.python.filepath import FilePath

from piped import ConfigurationError, Problem, RuntimeEnvironment, Seconds, provider, told

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
        self.contexts = runtime_environment.get_options(self)
        for path in self.offers(self.contexts):
            runtime_environment.resource_manager.register(path, self)

    def add_consumer(self, dependency: Any) -> None:
        dependency.on_resource_ready(self.contexts[dependency.provider.removeprefix("context.")])


@dataclass(frozen=True)
class PersistedContextOptions:
    """Where and how one context is kept.

    Args:
        kind: the format of the file. `json` keeps what JSON has: names become text, and tuples lists. A pickle can run
            any code when it is read: it needs `allow_pickle`.
        file: where it is kept, in a folder that exists; `<name>.<kind>` by default. `~` and `$VAR` are expanded.
        initial_data: what it holds when there is no file yet, or one that cannot be read.
        interval: how often it is written when it changed; 0 writes it only when the process stops.
        allow_pickle: the file is trusted like the program itself.
    """

    kind: Literal["json", "pickle"] = "json"
    file: FilePath | None = None  # type: ignore[type-arg]  # the checker knows the class, not its kinds
    initial_data: Any = field(default_factory=dict)
    interval: Seconds = 30
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if self.kind == "pickle" and not self.allow_pickle:
            raise ConfigurationError(
                "a pickle can run any code when it is read",
                hint="use kind: json, or say allow_pickle: true if nobody else can write that file",
            )


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
        users: dict[str, str] = {}
        problems: list[Problem] = []
        for name, options in runtime_environment.get_options(self).items():
            context = self.contexts[name] = PersistedContext(name, options, runtime_environment)
            context.setServiceParent(services)
            runtime_environment.resource_manager.register(f"persisted_context.{name}", self)
            if (other := users.setdefault(os.path.realpath(context.file), name)) != name:
                what = f"the persisted contexts {other!r} and {name!r} would overwrite each other in {context.file}"
                problems.append(context.problem(what, "give one of them another file"))
        if problems:
            raise ConfigurationError(problems=problems)
        services.setServiceParent(runtime_environment.application)

    def add_consumer(self, dependency: Any) -> None:
        context = self.contexts[dependency.provider.removeprefix("persisted_context.")]
        dependency.on_resource_ready(context.get())


class PersistedContext(Service):
    """One context with its file: loaded once, written when it changed."""

    def __init__(self, name: str, options: PersistedContextOptions, environment: RuntimeEnvironment) -> None:
        self.setName(name)
        self.options, self.environment = options, environment
        self.file: str = options.file.path if options.file else os.path.abspath(f"{name}.{options.kind}")
        is_json = options.kind == "json"
        self.dump: Callable[[Any], bytes] = _dump_json if is_json else pickle.dumps
        self.load: Callable[[bytes], Any] = json.loads if is_json else pickle.loads
        self.data: Any = None
        self._is_loaded = False
        self._one_at_a_time = DeferredLock()
        #: What the file holds, as far as this process has read or written it.
        self._written: bytes | None = None
        self._writing: LoopingCall | None = None

    def problem(self, what: str, fix: str) -> Problem:
        """Something that is wrong with the file, at the place where it is written, or where the context is."""
        context = self.environment.configuration_manager.node(("persisted_contexts", self.name))
        file = context and context.at(("file",))
        return Problem(what, file.where if file else context.named_at if context else None, fix)

    def get(self) -> Any:
        """The data itself, the same object for everybody.

        Raises:
            ConfigurationError: when it is first used and the file cannot be read, or not be written later.
        """
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
        was_running = self.running
        super().stopService()
        if self._writing is not None and self._writing.running:
            self._writing.stop()
        # A start that failed leaves no file behind, which would hide a change of `initial_data`.
        return self.save() if was_running else succeed(None)

    def save(self) -> Deferred[None]:
        """Write the data if it was used and has changed; a failure is logged, the next time tries again."""
        return self._one_at_a_time.run(lambda: Deferred.fromCoroutine(self._save()))

    async def _save(self) -> None:
        if not self._is_loaded:
            return
        try:
            # Made here and not in the thread: meanwhile a pipeline could change what is being written.
            content = self.dump(self.data)
            if content != self._written:
                await self.environment.in_thread(_replace, self.file, content)
                self._written = content
        except Exception as error:  # a pipeline can put anything into it, and an object can raise anything
            logger.error("the persisted context %r is not saved to %s: %s", self.name, self.file, told(error))

    def _read(self) -> Any:
        file = os.path.realpath(self.file)
        try:
            if not os.access(os.path.dirname(file), os.W_OK):
                what = f"{self.file} could never be written: its folder is not there, or not for us to write"
                raise ConfigurationError(problems=[self.problem(what, "make the folder, or name another file")])
            with open(file, "rb") as opened:
                content = opened.read()
            return self._loaded(file, content)
        except FileNotFoundError:
            return deepcopy(self.options.initial_data)
        except OSError as error:
            what = f"{self.file} cannot be read: {error.strerror}"
            raise ConfigurationError(problems=[self.problem(what, "check what it is, and its permissions")]) from error

    def _loaded(self, file: str, content: bytes) -> Any:
        """What the content of the file means; if it means nothing, the file is put aside."""
        try:
            data = self.load(content)
            self._written = self.dump(data)  # not `content`, which may be the same in another layout
        except Exception as error:  # a pickle may raise anything
            kept = f"{file}.broken-{int(self.environment.wall_clock())}"
            os.replace(file, kept)
            logger.error("%s cannot be read (%s): kept as %s, begun anew", self.file, told(error), kept)
            return deepcopy(self.options.initial_data)
        logger.info("the persisted context %r was read from %s", self.name, self.file)
        return data


def _dump_json(data: Any) -> bytes:
    # A text that is no proper Unicode must not keep the rest from being saved; json.loads reads it back the same way.
    return json.dumps(data, ensure_ascii=False).encode(errors="surrogatepass")


def _replace(file: str, content: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there as a whole."""
    file = os.path.realpath(file)  # a link stays one
    temporary = f"{file}.new"
    with suppress(FileNotFoundError):
        os.remove(temporary)  # of a process that died
    try:
        with open(temporary, "xb") as new:
            with suppress(FileNotFoundError):
                shutil.copymode(file, temporary)  # before anything is in it that not everybody may read
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        os.replace(temporary, file)
    except OSError:
        with suppress(OSError):
            os.remove(temporary)  # else a part of it would take what is left of a full disk
        raise
    folder = os.open(os.path.dirname(file), os.O_RDONLY)
    try:
        os.fsync(folder)  # else the name may still be the old file's after a power cut
    finally:
        os.close(folder)
