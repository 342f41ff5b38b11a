"""What may be written at a path of a site, below `routing`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt

from piped import ConfigurationError, Lambda, Mark, Problem, ProcessorPath, Seconds, load_namespace
from piped.config.nodes import Node
from piped.ground.units import Unit
from piped.web.guests import networks_of
from piped.web.redirects import Location, Redirect, unknown_parameters
from piped.web.routing import parameter_of
from piped.web.websockets.options import WebSocketRoute, require_wsproto

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_METHOD = re.compile(r"[A-Z]+(-[A-Z]+)*")


class Guest(str):
    """A client on the list of those who may debug: an address, a network or a host name."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Guest | None:
        written = checker.value(str, node, owner="a client")
        if written is None:
            return None
        try:
            networks_of(written)
        except ValueError:
            checker.refuse("a client", "an address, a network such as 192.0.2.0/24, or a host name", node)
            return None
        return cls(written)


Interval = Annotated[float, Unit("s"), Gt(0)]


@dataclass(frozen=True)
class PathDebug:
    """Who may look into a failure of one path with a browser; what is left out is as for the whole site.

    Args:
        allow: addresses, networks or host names of clients, who can run any code; an empty list lets nobody.
        reap_interval: how often forgotten failures are looked for.
        max_inactive_time: how long after the last command a failure is forgotten.
        hosts: names by which the site may be addressed for it, besides addresses and localhost.
    """

    allow: list[Guest] | None = None
    reap_interval: Interval | None = None
    max_inactive_time: Seconds | None = None
    hosts: list[str] | None = None


@dataclass(frozen=True)
class Static:
    """Files and directories.

    Args:
        path: a file or a directory; `~` and `$VAR` are expanded.
        namespace: names that the preprocessors see; a text is imported by its full name. `self` is the file.
        preprocessors: functions that are called with the request, in order, before a file is sent.
        listing: show what a directory without an index.html holds.
        defaultType: the content type of files whose ending says nothing.
        ignoredExts: endings that may be left out in a path; "*" is any.
        allowExt: any ending may be left out, as `ignoredExts: ["*"]`.
        registry: of no use any more.
    """

    path: str
    namespace: dict[str, Any] = field(default_factory=dict)
    preprocessors: dict[str, Lambda] = field(default_factory=dict)
    listing: bool = True
    defaultType: str = "text/html"
    ignoredExts: list[str] = field(default_factory=list)
    allowExt: bool = False
    registry: None = None

    def __post_init__(self) -> None:
        try:
            load_namespace(self.namespace)
        except ImportError as error:
            raise ConfigurationError(str(error)) from error


@dataclass(frozen=True)
class Concatenated:
    """Several files that are sent as one.

    Args:
        file_paths: the files in their order; `~` and `$VAR` are expanded.
        content_type: of the whole.
    """

    file_paths: list[str]
    content_type: str


