"""Tests of what may be written in the section `zmq`."""

from __future__ import annotations

import pytest
import zmq
from zmq_stage import ZMQStage, staged

from piped import ConfigurationError

QUEUE = "zmq: {queues: {q: {type: %s, %s}}}\npipelines: {p: [passthrough]}"


def told(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        ZMQStage(text)
    return [str(problem) for problem in raised.value.problems]


def option(key: object, value: object, kind: str = "PULL") -> ZMQStage:
    return ZMQStage(QUEUE % (kind, f"processor: p, sockopts: [{{key: {key}, value: {value}}}]"))


RECEIVING = ["REQ", "REP", "DEALER", "ROUTER", "XREQ", "XREP", "SUB", "XPUB", "XSUB", "PULL", "PAIR", "STREAM"]


@pytest.mark.parametrize("kind", RECEIVING)
def test_every_type_that_receives_may_feed_a_pipeline(kind: str):
    """All types of ZeroMQ, by their old names too."""
    with staged(QUEUE % (kind, "processor: p")) as stage:
        known = {"XREQ": "DEALER", "XREP": "ROUTER"}.get(kind, kind)
        assert stage.resource("zmq.socket.q").type == zmq.SocketType[known]


@pytest.mark.parametrize("kind", ["PUSH", "PUB"])
def test_what_only_sends_feeds_no_pipeline(kind: str):
    """It would wait for ever."""
    assert told(QUEUE % (kind, "processor: p")) == [
        f"site.yml:1:16: zmq.queues.q: a {kind} receives nothing to process – remove `processor`"
    ]


def test_an_unknown_type_is_told():
    """With the one that may have been meant."""
    [problem] = told(QUEUE % ("PULLL", "binds: []"))
    assert problem.startswith("site.yml:1:26: option 'type' of zmq.queues.q must be")
    assert problem.endswith("did you mean 'PULL'?")


def test_options_are_set_by_name_old_name_or_number():
    """HWM is the one mark of ZeroMQ 2 for both ways; prefixes and small letters do not matter."""
    with staged(
        QUEUE
        % (
            "PULL",
            "processor: p, sockopts: [{key: HWM, value: 7}, {key: zmq_rcvbuf, value: '70000'}, {key: 18, value: 3}, "
            "{key: IPV6, value: true}, {key: IDENTITY, value: né}]",
        )
    ) as stage:
        socket = stage.resource("zmq.socket.q")
        assert (socket.sndhwm, socket.rcvhwm, socket.rcvbuf, socket.ipv6) == (7, 7, 70000, 1)
        assert socket.getsockopt(zmq.BACKLOG) == 100
        assert socket.getsockopt(zmq.RECONNECT_IVL) == 3
        assert socket.getsockopt(zmq.ROUTING_ID) == "né".encode()


def test_options_that_cannot_be_are_told():
    """Names that nobody knows, those that are only read, and a text for a number; the value, maybe a secret, is not."""
    assert "did you mean 'LINGER'?" in told("zmq: {queues: {q: {type: PULL, sockopts: [{key: LINGR, value: 1}]}}}")[0]
    with pytest.raises(ConfigurationError, match="no socket option 'FD' that can be set"):
        option("FD", 1)
    with pytest.raises(ConfigurationError, match=r"site.yml:1:\d+: the socket option SNDHWM is a number$") as raised:
        option("SNDHWM", "s3cret")
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="the socket option SNDHWM is a number"):
        option("SNDHWM", "'--5'")


@pytest.mark.parametrize(("value", "reason"), [(-5, "invalid arg"), (10**20, "the number is too large")])
def test_a_value_that_zeromq_will_not_have_is_told_at_its_place(value: int, reason: str):
    """What only the socket itself can know keeps the process from starting."""
    with pytest.raises(ConfigurationError, match=rf"site.yml:1:\d+: the socket option RCVHWM cannot be set: {reason}"):
        option("RCVHWM", value)


def test_only_what_answers_has_an_error_reply():
    """Elsewhere it would never be sent."""
    assert told(QUEUE % ("PULL", "error_reply: sorry")) == [
        "site.yml:1:16: zmq.queues.q: a PULL sends no replies – remove `error_reply`"
    ]


def test_addresses_are_checked_where_they_stand():
    """Each has its own problem."""
    assert [line.split(" – ")[0] for line in told(QUEUE % ("PULL", "binds: [tcp://x], connects: ['tcp://*:1']"))] == [
        "site.yml:1:40: 'tcp://x' is no address to bind: it needs a host and a port",
        "site.yml:1:61: 'tcp://*:1' is no address to connect to: it needs a host and a port",
    ]


def test_an_unknown_queue_is_told():
    """A step that sends with it does not start."""
    text = "zmq: {queues: {jobs: {type: PUSH}}}\npipelines: {p: [{send-zmq-message: {queue_name: jbs}}]}"
    assert told(text) == ["site.yml:2:49: there is no 'zmq.socket.jbs' – did you mean 'jobs'?"]
