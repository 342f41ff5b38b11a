"""What a channel brings: in order, bounded, settled once."""

import logging

from consumer_stage import Service, Waiting
from hypothesis import given, settings
from hypothesis import strategies as st

from piped import Rejected, processor
from piped.runtime.turns import LONGEST_HOLD

JOBS = "queue: {queue: jobs}\n"


def failing(error, times=10**9):
    """A step `fail` that fails so often, and what it was given."""
    bodies = []

    @processor("fail")
    def fail(baton):
        bodies.append(baton["body"])
        if len(bodies) <= times:
            raise error

    return fail, bodies


def messages(caplog, level=logging.INFO):
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


def test_messages_start_in_order():
    """Messages are processed in the order of the queue, however long each takes."""
    waiting = Waiting()
    service = Service(waiting.step)
    service.publish(b"1", b"2", b"3")
    assert waiting.bodies == [b"1", b"2", b"3"]


def test_the_baton_has_what_pika_gives():
    """A baton has the channel, the method, the properties and the body."""
    waiting = Waiting()
    service = Service(waiting.step)
    service.publish(b"job", message_id="7")
    (baton,) = waiting.batons
    assert set(baton) == {"channel", "method", "properties", "body"}
    assert baton["properties"].message_id == "7"
    assert baton["method"].routing_key == "jobs"
    assert baton["channel"].is_unsettled(baton["method"].delivery_tag)


def test_a_message_is_acknowledged_when_its_pipeline_has_ended():
    """A message is gone when the last step has ended, and not before."""
    waiting = Waiting()
    service = Service(waiting.step)
    service.publish(b"job")
    channel, tag = waiting.batons[0]["channel"], waiting.batons[0]["method"].delivery_tag
    assert channel.is_unsettled(tag)
    waiting.release(0)
    service.turn()
    assert not channel.is_unsettled(tag)
    service.connection.protocol.transport.abortConnection()
    service.turn(2)
    assert waiting.bodies == [b"job"]


def test_no_more_are_processed_at_once_than_allowed():
    """With `max_running` further messages wait, in order, and go on as others end."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "max_running: 2")
    service.publish(b"1", b"2", b"3", b"4")
    assert waiting.bodies == [b"1", b"2"]
    waiting.release(1)
    assert waiting.bodies == [b"1", b"2", b"3"]
    waiting.release(0)
    assert waiting.bodies == [b"1", b"2", b"3", b"4"]


def test_the_broker_sends_no_more_than_the_prefetch_count():
    """With a prefetch count the rest stays in the queue, where others may take it."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "qos: {prefetch_count: 3}")
    service.publish(*[b"%d" % n for n in range(10)])
    assert len(waiting.bodies) == 3
    assert service.waiting() == 7


def test_what_holds_the_reactor_gives_it_turns():
    """Messages that came together and take long do not keep others from the reactor until all are processed."""
    turns = []

    @processor("slow")
    def slow(baton):
        service.clock.rightNow += LONGEST_HOLD
        turns.append(baton["body"])
        service.clock.callLater(0, turns.append, "others")

    service = Service(slow, start=False)
    service.environment.application.getServiceNamed("amqp.connections").startService()
    service.turn()
    service.declare("jobs")
    service.publish(b"1", b"2", b"3")
    service.environment.application.startService()
    service.turn()
    assert [turn for turn in turns if turn != "others"] == [b"1", b"2", b"3"]
    assert "others" in turns[: turns.index(b"3")]


def test_a_message_that_was_settled_by_hand_is_left_alone():
    """A pipeline may settle its message itself: then nothing more is done with it, also if it fails."""

    @processor("settle")
    def settle(baton):
        baton["channel"].basic_reject(baton["method"].delivery_tag, requeue=False)
        if baton["body"] == b"bad":
            raise ValueError("and fails")

    service = Service(settle)
    service.publish(b"good", b"bad")
    service.turn(100)
    assert service.waiting() == 0
    assert service.source.running == 0


def test_a_failed_message_comes_again_after_a_growing_delay():
    """A message that fails is tried again later, each time after a longer wait, and no work is done meanwhile."""
    fail, bodies = failing(ValueError("no"), times=3)
    service = Service(fail)
    service.publish(b"job")
    waits = []
    for _ in range(3):
        before, began = len(bodies), service.clock.seconds()
        while len(bodies) == before:
            service.turn(0.1, turns=10)
        waits.append(service.clock.seconds() - began)
    assert 0.7 <= waits[0] <= 1.5
    assert 1.4 <= waits[1] <= 2.7
    assert 2.9 <= waits[2] <= 5.2
    service.turn(100)
    assert len(bodies) == 4
    assert service.waiting() == 0
    assert len(service.consumer._tries) == 0


