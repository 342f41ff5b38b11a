"""The server of one section of `smtp`: what its sessions ask, and how many of them there may be."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol

from piped.mail.authenticating import Checkers
from piped.mail.conversation import Conversation
from piped.mail.delivering import Delivery
from piped.mail.options import SmtpServerOptions
from piped.mail.session import Session

_log = logging.getLogger("piped.mail")


@dataclass(frozen=True, slots=True)
class Lambdas:
    """What a configuration says about senders, recipients and headers; None where it says nothing."""

    validate_from: Callable[..., Any] | None
    validate_to: Callable[..., Any] | None
    received_header: Callable[..., Any] | None


class SmtpServer(Factory):
    """Makes a session of each connection.

    Args:
        name: how the log calls it, such as "smtp.my_server".
        tls: what STARTTLS makes connections with; None where it is not offered.
        checkers: of those who have to log in; None where nobody has to.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        options: SmtpServerOptions,
        delivery: Delivery,
        lambdas: Lambdas,
        tls: Any = None,
        checkers: Checkers | None = None,
    ) -> None:
        self.name, self.options, self.delivery = name, options, delivery
        self.lambdas, self.tls, self.checkers = lambdas, tls, checkers
        self.host = options.called
        self.clock, self.wall_clock = delivery.environment.reactor, delivery.environment.wall_clock
        self._sessions: set[Conversation] = set()
        self._by_peer: Counter[str] = Counter()
        self._closed: Deferred[None] | None = None
        self._mails = 0

    def buildProtocol(self, addr: Any) -> Protocol:
        return Session(self)

    @property
    def sessions(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    def number(self) -> str:
        """What identifies the next mail in headers and in the log."""
        self._mails += 1
        return f"{self.name}-{self._mails}"

    def admit(self, session: Conversation) -> bool:
        """Whether one more client may come; each that may is to be forgotten with `forget`."""
        options, peer = self.options, session.peer
        if len(self._sessions) >= options.max_connections or self._by_peer[peer] >= options.max_connections_per_peer:
            _log.warning("%s turns %s away: too many connections", self.name, peer)
            return False
        self._sessions.add(session)
        self._by_peer[peer] += 1
        return True

    def forget(self, session: Conversation) -> None:
        """A client that was admitted has gone."""
        self._sessions.discard(session)
        self._by_peer[session.peer] -= 1
        if not self._by_peer[session.peer]:
            del self._by_peer[session.peer]
        if not self._sessions and self._closed is not None:
            closed, self._closed = self._closed, None
            closed.callback(None)

    def close(self) -> Deferred[None]:
        """Say goodbye to all who are there; fires when they have gone."""
        if not self._sessions:
            return succeed(None)
        if self._closed is None:
            self._closed = Deferred()
        closed = self._closed
        for session in list(self._sessions):
            session.shut_down()
        return closed
