"""Mails to one server: connections that are kept for the next ones, tries and further tries."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import deferLater

from piped import Seconds
from piped.mail.client import Client, Response
from piped.mail.errors import SMTPClientError, SMTPConnectError, SMTPDeliveryError
from piped.mail.outgoing import Outgoing
from piped.mail.relay_options import Relay
from piped.mail.transfer import Connection, introduced

_log = logging.getLogger("piped.mail")


@dataclass(frozen=True)
class Sent:
    """What became of a mail.

    Args:
        accepted: the recipients for whom the server has taken it.
        refused: what it says of the others, by their addresses.
        response: what it said at the end.
        tries: how often the mail was sent.
    """

    accepted: list[str]
    refused: dict[str, str] = field(default_factory=dict)
    response: str = ""
    tries: int = 1


class Sender(Service):
    """Gives mails to one server.

    Args:
        connect: connects a client to the server.
        tls: what TLS is made with.
        chance: numbers from 0 to below 1.
    """

    def __init__(
        self,
        relay: Relay,
        clock: Any,
        connect: Callable[[Client], Deferred[Any]],
        tls: Any,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.relay, self._clock, self._connect, self._tls, self._chance = relay, clock, connect, tls, chance
        #: Connections that wait for a mail, each with what will close it; the one used last is the last.
        self._idle: dict[Connection, Any] = {}
        self._turns = DeferredSemaphore(relay.max_connections)

    def stopService(self) -> None:
        """Hang up where no mail is being sent."""
        super().stopService()
        for connection in list(self._idle):
            self._close(connection)

    async def send(self, mail: Outgoing) -> Sent:
        """What became of a mail, once that is certain.

        Raises:
            SMTPClientError: nobody gets it.
        """
        answers: dict[str, Response] = {}
        left, tries = list(mail.recipients), 0
        while True:
            tries += 1
            error = None
            try:
                answers |= await self._try(mail, left)
            except SMTPClientError as failed:
                error = failed
                code = error.code if error.code >= 400 else -1  # what is good elsewhere is not when it is an error
                answers |= dict.fromkeys(left, Response(code, error.resp.decode(errors="replace")))
            left = [one for one in left if not answers[one].is_good and _may_be_good(answers[one], error)]
            if not left or tries > self.relay.retries:
                return self._outcome(answers, error, tries)
            pause = self._pause(tries)
            why = next(str(answers[one]) for one in left)
            _log.info("%s does not take a mail for %d now, once more in %.1f s: %s", self.relay, len(left), pause, why)
            await deferLater(self._clock, pause)

    def _outcome(self, answers: dict[str, Response], error: SMTPClientError | None, tries: int) -> Sent:
        accepted = [address for address, answer in answers.items() if answer.is_good]
        refused = {address: str(answer) for address, answer in answers.items() if not answer.is_good}
        told = "; ".join(f"{address}: {said}" for address, said in refused.items())
        if not accepted:
            if error is not None:
                raise error
            code = next(iter(answers.values())).code
            raise SMTPDeliveryError(code, f"nobody gets the mail: {told}".encode(), None, refused)
        if refused:
            _log.warning("%s takes a mail for some, but not for %s", self.relay, told)
        return Sent(accepted, refused, str(answers[accepted[-1]]), tries)

    def _pause(self, tries: int) -> Seconds:
        longest: float = min(self.relay.max_wait, self.relay.wait * 2.0 ** min(tries - 1, 64))
        return longest * (0.5 + self._chance() / 2)

    async def _try(self, mail: Outgoing, recipients: list[str]) -> dict[str, Response]:
        """What the server says for each recipient."""
        await self._turns.acquire()
        try:
            while True:
                connection = self._kept() or await self._opened()
                answered = connection.client.answered
                try:
                    said = await connection.send(mail, recipients)
                except SMTPConnectError:
                    # The server has closed what was kept, before it heard of this mail.
                    if connection.is_used and connection.client.answered == answered:
                        continue
                    raise
                except SMTPDeliveryError:
                    self._keep(connection)
                    raise
                except BaseException:
                    connection.client.abort()
                    raise
                self._keep(connection)
                return said
        finally:
            self._turns.release()

    def _kept(self) -> Connection | None:
        if not self._idle:
            return None
        connection, closing = self._idle.popitem()
        closing.cancel()
        connection.client.on_lost = None
        return connection

    def _keep(self, connection: Connection) -> None:
        """Have a connection wait for the next mail."""
        connection.is_used = True
        if connection.is_lost:
            return
        if not self.running:
            connection.client.quit()
            return
        self._idle[connection] = self._clock.callLater(self.relay.idle_time, self._close, connection)
        connection.client.on_lost = lambda: self._idle.pop(connection).cancel()

    def _close(self, connection: Connection) -> None:
        closing = self._idle.pop(connection)
        if closing.active():
            closing.cancel()
        connection.client.on_lost = None
        connection.client.quit()

    async def _opened(self) -> Connection:
        client = Client(self._clock, self.relay.timeout)
        try:
            await self._connect(client)
            return await introduced(client, self.relay, self._tls)
        except (ConnectError, DNSLookupError) as error:
            raise SMTPConnectError(-1, f"no connection to {self.relay}: {error}".encode()) from error
        except BaseException:
            client.abort()
            raise


def _may_be_good(answer: Response, error: SMTPClientError | None) -> bool:
    """Whether what was refused may be taken later."""
    return answer.is_for_now if error is None else bool(error.retry)