def test_a_message_that_always_fails_becomes_a_dead_letter(caplog):
    """After as many redeliveries as allowed a message is published elsewhere, with the reason, and gone here."""
    fail, bodies = failing(ValueError("no such order"))
    text = "max_redeliveries: 2\ndead_letter: {routing_key: dead}\nredelivery_delay: 1"
    service = Service(fail, options=JOBS + text)
    service.declare("dead")
    service.publish(b"job", message_id="7")
    for _ in range(10):
        service.turn(10)
    assert bodies == [b"job"] * 3
    properties, body = service.get("dead")
    assert (body, properties.message_id) == (b"job", "7")
    assert properties.headers["x-piped-step"].startswith("fail-1 (site.yml:")
    assert properties.headers["x-piped-deliveries"] == 3
    assert service.waiting() == 0
    assert "it goes to the dead letters after 3 tries" in messages(caplog, logging.WARNING)[-1]


def test_a_dead_letter_that_nobody_takes_is_kept(caplog):
    """A message is not gone while its dead letter finds no queue: that is told, and tried again."""
    fail, _ = failing(ValueError("no"))
    service = Service(fail, options=JOBS + "dead_letter: {routing_key: dead}")
    service.publish(b"job")
    for _ in range(4):
        service.turn(20)
    told = [each for each in messages(caplog, logging.ERROR) if "could not send a message to the dead letters" in each]
    waits = [float(each.split("tried again in ")[1].split(" s")[0]) for each in told]
    assert waits[0] < waits[2] < waits[4]
    service.declare("dead")
    service.turn(60)
    assert service.get("dead")[1] == b"job"
    assert service.waiting() == 0


def test_a_rejected_message_is_not_tried_again():
    """A pipeline that raises `piped.Rejected` has said that trying again does not help."""
    fail, bodies = failing(Rejected("no such order"))
    service = Service(fail)
    service.publish(b"job")
    service.turn(1000)
    assert bodies == [b"job"]
    assert service.waiting() == 0


def test_a_rejected_message_becomes_a_dead_letter_at_once():
    """Where there is a place for dead letters, a rejected message goes there, however many tries are allowed."""
    fail, _ = failing(Rejected("no such order"))
    service = Service(fail, options=JOBS + "max_redeliveries: 5\ndead_letter: {routing_key: dead}")
    service.declare("dead")
    service.publish(b"job")
    properties, _ = service.get("dead")
    assert properties.headers["x-piped-reason"] == "rejected"
    assert properties.headers["x-piped-message"] == "no such order"


def test_consuming_pauses_where_there_is_no_place_for_a_failed_message(caplog):
    """A message that has failed often enough, and has nowhere to go, is kept: consuming pauses, and says so."""
    fail, bodies = failing(ValueError("no"))
    service = Service(fail, options=JOBS + "max_redeliveries: 1")
    service.publish(b"job")
    service.turn(2)
    service.publish(b"another")
    service.turn(1000)
    assert bodies == [b"job"] * 2
    assert service.waiting() == 2
    assert service.consumers() == 0
    assert "has paused: a message has failed after 2 tries" in messages(caplog, logging.ERROR)[-1]


def test_a_pause_is_told_once(caplog):
    """Of messages that fail beside each other the first pauses consuming; the others just go back."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "max_redeliveries: 0")
    service.publish(b"1", b"2", b"3")
    for wait in waiting.waits:
        wait.errback(ValueError("no"))
    service.turn()
    assert service.waiting() == 3
    assert sum("has paused" in told for told in messages(caplog, logging.INFO)) == 1
    assert sum("it is given back" in told for told in messages(caplog, logging.INFO)) == 2


def test_a_queue_with_dead_letters_of_its_own_gets_a_rejection():
    """A queue that is declared with dead letters of the broker's gets a failed message rejected."""
    fail, _ = failing(ValueError("no"))
    arguments = "{x-dead-letter-exchange: '', x-dead-letter-routing-key: dead}"
    options = f"queue: {{queue: jobs, arguments: {arguments}}}\nmax_redeliveries: 0"
    service = Service(fail, options=options)
    service.declare("dead")
    service.publish(b"job")
    properties, body = service.get("dead")
    assert body == b"job"
    assert "x-death" in properties.headers


