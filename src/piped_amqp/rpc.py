"""Calls over queues: clients that publish requests, and match the replies to them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from os import urandom
from typing import TYPE_CHECKING, Any, Final

from pika.spec import BasicProperties
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from piped import (
    Backoff,
    ConfigurationError,
    Count,
    PipedDependencyService,
    Problem,
    RuntimeEnvironment,
    Seconds,
    provider,
    told,
)
from piped.pipelines.input_output import is_awaitable
from piped.resources.events import Event
from piped_amqp.consumer_options import Interval
from piped_amqp.deadlines import Deadlines
from piped_amqp.declaring import Undeclarable, asked, declare
from piped_amqp.errors import NoReplyError
from piped_amqp.messages import copied
from piped_amqp.naming import ConnectionName, connection_for
from piped_amqp.publishing import Publisher
from piped_amqp.replying import DIRECT
from piped_amqp.rpc_options import ReplyConsumer, RPCClientOptions

if TYPE_CHECKING:
    from piped_amqp.channels import AMQPChannel

_log = logging.getLogger("piped.amqp")
_CLIENT: Final = "amqp.rpc_client."
#: The longest wait before replies are consumed again, as a multiple of the first one.
_LONGEST: Final = 10
TIMEOUT: Final[Seconds] = 30
_DEFAULT: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Response:
    """What came back for a call."""

    body: bytes
    properties: BasicProperties


class _Call(Deferred[Response]):
    """A call that waits for its reply."""

    sent: Deferred[None] | None = None

    def __init__(self, calls: dict[str, _Call], correlation_id: str) -> None:
        super().__init__()
        self._calls, self._id = calls, correlation_id
        calls[correlation_id] = self

    def cancel(self) -> None:
        self._calls.pop(self._id, None)
        if not self.called:
            self.withdraw()
        super().cancel()

    def withdraw(self) -> None:
        """Do not send the request, if it was not sent yet."""
        if self.sent is not None:
            self.sent.cancel()

    def not_sent(self, failure: Failure) -> None:
        """The broker does not have the request."""
        if self._calls.pop(self._id, None) is not None:
            self.errback(failure)


class RPCClientBase(PipedDependencyService):
    """Calls whoever answers the messages of a queue.

    `call` does that, and a subclass has only its own methods to write.

    Requests are confirmed by the broker, and one that no queue takes fails at once. All that waits fails when the
    connection or the channel is lost; what was asked for may be done all the same. A reply that nobody waits for any
    more is counted in `late_replies`.

    Args:
        name: the key in the configuration.
        connection: the name of the connection; left out, the only one there is.
        reopen_consumer_channel_interval: how long to wait before replies are consumed again when the broker has closed
            the channel; ever longer, up to ten times that, while it does not help.
        consumer: how replies come.
        timeout: how long a call may take unless it says otherwise; null for any time.
        max_calls: how many may wait for their replies; others fail at once.

    Example:
        class Calculator(RPCClientBase):
            async def add(self, a, b):
                response = await self.call("calculator", json.dumps([a, b]).encode())
                return json.loads(response.body)
    """

    def __init__(
        self,
        name: str,
        connection: ConnectionName | None = None,
        reopen_consumer_channel_interval: Interval = 1,
        consumer: ReplyConsumer | None = None,
        timeout: Seconds | None = TIMEOUT,
        max_calls: Count = 1000,
    ) -> None:
        super().__init__()
        self.setName(f"{_CLIENT}{name}")
        self._connection_name, self._consumer = connection, ReplyConsumer.of(consumer)
        self._interval, self._timeout, self._max_calls = reopen_consumer_channel_interval, timeout, max_calls
        #: Called when calls can be made.
        self.on_ready: Event[[]] = Event()
        #: Called with the reason when they cannot be made any more.
        self.on_lost: Event[[Failure]] = Event()
        #: Replies that nobody waited for any more.
        self.late_replies = 0
        #: Where replies go to; '' while there is no such place.
        self.reply_to = ""
        self._calls: dict[str, _Call] = {}
        self._publish: Any = None
        self._state = ""

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Find the connection."""
        super().configure(runtime_environment)
        clock = runtime_environment.reactor
        self._deadlines = Deadlines(clock, self._timeout, partial(self._too_late, self._timeout))
        path = connection_for(runtime_environment, self._connection_name, str(self.name))
        self._connection = runtime_environment.dependency_manager.add_dependency(self, path)

    # Calling

    @property
    def is_ready(self) -> bool:
        """Whether calls can be made."""
        return self._publish is not None

    @property
    def waiting(self) -> int:
        """How many calls wait for their replies."""
        return len(self._calls)

    def call(
        self,
        routing_key: str,
        body: bytes,
        *,
        exchange: str = "",
        timeout: Seconds | None = _DEFAULT,
        properties: BasicProperties | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Deferred[Response]:
        """What comes back for a request; to be awaited. Cancelled, it waits no longer.

        It fails with an UnroutableError if no queue takes the request, with Piped's TimeoutError when the time is over,
        with a NoReplyError if the connection is lost or cannot be used.

        Args:
            routing_key: with the default exchange, the name of the queue.
            timeout: how long to wait, None for any time; left out, that of the client. A request that still waits in
                its queue then is dropped by the broker.
            properties: of the request, such as its content type.
            headers: of the request.
        """
        if self._publish is None:
            return fail(NoReplyError(f"{self.name} is not ready: {self._state or 'it has no connection'}"))
        if len(self._calls) >= self._max_calls:
            return fail(
                NoReplyError(
                    f"{self.name}: {self._max_calls} calls wait already", hint="see max_calls in amqp.rpc_clients"
                )
            )
        own = copied(properties) if properties is not None else BasicProperties()
        if headers:
            own.headers = {**(own.headers or {}), **headers}
        limit = self._timeout if timeout is _DEFAULT else timeout
        if limit is not None and own.expiration is None:
            own.expiration = str(max(1, int(limit * 1000)))
        # Unguessable, so that nobody who can publish to the queue can answer in the place of the one who was asked.
        own.correlation_id, own.reply_to = urandom(16).hex(), self.reply_to
        call = _Call(self._calls, own.correlation_id)
        call.sent = self._publish(exchange, routing_key, body, own)
        call.sent.addErrback(call.not_sent)
        if limit is self._timeout:
            return self._deadlines.watch(call)
        return Deadlines(self._deadlines.clock, limit, partial(self._too_late, limit)).watch(call)

    def process_response(
        self, channel: AMQPChannel, method: Any, properties: BasicProperties, body: bytes
    ) -> Awaitable[Any] | None:
        """Called with each reply: ends the call that it is for. A subclass may do that later, as with `async def`."""
        call = self._calls.pop(properties.correlation_id, None)
        if call is None:
            self.late_replies += 1
            _log.debug("%s got a reply that nobody waits for: %s", self.name, properties.correlation_id)
        else:
            call.callback(Response(body, properties))
        return None

    def _too_late(self, timeout: Seconds | None) -> str:
        return f"{self.name} has got no reply within {timeout:g} s"

    # Its life

    async def run_with_dependencies(self) -> None:
        """Consume replies on one channel after another."""
        protocol, clock = self._connection.get_resource(), self.runtime_environment.reactor
        waits = Backoff(self._interval, _LONGEST * self._interval)
        while True:
            began = clock.seconds()
            reason: BaseException | None = None
            try:
                reason = await self._live(protocol)
            except CancelledError:  # the connection is lost, or the service stops
                raise
            except Exception as error:
                reason = error
            finally:
                self._lost(reason)
            self._tell_failure(reason)
            await deferLater(clock, waits.next(clock.seconds() - began))

    async def _live(self, protocol: Any) -> BaseException:
        """Consume replies on one channel to its end; gives why it has ended."""
        ended: Deferred[BaseException] = Deferred()

        def end(reason: Any) -> None:
            if not ended.called:
                ended.callback(reason)

        channel = await protocol.open_channel()
        channel.on_closed.addBoth(end)
        publisher = Publisher(protocol, self._max_calls, channel) if self._consumer.is_direct else None
        try:
            queue = await self._consume(channel, end)
            self._found(queue, (publisher or protocol).publish)
            return await ended
        finally:
            if publisher is not None:
                publisher.close()
            channel.close()

    async def _consume(self, channel: AMQPChannel, end: Any) -> str:
        """Have replies come; gives what requests name as `reply_to`."""
        consumer = self._consumer
        queue = DIRECT if consumer.is_direct else await declare(channel, consumer.queue)
        consuming = channel.consume(
            queue,
            partial(self._received, channel),
            on_cancelled=end,
            no_ack=consumer.no_ack,
            exclusive=consumer.exclusive and not consumer.is_direct,
        )
        await asked(consuming, "consumer", queue, consumer.queue.where)
        return queue

    def _received(self, channel: AMQPChannel, method: Any, properties: BasicProperties, body: bytes) -> None:
        outcome: Any
        try:
            outcome = self.process_response(channel, method, properties, body)
        except Exception as error:
            outcome = fail(error)
        if is_awaitable(outcome):
            self.cancellable(ensureDeferred(self._processed(outcome, channel, method)))
        elif not self._consumer.no_ack:
            channel.basic_ack(method.delivery_tag)

    async def _processed(self, outcome: Awaitable[Any], channel: AMQPChannel, method: Any) -> None:
        """Wait for a subclass that processes a reply, and may fail: the next reply is another matter."""
        try:
            await outcome
        except Exception as error:
            _log.error("%s cannot process a reply: %s", self.name, told(error), exc_info=error)
        if not self._consumer.no_ack:
            channel.basic_ack(method.delivery_tag)

    def _found(self, queue: str, publish: Any) -> None:
        self.reply_to, self._publish = queue, publish
        self._tell(logging.INFO, "is ready", f": replies come to {queue!r}")
        self.on_ready()

    def _lost(self, reason: BaseException | None) -> None:
        was_ready, self._publish, self.reply_to = self.is_ready, None, ""
        if not was_ready:
            return
        words = "it stops, or has lost its connection" if reason is None else told(reason)
        calls = list(self._calls.values())
        self._calls.clear()
        for call in calls:
            call.withdraw()
            call.errback(Failure(NoReplyError(f"{self.name} waits no longer for a reply: {words}")))
        self.on_lost(Failure(NoReplyError(f"{self.name} gets no replies: {words}")))

    def _tell_failure(self, reason: BaseException | None) -> None:
        protocol = self._connection.get_resource() if self._connection.is_ready else None
        if protocol is not None and protocol.is_open:  # otherwise whoever looks after the connection tells
            state = str(reason.problem) if isinstance(reason, Undeclarable) else told(reason)
            self._tell(logging.WARNING, f"cannot get replies: {state}", "; it is tried until it works")

    def _tell(self, level: int, state: str, more: str = "") -> None:
        """Tell the log of another state than before."""
        _log.log(level if state != self._state else logging.DEBUG, "%s %s%s", self.name, state, more)
        self._state = state


@provider("amqp.rpc_clients", dict[str, RPCClientOptions])
class RPCClientProvider(MultiService):
    """Clients that call others over queues: they publish requests, and match the replies.

    `type` is the full name of a subclass of piped_amqp.rpc.RPCClientBase; left out, it is that class, whose `call`
    publishes a request and gives the reply. Other options are the arguments of the class: `timeout` is how long a call
    may take (30 s), `max_calls` how many may wait (1000), and `consumer` says where replies come to.

    Resources: `amqp.rpc_client.<name>`, ready while it is connected and gets replies.

    Example:
        amqp:
            connections:
                main:
                    servers: tcp:localhost:5672
            rpc_clients:
                calculator:
                    connection: main
                    consumer:
                        queue: amq.rabbitmq.reply-to
    """

    prefixes = (_CLIENT,)

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[str, RPCClientBase] = {}

    @staticmethod
    def offers(options: dict[str, RPCClientOptions]) -> Iterable[str]:
        return (f"{_CLIENT}{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("amqp.rpc_clients")
        self.setServiceParent(runtime_environment.application)
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            try:
                client = options.made(name, runtime_environment)
                client.configure(runtime_environment)
            except ConfigurationError as error:
                problems += error.problems or [Problem(error.msg, options.where, error.hint)]
                continue
            client.setServiceParent(self)
            offer(runtime_environment, f"{_CLIENT}{name}", client)
            self._clients[name] = client
        if problems:
            raise ConfigurationError(problems=problems)


class _Offer:
    """The provider of one client."""

    def __init__(self, client: RPCClientBase) -> None:
        self._client = client
        self._consumers: dict[Any, None] = {}
        client.on_ready += self._tell
        client.on_lost += self._tell_lost

    def add_consumer(self, dependency: Any) -> None:
        self._consumers[dependency] = None
        if self._client.is_ready:
            dependency.on_resource_ready(self._client)

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.pop(dependency, None)

    def _tell(self) -> None:
        for dependency in list(self._consumers):
            dependency.on_resource_ready(self._client)

    def _tell_lost(self, reason: Failure) -> None:
        for dependency in list(self._consumers):
            dependency.on_resource_lost(reason)


def offer(environment: RuntimeEnvironment, path: str, client: RPCClientBase) -> None:
    """Let a client be a resource, there while it is ready."""
    environment.resource_manager.register(path, _Offer(client))
