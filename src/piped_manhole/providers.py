"""The door of the manhole: the section `manholes`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

from twisted.application.service import MultiService
from twisted.conch.ssh.keys import FingerprintFormats, Key
from twisted.internet.defer import Deferred

from piped import ConfigurationError, Mark, Problem, RuntimeEnvironment, load_namespace, provider
from piped.resources.dependency import InstanceDependency
from piped.runtime.console import Console
from piped.runtime.endpoints import endpoint
from piped_manhole.asking import Help
from piped_manhole.checkers import KeyChecker, KeyFiles
from piped_manhole.connections import Connections
from piped_manhole.host_keys import OWN_KEY, own_key, said
from piped_manhole.options import ManholeOptions
from piped_manhole.session import Session

_log = logging.getLogger("piped.manhole")


@provider("manholes", dict[str, ManholeOptions])
class ManholeProvider(MultiService):
    """Manholes: a Python prompt inside the running process, over SSH: `ssh -p 10022 ada@localhost`.

    At the prompt there are `runtime_environment`, the `dependencies` by their names (also as `d`), the `pipelines`, and
    `h()`, which lists what can be asked. What asyncio or Twisted waits for can be awaited, and `_` is the last result.
    Ctrl-C cancels what is being waited for, and so does hanging up. Each session has names of its own.

    Whoever can log in can do whatever the process can. What is typed runs where all batons run: a statement that
    computes for a second holds up the whole service for that second, and one that never ends holds it up for ever; one
    that awaits holds up nothing. Every login and every refusal is logged; what is typed never is.

    Example:
        manholes:
            my_manhole:
                port: 10022
                checkers:
                    inmemory:
                        checker: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
                        arguments:
                            username: password
                dependencies:
                    hello: pipeline.processor_name
    """

    prefixes = ()

    @staticmethod
    def offers(manholes: dict[str, ManholeOptions]) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("manholes")
        self.setServiceParent(runtime_environment.application)
        node = runtime_environment.configuration_manager.node("manholes")
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            if options.enabled:
                written = node.at((name,)) if node is not None else None
                try:
                    manhole = Manhole(name, options, written.named_at if written else None)
                    manhole.configure(runtime_environment)
                    manhole.setServiceParent(self)
                except ConfigurationError as error:
                    problems += error.problems
        if problems:
            raise ConfigurationError(problems=problems)


class Manhole(MultiService):
    """A server of SSH whose sessions are Python prompts.

    Args:
        name: the key in the configuration.
        options: what stands below it.
        where: it is written, for what is found out when it starts.
    """

    def __init__(self, name: str, options: ManholeOptions, where: Mark | None = None) -> None:
        super().__init__()
        self.setName(name)
        self.called, self.options, self.where = f"manholes.{name}", options, where

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Ask for a port to be opened once everything is ready; what is written is never changed."""
        self.environment, options = runtime_environment, self.options
        needs = InstanceDependency(self, self.called)
        self.dependencies = runtime_environment.create_dependency_map(needs, **options.dependencies)
        manager = runtime_environment.dependency_manager
        self._pipelines = manager.add_dependency(needs, {"provider": "pipeline_provider"})
        self._namespace = load_namespace(options.namespace)
        greeting = f"Piped {version('piped')}, {self.called} – h() lists what can be asked, ctrl-D ends the session\n"
        new_session = partial(Session, self.new_console, greeting)
        clock = runtime_environment.reactor
        self.connections = Connections(self.called, options, list(self._checkers()), new_session, clock)
        written = options.listen or options.port
        where = written.where or self.where
        try:
            listening = endpoint(clock, written, options.interface)
        except ValueError as error:
            raise ConfigurationError(problems=[Problem(str(error), where)]) from error
        listening = _WithHostKey(listening, self._host_key)
        runtime_environment.add_listener(self.called, "ssh", listening, self.connections, where)

    def _checkers(self) -> Iterable[Any]:
        if self.options.authorized_keys:
            files = {
                user.encode(): [str(each) for each in (written if isinstance(written, list) else [written])]
                for user, written in self.options.authorized_keys.items()
            }
            yield KeyChecker(KeyFiles(files, self.environment.in_thread).keys_of)
        yield from self.options.checkers.values()

    @property
    def namespace(self) -> dict[str, Any]:
        """The names that each session has from the beginning."""
        pipelines = self._pipelines.get_resource()
        names = {
            "runtime_environment": self.environment,
            "dependencies": self.dependencies,
            "d": self.dependencies,
            "pipelines": pipelines,
            **self._namespace,
        }
        declared = self.options.dependencies
        return {"h": Help(self.environment, pipelines, self.dependencies, declared, ["h", *names]), **names}

    def new_console(self) -> Console:
        """What evaluates for one session, with names of its own."""
        return Console(self.namespace)

    async def _host_key(self) -> None:
        """Have the key of the server, which is made if there is none."""
        key: Any = self.options.keys
        if key is None:
            try:
                key, is_new = await self.environment.in_thread(own_key, OWN_KEY)
            except (OSError, ValueError) as error:
                what = f"{self.called} has no key: {said(error)}"
                raise ConfigurationError(problems=[Problem(what, self.where, "or name one in `keys`")]) from error
            if is_new:
                _log.info("%s has made a key for itself: %s", self.called, OWN_KEY)
        _log.info("%s is known by its key %s", self.called, fingerprint(key))
        self.connections.use_key(key)

    def stopService(self) -> Deferred[Any]:
        """Tell whoever is logged in, and hang up."""
        closed = self.connections.close("the process stops")
        stopped: Deferred[Any] = super().stopService()
        return stopped.addCallback(lambda _: closed)


class _WithHostKey:
    """An endpoint that listens once the key of the server is there; making one belongs to no mere check."""

    def __init__(self, inner: Any, prepare: Any) -> None:
        self._inner, self._prepare = inner, prepare

    async def listen(self, factory: Any) -> Any:
        await self._prepare()
        return await self._inner.listen(factory)


def fingerprint(key: Key) -> str:
    """A public key as `ssh` shows it to whoever connects for the first time."""
    shown: str = key.public().fingerprint(FingerprintFormats.SHA256_BASE64)
    return f"SHA256:{shown.rstrip('=')}"
