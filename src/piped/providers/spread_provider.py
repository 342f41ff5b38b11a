"""Perspective Broker: servers whose calls are batons, and clients that stay connected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.python.failure import Failure

from piped import ConfigurationError, Problem, RuntimeEnvironment, Source, provider
from piped.resources.dependency import InstanceDependency
from piped.runtime.endpoints import client_endpoint, endpoint
from piped.runtime.listeners import Listener
from piped.runtime.places import Listen
from piped.spread.calls import Calls
from piped.spread.client import PBClient
from piped.spread.client import PipedPBClientFactory as PipedPBClientFactory  # its documented address
from piped.spread.options import ClientOptions, Endpoint, ServerOptions
from piped.spread.serving import ServerFactory

_SERVER = "pb.server."
_CLIENT, _ROOT = "pb.client.", ".root_object"


class PBServer(MultiService):
    """One server.

    Started again after a stop, it listens again where it was told to.
    """

    def __init__(self, name: str, options: ServerOptions) -> None:
        super().__init__()
        self.setName(name)
        self.options = options
        self.listeners: list[Listener] = []
        #: Those that were closed by a stop, and not with the process.
        self._closed: list[Listener] = []
        #: Fires when nothing is left of the last stop.
        self._stopped: Deferred[Any] = succeed(None)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Find the processor, and ask for the ports to be opened once everything is ready."""
        options, name = self.options, f"{_SERVER}{self.name}"
        needs = InstanceDependency(self, name)
        dependency = runtime_environment.add_processor(needs, options.processor)
        self.source = Source(name, dependency, max_running=options.max_running)
        runtime_environment.sources.add(self.source)
        calls = Calls(self.source, options.answering, runtime_environment.reactor)
        limits = options.limits(runtime_environment.is_debugging)
        checker = options.checker.make() if options.checker is not None else None
        self.factory = ServerFactory(name, calls, limits, options.max_connections, checker)
        for place in options.listen:
            made = _made(endpoint, runtime_environment.reactor, place)
            self.listeners.append(runtime_environment.add_listener(name, "pb", made, self.factory, place.where))

    def startService(self) -> Deferred[Any]:
        """Take calls; after a stop, fires when it listens again."""
        super().startService()
        self.source.reopen()
        started: Deferred[Any] = Deferred()
        self._stopped.addBoth(lambda _: started.callback(None))
        return started.addCallback(lambda _: self._open())

    def _open(self) -> Deferred[Any] | None:
        if not self.running:
            return None  # stopped again meanwhile
        closed, self._closed = self._closed, []
        return DeferredList([self._listen(each) for each in closed], fireOnOneErrback=True, consumeErrors=True)

    def _listen(self, listener: Listener) -> Deferred[None]:
        def listening(port: Any) -> None:
            listener.port = port

        def failed(failure: Failure) -> Failure:
            self._closed.append(listener)  # so that the next start tries it again
            return failure

        listens: Deferred[Any] = listener.endpoint.listen(self.factory)
        return listens.addCallbacks(listening, failed)

    def stopService(self) -> Deferred[Any]:
        """Take no more calls, and hang up on the callers that are still there."""
        stopping = [self._stopped, self.factory.close(), maybeDeferred(super().stopService)]
        for each in self.listeners:
            port, each.port = each.port, None
            if port is not None:
                self._closed.append(each)
                stopping.append(maybeDeferred(port.stopListening))
        self._stopped = DeferredList(stopping)
        stopped: Deferred[Any] = Deferred()
        self._stopped.addBoth(lambda _: stopped.callback(None))
        return stopped


def _made(make: Callable[[Any, str], Any], reactor: Any, written: Listen | Endpoint) -> Any:
    """An endpoint that could be made when it was checked, and may lack a file of its own by now."""
    try:
        return make(reactor, written)
    except ValueError as error:
        raise ConfigurationError(problems=[Problem(str(error), written.where)]) from error


@provider("pb.servers", dict[str, ServerOptions])
class PBServerProvider(MultiService):
    """Perspective Broker servers: each call becomes a baton, and is answered with what its Deferred fires with.

    The baton has the `message`, which is the name of the method, the list `args`, the mapping `kwargs`, with a checker
    the `avatar_id` of the caller, and the `deferred`, which `callback-deferred` fires. The answer is sent when the
    pipeline has ended. A Deferred that somebody keeps may be fired later; one that nobody keeps any more is answered
    with `default_callback`, or with MissingCallback. What a pipeline fails with goes to the caller.

    Resources: `pb.server.<name>`, the service, with `startService()` and `stopService()`.

    Example:
        pb:
            servers:
                named_server:
                    listen: tcp:8789
                    processor: processor_name
                    wait_for_processor: false
                    default_callback: null
                    checker:
                        name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
                        arguments:
                            username: password
    """

    prefixes = (_SERVER,)

    @staticmethod
    def offers(options: dict[str, ServerOptions]) -> Iterable[str]:
        return (f"{_SERVER}{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("pb.servers")
        self.setServiceParent(runtime_environment.application)
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            server = PBServer(name, options)
            try:
                server.configure(runtime_environment)
            except ConfigurationError as error:
                problems += error.problems
                continue
            server.setServiceParent(self)
            runtime_environment.resource_manager.register(f"{_SERVER}{name}", self)
        if problems:
            raise ConfigurationError(problems=problems)

    def add_consumer(self, resource_dependency: Any) -> None:
        name = resource_dependency.provider.removeprefix(_SERVER)
        resource_dependency.on_resource_ready(self.getServiceNamed(name))


@provider("pb.clients", dict[str, ClientOptions])
class PBClientProvider(MultiService):
    """Perspective Broker clients: connections that are made when somebody needs them, and again when they are lost.

    A server that is not there is tried again after a second, then ever later, up to half a minute; one that refuses the
    login after about half a minute. Calls that wait for an answer fail at once when the connection is lost.

    Resources: `pb.client.<name>`, the factory, while it is connected; `pb.client.<name>.root_object`, the remote
    object, with `callRemote(name, ...)`, while it is connected and logged in.

    Example:
        pb:
            clients:
                named_client:
                    endpoint: tcp:host=localhost:port=8789
                    username: a_username
                    password: a_password
    """

    prefixes = (_CLIENT,)

    def __init__(self) -> None:
        super().__init__()
        #: By resource path: whose it is, and whether it is the root object.
        self._resources: dict[str, tuple[PBClient, bool]] = {}

    @staticmethod
    def offers(options: dict[str, ClientOptions]) -> Iterable[str]:
        return (f"{_CLIENT}{name}{part}" for name in options for part in ("", _ROOT))

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("pb.clients")
        self.setServiceParent(runtime_environment.application)
        clock = runtime_environment.reactor
        for name, options in (runtime_environment.get_options(self) or {}).items():
            client = PBClient(name, options, clock, _made(client_endpoint, clock, options.endpoint))
            client.configure(runtime_environment)
            client.setServiceParent(self)
            for path, is_root in ((f"{_CLIENT}{name}", False), (f"{_CLIENT}{name}{_ROOT}", True)):
                self._resources[path] = client, is_root
                runtime_environment.resource_manager.register(path, self)

    def add_consumer(self, resource_dependency: Any) -> None:
        client, is_root = self._resources[resource_dependency.provider]
        client.add_consumer(resource_dependency, is_root)

    def remove_consumer(self, resource_dependency: Any) -> None:
        client, _ = self._resources[resource_dependency.provider]
        client.remove_consumer(resource_dependency)