def test_failures_may_be_acknowledged(caplog):
    """With `ack_after_failed_processing` a failed message is gone, and the failure is told."""
    fail, bodies = failing(ValueError("no"))
    service = Service(fail, options=JOBS + "ack_after_failed_processing: true")
    service.publish(b"job")
    service.turn(1000)
    assert bodies == [b"job"]
    assert service.waiting() == 0
    assert "ValueError: no" in messages(caplog, logging.WARNING)[-1]


def test_failures_are_told_as_loud_as_one_wants(caplog):
    """`log_processor_exceptions` says how loud failures are told, or that they are not."""
    for level, told in (("error", logging.ERROR), ("null", None)):
        caplog.clear()
        fail, _ = failing(ValueError("no"))
        service = Service(fail, options=JOBS + f"requeue: false\nlog_processor_exceptions: {level}")
        service.publish(b"job")
        levels = [record.levelno for record in caplog.records if "failed with a message" in record.getMessage()]
        assert levels == ([told] if told else [])


def test_without_acks_nothing_is_settled():
    """With `no_ack` the broker has forgotten a message once it was sent, and hears nothing more of it."""
    fail, bodies = failing(ValueError("no"), times=1)
    service = Service(fail, options=JOBS + "no_ack: true")
    service.publish(b"1", b"2")
    service.turn(100)
    assert bodies == [b"1", b"2"]
    assert service.waiting() == 0
    assert service.connection.protocol.is_open


def test_what_fails_on_a_channel_that_is_gone_was_tried(caplog):
    """A message that fails after its channel was closed counts as tried, and is no dead letter as yet."""
    waiting = Waiting()
    service = Service(waiting.step, options=JOBS + "max_redeliveries: 1\ndead_letter: {routing_key: dead}")
    service.declare("dead")
    service.publish(b"job")
    service.call(waiting.batons[0]["channel"].close())
    waiting.waits[0].errback(ValueError("no"))
    service.turn(2)
    assert "its channel was closed meanwhile" in messages(caplog, logging.WARNING)[-1]
    assert service.waiting("dead") == 0
    waiting.waits[1].errback(ValueError("no"))
    service.turn()
    assert service.waiting("dead") == 1


def test_what_ends_on_a_channel_that_is_gone_is_not_settled_on_the_next():
    """A message whose channel was closed meanwhile comes again; ending the first try harms nothing."""
    waiting = Waiting()
    service = Service(waiting.step)
    service.publish(b"1", b"2")
    first = waiting.batons[0]["channel"]
    service.call(first.close())
    service.turn(2)
    assert waiting.bodies == [b"1", b"2"] * 2
    waiting.release(0)
    waiting.release(1, result=None)
    service.turn()
    channel = waiting.batons[2]["channel"]
    assert channel is not first
    assert channel.is_open
    assert channel.unsettled == 2
    waiting.release(2)
    waiting.release(3)
    service.turn()
    assert channel.unsettled == 0


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["ok", "fail", "reject"]), max_size=4), max_size=6), st.integers(0, 2))
def test_every_message_ends_in_exactly_one_way(scripts, most):
    """Whatever its tries come to, a message is processed or becomes a dead letter: once, and nothing is lost."""
    bodies, done = [b"%d" % number for number in range(len(scripts))], []
    left = {body: list(script) for body, script in zip(bodies, scripts, strict=True)}

    @processor("play")
    def play(baton):
        does = left[baton["body"]].pop(0) if left[baton["body"]] else "ok"
        if does != "ok":
            raise Rejected("no") if does == "reject" else ValueError("no")
        done.append(baton["body"])

    service = Service(play, options=JOBS + f"max_redeliveries: {most}\ndead_letter: {{routing_key: dead}}")
    service.declare("dead")
    service.publish(*bodies)
    for _ in range(most):
        service.turn(10)
    dead = [service.get("dead")[1] for _ in range(service.waiting("dead"))]
    assert sorted(done + dead) == bodies
    assert service.waiting() == 0
    (channel,) = [deliveries.channel for deliveries in service.consumer._unfinished]
    assert channel.unsettled == 0
