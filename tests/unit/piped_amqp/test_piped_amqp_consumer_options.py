"""What may be written for a consumer, and what is refused."""

import textwrap

import pytest

from piped import ConfigurationError
from piped.config.gathering import gather_text
from piped.config.nodes import node_of
from piped.spec.checking import Checker
from piped_amqp.acking import Ending, Failed, Last, Settlement, decide
from piped_amqp.consumer_options import ConsumerOptions


def options(text=""):
    """The options that are written, beside a processor."""
    written = f"consumer:\n  processor: work\n{textwrap.indent(textwrap.dedent(text), '  ')}"
    document = gather_text(written, "site.yml", environ={})
    checker = Checker({})
    made = checker.value(ConsumerOptions, document.root.at("consumer"), owner="amqp.c")
    if checker.problems:
        raise ConfigurationError(problems=checker.problems)
    return made


def problem(text):
    with pytest.raises(ConfigurationError) as caught:
        options(text)
    (one,) = caught.value.problems
    return str(one)


def test_little_has_to_be_written():
    """A processor is enough: then the prefetch count is bounded, and what fails is tried again and again."""
    made = options()
    assert made.qos.prefetch_count == 200
    assert made.queue.name == ""
    assert made.failed is Failed.GIVE_BACK
    assert (made.acking.max_redeliveries, made.acking.last) == (None, Last.PAUSE)


def test_a_name_of_a_queue_means_one_that_exists():
    """A queue that is only named is not made."""
    declaration = options("queue: jobs").queue.options.declaration()
    assert (declaration["queue"], declaration["passive"]) == ("jobs", True)


def test_a_mapping_declares_the_queue():
    """A queue written as a mapping is made with what is written, and knows its place."""
    queue = options("queue: {queue: jobs, durable: true, arguments: {x-message-ttl: 5}}").queue
    assert queue.options.declaration() == {
        "queue": "jobs",
        "passive": False,
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "arguments": {"x-message-ttl": 5},
    }
    assert str(queue.where) == "site.yml:3:10"


def test_a_queue_without_a_name_belongs_to_the_connection():
    """A queue that the broker names is exclusive, or it would stay for ever."""
    assert options("queue: {durable: false}").queue.options.declaration()["exclusive"] is True


def test_a_quorum_queue_is_durable():
    """`type: quorum` is enough for a quorum queue."""
    declaration = options("queue: {queue: jobs, type: quorum}").queue.options.declaration()
    assert declaration["durable"] is True
    assert declaration["arguments"] == {"x-queue-type": "quorum"}


def test_one_way_of_acking_failures_is_enough():
    """`ack_after_failed_processing` alone is no contradiction, as giving back is only the default."""
    assert options("ack_after_failed_processing: true").failed is Failed.ACK
    assert options("nack_after_failed_processing: false").failed is Failed.BY_HAND


