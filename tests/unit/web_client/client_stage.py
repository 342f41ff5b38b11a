"""What the tests of the web client stand on: answers that arrive when a test says so."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from clocks import Reactor
from piped.web_client.exchange import exchange


class Response:
    """What an agent gives; the body arrives when the test says so."""

    def __init__(self, code: int = 200, **headers: str) -> None:
        self.code, self.phrase = code, b"OK"
        self.headers = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})

    def deliverBody(self, protocol: Any) -> None:
        self.body, self.transport = protocol, StringTransport()
        protocol.makeConnection(self.transport)

    def deliver(self, *parts: bytes, reason: Exception | None = None) -> None:
        for part in parts:
            self.body.dataReceived(part)
        self.body.connectionLost(Failure(reason or ResponseDone()))


class Whole(Response):
    """One whose body has come already."""

    def __init__(self, code: int = 200, body: bytes = b"", **headers: str) -> None:
        super().__init__(code, **headers)
        self._whole = body

    def deliverBody(self, protocol: Any) -> None:
        super().deliverBody(protocol)
        self.deliver(self._whole)


class Agent:
    """An IAgent whose answer is known."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def request(self, method: bytes, uri: bytes, headers: Headers, producer: Any) -> Any:
        self.headers = headers
        return self.answer if isinstance(self.answer, Deferred) else succeed(self.answer)


def asking(answer: Any, headers: Headers | None = None, max_body: int | None = 1000) -> Deferred[Any]:
    """The body of the answer to one request."""

    async def ask() -> bytes:
        agent, headers_ = Agent(answer), headers or Headers()
        found = await exchange(agent, Reactor(), "GET", "http://x/", headers_, None, max_body, on_end=int)
        return await found.body.read()

    return Deferred.fromCoroutine(ask())


def result_of(deferred: Deferred[Any]) -> Any:
    """What a Deferred that has fired holds; raises what it failed with."""
    ended: list[Any] = []
    deferred.addBoth(ended.append)
    [result] = ended
    if isinstance(result, Failure):
        result.raiseException()
    return result
