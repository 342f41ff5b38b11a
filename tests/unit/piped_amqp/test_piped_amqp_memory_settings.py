"""Declarations of queues for the broker in memory: what may be said, and what is the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from piped_amqp.memory.refusals import Refusal
from piped_amqp.memory.settings import check_same, settings_of


def declared(durable=False, exclusive=False, auto_delete=False, **arguments):
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return SimpleNamespace(durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=named or None)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (declared(message_ttl=-1), "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': -1"),
        (declared(expires=2**32), "invalid arg 'x-expires' for queue 'q' in vhost '/': 4294967296"),
        (declared(max_length=True), "invalid arg 'x-max-length' for queue 'q' in vhost '/': True"),
        (declared(overflow="explode"), "invalid arg 'x-overflow' for queue 'q' in vhost '/': 'explode'"),
        (declared(dead_letter_exchange=1), "invalid arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': 1"),
        (declared(dead_letter_routing_key="k"), "routing_key_but_no_dlx_defined"),
        (declared(queue_type="stream"), "invalid arg 'x-queue-type' for queue 'q' in vhost '/': 'stream'"),
        (declared(queue_type="quorum"), "invalid property 'non-durable' for queue 'q' in vhost '/'"),
        (declared(True, True, queue_type="quorum"), "invalid property 'exclusive' for queue 'q' in vhost '/'"),
        (declared(True, False, True, queue_type="quorum"), "invalid property 'auto-delete' for queue 'q' in vhost '/'"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, told):
    """Each mistake is error 406, and says which argument it is."""
    with pytest.raises(Refusal) as raised:
        settings_of("q", wrong)
    assert (raised.value.code, raised.value.text) == (406, f"PRECONDITION_FAILED - {told}")


def test_what_does_nothing_is_told(caplog):
    """An argument that changes something on RabbitMQ, and nothing here, is named in the log; others are not."""
    settings_of("q", declared(max_priority=5, queue_mode="lazy", message_ttl=1))
    assert caplog.messages == [
        "queue 'q' in memory: the argument 'x-max-priority' does nothing here, though it may on RabbitMQ"
    ]


def test_the_same_is_the_same():
    """Only a declaration that differs is refused; one that differs in exclusiveness as what is locked."""
    current = settings_of("q", declared(max_length=5))
    check_same("q", settings_of("q", declared(max_length=5)), current)
    for other, code, told in (
        (declared(), 406, "'x-max-length' for queue 'q' in vhost '/': received none but current is the value '5'"),
        (declared(max_length=6), 406, "'x-max-length' for queue 'q' in vhost '/': received '6' but current is '5'"),
        (declared(True, max_length=5), 406, "'durable' for queue 'q' in vhost '/': received 'true' but current is 'f"),
        (declared(exclusive=True, max_length=5), 405, "cannot obtain exclusive access to locked queue 'q'"),
    ):
        with pytest.raises(Refusal) as raised:
            check_same("q", settings_of("q", other), current)
        assert raised.value.code == code
        assert told in raised.value.text
