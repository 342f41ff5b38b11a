"""Steps that ask real servers, in a process that runs."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from web_servers import Received, Server

from piped.runtime.environment import RuntimeEnvironment


class OnTheWire(TestCase):
    """Steps in a process that runs, and servers that each test tells what to answer."""

    timeout = 30
    #: The class of the steps.
    step: Any

    def setUp(self) -> None:
        self.environment = RuntimeEnvironment(reactor=reactor)
        self.environment.application.startService()
        self.addCleanup(self.environment.application.stopService)

    def server(self, answer: Any, context: Any = None) -> Server:
        """A server that answers with a function of the request, or with the bytes for its path."""
        server = Server(answer if callable(answer) else lambda received: answer[received.target], context)
        self.addCleanup(server.close)
        return server

    def stuck(self, begin: bytes = b"") -> Server:
        """A server that sends no more than the beginning of an answer, and notices when its client leaves."""
        self.left: Deferred[None] = Deferred()

        def answer(received: Received) -> None:
            with contextlib.suppress(ConnectionError):  # it may have left already
                received.connection.sendall(begin)
            if received.has_left:
                reactor.callFromThread(self.left.callback, None)  # type: ignore[attr-defined]

        return self.server(answer)

    def start(self, baton: Any = None, **options: Any) -> Deferred[Any]:
        step = self.step(**options)
        step.configure(self.environment)
        return Deferred.fromCoroutine(step.process({} if baton is None else baton))
