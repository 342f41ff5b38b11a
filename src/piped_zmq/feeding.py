"""Feeder: gives the messages of a socket to a pipeline, no faster than that takes them, and sends replies back."""

from __future__ import annotations

import logging
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from piped import Outcome, Rejected, RuntimeEnvironment, Seconds, Source, Ticket, told
from piped.resources.dependency import InstanceDependency
from piped_zmq.channels import Channel, SocketError
from piped_zmq.messages import MessageError, content_of, frames_of, opened, reply_in
from piped_zmq.options import QueueName, QueueOptions

log = logging.getLogger("piped.zmq")


class Feeder(Service):
    """Feeds the pipeline of one queue.

    A message is taken out of the socket only when the pipeline takes it. The others wait where they are, and when the
    socket has as many as its high-water mark allows, with whoever sends them.

    Args:
        name: of the queue.
        batch_size: how many messages at most are taken before everybody else has a turn.
    """

    def __init__(self, name: str, options: QueueOptions, batch_size: int) -> None:
        self.setName(f"zmq.queues.{name}")
        self.queue, self.options, self._batch_size = name, options, batch_size

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Ask for the socket and the processor."""
        self.clock = runtime_environment.reactor
        needs = InstanceDependency(self, f"zmq.queues.{self.queue}")
        dependency = runtime_environment.add_processor(needs, self.options.processor or "")
        self._socket = runtime_environment.dependency_manager.add_dependency(needs, QueueName(self.queue))
        # Whoever waits for a reply waits for the one before it: a REP would not give the next request.
        max_running = 1 if self.options.type == "REP" else self.options.max_running
        self.source = Source(f"zmq.queues.{self.queue}", dependency, max_running=max_running)
        self.source.on_open += self._opened
        runtime_environment.sources.add(self.source)

    @property
    def channel(self) -> Channel:
        channel: Channel = self._socket.get_resource().channel
        return channel

    def startService(self) -> None:
        """Begin to take messages, or go on."""
        super().startService()
        self.source.reopen()
        self.source.resume()
        self.channel.receive_with(self._receive)

    def stopService(self) -> None:
        """Take no more messages; those that are being processed go on."""
        super().stopService()
        self.source.pause()

    def _opened(self) -> None:
        if self.running:
            self.channel.look()

    def _receive(self) -> bool:
        """Give messages to the pipeline; whether there may be more that it would take."""
        source, received = self.source, self.channel.received
        options = self.options
        is_plain = not options.has_replies and not options.multipart and options.processing_timeout is None
        for _ in range(self._batch_size):
            if not source.is_open:
                return False
            message = received()
            if message is None:
                return False
            if is_plain and type(message) is bytes:
                source.take(message, self._settled)
            else:
                Work(self, message).begin()
        return source.is_open

    def _settled(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self.tell(outcome.value)

    def tell(self, error: BaseException | None) -> None:
        """Log that a message failed."""
        if isinstance(error, Rejected | CancelledError):
            log.warning("%s: a message was not processed: %s", self.name, told(error))
        else:
            log.error("%s: a message failed: %s", self.name, told(error), exc_info=error)


class Work:
    """One message that has several parts, a reply, or a limit of time."""

    def __init__(self, feeder: Feeder, message: bytes | list[bytes]) -> None:
        self._feeder, self._options = feeder, feeder.options
        parts = message if isinstance(message, list) else [message]
        self._envelope, self._parts = opened(parts) if self._options.has_identity else ([], parts)
        self._timer: Any = None
        self._late: Seconds | None = None
        self._baton: Any = None

    def begin(self) -> None:
        """Have it processed."""
        try:
            self._baton = self._as_baton(content_of(self._parts, self._options.multipart))
        except MessageError as error:
            self._failed(error)
            return
        ticket = self._feeder.source.take(self._baton, self._settled)
        timeout = self._options.processing_timeout
        if timeout is not None and isinstance(ticket, Ticket) and not ticket.is_settled:
            self._timer = self._feeder.clock.callLater(timeout, self._too_late, ticket, timeout)

    def _as_baton(self, content: bytes | list[bytes]) -> Any:
        if not self._options.has_replies:
            return content
        baton: dict[str, Any] = {"message": content}
        if self._options.has_identity:
            baton["identity"] = self._envelope[0]
        return baton

    def _too_late(self, ticket: Ticket, timeout: Seconds) -> None:
        self._timer, self._late = None, timeout
        self._feeder.source.cancel(ticket)

    def _settled(self, outcome: Outcome) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if isinstance(outcome, Failure):
            late = f"it took longer than {self._late:g} s" if self._late is not None else ""
            self._failed(MessageError(late) if late and outcome.check(CancelledError) else outcome.value)
        elif self._options.has_replies:
            self._answer([self._baton, *outcome])

    def _answer(self, batons: list[Any]) -> None:
        """Send the reply that stands in the last of these batons."""
        reply = reply_in(batons)
        if reply is not None:
            try:
                self._send(frames_of(reply))
            except (TypeError, ValueError, SocketError) as error:
                self._failed(error)
        elif self._owes_an_answer:
            self._failed(MessageError("the pipeline has put nothing at `reply`"))

    def _failed(self, error: BaseException | None) -> None:
        """Tell of it, and send what is sent instead of a reply."""
        self._feeder.tell(error)
        text = self._options.error_reply
        if self._owes_an_answer or (text is not None and self._options.has_identity):
            try:
                self._send([(text or "").encode()])
            except SocketError as unsent:
                self._feeder.tell(unsent)

    @property
    def _owes_an_answer(self) -> bool:
        """Whether it is a REP, which gives no further request before it has answered; a step may have done that."""
        return self._options.type == "REP" and self._feeder.channel.can_send

    def _send(self, frames: list[bytes]) -> None:
        waiting = self._feeder.channel.send([*self._envelope, *frames])
        if isinstance(waiting, Deferred):
            waiting.addErrback(self._unsent)

    def _unsent(self, failure: Failure) -> None:
        self._feeder.tell(failure.value)
