"""Tests of `piped_amqp.connection`: a connection that is kept, whatever happens to it."""

from __future__ import annotations

import logging

import pytest
from amqp_connecting import Peer
from pika import spec
from twisted.internet import error
from twisted.internet.error import ConnectionDone, DNSLookupError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped import ConfigurationError, Mark, RuntimeEnvironment
from piped_amqp.connection import AMQPConnection

WHERE = Mark("site.yml", 3, 5)


class Kept:
    """A connection to peers that a test plays, in a time that stands still."""

    def __init__(self, *errors, **options):
        self.peers = [Peer(error) for error in errors or (None,)]
        self.clock = Clock()
        servers = [f"tcp:rabbit{number}:5672" for number in range(len(self.peers))]
        options = {"where": WHERE, "parameters": {"heartbeat": 0}} | options
        self.connection = AMQPConnection("main", servers, **options)
        self.connection.configure(RuntimeEnvironment(reactor=self.clock))
        self.connection._endpoints = iter_over(zip(self.connection.servers, self.peers, strict=True))
        self.ready, self.lost = [], []
        self.connection.on_connected += self.ready.append
        self.connection.on_disconnected += self.lost.append

    @property
    def peer(self):
        return self.peers[0]

    @property
    def tried(self):
        return [peer.tried for peer in self.peers]

    def start(self):
        self.connection.startService()
        return self

    def stop(self):
        """Stop it; gives the list that gets a value when that has ended."""
        stopped = []
        self.connection.stopService().addCallback(stopped.append)
        return stopped

    def wait(self, seconds, step=0.05):
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def waits_until_tried(self, count):
        """How long it takes until so many tries were made."""
        waited = 0.0
        while sum(self.tried) < count:
            self.clock.advance(0.01)
            waited += 0.01
            assert waited < 100
        return waited

    def pending(self):
        return [call for call in self.clock.getDelayedCalls() if call.active()]


def iter_over(pairs):
    pairs = list(pairs)
    while True:
        yield from pairs


def messages(caplog, level=logging.INFO):
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@pytest.fixture(autouse=True)
def levels(caplog):
    caplog.set_level(logging.INFO, "piped.amqp")


def test_the_first_try_is_made_at_once():
    """A connection is tried as soon as the service starts, and is there when the broker has greeted."""
    kept = Kept().start()
    assert (kept.tried, kept.ready) == ([1], [])
    kept.peer.greet()
    assert kept.ready == [kept.connection.protocol]
    assert kept.connection.protocol.is_open


def test_it_is_tried_until_it_works():
    """A broker that is not there is tried again about every second, never later than after 1.5 s."""
    kept = Kept(error.ConnectionRefusedError()).start()
    waits = [kept.waits_until_tried(tries) for tries in range(2, 30)]
    assert min(waits) >= 0.7
    assert max(waits) <= 1.52
    assert len({round(wait, 2) for wait in waits}) > 3  # so that not all processes come back at the same moment
    kept.peer.error = None
    kept.wait(1.6)
    kept.peer.greet()
    assert len(kept.ready) == 1


def test_the_intervals_are_as_written():
    """`reconnect_interval` is about the first wait, `max_reconnect_interval` the longest."""
    kept = Kept(error.ConnectionRefusedError(), reconnect_interval=4, max_reconnect_interval=20).start()
    waits = [kept.waits_until_tried(tries) for tries in range(2, 9)]
    assert 2.9 <= waits[0] <= 5.1
    assert 11.9 <= waits[-1] <= 20.1


def test_after_a_connection_the_waits_are_short_again():
    """A broker that was away for long, and came back, is waited for as at first."""
    kept = Kept(error.ConnectionRefusedError(), max_reconnect_interval=60).start()
    kept.wait(300)
    kept.peer.error = None
    kept.waits_until_tried(kept.peer.tried + 1)
    kept.peer.greet()
    kept.wait(5)
    kept.peer.error = error.ConnectionRefusedError()
    kept.peer.transports[-1].abortConnection()
    assert kept.waits_until_tried(kept.peer.tried + 1) <= 1.3


@pytest.mark.parametrize(
    "wrong",
    [
        error.ConnectionRefusedError(),
        DNSLookupError("no such name"),
        error.ConnectError(),
        OSError("odd"),
        ValueError("odder"),
    ],
)
def test_servers_are_tried_in_turns_whatever_is_wrong_with_one(wrong):
    """The next server is tried at once; only when none can be reached there is a wait."""
    kept = Kept(wrong, wrong, None).start()
    assert kept.tried == [1, 1, 1]
    kept.peers[2].greet()
    assert len(kept.ready) == 1


def test_after_a_round_of_failures_there_is_a_wait():
    """Servers that all fail are not tried in a hot loop."""
    kept = Kept(error.ConnectionRefusedError(), error.ConnectionRefusedError()).start()
    assert kept.tried == [1, 1]
    kept.wait(0.7)
    assert kept.tried == [1, 1]
    kept.wait(0.8)
    assert kept.tried == [2, 2]


