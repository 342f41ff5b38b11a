"""The door of the house: the section `cyclone`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from tornado.routing import URLSpec
from tornado.web import Application, RequestHandler, StaticFileHandler
from twisted.application.service import MultiService
from twisted.internet import defer
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory

from piped import ConfigurationError, Mark, Problem, RuntimeEnvironment, provider
from piped.resources.dependency import InstanceDependency, ResourceDependency
from piped.runtime.endpoints import endpoint
from piped.runtime.places import Listen
from piped_cyclone.debugger import SETTING, ApplicationDebugger
from piped_cyclone.handlers import PipedRequestHandlerProxy, PipelineRequestHandler
from piped_cyclone.names import FactoryName
from piped_cyclone.options import ApplicationOptions, CycloneOptions, as_path
from piped_cyclone.requests import Requests, serve
from piped_cyclone.rows import Row
from piped_cyclone.serving import Server, TornadoEndpoint, tls_of

_log = logging.getLogger("piped.cyclone")
#: Seconds after which a WebSocket is asked whether its client is still there, which Tornado would never do.
PING_INTERVAL: Final = 30
#: Seconds that a cancelled request has to tell its client.
LAST_WORDS: Final = 0.5


@provider("cyclone", dict[str, CycloneOptions])
class CycloneProvider(MultiService):
    """Sites of request handlers, as cyclone had them and Tornado has them: the handlers are Tornado's.

    Names such as `cyclone.web.RedirectHandler` mean Tornado's. Handlers may await Deferreds, and may return one. A
    class that has a classmethod `configure(runtime_environment)` is told once of where it is used.

    Each application is the resource `cyclone.application.<site>`.

    Example:
        cyclone:
            my_site:
                listen: 8888
                application:
                    handlers:
                        - [/old/(.*), cyclone.web.RedirectHandler, {url: "/new/{0}"}]
                        - pattern: /new/(?P<page>.*)
                          handler: {provider: pipeline.page}
                          name: page
        pipelines:
            page:
                - eval-lambda:
                    input_path: ""
                    output_path: null
                    lambda: "baton: baton['handler'].finish(baton['kwargs'])"
    """

    prefixes = ()

    @staticmethod
    def offers(sites: dict[str, CycloneOptions]) -> Iterable[str]:
        return [f"cyclone.application.{name}" for name, options in sites.items() if options.enabled]

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("cyclone")
        self.setServiceParent(runtime_environment.application)
        configured: set[type] = set()
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            if options.enabled:
                site = CycloneSite(name, options)
                site.setServiceParent(self)
                try:
                    site.configure(runtime_environment, configured)
                except ConfigurationError as error:
                    problems += error.problems
        if problems:
            raise ConfigurationError(problems=problems)


class CycloneSite(MultiService):
    """A site with its application.

    Args:
        name: the key in the configuration.
        options: what stands below it.
    """

    def __init__(self, name: str, options: CycloneOptions) -> None:
        super().__init__()
        self.setName(name)
        self.called, self.options = f"cyclone.{name}", options
        self._written = options.application or ApplicationOptions()
        self.servers: list[Server] = []

    def configure(self, runtime_environment: RuntimeEnvironment, configured: set[type]) -> None:
        """Make the application, and ask for its ports to be opened once everything is ready.

        Args:
            configured: the classes of handlers that were told of where they are used; those of this site are added.
        """
        self._environment, name = runtime_environment, str(self.name)
        self._needs = InstanceDependency(self, self.called)
        manager = runtime_environment.dependency_manager
        serving = manager.add_dependency(InstanceDependency(serve, f"{self.called}, which serves"))
        self.source = Requests(self.called, serving, self.options.max_running)
        runtime_environment.sources.add(self.source)
        self.application = self._application(configured)
        self.source.watch(self.application)
        runtime_environment.resource_manager.register(f"cyclone.application.{name}", self)
        for place in self.options.listen:
            self._listen(place)

    def add_consumer(self, resource_dependency: ResourceDependency) -> None:
        """Hand over the application."""
        resource_dependency.on_resource_ready(self.application)

    def _application(self, configured: set[type]) -> Application:
        options = self._written
        rows = [self._spec(row, configured) for row in options.handlers]
        settings = options.settings()
        if options.transforms is not None:
            settings["transforms"] = [name.load() for name in options.transforms]
        if options.piped_dependencies:
            found = self._environment.create_dependency_map(self._needs, **options.piped_dependencies)
            settings["piped_dependencies"] = found
        if options.debug:
            settings |= self._debugging()
        written = self.options.type or self.options.application_factory
        application = _made(written, rows, settings) if written else Application(rows, **settings)
        application.settings.setdefault("websocket_ping_interval", PING_INTERVAL)
        for row in rows:
            if isinstance(row.handler_class, PipedRequestHandlerProxy):
                row.handler_class.application = application
        return application

    def _spec(self, row: Row, configured: set[type]) -> URLSpec:
        handler, kwargs = row.handler, row.kwargs
        if isinstance(handler, dict):
            dependency = self._environment.dependency_manager.add_dependency(self._needs, handler)
            if handler["provider"].startswith("pipeline."):
                handler, kwargs = PipelineRequestHandler, {"pipeline": dependency}
            else:
                handler = PipedRequestHandlerProxy(dependency)
        else:
            _configure(handler, self._environment, configured)
            if issubclass(handler, StaticFileHandler):  # which takes texts only
                kwargs = {name: as_path(name, value) for name, value in kwargs.items()}
        return URLSpec(row.pattern, handler, kwargs, row.name)

    def _debugging(self) -> dict[str, Any]:
        options = self._written
        if not options.debug_allow:
            _log.warning("%s: debug is on, but nobody may debug: debug_allow is empty", self.called)
            return {}
        debugger = ApplicationDebugger(self.called, options, self._environment)
        debugger.setServiceParent(self)
        told = "%s: clients from %s may run any code in this process, with its debugger (debug_allow)"
        _log.warning(told, self.called, ", ".join(options.debug_allow))
        return {SETTING: debugger}

    def _listen(self, place: Listen) -> None:
        options, environment = self.options, self._environment
        where: Mark | None = place.where
        try:
            listening = endpoint(environment.reactor, place, options.interface)
        except ValueError as error:
            raise ConfigurationError(problems=[Problem(str(error), where)]) from error
        tls = tls_of(place)
        server = Server(
            self.application,
            ssl_options=tls,
            xheaders=bool(self.application.settings.get("xheaders")),
            max_header_size=options.max_header_size,
            max_body_size=options.max_body_size,
            idle_connection_timeout=options.idle_timeout,
            body_timeout=options.body_timeout,
        )
        server.max_connections = options.max_connections
        self.servers.append(server)
        listening = TornadoEndpoint(listening, server, options.send_timeout, where)
        environment.add_listener(self.called, "https" if tls else "http", listening, _Nobody(), where)

    async def _hang_up(self) -> None:
        """Close what is still open; what was running has been drained before, or was cancelled just now."""
        with suppress(defer.TimeoutError):
            await self.source.drain().addTimeout(LAST_WORDS, self._environment.reactor)
        await gatherResults([server.close() for server in self.servers], consumeErrors=True)

    def stopService(self) -> Deferred[Any]:
        """Hang up on the clients that are still there."""
        stopped: Deferred[Any] = super().stopService()
        return stopped.addCallback(lambda _: Deferred.fromCoroutine(self._hang_up()))


class _Nobody(Factory):
    """Stands for the protocols of a port whose connections never come to Twisted."""

    noisy = False


def _made(written: FactoryName, rows: list[URLSpec], settings: dict[str, Any]) -> Application:
    """Make an application of somebody's own."""
    make = written.load()
    try:
        inspect.signature(make).bind(rows, **settings)
    except TypeError as error:
        what = f"{written} cannot be called with a list of handlers and the settings: {error}"
        problem = Problem(what, written.where, "have it take `handlers, **settings`, as tornado.web.Application does")
        raise ConfigurationError(problems=[problem]) from None
    application = make(rows, **settings)
    if not isinstance(application, Application):
        what = f"{written} has made no application, but {type(application).__name__}"
        raise ConfigurationError(problems=[Problem(what, written.where)])
    return application


def _configure(handler: type[RequestHandler], environment: RuntimeEnvironment, configured: set[type]) -> None:
    """Call the classmethod `configure` of a handler once, if it has one."""
    configure = getattr(handler, "configure", None)
    if configure is not None and handler not in configured:
        configured.add(handler)
        configure(environment)