@dataclass(frozen=True)
class PathOptions:
    """What answers at one path of a site.

    Args:
        processor: gets the requests of exactly this path.
        no_resource_processor: gets the requests that nothing else answers, here and below; `request.postpath` has
            the rest of the path.
        methods: the methods that these processors take, HEAD with GET, all if left out; others are answered with 405.
            Or a processor for each method, beside or instead of the one for this path.
        static: a file or directory that is served here.
        concatenated: files that are served here as one.
        redirect: where the clients of this path are sent instead: a path, a URL, or a mapping.
        websocket: the processor of the messages of WebSockets, or a mapping; other requests are answered by the rest.
        debug: differences from what the site says.
    """

    processor: ProcessorPath | None = None
    no_resource_processor: ProcessorPath | None = None
    methods: list[str] | dict[str, ProcessorPath] | None = None
    static: str | Static | None = None
    concatenated: Concatenated | None = None
    redirect: Location | Redirect | None = None
    websocket: WebSocketRoute | None = None
    debug: PathDebug | None = None

    @property
    def has_processor(self) -> bool:
        """Whether any request of this path, or below it, is answered by a processor."""
        return bool(self.processor or self.no_resource_processor or isinstance(self.methods, dict))

    @property
    def redirection(self) -> Redirect | None:
        """The redirect as a mapping would say it."""
        return Redirect(self.redirect) if isinstance(self.redirect, Location) else self.redirect

    def __post_init__(self) -> None:
        if self.websocket is not None:
            require_wsproto()
        if self.redirection is not None:
            others: dict[str, Any] = {"processor": self.processor, "methods": self.methods}
            others |= {"static": self.static, "concatenated": self.concatenated, "websocket": self.websocket}
            if self.redirection.keep_rest:
                others["no_resource_processor"] = self.no_resource_processor
            for name, other in others.items():
                if other is not None:
                    what = f"redirect and {name} exclude each other at one path"
                    raise ConfigurationError(what, hint="remove one, or move it below a segment of its own")
        if self.methods is None:
            return
        if not self.methods:
            raise ConfigurationError("`methods` is empty, so that nothing answers", hint="name one, or leave it out")
        for method in self.methods:
            if not _METHOD.fullmatch(method):
                raise ConfigurationError(f"{method!r} is no method", hint="write it in capitals, such as GET")
        if isinstance(self.methods, list) and self.processor is None and self.no_resource_processor is None:
            hint = "add `processor`, or leave it out: files answer GET and HEAD"
            raise ConfigurationError("`methods` is a list, and there is no processor that it is for", hint=hint)


_CONFIG = "__config__"


class Routing:
    """What answers at a path (`__config__`), and the routing of each segment that may follow.

    A segment `"{name}"` is a parameter: any text where no other segment is called so; it is in `params` of the baton.
    """

    __shape__: ClassVar[dict[Any, Any]]

    def __init__(self, options: PathOptions, children: dict[str, Routing], where: Mark | None = None) -> None:
        self.options, self.children, self.where = options, children, where

    @classmethod
    def __check__(cls, checker: Checker, node: Node, above: tuple[str, ...] = ()) -> Routing | None:
        if not node.is_mapping:
            fix = "settings of a path stand below `__config__:`"
            checker.refuse("a routing", "a mapping of path segments", node, fix)
            return None
        config = node.value.get(_CONFIG)
        options = checker.value(PathOptions, config, owner=_CONFIG) if config is not None else PathOptions()
        if options is not None and options.static is not None and options.concatenated is not None:
            what = "static and concatenated exclude each other at one path"
            checker.problems.append(Problem(what, config.named_at, "remove one, or move it below a segment of its own"))
        if options is not None and options.redirection is not None:
            checker.problems += unknown_parameters(options.redirection, config.value["redirect"], above)
        members = {key: child for key, child in node.value.items() if key != _CONFIG}
        for key, child in members.items():
            if "/" in key:
                what = f"{key!r} is no segment of a path: it has a slash"
                checker.problems.append(Problem(what, child.named_at, "put each segment below the one before it"))
        parameters = _parameters(checker, members, above)
        children = {
            key: cls.__check__(checker, child, (*above, key) if key in parameters else above)
            for key, child in members.items()
        }
        right = {key: child for key, child in children.items() if child is not None}
        return cls(options, right, node.named_at) if options is not None and len(right) == len(children) else None


def _parameters(checker: Checker, members: dict[str, Node], above: tuple[str, ...]) -> list[str]:
    """The segments that are parameters; a Problem for each that cannot be one at its place."""
    found: list[str] = []
    for key, node in members.items():
        try:
            if parameter_of(key) is None:
                continue
        except ValueError as error:
            fix = 'a parameter is a whole segment, such as "{name}"'
            checker.problems.append(Problem(str(error), node.named_at, fix))
            continue
        if found:
            what, fix = (
                f"{key!r} and {found[0]!r} stand for the same segment",
                "use one name, and put what is below both together",
            )
            checker.problems.append(Problem(what, node.named_at, fix))
        if key in above:
            what, fix = f"{key!r} is a parameter of a segment before it, too", "give it a name of its own"
            checker.problems.append(Problem(what, node.named_at, fix))
        found.append(key)
    return found


Routing.__shape__ = {_CONFIG: PathOptions, ...: Routing}
