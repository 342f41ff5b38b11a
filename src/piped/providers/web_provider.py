"""Web sites: HTTP requests as batons, answered by pipelines and by files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

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
from piped.web.channels import SiteEndpoint
from piped.web.concatenated import ConcatenatedFile
from piped.web.debugger import SEGMENT, Debugger, Debuggers
from piped.web.dressing import dress
from piped.web.methods import Answer, ForMethods
from piped.web.options import SiteOptions
from piped.web.path_options import PathOptions, Routing, Static
from piped.web.processing import Processing, log_failure
from piped.web.redirects import Redirects
from piped.web.request import Request
from piped.web.routing import Match, Route, exact_matches, parameter_of, text_segments
from piped.web.site import Site
from piped.web.static import StaticFiles
from piped.web.websockets.processing import WebSocketProcessing

_log = logging.getLogger("piped.web")


@provider("web", dict[str, SiteOptions])
class WebResourceProvider(MultiService):
    """Web sites that are answered by pipelines and files.

    A request becomes the baton `{request: request}`; the pipeline writes the response and finishes the request. A
    segment `"{name}"` of a routing stands for any text, which is in `params` of the baton.

    Example:
        web:
            my_site:
                port: 8080
                routing:
                    __config__:
                        processor: pipeline.hello
                    users:
                        "{id}":
                            __config__: {methods: {GET: pipeline.user}}
        pipelines:
            hello:
                - write-web-response: {fallback_content: Piped says hello.}
            user:
                - write-web-response: {content_path: params.id}
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
        self.debuggers = Debuggers(self.source.name, options.debug, runtime_environment)
        self.debuggers.setServiceParent(self)
        runtime_environment.sources.add(self.source)
        self.resource.configure(runtime_environment)
        self.factory = Site(self.resource, options, reactor=self.clock, wall_clock=runtime_environment.wall_clock)
        dress(self.factory, options, runtime_environment.in_thread)
        written = options.listen or options.port
        scheme = "https" if written.startswith(("ssl:", "tls:")) else "http"
        where = written.where or options.routing.where
        listening = SiteEndpoint(self._endpoint(), options.channel)
        runtime_environment.add_listener(self.source.name, scheme, listening, self.factory, where)

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
    #: Says that there is an `answer`, which needs nothing of what Twisted does to find a resource.
    answers_everything = True

    def __init__(self, site: WebSite, routing: Routing | Mapping[str, Any]) -> None:
        super().__init__()
        self.site = site
        self.routing: Routing = _checked(Routing, routing, f"web.{site.site_name}.routing")
        self.route: Route[Answer] = Route()
        self._exact: Mapping[bytes, Match[Answer]] = {}
        self._answers: dict[tuple[str, Debugger | None], Processing] = {}

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Make what answers; processors are found once everything is resolved."""
        self.route = self._route(self.routing, runtime_environment)
        self._exact = exact_matches(self.route)

    def answer(self, request: Request) -> None:
        """Answer a request to the site, now or later; never raises."""
        path = request.path
        segments = path[1:].split(b"/")
        match = self._exact.get(path)
        if match is None:
            segments = list(map(unquote_to_bytes, segments)) if b"%" in path else segments
            match = self.route.find(text_segments(segments))
        self._answer(request, match, [], segments)

    def render(self, request: Request) -> int:
        """Answer a request whose path was understood as far as to here, now or later."""
        segments = request.postpath
        self._answer(request, self.route.find(text_segments(segments)), request.prepath, segments)
        return NOT_DONE_YET

    def _answer(
        self, request: Request, match: Match[Answer] | None, before: list[bytes], segments: list[bytes]
    ) -> None:
        try:
            while match is not None:
                request.postpath, request.params = match.postpath.copy(), match.params or None
                request.prepath = before + segments[: len(segments) - len(match.postpath)]
                if match.answer(request):
                    return
                match = match.otherwise
            request.postpath, request.prepath = text_segments(segments), before
            replies.no_such_resource(request)
        except Exception:
            request.answered_by = request.answered_by or self.site.source.name
            log_failure(self.site.options, request, Failure())
            replies.processing_failed(request)

    def _route(self, routing: Routing, environment: RuntimeEnvironment) -> Route[Answer]:
        options = routing.options
        children = {name: self._route(child, environment) for name, child in routing.children.items()}
        debugger = self.site.debuggers.of(options.debug) if options.has_processor else None
        if debugger is not None:
            children[SEGMENT] = Route(rest=debugger)
        own, rest = self._own_answer(options, environment), self._rest_answer(options, environment)
        files = None if options.static is None else self._static_files(options.static)
        if options.websocket is not None:
            own = self._websocket(options.websocket, own or _with_slash(files or rest), environment)
        return Route(
            own=own,
            files=files,
            rest=rest,
            children={name: route for name, route in children.items() if parameter_of(name) is None},
            parameter=next(((of, route) for name, route in children.items() if (of := parameter_of(name))), None),
        )

    def _rest_answer(self, options: PathOptions, environment: RuntimeEnvironment) -> Answer | None:
        if options.redirection is not None and options.redirection.keep_rest:
            return Redirects(options.redirection)
        return _limited(options, self._processing(options.no_resource_processor, options, environment))

    def _own_answer(self, options: PathOptions, environment: RuntimeEnvironment) -> Answer | None:
        if options.redirection is not None:
            return Redirects(options.redirection)
        answer: Answer | None = _limited(options, self._processing(options.processor, options, environment))
        if answer is None and options.concatenated is not None:
            files = options.concatenated
            answer = ConcatenatedFile([self._path(path) for path in files.file_paths], files.content_type)
        if isinstance(options.methods, dict):
            named = {name: self._processing(written, options, environment) for name, written in options.methods.items()}
            return ForMethods({method: found for method, found in named.items() if found is not None}, answer)
        return answer

    def _websocket(self, options: Any, otherwise: Answer | None, environment: RuntimeEnvironment) -> Answer:
        site = self.site
        return WebSocketProcessing(options, site.options, site.source, environment, site.needs, otherwise)

    def _processing(self, written: Any, options: PathOptions, environment: RuntimeEnvironment) -> Processing | None:
        """What answers with a processor; one for all paths of a site that may be debugged by the same clients."""
        if written is None:
            return None
        debugger = self.site.debuggers.of(options.debug)
        key = str(written), debugger
        if key not in self._answers:
            dependency: Dependency = environment.add_processor(self.site.needs, written)
            self._answers[key] = Processing(self.site.options, self.site.source, dependency, debugger)
        return self._answers[key]

    def _static_files(self, written: str | Static) -> StaticFiles:
        options = Static(written) if isinstance(written, str) else written
        return StaticFiles(
            self._path(options.path),
            listing=options.listing,
            default_type=options.defaultType,
            ignored_extensions=["*"] if options.allowExt else options.ignoredExts,
            preprocessors=[text.compile() for text in options.preprocessors.values()],
            namespace=load_namespace(options.namespace),
        )

    def _path(self, written: str) -> str:
        """The path that stands for what is written; one where nothing is yet is told, as it may well be mistyped."""
        path = os.path.abspath(os.path.expandvars(os.path.expanduser(written)))
        if not os.path.exists(path):
            _log.warning("%s: there is nothing at %s, so that it cannot be sent", self.site.source.name, path)
        return path


def _with_slash(answer: Answer | None) -> Answer | None:
    """What answers below a path, to be asked for the path itself: it is told whether that ends with a slash."""
    if answer is None:
        return None

    def with_slash(request: Request) -> bool:
        request.postpath = [""] if request.path.endswith(b"/") else []
        return answer(request)

    return with_slash


def _limited(options: PathOptions, answer: Answer | None) -> Answer | None:
    """What answers with a processor, to the methods that a list of them names."""
    if answer is None or not isinstance(options.methods, list):
        return answer
    return ForMethods(dict.fromkeys(options.methods, answer))


def _checked(shape: type, written: Any, owner: str) -> Any:
    """What was checked already, or a mapping that somebody wrote in Python, checked now."""
    if isinstance(written, shape):
        return written
    checker = Checker(os.environ)
    value = checker.value(shape, node_of(written), owner=owner)
    if checker.problems:
        raise ConfigurationError(problems=checker.problems)
    return value