def test_a_lost_connection_is_made_anew_at_once():
    """When a connection ends, that is told at once, and the next server is tried with a new protocol."""
    kept = Kept(None, None).start()
    kept.peer.greet()
    first = kept.connection.protocol
    kept.wait(5)
    kept.peer.transports[0].abortConnection()
    assert (len(kept.lost), kept.connection.protocol, kept.tried) == (1, None, [1, 1])
    kept.peers[1].greet()
    assert kept.connection.protocol not in (None, first)


def test_a_connection_that_never_lasts_is_no_hot_loop():
    """A broker that hangs up on every connection is tried as one that is not there."""
    kept = Kept().start()
    for _ in range(100):
        if kept.peer.transports[-1].connected:
            kept.peer.greet()
            kept.peer.transports[-1].abortConnection()
        kept.clock.advance(0.1)
    assert 5 <= kept.peer.tried <= 15


def test_a_connection_that_cannot_be_made_in_time_is_given_up():
    """Connecting has a limit, and so has what answers without ever greeting."""
    kept = Kept("never", None, connect_timeout=3).start()
    kept.wait(3.05)
    assert kept.tried == [1, 1]
    silent = kept.peers[1].transports[0]
    kept.wait(2.9)
    assert silent.connected
    kept.wait(0.2)
    assert not silent.connected


def test_what_is_waited_for_is_told_once(caplog):
    """The log says where it is written, what is wrong and that it goes on; not with each try."""
    kept = Kept(error.ConnectionRefusedError()).start()
    kept.wait(20)
    assert messages(caplog) == [
        "amqp.connection.main (site.yml:3:5) waits for tcp:rabbit0:5672: connection refused; it is tried until it works"
    ]
    caplog.clear()
    kept.peer.error = None
    kept.wait(2)
    kept.peer.greet()
    assert messages(caplog) == ["amqp.connection.main is connected to tcp:rabbit0:5672"]
    caplog.clear()
    kept.peer.error = error.ConnectionRefusedError()
    kept.peer.transports[-1].abortConnection()
    kept.wait(5)
    lost, waits = messages(caplog)
    assert lost.endswith("has lost tcp:rabbit0:5672: the broker has hung up; it connects anew")
    assert waits.endswith("waits for tcp:rabbit0:5672: connection refused; it is tried until it works")


def start_then_close(peer, code, text, after_tune=False):
    capabilities = {"capabilities": {"authentication_failure_close": True}}
    peer.tell(0, spec.Connection.Start(0, 9, capabilities, "PLAIN", "en_US"))
    if after_tune:
        peer.tell(0, spec.Connection.Tune(2047, 131072, 0))
    peer.tell(0, spec.Connection.Close(code, text, 0, 0))


