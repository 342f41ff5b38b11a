"""The steps of AMQP: publishing a message, settling one by hand, and replying to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from pika.spec import BasicProperties
from twisted.internet.defer import Deferred, ensureDeferred

from piped import OrPath, Path, PipedError, Processor, RuntimeEnvironment, Seconds, get_path
from piped.pipelines.processor import Baton
from piped_amqp.deadlines import Deadlines
from piped_amqp.messages import Body, MessageProperties, Properties, text_of, text_option
from piped_amqp.naming import ConnectionName, connection_for
from piped_amqp.replying import reply

JSON: Final = "application/json"


class PublishAMQPMessage(Processor):
    """Publish a message, and wait until the broker has confirmed that it has it.

    A message that no queue wants, that the broker refuses, or that was not confirmed when the connection was lost fails
    the step. In the last case it may have arrived; whoever tries it again may send it twice. While the broker blocks
    its publishers, for it lacks memory or disk, the step waits.

    Args:
        connection: the name of the connection; left out, the only one there is.
        exchange: the name of the exchange; '' is the default one, which knows each queue by its name.
        exchange_path: where that name is in the baton.
        routing_key: says where the exchange sends it: with the default one, the name of the queue.
        routing_key_path: where the routing key is in the baton.
        body: what is sent: text, bytes, or with `json` anything.
        body_path: where that is in the baton; `body`, if neither is written.
        json: send it as JSON, with the content type application/json.
        properties: of the message.
        properties_path: where the properties of another message are, which this one has as well if `properties` do not
            say otherwise.
        mandatory: fail if no queue takes the message; else the broker drops such a one.
        confirm: wait for the broker; else what is wrong with the message is only logged.
        timeout: how long to wait for the connection and the broker together; null for any time.

    Example:
        - set-value: {path: order, value: {id: 17, what: tea}}
        - publish-amqp-message:
            exchange: shop
            routing_key: orders.new
            body_path: order
            json: true
            properties: {message_id: !path order.id, headers: {origin: web}}
    """

    name = "publish-amqp-message"

    def __init__(
        self,
        connection: ConnectionName | None = None,
        exchange: OrPath[str] | None = None,
        exchange_path: Path | None = None,
        routing_key: OrPath[str] | None = None,
        routing_key_path: Path | None = None,
        body: OrPath[Any] = None,
        body_path: Path | None = None,
        json: bool = False,
        properties: MessageProperties | None = None,
        properties_path: Path | None = None,
        mandatory: bool = True,
        confirm: bool = True,
        timeout: Seconds | None = 30,
        node_name: str | None = None,
    ) -> None:
        super().__init__(node_name)
        self._connection, self._timeout = connection, timeout
        self._exchange = text_option("exchange", exchange, exchange_path)
        self._routing_key = text_option("routing_key", routing_key, routing_key_path)
        self._body = Body(body, body_path, "body", as_json=json)
        self._properties = Properties(_of_json(properties) if json else properties, properties_path)
        self._how = mandatory, confirm

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        path = connection_for(runtime_environment, self._connection, self.name)
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, path)
        self._deadlines = Deadlines(runtime_environment.reactor, self._timeout, self._too_late)

    def process(self, baton: Baton) -> Deferred[Baton]:
        message = (
            text_of(baton, self._exchange, "exchange"),
            text_of(baton, self._routing_key, "routing_key"),
            self._body.of(baton),
            self._properties.of(baton),
        )
        if self._dependency.is_ready:
            published = self._dependency.get_resource().publish(*message, *self._how)
        else:
            published = ensureDeferred(self._published_later(message))
        return self._deadlines.watch(published).addCallback(lambda _: baton)

    async def _published_later(self, message: tuple[str, str, bytes, BasicProperties]) -> None:
        protocol = await self._dependency.wait_for_resource()
        await protocol.publish(*message, *self._how)

    def _too_late(self) -> str:
        return f"{self._dependency.name} has not confirmed a message within {self._timeout:g} s"


class _Channel(Protocol):
    """What settles deliveries; each method says whether there was one to settle."""

    protocol: Any

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> bool: ...

    def basic_reject(self, delivery_tag: int, requeue: bool = True) -> bool: ...


class _OfDelivery(Processor):
    """A step about a message that a consumer got.

    Args:
        delivery_path: where the consumer's baton is, with its `channel`, `method` and `properties`; '' is the baton.
    """

    def __init__(self, delivery_path: Path = "", node_name: str | None = None) -> None:
        super().__init__(node_name)
        self._delivery_path = delivery_path

    def _delivery(self, baton: Baton) -> Mapping[str, Any]:
        found = get_path(baton, self._delivery_path, None)
        if isinstance(found, Mapping) and "channel" in found and "method" in found and "properties" in found:
            return found
        at = f"what lies at {self._delivery_path!r}" if self._delivery_path else "the baton"
        hint = "it comes from a consumer, with channel, method and properties; delivery_path says where it is"
        raise PipedError(f"{at} is no delivery", hint=hint)

    def _settled(self, was_settled: bool, delivery: Mapping[str, Any]) -> None:
        if not was_settled:
            what = f"the message {delivery['method'].delivery_tag} of {delivery['method'].consumer_tag}"
            detail = "it is settled already, needs no acknowledgement, or its channel is closed"
            raise PipedError(f"{self.name}: {what} cannot be settled", detail)


class AckAMQPMessage(_OfDelivery):
    """Acknowledge a message now: the broker forgets it, and what the pipeline's end would do is not done.

    One that is settled already, or whose channel was lost so that it will be delivered again, fails the step.

    Example:
        - set-value: {path: seen, value: true}
        - ack-amqp-message
    """

    name = "ack-amqp-message"

    def process(self, baton: Baton) -> Baton:
        delivery = self._delivery(baton)
        channel: _Channel = delivery["channel"]
        self._settled(channel.basic_ack(delivery["method"].delivery_tag), delivery)
        return baton


class RejectAMQPMessage(_OfDelivery):
    """Reject a message now; what the pipeline's end would do is not done.

    The broker gives it to the queue's `x-dead-letter-exchange`, or drops it if there is none. One that is settled
    already, or whose channel was lost so that it will be delivered again, fails the step.

    Args:
        requeue: put it back into its queue instead; it is delivered again at once, and without end if it is always
            rejected.

    Example:
        - reject-amqp-message
    """

    name = "reject-amqp-message"

    def __init__(self, requeue: bool = False, **delivery: Any) -> None:
        super().__init__(**delivery)
        self._requeue = requeue

    def process(self, baton: Baton) -> Baton:
        delivery = self._delivery(baton)
        channel: _Channel = delivery["channel"]
        self._settled(channel.basic_reject(delivery["method"].delivery_tag, requeue=self._requeue), delivery)
        return baton


class ReplyAMQPMessage(_OfDelivery):
    """Reply to a message: to the queue that it names in `reply_to`, with its `correlation_id`.

    The reply goes over the connection that the message came by, and the step waits until the broker has it. A caller
    that is gone fails it with an UnroutableError, unless the reply is not `mandatory`; callers that use RabbitMQ's
    direct reply-to are never known to be gone.

    Args:
        body: what is sent: text, bytes, or with `json` anything.
        body_path: where that is in the baton; `reply`, if neither is written.
        json: send it as JSON, with the content type application/json.
        properties: of the reply; it is transient if they do not say otherwise.
        mandatory: fail if the queue of the caller is gone.
        ignore_missing: pass on a message that wants no reply; else it fails the step.
        timeout: how long to wait for the broker; null for any time.

    Example:
        - set-value: {path: sum, value: 3}
        - reply-amqp-message: {body_path: sum, json: true}
    """

    name = "reply-amqp-message"

    def __init__(
        self,
        body: OrPath[Any] = None,
        body_path: Path | None = None,
        json: bool = False,
        properties: MessageProperties | None = None,
        mandatory: bool = True,
        ignore_missing: bool = False,
        timeout: Seconds | None = 30,
        **delivery: Any,
    ) -> None:
        super().__init__(**delivery)
        self._body = Body(body, body_path, "reply", as_json=json)
        written = properties or MessageProperties(delivery_mode="transient")
        self._properties = Properties(_of_json(written) if json else written)
        self._mandatory, self._ignore_missing, self._timeout = mandatory, ignore_missing, timeout

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        told = f"the broker has not confirmed a reply within {self._timeout} s"
        self._deadlines = Deadlines(runtime_environment.reactor, self._timeout, lambda: told)

    def process(self, baton: Baton) -> Any:
        delivery = self._delivery(baton)
        if not delivery["properties"].reply_to and self._ignore_missing:
            return baton
        replied = reply(delivery, self._body.of(baton), self._properties.of(baton), mandatory=self._mandatory)
        return self._deadlines.watch(replied).addCallback(lambda _: baton)


def _of_json(properties: MessageProperties | None) -> MessageProperties:
    """The properties, with the content type of JSON unless they have one."""
    properties = properties or MessageProperties()
    return properties if properties.content_type is not None else replace(properties, content_type=JSON)
