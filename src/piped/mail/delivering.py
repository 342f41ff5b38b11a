"""A mail as batons: given to a processor, and the answer that its sender gets for that."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import Refusal, Rejected, RuntimeEnvironment, Seconds, Source, Ticket, told
from piped.mail.letters import Letter
from piped.mail.replies import (
    DELIVERED,
    FAILED,
    NESTED_TOO_DEEPLY,
    NOT_NOW,
    SHUTTING_DOWN,
    TAKES_TOO_LONG,
    Reply,
    in_one_line,
)
from piped.runtime.awaiting import is_cancellation

_log = logging.getLogger("piped.mail")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Gives mails to a source.

    The recipients of a mail come one after the other, and the first whose baton fails ends it: the sender has one
    answer for all. It may be wrong for those before, who have the mail already, but for none behind. To say that a mail
    was taken which was not would lose it; to go on would make more duplicates.

    Args:
        per_message: make one baton for all recipients.
        timeout: how long one mail may be processed.
    """

    source: Source
    environment: RuntimeEnvironment
    per_message: bool
    timeout: Seconds

    async def deliver(self, letter: Letter) -> Reply:
        """What the sender is told, once it is certain."""
        ends = self.environment.reactor.seconds() + self.timeout
        content = letter.content
        try:
            if content.is_costly:
                message = await self.environment.in_thread(content.parsed, letter.received)
            else:
                message = content.parsed(letter.received)
        except RecursionError:
            return NESTED_TOO_DEEPLY
        for baton, whom in self._batons(letter, message):
            reply = await self._process(baton, whom, ends - self.environment.reactor.seconds())
            if reply is not DELIVERED:
                return reply
        return DELIVERED

    @property
    def is_open(self) -> bool:
        """Whether mails are taken now."""
        return self.source.is_open

    def _batons(self, letter: Letter, message: EmailMessage) -> Any:
        """Each baton with whom it is for; nobody sees what is done to the mail of somebody else."""
        more = {"avatar_id": letter.avatar_id} if letter.has_avatar else {}
        origin, addresses = str(letter.origin), letter.addresses
        if self.per_message:
            whom = addresses[0] if len(addresses) == 1 else f"{addresses[0]} and {len(addresses) - 1} more"
            yield {"message": message, "from_addr": origin, "to_addrs": addresses, **more}, whom
            return
        for number, address in enumerate(addresses, 1):
            own = message if number == len(addresses) else copy_of(message)
            yield {"message": own, "from_addr": origin, "to_addr": address, **more}, address

    async def _process(self, baton: dict[str, Any], whom: str, seconds: Seconds) -> Reply:
        waiting: Deferred[Any] = Deferred(lambda _: self.source.cancel(ticket))
        admission = self.source.take(baton, lambda outcome: _tell(waiting, outcome))
        if not isinstance(admission, Ticket):
            _log.debug("%s refused a mail for %s: %s", self.source.name, whom, admission.value)
            return SHUTTING_DOWN if admission is Refusal.DRAINING else NOT_NOW
        ticket = admission
        if waiting.called:
            return self._reply(await waiting, whom)
        is_late: list[bool] = []

        def too_late() -> None:
            is_late.append(True)
            self.source.cancel(ticket)

        timer = self.environment.reactor.callLater(max(seconds, 0), too_late)
        try:
            outcome = await waiting
        finally:
            if timer.active():
                timer.cancel()
        if is_late and isinstance(outcome, _Failed):
            _log.error("%s did not process a mail for %s in time", self.source.name, whom)
            return TAKES_TOO_LONG
        return self._reply(outcome, whom)

    def _reply(self, outcome: Any, whom: str) -> Reply:
        if not isinstance(outcome, _Failed):
            return DELIVERED
        error: Any = outcome.failure.value
        if isinstance(error, Rejected):
            _log.info("%s refuses a mail for %s: %s", self.source.name, whom, told(error))
            return Reply(554, f"5.7.1 {whom}: {in_one_line(error.msg) or 'the mail is refused'}", is_error=False)
        if is_cancellation(error):
            _log.info("%s stopped to process a mail for %s", self.source.name, whom)
            return NOT_NOW
        _log.error("%s failed for a mail to %s: %s", self.source.name, whom, told(error), exc_info=error)
        return FAILED


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failure that a Deferred gives as a result: it is answered, not raised."""

    failure: Failure


def _tell(waiting: Deferred[Any], outcome: Any) -> None:
    if not waiting.called:
        waiting.callback(_Failed(outcome) if isinstance(outcome, Failure) else None)


def copy_of(message: EmailMessage) -> EmailMessage:
    """The same mail once more, without what never changes.

    Example:
        >>> message = EmailMessage()
        >>> other = copy_of(message)
        >>> other["Subject"] = "changed"
        >>> message["Subject"] is None, other.policy is message.policy
        (True, True)
    """
    return deepcopy(message, {id(message.policy): message.policy})
