"""What may be written in the section `cyclone`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from twisted.python.filepath import FilePath

from piped import BatonPath, Bytes, ConfigurationError, Count, Problem, ResourcePath, Seconds
from piped.config.nodes import Node
from piped.runtime.places import Listen, Places
from piped.spec.spec import Spec
from piped.web.path_options import Guest, Interval
from piped_cyclone.names import (
    FactoryName,
    HandlerName,
    StaticHandlerName,
    TornadoName,
    TransformName,
    UIModuleName,
)
from piped_cyclone.rows import Row
from piped_cyclone.serving import tls_of

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: How close a setting has to be to one of ours to be taken for a slip of the pen, from 0 to 1.
ALMOST_THE_SAME: Final = 0.87
#: Written as the names of what they are; Tornado wants the thing itself.
_NAMED = ("default_handler_class", "static_handler_class", "log_function", "ui_methods", "ui_modules")


@dataclass(init=False, eq=False)  # so that its options are told as those of other mappings are
class ApplicationOptions:
    """One application. Every other setting is handed on to Tornado as it is, such as `cookie_secret` or `login_url`.

    Args:
        handlers: which requests go to which handler; the first whose pattern matches is taken. Each is a mapping of
            `pattern`, `handler`, `kwargs` and `name`, or a list of these in this order, of which the last two may be
            left out. The handler is the full name of a class, `{class: …}` with that name, or `{provider: …}` with the
            path of a pipeline or of a resource that is such a class.
        debug: keep the failures of DebuggableHandlers, for those of `debug_allow`. It is no setting of Tornado's, where
            it would start everything anew when a file changes, and show tracebacks to everybody.
        debug_allow: addresses, networks or host names of clients, who can run any code; an empty list lets nobody.
        debug_hosts: names by which the site may be addressed for it, besides addresses and localhost.
        debug_timeout: how long after the last use a failure is forgotten.
        debug_template: a template of yours for the page of a failure; it is looked for below `template_path`.
        ui_modules: the full name of a module that holds them, or the full name of a class for each name.
        ui_methods: the full name of a module that holds them, or the full name of a function for each name.
        transforms: classes that transform what is sent, instead of those of `compress_response`.
        static_path: the folder of the files below /static/.
        template_path: the folder of the templates.
        default_handler_class: handles what no pattern matches.
        static_handler_class: serves the files of `static_path`.
        log_function: is called with the handler of each request that was answered, instead of logging it.
        xheaders: believe the X-Real-Ip, X-Forwarded-For and X-Forwarded-Proto of a proxy that is always in front.
        piped_dependencies: resources by the names under which `settings["piped_dependencies"]` has them.
    """

    def __init__(
        self,
        handlers: list[Row] = [],  # noqa: B006 - never changed
        *,
        debug: bool = False,
        debug_allow: Sequence[Guest] = (),
        debug_hosts: Sequence[str] = (),
        debug_timeout: Seconds = 60,
        debug_template: str | None = None,
        ui_modules: TornadoName | dict[str, UIModuleName] | None = None,
        ui_methods: TornadoName | dict[str, TornadoName] | None = None,
        transforms: list[TransformName] | None = None,
        static_path: FilePath | BatonPath | None = None,  # type: ignore[type-arg]  # the checker knows the class only
        template_path: FilePath | BatonPath | None = None,  # type: ignore[type-arg]  # as above
        default_handler_class: HandlerName | None = None,
        static_handler_class: StaticHandlerName | None = None,
        log_function: TornadoName | None = None,
        xheaders: bool = False,
        piped_dependencies: dict[str, ResourcePath] | None = None,
        **settings: Any,
    ) -> None:
        self.handlers, self.piped_dependencies, self.transforms = handlers, piped_dependencies or {}, transforms
        self.debug, self.debug_allow, self.debug_hosts = debug, list(debug_allow), list(debug_hosts)
        self.debug_timeout, self.debug_template = debug_timeout, debug_template
        given = {
            "ui_modules": ui_modules,
            "ui_methods": ui_methods,
            "static_path": static_path,
            "template_path": template_path,
            "default_handler_class": default_handler_class,
            "static_handler_class": static_handler_class,
            "log_function": log_function,
            "xheaders": xheaders or None,
        }
        self._settings = settings | {name: value for name, value in given.items() if value is not None}

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> ApplicationOptions | None:
        spec = Spec.of(cls)
        arguments = checker.options(spec, node, owner="application", where=node.named_at)
        if arguments is None:
            return None
        for name, member in (node.value or {}).items():
            # Any name may be a setting of somebody's, but one that differs by a letter or two is a slip of the pen.
            close = [] if name in spec.by_name else get_close_matches(name, spec.by_name, 1, ALMOST_THE_SAME)
            if close and name not in _TORNADO:
                what = f"neither Piped nor Tornado knows the setting {name!r}"
                checker.problems.append(Problem(what, member.named_at, f"did you mean {close[0]!r}?"))
        names = [(row.name, row) for row in arguments.get("handlers", ()) if row.name is not None]
        for index, (name, row) in enumerate(names):
            if name in dict(names[:index]):
                checker.problems.append(Problem(f"two handlers are called {name!r}", row.where, "rename one of them"))
        return cls(**arguments)

    def settings(self) -> dict[str, Any]:
        """The settings of the application: names are what they stand for, and files are absolute paths."""
        settings = {name: as_path(name, value) for name, value in self._settings.items()}
        return settings | {name: _loaded(settings[name]) for name in _NAMED if name in settings}


#: Settings of Tornado's that only look like slips of the pen in one of ours.
_TORNADO: Final = frozenset({"static_handler_args", "default_handler_args"})


def as_path(name: str, value: Any) -> Any:
    if isinstance(value, FilePath):
        return os.path.abspath(value.path)
    if name.endswith("_path") and isinstance(value, BatonPath):  # that a `!path` makes, which is no baton's here
        return os.path.abspath(os.path.expanduser(str(value)))
    return value


def _loaded(named: Any) -> Any:
    if isinstance(named, dict):
        return {name: member.load() for name, member in named.items()}
    return named.load()


_PLACES = Places([Listen("8888")])


@dataclass(frozen=True)
class CycloneOptions:
    """One site.

    Args:
        application: its handlers and settings.
        enabled: serve it at all.
        listen: a port, which is one of `interface`, or a Twisted endpoint, or a list of them. For TLS
            `ssl:443:privateKey=key.pem:certKey=certificate.pem`, the chain behind the certificate in one file.
        interface: the address that a mere port listens on; 0.0.0.0 is every IPv4 address of the machine.
        type: the full name of the application's class; without it `tornado.web.Application`.
        application_factory: the same, or a function that is called like it.
        max_running: how many requests are processed at once; those above are answered with 503. An open WebSocket is
            one.
        max_connections: how many clients are connected to a port at once; those above are hung up on.
        max_header_size: how long the first line and the headers of a request may be together.
        max_body_size: how long the body of a request may be, unless its handler says otherwise.
        idle_timeout: how long a connection is kept for the next request, until all of its headers have come.
        body_timeout: how long a body may take.
        send_timeout: how long a client may take nothing of what is sent to it; 0 is for ever.
    """

    application: ApplicationOptions | None = None
    enabled: bool = True
    listen: Places = _PLACES
    interface: str = "127.0.0.1"
    type: FactoryName | None = None
    application_factory: FactoryName | None = None
    max_running: Count = 1000
    max_connections: Count = 10_000
    max_header_size: Bytes = 16 * 1024
    max_body_size: Bytes = 10 * 1024 * 1024
    idle_timeout: Interval = 60
    body_timeout: Interval = 300
    send_timeout: Seconds = 30

    def __post_init__(self) -> None:
        for place in self.listen:
            try:
                tls_of(place)
            except ValueError as error:
                raise ConfigurationError(problems=[Problem(str(error), place.where)]) from error
        if self.type is not None and self.application_factory is not None:
            raise ConfigurationError("`type` and `application_factory` are the same", hint="remove one")
