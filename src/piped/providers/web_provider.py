"""Web sites: HTTP requests as batons, answered by pipelines and by files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from piped import ConfigurationError, Problem, RuntimeEnvironment, Source, load_namespace, provider
from piped.config.nodes import node_of
from piped.resources.dependency import Dependency, InstanceDependency
from piped.runtime.endpoints import endpoint
from piped.spec.checking import Checker
from piped.web import replies
from piped.web.channel import Site
from piped.web.concatenated import ConcatenatedFile
from piped.web.options import PathOptions, Routing, SiteOptions, Static
from piped.web.processing import Processing, log_failure
from piped.web.request import Request
from piped.web.routing import Route, text_segments
from piped.web.static import StaticFiles

_log = logging.getLogger("piped.web")
#: Answers a request, or says that it has nothing at that postpath.
Answer = Callable[[Request], bool]


@provider("web", dict[str, SiteOptions])
class WebResourceProvider(MultiService):
    """Web sites that are answered by pipelines and files.

    A request becomes the baton `{request: request}`; the pipeline writes the response and finishes the request.

    Example:
        web:
            my_site:
                port: 8080
                routing:
                    __config__:
                        processor: pipeline.hello
        pipelines:
            hello:
                - write-web-response: {fallback_content: Piped says hello.}
    """

    prefixes = ()

    @staticmethod
    def offers(sites: dict[str, SiteOptions]) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("web")
        self.setServiceParent(runtime_environment.application)
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            if options.enabled:
                site = WebSite(name, options)
                site.setServiceParent(self)
                try:
                    site.configure(runtime_environment)
                except ConfigurationError as error:
                    problems += error.problems
        if problems:
            raise ConfigurationError(problems=problems)


class WebSite(MultiService):
    """A web site.

    Args:
        site_name: the key in the configuration.
        site_configuration: the mapping below it, or what it was checked to be.
    """

    def __init__(self, site_name: str, site_configuration: SiteOptions | Mapping[str, Any]) -> None:
        super().__init__()
        self.setName(site_name)
        self.site_name = site_name
        self.options: SiteOptions = _checked(SiteOptions, site_configuration, f"web.{site_name}")
        self.source = Source(f"web.{site_name}", max_running=self.options.max_running)
        #: Stands for the site among the dependencies.
        self.needs = InstanceDependency(self, self.source.name)
        self.resource = WebResource(self, self.options.routing)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Find what the routing names, and ask for a port to be opened once everything is ready."""
        options, self.clock = self.options, runtime_environment.reactor
        if options.debug and options.debug.allow:
            _log.warning("%s: there is no debugger for browsers yet, a failure gets the short page", self.source.name)
        runtime_environment.sources.add(self.source)
        self.resource.configure(runtime_environment)
        self.factory = Site(self.resource, reactor=self.clock, timeout=options.timeout, max_body=options.max_body)
        written = options.listen or options.port
        scheme = "https" if written.startswith(("ssl:", "tls:")) else "http"
        where = written.where or options.routing.where
        runtime_environment.add_listener(self.source.name, scheme, self._endpoint(), self.factory, where)

    def _endpoint(self) -> Any:
        written = self.options.listen or self.options.port
        try:
            return endpoint(self.clock, written, self.options.interface)
        except ValueError as error:
            raise ConfigurationError(problems=[Problem(str(error), written.where)]) from error

    def stopService(self) -> Deferred[Any]:
        """Hang up on the clients that are still there; what was running has been drained before."""
        stopped: Deferred[Any] = super().stopService()
        return stopped.addCallback(lambda _: self.factory.close())


class WebResource(Resource):
    """The paths of a site: answers every request below the place where it is mounted.

    Args:
        site: whose processors, limits and log it works with.
        routing: the mapping below `routing:`, or what it was checked to be.
    """

    # Walks its own tree: a resource object for each segment of each request would be most of the work.
    isLeaf = True

    def __init__(self, site: WebSite, routing: Routing | Mapping[str, Any]) -> None:
        super().__init__()
        self.site = site
        self.routing: Routing = _checked(Routing, routing, f"web.{site.site_name}.routing")
        self.route: Route[Answer] = Route()
        self._answers: dict[str, Processing] = {}

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Make what answers; processors are found once everything is resolved."""
        self.route = self._route(self.routing, runtime_environment)

    def render(self, request: Request) -> int:
        """Answer a request, now or later."""
        segments, before = request.postpath, request.prepath
        match = self.route.find(text_segments(segments))
        try:
            while match is not None:
                request.postpath = match.postpath
                request.prepath = before + segments[: len(segments) - len(match.postpath)]
                if match.answer(request):
                    return NOT_DONE_YET
                match = match.otherwise
            replies.no_such_resource(request)
        except Exception:
            request.answered_by = request.answered_by or self.site.source.name
            log_failure(self.site.options, request, Failure())
            replies.processing_failed(request)
        return NOT_DONE_YET

    def _route(self, routing: Routing, environment: RuntimeEnvironment) -> Route[Answer]:
        options = routing.options
        return Route(
            own=self._own_answer(options, environment),
            files=None if options.static is None else _static_files(options.static),
            rest=self._processing(options.no_resource_processor, environment),
            children={segment: self._route(child, environment) for segment, child in routing.children.items()},
        )

    def _own_answer(self, options: PathOptions, environment: RuntimeEnvironment) -> Answer | None:
        if options.processor is None and options.concatenated is not None:
            return ConcatenatedFile(
                list(map(_expanded, options.concatenated.file_paths)), options.concatenated.content_type
            )
        return self._processing(options.processor, environment)

    def _processing(self, written: Any, environment: RuntimeEnvironment) -> Processing | None:
        """What answers with a processor; one for each processor of a site, however many paths it has."""
        if written is None:
            return None
        key = str(written)
        if key not in self._answers:
            dependency: Dependency = environment.add_processor(self.site.needs, written)
            self._answers[key] = Processing(self.site.options, self.site.source, dependency)
        return self._answers[key]


def _static_files(written: str | Static) -> StaticFiles:
    options = Static(written) if isinstance(written, str) else written
    return StaticFiles(
        _expanded(options.path),
        listing=options.listing,
        default_type=options.defaultType,
        ignored_extensions=["*"] if options.allowExt else options.ignoredExts,
        preprocessors=[text.compile() for text in options.preprocessors.values()],
        namespace=load_namespace(options.namespace),
    )


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))


def _checked(shape: type, written: Any, owner: str) -> Any:
    """What was checked already, or a mapping that somebody wrote in Python, checked now."""
    if isinstance(written, shape):
        return written
    checker = Checker(os.environ)
    value = checker.value(shape, node_of(written), owner=owner)
    if checker.problems:
        raise ConfigurationError(problems=checker.problems)
    return value
