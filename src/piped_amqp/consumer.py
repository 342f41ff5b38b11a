"""AMQPConsumer: takes messages from a queue as batons, while there is a connection and what processes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import ChannelClosed, ConsumerCancelled
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater

from piped import Backoff, PipedDependencyService, ProcessorPath, RuntimeEnvironment, Source, told
from piped_amqp.channels import reason_of
from piped_amqp.consumer_options import ConsumerOptions, FailureLevel, Qos, Queue, QueueOptions
from piped_amqp.dead_letters import TIMEOUT, DeadLetters
from piped_amqp.declaring import Undeclarable, asked, declare
from piped_amqp.deliveries import Deliveries
from piped_amqp.failing import Failing
from piped_amqp.retrying import Tries

if TYPE_CHECKING:
    from piped_amqp.channels import AMQPChannel

_log = logging.getLogger("piped.amqp")
#: The longest wait between two tries to consume, as a multiple of `channel_reopen_interval`.
_LONGEST: Final = 10


class AMQPConsumer(PipedDependencyService):
    """One of the `basic_consumers` of a connection.

    Each message makes a baton with `channel`, `method`, `properties` and `body`, as pika calls them. It is acknowledged
    when every branch of its pipeline has ended.

    Args:
        name: its own, without that of the connection.
        processor: the resource path of what gets the batons.
        connection: the name of the connection.
        queue: the name of a queue that exists, or a mapping by which it is declared.
        qos: a mapping, as all that follows as in the configuration; see ConsumerOptions.

    Raises:
        ConfigurationError: the options contradict each other.
    """

    def __init__(
        self,
        name: str,
        processor: str,
        connection: str,
        queue: Queue | Mapping[str, Any] | str | None = None,
        qos: Qos | Mapping[str, Any] | None = None,
        no_ack: bool = False,
        exclusive: bool = False,
        ack_after_failed_processing: bool = False,
        ack_after_successful_processing: bool = True,
        nack_after_failed_processing: bool | None = None,
        channel_reopen_interval: float = 1,
        log_processor_exceptions: FailureLevel | str | bool | None = "warn",
        **options: Any,
    ) -> None:
        super().__init__()
        self.setName(f"amqp.connection.{connection}.consumer.{name}")
        self._connection_name = connection
        self.options = ConsumerOptions(
            processor=processor if isinstance(processor, ProcessorPath) else ProcessorPath(processor),
            queue=Queue.of(queue),
            qos=qos if isinstance(qos, Qos) else Qos(**(qos or {})),
            no_ack=no_ack,
            exclusive=exclusive,
            ack_after_failed_processing=ack_after_failed_processing,
            ack_after_successful_processing=ack_after_successful_processing,
            nack_after_failed_processing=nack_after_failed_processing,
            channel_reopen_interval=channel_reopen_interval,
            log_processor_exceptions=FailureLevel.of(log_processor_exceptions),
            **options,
        )
        self._tries = Tries()
        self._deliveries: Deliveries | None = None
        #: Those of former channels, too, until all is settled.
        self._unfinished: set[Deliveries] = set()
        #: The queue that the broker has named, and the connection it is gone with.
        self._own_queue: tuple[Any, Queue] | None = None
        #: What the log was told last.
        self._state = ""

    @classmethod
    def of(cls, name: str, connection: str, options: ConsumerOptions) -> AMQPConsumer:
        """The consumer of options that were checked."""
        return cls(name, connection=connection, **{each.name: getattr(options, each.name) for each in fields(options)})

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        manager = runtime_environment.dependency_manager
        self._processor = runtime_environment.add_processor(self, self.options.processor)
        resource = {"provider": f"amqp.connection.{self._connection_name}"}
        self._connection = manager.add_dependency(self, resource)
        # No limit of its own, for a source that is full takes no more, while here the broker has sent some ahead.
        self.source = Source(str(self.name), self._processor, max_running=None)
        self.source.on_closed += self._stop
        runtime_environment.sources.add(self.source)
        runtime_environment.before_stop += self._finish

    def startService(self) -> None:
        self.source.reopen()
        self.source.resume()
        super().startService()

    async def run_with_dependencies(self) -> None:
        """Consume on one channel after another, until the processor or the connection is lost."""
        protocol = self._connection.get_resource()
        first = self.options.channel_reopen_interval
        self._waits = Backoff(first, _LONGEST * first)
        self._state = ""
        while True:
            if not self.source.is_open:
                await self.source.on_open.wait_until_fired()
            if await self._has_failed(protocol):
                await deferLater(self.runtime_environment.reactor, self._waits.next())

    async def _has_failed(self, protocol: Any) -> bool:
        """Consume until that ends; gives whether the broker has ended it, and not we."""
        try:
            reason = await self._live(protocol)
        except CancelledError:  # the service stops, or what it needs was lost
            raise
        except Exception as error:
            reason = error
        if reason is None:
            return False
        if isinstance(reason, Undeclarable | ConsumerCancelled):
            self._own_queue = None
        if protocol.is_open:  # otherwise whoever looks after the connection tells
            self._tell_failure(reason)
        return True

    async def _live(self, protocol: Any) -> Exception | None:
        """Consume on one channel to its end; gives why the broker has ended it, or None if it was meant to end."""
        deliveries = self._deliveries_of(await protocol.open_channel(), protocol)
        try:
            if not self.source.is_open:  # since the channel was asked for
                return None
            await self._begin(deliveries, protocol)
            self._waits.reset()
            return await deliveries.ended
        except CancelledError:
            raise
        except Exception:
            if deliveries.is_taking:
                raise
            return None
        finally:
            deliveries.stop()

    def _deliveries_of(self, channel: AMQPChannel, protocol: Any) -> Deliveries:
        options, environment = self.options, self.runtime_environment
        clock = environment.reactor
        deliveries = Deliveries(channel, options, self.source, self._tries, freed=self._freed, clock=clock)
        deliveries.failing = Failing(
            channel,
            options,
            self.source,
            self._tries,
            None if options.dead_letter is None else DeadLetters(options.dead_letter, protocol, clock),
            is_ready=lambda: self._processor.is_ready,
            settled=deliveries.check_finished,
            clock=clock,
            wall_clock=environment.wall_clock,
        )
        self._deliveries = deliveries
        self._unfinished.add(deliveries)
        deliveries.on_finished += self._unfinished.discard
        return deliveries

    async def _begin(self, deliveries: Deliveries, protocol: Any) -> None:
        """Have the broker send messages.

        Raises:
            Undeclarable: it does not want to.
        """
        options, channel = self.options, deliveries.channel
        queue, where = options.queue, options.queue.where or options.processor.where
        if self._own_queue is not None and self._own_queue[0] is protocol:  # it may hold messages
            queue = self._own_queue[1]
        name = await declare(channel, queue, options.bindings, where)
        deliveries.failing.queue = name
        if name != queue.name:
            self._own_queue = protocol, Queue(QueueOptions(queue=name, passive=True), where)
        qos = options.qos
        if not options.no_ack:
            # Never for the whole channel, which has one consumer: a quorum queue would end the connection.
            await channel.basic_qos(qos.prefetch_size, qos.prefetch_count)
        consuming = channel.consume(
            name,
            deliveries.deliver,
            on_cancelled=deliveries.stop,
            no_ack=options.no_ack,
            exclusive=options.exclusive,
            arguments=options.arguments or None,
        )
        await asked(consuming, "consumer", name, where)
        self._tell(logging.INFO, f"consumes from the queue {name!r}")

    # What happens

    def _freed(self) -> None:
        if self._deliveries is not None:
            self._deliveries.go_on()

    def _stop(self) -> None:
        """Consume no more: the processor was lost, or the process is about to stop."""
        if self._deliveries is not None:
            self._deliveries.stop()

    def _finish(self) -> Deferred[Any] | None:
        """Wait for dead letters that are under way, as long as that may take."""
        clock = self.runtime_environment.reactor
        waits = [each.on_finished.wait_until_fired(TIMEOUT, clock) for each in self._unfinished]
        return DeferredList(waits, consumeErrors=True)

    def _tell_failure(self, reason: Exception) -> None:
        if isinstance(reason, Undeclarable):
            problem = reason.problem
            where = f"({problem.where}) " if problem.where else ""
            fix = f" – {problem.fix}" if problem.fix else ""
            self._tell(logging.ERROR, f"{where}{problem.what}{fix}", "; it is tried until it works")
        elif isinstance(reason, ChannelClosed | ConsumerCancelled):
            self._tell(logging.WARNING, f"was stopped by the broker: {reason_of(reason)}", "; it goes on soon")
        else:
            self._tell(logging.ERROR, f"cannot consume: {told(reason)}", "; it is tried until it works")

    def _tell(self, level: int, state: str, more: str = "") -> None:
        """Tell the log of another state than before."""
        _log.log(level if state != self._state else logging.DEBUG, "%s %s%s", self.name, state, more)
        self._state = state
