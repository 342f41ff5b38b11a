"""What may be written in the section `web`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from piped import Bytes, ConfigurationError, Count, Lambda, Mark, Problem, ProcessorPath, Seconds, load_namespace
from piped.config.nodes import Node
from piped.runtime import endpoints

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_LEVELS = ("debug", "info", "warn", "warning", "error", "critical")


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


@dataclass(frozen=True)
class PathDebug:
    """Who may look into a failure of one path; what is left out is as for the whole site.

    Args:
        allow: host names or addresses; an empty list lets nobody.
        reap_interval: how often forgotten failures are looked for.
        max_inactive_time: how long after the last command a failure is forgotten.
        hosts: names by which the site may be addressed for it, besides addresses and localhost.
    """

    allow: list[str] | None = None
    reap_interval: Seconds | None = None
    max_inactive_time: Seconds | None = None
    hosts: list[str] | None = None


@dataclass(frozen=True)
class SiteDebug:
    """Who may look into failures.

    Args:
        allow: host names or addresses.
        reap_interval: how often forgotten failures are looked for.
        max_inactive_time: how long after the last command a failure is forgotten.
        hosts: names by which the site may be addressed for it, besides addresses and localhost.
    """

    allow: list[str]
    reap_interval: Seconds = 60
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
        static: a file or directory that is served here.
        concatenated: files that are served here as one.
        debug: differences from what the site says.
    """

    processor: ProcessorPath | None = None
    no_resource_processor: ProcessorPath | None = None
    static: str | Static | None = None
    concatenated: Concatenated | None = None
    debug: PathDebug | None = None


_CONFIG = "__config__"


class Routing:
    """What answers at a path (`__config__`), and the routing of each segment that may follow."""

    __shape__: ClassVar[dict[Any, Any]]

    def __init__(self, options: PathOptions, children: dict[str, Routing], where: Mark | None = None) -> None:
        self.options, self.children, self.where = options, children, where

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Routing | None:
        if not node.is_mapping:
            fix = "settings of a path stand below `__config__:`"
            checker.refuse("a routing", "a mapping of path segments", node, fix)
            return None
        config = node.value.get(_CONFIG)
        options = checker.value(PathOptions, config, owner=_CONFIG) if config is not None else PathOptions()
        if options is not None and options.static is not None and options.concatenated is not None:
            what = "static and concatenated exclude each other at one path"
            checker.problems.append(Problem(what, config.named_at, "remove one, or move it below a segment of its own"))
        children = {key: cls.__check__(checker, child) for key, child in node.value.items() if key != _CONFIG}
        right = {key: child for key, child in children.items() if child is not None}
        return cls(options, right, node.named_at) if options is not None and len(right) == len(children) else None


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
        max_running: how many requests are processed at once; those above are answered with 503.
        max_body: how long the body of a request may be.
        timeout: how long a client may be silent before it is hung up on.
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
    max_running: Count = 1000
    max_body: Bytes = 10 * 1024 * 1024
    timeout: Seconds = 60
