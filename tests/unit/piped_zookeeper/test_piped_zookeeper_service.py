"""Tests of a client that is kept connected, and of what is told of it."""

from __future__ import annotations

from kazoo.protocol.states import KeeperState
from zookeeper_fakes import Process, Tree


def test_it_is_ready_while_it_is_connected():
    """The resource comes with the connection, and goes with it."""
    process = Process(Tree(), connect=False)
    assert not process.client.is_ready
    process.connect()
    assert process.client.is_ready
    assert process.client.get_resource().is_connected
    process.lose()
    assert not process.client.is_ready
    process.connect()
    assert process.client.is_ready


def test_events_come_in_the_documented_order():
    """A session that goes on, one that expires, and the stop: each is told as it is written."""
    process = Process(Tree())
    process.lose()
    process.connect()
    assert process.events == ["starting", "connected", "reconnecting", "reconnected"]
    process.lose()
    process.expire()
    assert not process.client.is_ready
    process.connect()
    assert process.events[4:] == ["reconnecting", "expired", "stopping", "starting", "connected"]
    process.environment.before_stop()
    process.environment.application.stopService()
    assert process.events[9:] == ["stopping"]
    assert process.kazoo.is_stopped
    assert not process.client.is_ready


def test_the_stop_is_told_while_it_can_still_be_used():
    """Whoever hears that a client stops may still tidy up with it."""
    process = Process(Tree())
    process.told._resource = lambda baton: ready.append((baton["event"], process.client.is_ready))
    ready: list[tuple[str, bool]] = []
    process.told.come()
    process.environment.before_stop()
    assert ready == [("stopping", True)]


def test_an_event_waits_for_its_pipeline_until_the_next_one():
    """A pipeline that is not ready in time hears of the latest event only, so that it never hears of an old one."""
    process = Process(Tree(), connect=False)
    process.told.go()
    process.connect()
    process.told.come()
    assert process.events == ["starting", "connected"]
    process.told.go()
    process.lose()
    process.connect()
    process.told.come()
    assert process.events == ["starting", "connected", "reconnected"]


def test_without_a_way_back_it_begins_anew():
    """After `reconnect_timeout` the session is given up, and another one is asked for after a while."""
    process = Process(Tree(), client="reconnect_timeout: 5")
    process.lose()
    process.reactor.advance(4.9)
    assert len(process.clients) == 1
    process.reactor.advance(0.2)
    assert process.clients[0].is_stopped
    process.reactor.advance(1)
    assert len(process.clients) == 2
    process.connect()
    assert process.events[2:] == ["reconnecting", "stopping", "starting", "connected"]
    assert process.client.is_ready


def test_without_a_session_in_time_it_begins_anew():
    """After `connect_timeout` it begins anew."""
    process = Process(Tree(), client="connect_timeout: 5", connect=False)
    process.reactor.advance(5.1)
    process.reactor.advance(1)
    assert len(process.clients) == 2
    assert process.events == ["starting", "stopping", "starting"]


def test_without_reuse_each_connection_has_a_session_of_its_own():
    """With `reuse_session: false` the old session is left as soon as its connection is lost."""
    process = Process(Tree(), client="reuse_session: false")
    before = process.client.get_resource().session_id
    process.lose()
    assert process.clients[0].is_stopped
    process.connect()
    assert process.client.get_resource().session_id != before
    # It is a new session, without the ephemeral nodes of the former one; and the next one is so, too.
    assert process.events == ["starting", "connected", "reconnecting", "connected"]
    process.lose()
    process.connect()
    assert process.events[4:] == ["reconnecting", "connected"]


def test_what_kazoo_gives_up_is_begun_anew(caplog):
    """A login that is refused is told, and tried again ever later."""
    process = Process(Tree(), client="auth: 'digest:ada:geheim'")
    process.kazoo.end(KeeperState.AUTH_FAILED)
    process.reactor.settle()
    assert not process.client.is_ready
    assert "refuses what stands in `auth`" in caplog.text
    assert "geheim" not in caplog.text
    process.reactor.advance(1)
    process.connect()
    assert process.client.is_ready


def test_what_was_kept_is_forgotten_with_the_connection():
    """Nothing that was read before a connection was lost is taken for granted after it."""
    process = Process(Tree())
    client = process.client.get_resource()
    client.get_children("/", cached=True)
    process.reactor.settle()
    assert len(client.reads) == 1
    process.lose()
    assert len(client.reads) == 0


def test_kazoo_gets_what_is_written():
    """Servers, times, logins and ACLs come to kazoo as they are written."""
    acls = "[{scheme: world, id: anyone, perms: [read, create]}]"
    process = Process(Tree(), client=f"session_timeout: 4, auth: 'digest:a:b', default_encoded_acls: {acls}")
    options = process.kazoo.options
    assert (options["hosts"], options["timeout"]) == ("a:2181,b:2181", 4)
    assert options["auth_data"] == [("digest", "a:b")]
    [acl] = options["default_acl"]
    assert (acl.perms, acl.id.scheme, acl.id.id) == (5, "world", "anyone")