def test_a_refused_login_is_told_without_the_password(caplog):
    """Wrong credentials are told with the name, what to do and where; it goes on trying."""
    kept = Kept(parameters={"username": "ada", "password": "sekrit-word"}).start()
    start_then_close(kept.peer, 403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN")
    assert messages(caplog, logging.ERROR) == [
        "amqp.connection.main (site.yml:3:5) waits for tcp:rabbit0:5672: the broker refuses the login as 'ada'; "
        "it is tried until it works – check username and password in `parameters`"
    ]
    assert "sekrit-word" not in caplog.text
    assert "sekrit-word" not in repr(kept.connection.parameters)
    kept.wait(2)
    assert kept.peer.tried == 2


def test_a_missing_virtual_host_is_told(caplog):
    """The broker's reason is told, with what may help."""
    kept = Kept(parameters={"virtual_host": "nope"}).start()
    start_then_close(kept.peer, 530, "NOT_ALLOWED - vhost nope not found", after_tune=True)
    (message,) = messages(caplog, logging.ERROR)
    assert "the broker says 'NOT_ALLOWED - vhost nope not found' (530)" in message
    assert "check virtual_host, or make it: rabbitmqctl add_vhost nope" in message


def test_a_lost_heartbeat_is_told(caplog):
    """A frozen broker is left for that reason, without waiting for what it does not read."""
    kept = Kept(parameters={"heartbeat": 4}).start()
    kept.peer.greet(heartbeat=4)
    kept.peer.transports[0].is_stuck = True
    kept.wait(20, 0.5)
    assert "nothing came from the broker, not even its heartbeat of 4 s" in messages(caplog, logging.WARNING)[0]
    assert len(kept.lost) == 1
    assert kept.peer.tried == 2


def test_a_broker_that_takes_nothing_for_too_long_is_left(caplog):
    """`blocked_connection_timeout` ends a connection that stays blocked, and only then."""
    kept = Kept(parameters={"heartbeat": 0, "blocked_connection_timeout": 3}).start()
    kept.peer.greet()
    kept.peer.tell(0, spec.Connection.Blocked("low on disk"))
    kept.wait(2.9)
    assert kept.lost == []  # it is blocked, and ready
    kept.wait(0.2)
    assert len(kept.lost) == 1
    assert "the broker took no messages for 3 s (blocked_connection_timeout)" in messages(caplog, logging.WARNING)[-1]


def test_an_idle_connection_is_made_anew(caplog):
    """Where no byte went either way for `max_idle_time`, the connection is closed and another one made."""
    kept = Kept(max_idle_time=5).start()
    kept.peer.greet()
    kept.wait(4.9)
    assert kept.lost == []
    kept.wait(0.2)
    assert (len(kept.lost), kept.peer.tried) == (1, 2)
    assert "no byte went either way for 5 s (max_idle_time)" in messages(caplog, logging.WARNING)[-1]


def test_a_connection_survives_while_data_flows():
    """Whatever is sent or received counts, also in one direction alone."""
    kept = Kept(max_idle_time=5).start()
    kept.peer.greet()
    protocol = kept.connection.protocol
    for turn in range(10):
        if turn % 2:
            kept.peer.tell(0, spec.Connection.Unblocked())
        else:
            protocol.open_channel()
        kept.wait(4.9)
    assert kept.lost == []


@pytest.mark.parametrize("moment", ["waiting", "connecting", "greeting"])
def test_a_stop_ends_every_attempt(moment):
    """A service that stops while it waits or connects leaves nothing behind, and tells nothing more."""
    kept = Kept({"waiting": error.ConnectionRefusedError(), "connecting": "never", "greeting": None}[moment]).start()
    stopped = kept.stop()
    assert stopped == [None]
    assert kept.pending() == []
    assert not any(transport.connected for transport in kept.peer.transports)


def test_a_stop_is_no_failure_for_endpoints_with_errors_of_their_own(caplog):
    """An endpoint that answers to being cancelled with another error is not tried again."""
    kept = Kept("never").start()

    class Cancelled(Exception):
        pass

    def connect(factory, connect=kept.peer.connect):
        connecting = connect(factory)
        connecting._canceller = lambda deferred: deferred.errback(Failure(Cancelled()))
        return connecting

    kept.connection._endpoints = iter_over([(kept.connection.servers[0], Peer("never"))])
    kept.stop()
    kept.peer.connect, kept.peer.error = connect, "never"
    kept.connection._endpoints = iter_over([(kept.connection.servers[0], kept.peer)])
    kept.start()
    assert kept.stop() == [None]
    assert kept.pending() == []
    assert messages(caplog) == []


def test_a_stop_says_goodbye(caplog):
    """The broker is told why; the resource is taken back first, and nothing is left when it has answered."""
    kept = Kept(max_idle_time=5).start()
    kept.peer.greet()
    stopped = kept.stop()
    assert (len(kept.lost), stopped) == (1, [])
    assert b"the process stops" in kept.peer.transports[0].value()
    kept.peer.tell(0, spec.Connection.CloseOk())
    assert stopped == [None]
    assert (kept.pending(), kept.peer.tried, messages(caplog, logging.WARNING)) == ([], 1, [])


def test_a_frozen_broker_does_not_hold_up_the_stop():
    """A broker that does not answer the goodbye is left after `close_timeout`."""
    kept = Kept(close_timeout=2).start()
    kept.peer.greet()
    kept.peer.transports[0].is_stuck = True
    stopped = kept.stop()
    kept.wait(1.9)
    assert stopped == []
    kept.wait(0.2)
    assert stopped == [None]
    assert not kept.peer.transports[0].connected
    assert kept.pending() == []


def test_a_service_that_was_stopped_can_be_started_again():
    """A second start connects again."""
    kept = Kept().start()
    kept.stop()
    kept.start()
    kept.peer.greet()
    assert len(kept.ready) == 1


def test_a_broker_in_memory_is_said_loudly(caplog):
    """`memory://name` works, and the log warns that nothing is kept."""
    clock, ready = Clock(), []
    connection = AMQPConnection("main", "memory://play")
    connection.on_connected += ready.append
    connection.configure(RuntimeEnvironment(reactor=clock))
    connection.startService()
    for _ in range(30):
        clock.advance(0)
    assert len(ready) == 1
    assert "other processes do not see it, and nothing is kept" in messages(caplog, logging.WARNING)[0]
    connection.stopService()
    for _ in range(30):
        clock.advance(0)


def test_what_python_gives_is_checked_as_what_is_written():
    """A connection that is made in Python tells of the same mistakes."""
    with pytest.raises(ConfigurationError, match="no option 'hartbeat' – did you mean 'heartbeat'"):
        AMQPConnection("main", "tcp:localhost:5672", parameters={"hartbeat": 1})
    with pytest.raises(ConfigurationError, match="did you mean 'tcp:localhost:5672'"):
        AMQPConnection("main", ["localhost:5672"])


def test_losing_it_while_somebody_hears_of_it_is_told_to_all():
    """Whoever ends the connection when told that it is there does not confuse the others."""
    kept = Kept()
    kept.connection.on_connected += lambda protocol: protocol.transport.abortConnection()
    kept.start()
    kept.peer.greet()
    assert (len(kept.ready), len(kept.lost), kept.connection.protocol) == (1, 1, None)
    assert kept.lost[0].check(ConnectionDone)
