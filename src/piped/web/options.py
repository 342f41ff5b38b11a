"""What may be written in the section `web`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from piped import Bytes, ConfigurationError, Count, Lambda, Mark, Problem, ProcessorPath, Seconds, load_namespace
from piped.config.nodes import Node
from piped.ground.units import Unit
from piped.runtime import endpoints
from piped.web.guests import networks_of
from piped.web.routing import parameter_of

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_LEVELS = ("debug", "info", "warn", "warning", "error", "critical")
_METHOD = re.compile(r"[A-Z]+(-[A-Z]+)*")


class Listen(str):
    """A port, or a Twisted endpoint such as `ssl:443:privateKey=key.pem:certKey=certificate.pem`."""

    __shape__ = str | int
    where: Mark | None

    def __new__(cls, written: str | int, where: Mark | None = None) -> Listen:
        made = super().__new__(cls, str(written))
        made.where = where
        return made

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Listen | None:
        written = checker.value(str | int, node, owner="a place to listen")
        if written is None:
            return None
        if not endpoints.is_known_only_when_running(written):
            try:
                endpoints.endpoint(None, written)
            except ValueError as error:
                fix = "write a port, or an endpoint such as tcp:8080 or ssl:443:privateKey=key.pem"
                if isinstance(error.__cause__, OSError):
                    fix = "put the key and the certificate there, or write where they are"
                checker.problems.append(Problem(str(error), node.where, fix))
                return None
        return cls(written, node.where)


class LevelOfAnyCase(str):
    """The name of a level of the log, in capitals or not."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> LevelOfAnyCase | None:
        written = checker.value(str, node, owner="a level of the log")
        if written is not None and written.lower() not in _LEVELS:
            checker.refuse("a level of the log", f"one of {', '.join(_LEVELS)}, or null", node)
        return None if written is None else cls(written.lower())


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


_Interval = Annotated[float, Unit("s"), Gt(0)]


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
    reap_interval: _Interval | None = None
    max_inactive_time: Seconds | None = None
    hosts: list[str] | None = None


@dataclass(frozen=True)
class SiteDebug:
    """Who may look into failures with a browser.

    Args:
        allow: addresses, networks or host names of clients, who can run any code; an empty list lets nobody.
        reap_interval: how often forgotten failures are looked for.
        max_inactive_time: how long after the last command a failure is forgotten.
        hosts: names by which the site may be addressed for it, besides addresses and localhost.
    """

    allow: list[Guest]
    reap_interval: _Interval = 60
    max_inactive_time: Seconds = 300
    hosts: list[str] = field(default_factory=list)


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
        debug: differences from what the site says.
    """

    processor: ProcessorPath | None = None
    no_resource_processor: ProcessorPath | None = None
    methods: list[str] | dict[str, ProcessorPath] | None = None
    static: str | Static | None = None
    concatenated: Concatenated | None = None
    debug: PathDebug | None = None

    @property
    def has_processor(self) -> bool:
        """Whether any request of this path, or below it, is answered by a processor."""
        return bool(self.processor or self.no_resource_processor or isinstance(self.methods, dict))

    def __post_init__(self) -> None:
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
_PORT = Listen("8080")
_LEVEL = LevelOfAnyCase("error")


@dataclass(frozen=True)
class SiteOptions:
    """One web site.

    Args:
        routing: what answers at which path.
        enabled: serve it at all.
        port: where it listens, on loopback unless `interface` says otherwise.
        interface: the address that a mere port listens on; 0.0.0.0 is every IPv4 address of the machine.
        listen: a Twisted endpoint, instead of `port` and `interface`.
        log_exceptions: level of the log line for a failed request; null logs none.
        debug: who may look into failures with a browser.
        response_timeout: how long a response may take before it is 504.
        cancel_on_disconnect: stop processing when the client leaves, for all methods and not only GET and HEAD.
        access_log: a line of the logger `piped.access` for each request, as web servers write it or as JSON.
        max_running: how many requests are processed at once; those above are answered with 503.
        max_connections: how many clients are connected at once; those above are answered with 503 and hung up on.
        max_header_size: how long the first line and the headers of a request may be together.
        max_headers: how many headers a request may have.
        max_body_size: how long the body of a request may be.
        keep_alive_timeout: how long a connection is kept for the next request.
        header_timeout: how long a client may take for the headers of a request, from their first byte.
        body_timeout: how long a client may be silent within a body.
        send_timeout: how long a client may take nothing of what is sent to it.
        min_rate: how many bytes of a body a client has to send in each second, or of a response to take, on average;
            the two times above are given to it on top.
    """

    routing: Routing
    enabled: bool = True
    port: Listen = _PORT
    interface: str = "127.0.0.1"
    listen: Listen | None = None
    log_exceptions: LevelOfAnyCase | None = _LEVEL
    debug: SiteDebug | None = None
    response_timeout: Seconds | None = None
    cancel_on_disconnect: bool = False
    access_log: Literal["none", "combined", "json"] = "none"
    max_running: Count = 1000
    max_connections: Count = 10_000
    max_header_size: Bytes = 16 * 1024
    max_headers: Count = 100
    max_body_size: Bytes = 10 * 1024 * 1024
    keep_alive_timeout: Seconds = 60
    header_timeout: Seconds = 20
    body_timeout: Seconds = 30
    send_timeout: Seconds = 30
    min_rate: Count = 500
