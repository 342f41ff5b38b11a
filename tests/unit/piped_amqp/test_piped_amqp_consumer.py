"""When a consumer consumes, and what becomes of messages when it stops."""

import logging

import pytest
from consumer_stage import Service, Waiting
from pika.exceptions import ChannelClosedByBroker
from tests.unit.providers.providers_stage import Needy, Offer, recorder
from twisted.internet.error import ConnectionLost

from piped import ConfigurationError
from piped.runtime.draining import drain
from piped_amqp.consumer import AMQPConsumer

JOBS = "queue: {queue: jobs}\n"


def messages(caplog, level=logging.INFO):
    own = [record for record in caplog.records if record.name == "piped.amqp" and record.levelno >= level]
    return [record.getMessage() for record in own if ".consumer." in record.getMessage()]


def test_consumers_of_different_connections_have_different_names():
    """The name of a consumer, in the log and elsewhere, has that of its connection in it."""
    assert Service(Waiting().step).consumer.name == "amqp.connection.main.consumer.jobs"


def test_nothing_is_consumed_before_the_processor_is_ready():
    """Messages stay in the queue, for others too, while what processes them is not ready."""
    outside, (record, batons) = Offer(), recorder()
    service = Service(Needy, record, named="needy, record", offers={"outside": outside})
    service.declare("jobs")
    service.publish(b"job")
    assert service.consumers() == 0
    outside.deliver("here")
    service.turn()
    assert [baton["body"] for baton in batons] == [b"job"]


def test_a_lost_processor_ends_consuming_at_once():
    """What was sent ahead goes back when the processor is lost; what runs is finished, and acknowledged."""
    outside, waiting = Offer("here"), Waiting()
    options = JOBS + "max_running: 1"
    service = Service(Needy, waiting.step, named="needy, hold_up", options=options, offers={"outside": outside})
    service.publish(b"1", b"2", b"3")
    outside.lose()
    service.turn()
    assert service.consumers() == 0
    assert service.waiting() == 2
    waiting.release(0)
    service.turn()
    outside.deliver("here")
    service.turn()
    assert waiting.bodies == [b"1", b"2"]
    waiting.release(1)
    service.turn()
    assert waiting.bodies == [b"1", b"2", b"3"]
    assert [baton["method"].redelivered for baton in waiting.batons] == [False, True, True]


def test_what_fails_as_the_processor_is_lost_has_not_failed(caplog):
    """A message whose pipeline fails while what it needs is lost is tried again, and not called a failure."""
    outside, waiting = Offer("here"), Waiting()
    options = JOBS + "dead_letter: {exchange: dead}"
    service = Service(Needy, waiting.step, named="needy, hold_up", options=options, offers={"outside": outside})
    service.publish(b"job")
    outside.lose()
    waiting.waits[0].errback(ConnectionLost("the database is gone"))
    service.turn()
    assert service.waiting() == 1
    assert messages(caplog, logging.WARNING) == []
    outside.deliver("here")
    service.turn()
    assert waiting.bodies == [b"job"] * 2


def test_what_waits_for_another_try_goes_back_when_consuming_ends():
    """A failed message does not wait in a process that does not consume: somebody else may try it at once."""
    outside, waiting = Offer("here"), Waiting()
    service = Service(Needy, waiting.step, named="needy, hold_up", offers={"outside": outside})
    service.publish(b"1", b"2")
    waiting.waits[0].errback(ValueError("no"))
    service.turn()
    assert service.waiting() == 0
    outside.lose()
    service.turn()
    assert service.waiting() == 1
    assert service.source.running == 1
    service.turn(100)  # and no timer is left that would give it back once more
    assert service.waiting() == 1


def test_a_stop_finishes_what_runs_and_gives_back_the_rest():
    """At a stop nothing more is begun, what runs has its time, and the rest is in the queue again."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "max_running: 2")
    service.publish(b"1", b"2", b"3")
    drained = drain(service.environment.sources, 20, service.clock)
    service.turn()
    assert (service.consumers(), service.waiting()) == (0, 1)
    assert not drained.called
    waiting.release(0)
    waiting.release(1)
    service.turn()
    assert service.call(drained) == []
    assert service.waiting() == 1


def test_what_is_not_done_in_time_goes_back():
    """A message whose pipeline is cancelled at the deadline is given back, and not called a failure."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "dead_letter: {routing_key: dead}")
    service.declare("dead")
    service.publish(b"job")
    drained = drain(service.environment.sources, 20, service.clock)
    service.turn(21)
    assert service.call(drained) == ["amqp.connection.main.consumer.jobs"]
    assert (service.waiting(), service.waiting("dead")) == (1, 0)


