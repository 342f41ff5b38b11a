"""The step that sends messages."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge
from twisted.internet.defer import Deferred

from piped import Path, Processor, RuntimeEnvironment, Seconds, get_path
from piped.pipelines.processor import Baton
from piped_zmq.channels import Channel
from piped_zmq.messages import frames_of
from piped_zmq.options import QueueName


class SendingProcessor(Processor):
    """The base of steps that send with a socket.

    Args:
        queue_name: the name of the socket in `zmq.queues`.
    """

    def __init__(self, queue_name: QueueName) -> None:
        super().__init__()
        self._queue_name = queue_name

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._socket = runtime_environment.dependency_manager.add_dependency(self, self._queue_name)

    @property
    def channel(self) -> Channel:
        """What sends."""
        channel: Channel = self._socket.get_resource().channel
        return channel


class SendZMQMessage(SendingProcessor):
    """Send a message with a socket.

    While nobody is there to receive it, or who does cannot keep up, it waits until the socket can send; messages are
    sent in the order in which they come. When it has waited for too long, the step fails with a TimeoutError.

    Bytes are sent as they are, a text in UTF-8, a number as text, and a list of these as a message of several parts.

    Args:
        queue_name: the name of the socket in `zmq.queues`.
        message_path: where the message lies in the baton; '' is the whole baton.
        retries: how many times `retry_wait` it may wait; 0: not at all. Left out, it waits as long as it takes.
        retry_wait: see `retries`.
        timeout: how long it may wait; with `retries`, whatever is shorter.

    Example:
        - encode-json
        - send-zmq-message:
            queue_name: results
            timeout: 30
    """

    name = "send-zmq-message"

    def __init__(
        self,
        queue_name: QueueName,
        message_path: Path = "",
        retries: Annotated[int, Ge(0)] | None = None,
        retry_wait: Seconds = 0.1,
        timeout: Seconds | None = None,
    ) -> None:
        super().__init__(queue_name)
        self._message_path = message_path
        waits = [wait for wait in (timeout, None if retries is None else retries * retry_wait) if wait is not None]
        self._wait = min(waits, default=None)

    def process(self, baton: Baton) -> Any:
        message = get_path(baton, self._message_path) if self._message_path else baton
        sent = self.channel.send(frames_of(message), self._wait)
        return baton if sent is None else _then(sent, baton)


def _then(sent: Deferred[None], baton: Baton) -> Deferred[Baton]:
    return sent.addCallback(lambda _: baton)
