"""Queues, exchanges and bindings on a broker, and what a user hears of refusals."""

import logging

import pytest
from consumer_stage import Service, Waiting
from pika.exceptions import ChannelClosedByBroker
from tests.unit.providers.providers_stage import recorder
from twisted.internet.defer import Deferred, fail

from piped.ground.errors import Mark
from piped_amqp.declaring import Undeclarable, declare, explained

WHERE = Mark("site.yml", 7, 11)


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_queue_that_is_missing_is_told_with_its_place_once(caplog):
    """A queue that was only named and does not exist is told once, and consumed from as soon as it is there."""
    record, batons = recorder()
    service = Service(record, options="queue: jobs")
    for _ in range(5):
        service.turn(20)
    (told,) = errors(caplog)
    assert "amqp.connection.main.consumer.jobs (site.yml:9:18) cannot use the queue 'jobs': the broker says" in told
    assert "404" in told
    assert "declare it" in told
    service.declare("jobs")
    service.turn(20)
    service.publish(b"job")
    assert [baton["body"] for baton in batons] == [b"job"]


def test_a_queue_of_another_kind_is_told_with_its_place(caplog):
    """A queue that exists with other properties is told with what differs, and nothing else is harmed."""
    service = Service(options="queue: {queue: jobs, durable: true}", named="passthrough", start=False)
    service.environment.application.getServiceNamed("amqp.connections").startService()
    service.turn()
    service.declare("jobs", durable=False)
    service.environment.application.startService()
    service.turn()
    (told,) = errors(caplog)
    assert "site.yml:9:18) cannot use the queue 'jobs': the broker says PRECONDITION_FAILED" in told
    assert "'durable'" in told
    assert "write it as it is on the broker" in told
    assert service.connection.protocol.is_open


def test_bindings_bring_messages_from_exchanges():
    """A queue gets what its bindings say, of exchanges that are declared with them."""
    record, batons = recorder()
    options = """
        bindings:
          - exchange: {name: events, type: topic}
            routing_key: order.*
          - exchange: {name: all, type: fanout}
    """
    service = Service(record, options=options)
    service.publish(b"1", exchange="events", queue="order.new")
    service.publish(b"2", exchange="all", queue="")
    assert [baton["body"] for baton in batons] == [b"1", b"2"]


def test_an_exchange_that_is_missing_is_told_with_its_place(caplog):
    """A binding to an exchange that does not exist is told where that is written."""
    Service(Waiting().step, options="bindings: [{exchange: events}]")
    (told,) = errors(caplog)
    assert "site.yml:9:33) cannot use the exchange 'events'" in told
    assert "type: topic" in told


@pytest.mark.parametrize(
    ("what", "code", "said", "fix"),
    [
        ("queue", 404, "cannot use the queue 'q'", "declare it"),
        ("queue", 405, "cannot use the queue 'q'", "another connection"),
        ("exchange", 406, "cannot use the exchange 'q'", "write it as it is"),
        ("consumer", 403, "cannot consume from the queue 'q'", "alone"),
        ("queue", 541, "cannot use the queue 'q'", ""),
    ],
)
def test_each_refusal_says_what_to_do(what, code, said, fix):
    """What the broker answers is told in its words, with the place and what helps."""
    problem = explained(ChannelClosedByBroker(code, "SOME_REASON - because"), what, "q", WHERE)
    assert problem.what == f"{said}: the broker says SOME_REASON - because ({code})"
    assert problem.where == WHERE
    assert fix in problem.fix
    assert bool(fix) is bool(problem.fix)


@pytest.mark.parametrize(
    ("what", "code", "text", "fix"),
    [
        ("queue", 406, "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q'", "what the broker wants there"),
        ("queue", 403, "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'", "begin with 'amq.'"),
        ("consumer", 403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'ada'", "permissions"),
    ],
)
def test_the_words_of_the_broker_say_more_than_its_code(what, code, text, fix):
    """One code stands for several things; what to do follows from the text then."""
    assert fix in explained(ChannelClosedByBroker(code, text), what, "q", WHERE).fix


def test_a_queue_without_a_name_is_called_a_queue():
    """A refusal of a queue that has no name yet reads as a sentence."""
    problem = explained(ChannelClosedByBroker(403, "no"), "queue", "", WHERE)
    assert problem.what.startswith("cannot use a queue: ")


def test_a_refusal_is_told_with_the_place_of_the_one_who_asked():
    """Where no queue is written the refusal of one has the place of what needs it."""

    class Refusing:
        """A channel of a broker that does not want to."""

        def queue_declare(self, **options):
            return fail(ChannelClosedByBroker(403, "no"))

    failures = []
    Deferred.fromCoroutine(declare(Refusing(), None, where=WHERE)).addErrback(failures.append)
    assert failures[0].check(Undeclarable)
    assert failures[0].value.problem.where == WHERE