def test_without_acks_nothing_else_about_them_matters():
    """With `no_ack` what is to be done after processing is ignored, as Piped 0.7 says."""
    made = options("no_ack: true\nack_after_failed_processing: true")
    assert decide(made.acking, Ending.FAILED) is Settlement.NOTHING
    assert options("no_ack: true\nnack_after_failed_processing: true").no_ack


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{ack_after_failed_processing: true, nack_after_failed_processing: true}",
            "ack_after_failed_processing and nack_after_failed_processing exclude each other",
        ),
        ("{no_ack: true, max_redeliveries: 3}", "no_ack and max_redeliveries exclude each other"),
        (
            "{no_ack: true, dead_letter: {exchange: dead}, requeue: false}",
            "no_ack and dead_letter and requeue: false exclude each other",
        ),
        (
            "{ack_after_failed_processing: true, dead_letter: {exchange: dead}}",
            "ack_after_failed_processing and dead_letter exclude each other",
        ),
        (
            "{nack_after_failed_processing: false, max_redeliveries: 1}",
            "nack_after_failed_processing: false and max_redeliveries exclude each other",
        ),
        ("{redelivery_delay: 90}", "redelivery_delay is longer than max_redelivery_delay (60 s)"),
        ("{redelivery_delay: 0}", "must be a number above 0"),
        ("{queue: 3}", "queue must be the name of a queue, or a mapping by which it is declared, not 3"),
        ("{queue: %s}" % ("q" * 256), "queue must be text of at most 255 bytes"),
        ("{queue: {queue: %s}}" % ("ä" * 128), "option 'queue' of queue must be text of at most 255 bytes"),
        (
            "{queue: {queue: q, arguments: {x-weight: 1.5}}}",
            "option 'x-weight' of queue.arguments must be text",
        ),
        ("{arguments: {x-priority: 99999999999999999999}}", "option 'x-priority' of amqp.c.arguments must be text, a"),
        ("{bindings: [{exchange: %s}]}" % ("e" * 256), "exchange must be text of at most 255 bytes"),
        ("{dead_letter: {routing_key: %s}}" % ("k" * 256), "must be text of at most 255 bytes"),
        ("{queue: {queue: q, type: quorum, exclusive: true}}", "a quorum queue cannot have exclusive: true"),
        ("{queue: {queue: q, type: quorum, durable: false}}", "a quorum queue cannot have durable: false"),
        ("{queue: {type: quorum}}", "a quorum queue needs a name"),
        ("{queue: {queue: q, type: quorum, arguments: {x-queue-type: classic}}}", "is written twice"),
        ("{dead_letter: {}}", "dead letters would go nowhere"),
        ("{qos: {prefetch_count: 70000}}", "must be a number from 0 to 65535"),
        ("{qos: {prefetch_size: 1}}", "must be 0, as RabbitMQ knows no other"),
        ("{log_processor_exceptions: loud}", "a level of the log must be one of debug, info, warn"),
        ("{queue: {name: jobs}}", "queue has no option 'name'"),
        ("{bindings: [{routing_key: a}]}", "needs the option 'exchange'"),
        ("{max_redelivery: 3}", "did you mean 'max_redeliver"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(text, said):
    """A contradiction, or a value that cannot be, is told with file, line and column before anything is started."""
    lines = "\n".join(text[1:-1].split(", ")) if text.count("{") == 1 else None
    told = problem(lines or _block(text))
    assert said in told
    assert told.startswith("site.yml:")


def _block(text):
    """The members of an outer mapping, each on a line."""
    parts, depth, start = [], 0, 1
    for at, sign in enumerate(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(sign, 0)
        if (sign == "," and depth == 1) or depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return "\n".join(filter(None, parts))


@pytest.mark.parametrize(("written", "level"), [("WARN", 30), ("error", 40), ("false", None), ("null", None)])
def test_the_level_of_failures_is_a_name_in_any_case_or_none(written, level):
    """Failures are logged as loud as one says, or not at all."""
    assert options(f"log_processor_exceptions: {written}").log_processor_exceptions == level


@pytest.mark.parametrize(
    ("text", "most", "last"),
    [
        ("dead_letter: {exchange: dead}", 0, Last.DEAD_LETTER),
        ("dead_letter: {exchange: dead}\nmax_redeliveries: 3", 3, Last.DEAD_LETTER),
        ("requeue: false", 0, Last.REJECT),
        ("requeue: false\nmax_redeliveries: 3", 3, Last.REJECT),
        ("max_redeliveries: 3", 3, Last.PAUSE),
        ("queue: {queue: q, arguments: {x-dead-letter-exchange: ''}}\nmax_redeliveries: 3", 3, Last.REJECT),
    ],
)
def test_what_comes_after_the_last_try(text, most, last):
    """What happens to a message that has failed often enough follows from where there is a place for it."""
    acking = options(text).acking
    assert (acking.max_redeliveries, acking.last) == (most, last)


def test_it_can_be_made_from_plain_values():
    """Python code may give the same values without a file."""
    node = node_of({"processor": "work", "queue": {"queue": "jobs"}})
    assert Checker({}).value(ConsumerOptions, node, owner="c").queue.name == "jobs"
