"""What may be written in the section `web`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from piped import Bytes, ConfigurationError, Count, Seconds
from piped.config.nodes import Node
from piped.runtime.places import Listen
from piped.web.compression import Compression
from piped.web.cors import Cors
from piped.web.headers import Fields, SecureFields
from piped.web.http2.negotiating import is_http2_installed
from piped.web.path_options import Guest, Interval, Routing

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_LEVELS = ("debug", "info", "warn", "warning", "error", "critical")


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
class SiteDebug:
    """Who may look into failures with a browser.

    Args:
        allow: addresses, networks or host names of clients, who can run any code; an empty list lets nobody.
        reap_interval: how often forgotten failures are looked for.
        max_inactive_time: how long after the last command a failure is forgotten.
        hosts: names by which the site may be addressed for it, besides addresses and localhost.
    """

    allow: list[Guest]
    reap_interval: Interval = 60
    max_inactive_time: Seconds = 300
    hosts: list[str] = field(default_factory=list)


_PORT = Listen("8080")
_LEVEL = LevelOfAnyCase("error")
#: Endpoints that are known to have no TLS; others may come from anybody.
_NO_TLS = re.compile(r"\d+$|(tcp|tcp6|unix|systemd|fd):")


@dataclass(frozen=True)
class SiteOptions:
    """One web site.

    Args:
        routing: what answers at which path.
        enabled: serve it at all.
        port: where it listens, on loopback unless `interface` says otherwise.
        interface: the address that a mere port listens on; 0.0.0.0 is every IPv4 address of the machine.
        listen: a Twisted endpoint, instead of `port` and `interface`.
        channel: what speaks HTTP/1.1 with clients: `fast`, on asyncio and llhttp, or `twisted`, which TLS and other
            reactors need. Left out, it is the fast one wherever that can serve.
        http2: speak HTTP/2 with clients that can, where the site listens with TLS. Left out, it does where that is
            installed: pip install 'piped[http2]'.
        log_exceptions: level of the log line for a failed request; null logs none.
        debug: who may look into failures with a browser.
        response_timeout: how long a response may take before it is 504.
        cancel_on_disconnect: stop processing when the client leaves, for all methods and not only GET and HEAD.
        compression: send bodies shorter to clients that can unpack them; `true`, or how.
        cors: which pages of other origins may read what the site answers.
        security_headers: tell browsers not to guess types, not to let other sites frame a page, to tell other sites
            little, and over TLS to come over TLS only; `true`, or a mapping of headers that are different, null for one
            that is not sent. Left out, nothing of that.
        headers: headers for every response; one that a pipeline has set is left as it is.
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
    channel: Literal["fast", "twisted"] | None = None
    http2: bool | None = None
    log_exceptions: LevelOfAnyCase | None = _LEVEL
    debug: SiteDebug | None = None
    response_timeout: Seconds | None = None
    cancel_on_disconnect: bool = False
    compression: bool | Compression = False
    cors: Cors | None = None
    security_headers: SecureFields = field(default_factory=SecureFields)
    headers: Fields = field(default_factory=Fields)
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

    def __post_init__(self) -> None:
        if self.channel == "fast" and (self.listen or self.port).startswith(("ssl:", "tls:")):
            raise ConfigurationError("TLS is not for the fast channel, but for Twisted's", hint="leave `channel` out")
        if self.http2 and not is_http2_installed():
            raise ConfigurationError("HTTP/2 needs the package h2", hint="pip install 'piped[http2]'")
        if self.http2 and _NO_TLS.match(self.listen or self.port):
            hint = "listen on ssl:443:privateKey=key.pem:certKey=certificate.pem, or leave `http2` out"
            raise ConfigurationError("HTTP/2 is spoken over TLS only, and this site listens without", hint=hint)