def test_a_dead_letter_under_way_is_waited_for():
    """At a stop a dead letter that is being published is confirmed before the connection is closed."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "dead_letter: {routing_key: dead}")
    service.declare("dead")
    service.publish(b"job")
    drain(service.environment.sources, 20, service.clock)
    service.turn()
    waiting.waits[0].errback(ValueError("no"))
    finished = service.environment.before_stop()
    assert not finished.called
    service.turn()
    assert finished.called
    assert service.get("dead")[1] == b"job"
    assert service.waiting() == 0


def test_a_service_that_is_started_again_consumes_again():
    """A stop is no end: a consumer that is started again takes messages again."""
    record, batons = recorder()
    service = Service(record)
    service.call(drain(service.environment.sources, 20, service.clock))
    service.call(service.consumer.stopService())
    assert service.consumers() == 0
    service.publish(b"job")
    service.consumer.startService()
    service.turn()
    assert [baton["body"] for baton in batons] == [b"job"]


def test_a_paused_consumer_goes_on_when_it_is_started_again():
    """A consumer that has paused tries again after a restart."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "max_redeliveries: 0")
    service.publish(b"job")
    waiting.waits[0].errback(ValueError("no"))
    service.turn(100)
    assert len(waiting.bodies) == 1
    service.call(service.consumer.stopService())
    service.consumer.startService()
    service.turn()
    assert len(waiting.bodies) == 2


def test_consuming_goes_on_after_the_connection_was_lost():
    """A lost connection is followed by another, and what was not acknowledged comes again."""
    waiting = Waiting()
    service = Service(waiting.step)
    service.publish(b"job")
    service.connection.protocol.transport.abortConnection()
    service.turn(2)
    assert [baton["method"].redelivered for baton in waiting.batons] == [False, True]
    waiting.release(0)
    waiting.release(1)
    service.turn()
    assert service.waiting() == 0
    assert service.consumers() == 1


def test_a_queue_that_is_deleted_is_declared_anew(caplog):
    """When the broker ends consuming that is told, and a moment later it goes on."""
    record, batons = recorder()
    service = Service(record)
    service.call(service.channel().queue_delete("jobs"))
    (told,) = messages(caplog, logging.WARNING)
    assert "was stopped by the broker" in told
    service.turn(2)
    service.publish(b"job")
    assert [baton["body"] for baton in batons] == [b"job"]


def test_the_wait_does_not_grow_while_consuming_works():
    """However often a queue is deleted, consuming goes on as soon after the last time as after the first."""
    service = Service(Waiting().step)
    for _ in range(6):
        service.call(service.channel().queue_delete("jobs"))
        service.turn(1.5)
        assert service.consumers() == 1


