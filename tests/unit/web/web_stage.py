"""A site without a network: bytes in, bytes out, and a clock that stands still."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from clocks import Reactor
from piped.providers.web_provider import WebSite
from piped.runtime.environment import RuntimeEnvironment
from piped.web.access_log import Entry
from piped.web.fast_channel import FastChannel
from piped.web.options import SiteOptions
from piped.web.path_options import PathOptions, Routing
from piped.web.request import Request
from piped.web.site import Site


class Out(StringTransport):
    """The same as asyncio has it, for the fast channel."""

    family = socket.AF_INET
    _addresses = {"peername": ("192.0.2.1", 4000), "sockname": ("192.0.2.2", 12345)}

    def get_extra_info(self, name: str) -> Any:
        return self._addresses.get(name, self)

    def setsockopt(self, *option: Any) -> None:
        """Its own socket, too, which nobody looks at."""

    _unsent = 0
    is_gone = False

    def write(self, data: bytes) -> None:
        if self.is_gone:
            raise RuntimeError("unable to perform operation on a transport that is closed, as uvloop says")
        self._unsent = len(data)  # a client takes what was there before, until it stops
        super().write(data)

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def is_closing(self) -> bool:
        return bool(self.disconnecting or self.disconnected)

    def close(self) -> None:
        self.disconnecting = True

    write_eof = close

    def abort(self) -> None:
        self.disconnected = True

    def pause_reading(self) -> None:
        self.pauseProducing()

    def resume_reading(self) -> None:
        self.resumeProducing()


class Served:
    """Which channel serves the clients of a test; see `each_channel`."""

    by = "twisted"


class _Calls(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[Request], object]) -> None:
        super().__init__()
        self.answer = answer

    def render(self, request: Request) -> int:
        self.answer(request)
        return NOT_DONE_YET


class Client:
    """A client of a site whose every request is handed to `answer`; `entries` are those of the access log."""

    def __init__(self, answer: Callable[[Request], object], *, max_body: int = 1000, **options: Any) -> None:
        self.reactor = Reactor()
        self.entries: list[Entry] = []
        site_options = SiteOptions(Routing(PathOptions(), {}), max_body_size=max_body, **options)
        site = Site(_Calls(answer), site_options, reactor=self.reactor, wall_clock=lambda: 1e9)
        site.write_entry = self.entries.append
        self.connect(site)

    def connect(self, site: Site) -> None:
        """Begin a connection to a site."""
        self.site = site
        self.site.startFactory()
        self.channel: Any
        if Served.by == "fast":
            self.transport: Any = Out()
            self.channel = FastChannel(site)
            self.channel.connection_made(self.transport)
        else:
            self.transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 4000))
            self.channel = self.site.buildProtocol(None)
            self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        """What comes back at once."""
        self.transport.clear()
        (self.channel.data_received if isinstance(self.channel, FastChannel) else self.channel.dataReceived)(data)
        return self.transport.value()

    def get(self, target: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
        """The response to a request, as it stands when the request was handled."""
        if body:
            headers = (*headers, f"Content-Length: {len(body)}")
        lines = [f"{method} {target} HTTP/1.1", "Host: site", *headers, "", ""]
        return self.send("\r\n".join(lines).encode() + body)

    def leave(self) -> None:
        if isinstance(self.channel, FastChannel):
            self.transport.disconnected = True
            self.channel.connection_lost(None)
            self.transport.is_gone = True
        else:
            self.channel.connectionLost(Failure(ConnectionDone()))

    def stop_taking(self) -> None:
        """Read nothing of what is sent, which fills the buffer of the transport."""
        fast = isinstance(self.channel, FastChannel)
        (self.channel.pause_writing if fast else self.channel.pauseProducing)()

    def take(self) -> None:
        """Read everything again."""
        fast = isinstance(self.channel, FastChannel)
        (self.channel.resume_writing if fast else self.channel.resumeProducing)()

    @property
    def is_hung_up_on(self) -> bool:
        return self.transport.disconnecting


def parsed(response: bytes) -> tuple[int, dict[str, str], bytes]:
    """The code, the headers by their names in small letters, and the body as it was sent."""
    head, _, body = response.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body


class Processors:
    """Offers callables as resources, which can be taken away."""

    def __init__(self, environment: RuntimeEnvironment, callables: dict[str, Callable[[Any], Any]]) -> None:
        self.callables, self.dependencies = callables, dict[str, Any]()
        for path in callables:
            environment.resource_manager.register(path, self)

    def add_consumer(self, dependency: Any) -> None:
        self.dependencies[dependency.provider] = dependency
        dependency.on_resource_ready(self.callables[dependency.provider])

    def lose(self, path: str) -> None:
        self.dependencies[path].on_resource_lost("taken away")

    def restore(self, path: str) -> None:
        self.dependencies[path].on_resource_ready(self.callables[path])


class Stage(Client):
    """A client of a configured site whose processors are callables, such as `{"pipeline.hello": hello}`."""

    def __init__(self, processors: dict[str, Callable[[Any], Any]], **configuration: Any) -> None:
        self.environment = RuntimeEnvironment(reactor=Reactor())
        self.processors = Processors(self.environment, processors)
        self.web = WebSite("site", configuration)
        self.web.configure(self.environment)
        self.environment.dependency_manager.resolve_initial_states()
        self.reactor = self.environment.reactor
        self.connect(self.web.factory)