def test_a_channel_that_is_closed_is_opened_anew():
    """A channel that is closed, as a broker does for an error, is followed by another after a moment."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "channel_reopen_interval: 5")
    service.publish(b"job")
    service.call(waiting.batons[0]["channel"].close())
    service.turn(3)
    assert len(waiting.bodies) == 1
    service.turn(4)
    assert len(waiting.bodies) == 2


def test_a_queue_that_somebody_has_for_himself_is_tried_again(caplog):
    """An exclusive consumer of somebody else is told with the place of the queue, and waited for."""
    record, batons = recorder()
    service = Service(record, start=False)
    service.environment.application.getServiceNamed("amqp.connections").startService()
    service.turn()
    service.declare("jobs")
    channel = service.channel()
    service.call(channel.consume("jobs", print, on_cancelled=print, exclusive=True))
    service.consumer.startService()
    service.turn(60)
    service.turn(60)
    (told,) = messages(caplog, logging.ERROR)
    assert "site.yml:9:18) cannot consume from the queue 'jobs'" in told
    service.call(channel.close())
    service.turn(20)
    service.publish(b"job")
    assert len(batons) == 1


def test_a_queue_without_a_name_is_kept_while_the_connection_lasts():
    """Messages of an anonymous queue wait in it while the processor is lost."""
    outside, (record, batons) = Offer("here"), recorder()
    options = "bindings: [{exchange: {name: events, type: fanout}}]"
    service = Service(Needy, record, named="needy, record", options=options, offers={"outside": outside})
    service.publish(b"1", exchange="events", queue="")
    outside.lose()
    service.turn()
    service.publish(b"2", exchange="events", queue="")
    outside.deliver("here")
    service.turn()
    service.publish(b"3", exchange="events", queue="")
    assert [baton["body"] for baton in batons] == [b"1", b"2", b"3"]


def test_no_channel_is_left_over():
    """Every channel of a consumer is closed once what came over it is settled."""
    outside, (record, _) = Offer("here"), recorder()
    service = Service(Needy, record, named="needy, record", offers={"outside": outside})
    channels = service.connection.protocol._impl._channels
    for _ in range(5):
        outside.lose()
        service.turn()
        assert len(channels) == 0
        assert service.consumer._unfinished == set()
        outside.deliver("here")
        service.turn()
        assert len(channels) == 1


def test_losing_the_processor_while_consuming_begins_is_no_failure(caplog):
    """Consuming that is given up while the broker has not answered yet leaves no channel, and is told to nobody."""
    outside, (record, batons) = Offer(), recorder()
    service = Service(Needy, record, named="needy, record", offers={"outside": outside})
    for calls in range(20):
        outside.deliver("here")
        service.step(calls)
        outside.lose()
        service.turn()
        assert len(service.connection.protocol._impl._channels) == 0
    assert messages(caplog, logging.WARNING) == []
    outside.deliver("here")
    service.turn()
    service.publish(b"job")
    assert len(batons) == 1


def test_an_unexpected_error_does_not_end_consuming(caplog):
    """Whatever goes wrong while consuming begins is told, and tried again."""

    class Broken:
        """A connection that raises what nobody has thought of."""

        is_open, asked = True, 0

        def open_channel(self):
            self.asked += 1
            raise RuntimeError("something is broken")

    service = Service(Waiting().step)
    service.call(service.consumer.stopService())
    broken = Broken()
    service.consumer._connection._resource = broken
    service.consumer.startService()
    for _ in range(4):
        service.turn(20)
    assert broken.asked >= 4
    (told,) = messages(caplog, logging.ERROR)
    assert "RuntimeError: something is broken" in told


def test_an_own_queue_is_kept_when_the_channel_is_closed():
    """A queue that the broker has named is consumed again after a channel error: no second one is left behind."""
    waiting = Waiting()
    options = "bindings: [{exchange: {name: events, type: fanout}}]"
    service = Service(waiting.step, options=options)
    service.publish(b"1", exchange="events", queue="")
    service.call(waiting.batons[0]["channel"].close())
    service.publish(b"2", exchange="events", queue="")
    service.turn(2)
    assert waiting.bodies == [b"1", b"1", b"2"]


def test_an_own_queue_that_is_gone_is_replaced():
    """A queue that the broker has named and somebody deletes is followed by another."""
    waiting = Waiting()
    options = "bindings: [{exchange: {name: events, type: fanout}}]"
    service = Service(waiting.step, options=options)
    service.call(service.channel().queue_delete(service.consumer._own_queue[1].name))
    service.turn(2)
    service.publish(b"1", exchange="events", queue="")
    assert waiting.bodies == [b"1"]


def test_a_stop_while_consuming_begins_is_no_failure(caplog):
    """A process that is stopped before the broker has answered stops without a complaint."""
    record, _ = recorder()
    service = Service(record)
    for calls in range(20):
        service.call(service.consumer.stopService())
        service.consumer.startService()
        service.step(calls)
        drain(service.environment.sources, 20, service.clock)
        service.turn()
        assert len(service.connection.protocol._impl._channels) == 0
    assert messages(caplog, logging.WARNING) == []


def test_an_exclusive_consumer_is_the_only_one():
    """With `exclusive` nobody else can consume from the queue."""
    service = Service(Waiting().step, options=JOBS + "exclusive: true")
    with pytest.raises(ChannelClosedByBroker):
        service.call(service.channel().consume("jobs", print, on_cancelled=print))


def test_a_consumer_may_have_arguments():
    """Arguments such as a priority reach the broker: messages go to the consumer that comes first."""
    waiting, others = Waiting(), []
    service = Service(waiting.step, options=JOBS + "arguments: {x-priority: 10}")
    service.call(service.channel().consume("jobs", lambda *message: others.append(message), on_cancelled=print))
    service.publish(b"1", b"2", b"3")
    assert waiting.bodies == [b"1", b"2", b"3"]
    assert others == []


def test_python_code_makes_one_as_it_did_with_piped_0_7():
    """The constructor takes plain values in the documented order; what contradicts is refused."""
    consumer = AMQPConsumer("jobs", "pipeline.work", "main", {"queue": "jobs"}, {"prefetch_count": 3}, True)
    options = consumer.options
    assert (options.processor, options.queue.name, options.qos.prefetch_count) == ("pipeline.work", "jobs", 3)
    assert options.no_ack
    assert options.log_processor_exceptions == logging.WARNING
    assert AMQPConsumer("jobs", "work", "main", "jobs").options.queue.options.passive
    for wrong in ({"log_processor_exceptions": "loud"}, {"no_ack": True, "max_redeliveries": 1}):
        with pytest.raises(ConfigurationError):
            AMQPConsumer("jobs", "work", "main", **wrong)


def test_global_qos_is_as_good_as_any():
    """`global_qos`, which quorum queues do not know, counts the one consumer of the channel as the usual one does."""
    waiting = Waiting()
    options = "queue: {queue: jobs, type: quorum}\nqos: {prefetch_count: 2, global_qos: true}"
    service = Service(waiting.step, options=options)
    service.publish(b"1", b"2", b"3")
    assert waiting.bodies == [b"1", b"2"]
    assert service.connection.protocol is not None
