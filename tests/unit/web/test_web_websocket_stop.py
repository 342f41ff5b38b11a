"""How WebSockets end when their site stops."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from websocket_stage import TEXT, Ends, Peer, Waiting, close_frame, closed

from piped.runtime.draining import drain

pytestmark = pytest.mark.usefixtures("each_channel")


def nothing(baton: Any) -> None:
    """A processor."""


def stop(client: Peer) -> Deferred[list[str]]:
    client.site.stopFactory()
    return drain(client.environment.sources, 20, client.reactor)


def test_idle_clients_are_told_to_go_away_at_once() -> None:
    """With 1001, so that they connect elsewhere; the end of each is processed before the stop goes on."""
    ends = Ends()
    client = Peer({"processor": "it", "disconnected": "ends"}, it=nothing, ends=ends).open()
    drained = stop(client)
    assert client.heard() == [closed(1001, "the server stops")]
    assert not drained.called
    client.raw(close_frame(1001))
    assert client.is_hung_up_on
    client.leave()
    assert (ends.told, drained.called) == ([(1001, "the server stops")], True)


def test_a_running_message_is_answered_first(caplog: pytest.LogCaptureFixture) -> None:
    """Then comes 1001; messages behind it are dropped, which is told."""
    it, ends = Waiting(), Ends()
    client = Peer({"processor": "it", "disconnected": "ends"}, it=it, ends=ends).open()
    client.say("one", "two")
    drained = stop(client)
    assert (client.heard(), client.is_read) == ([], False)
    it.batons[0]["websocket"].send("done")
    it.go_on()
    assert client.heard() == [(TEXT, b"done"), closed(1001, "the server stops")]
    client.leave()
    assert (it.messages, ends.told, drained.called) == (["one"], [(1001, "the server stops")], True)
    assert "1 messages were not processed" in caplog.text


def test_a_client_that_does_not_answer_keeps_nobody_waiting() -> None:
    """It is hung up on after some seconds, within the drain deadline, and cut when that does not help."""
    client = Peer({"processor": "it", "disconnected": "it"}, it=nothing).open()
    stop(client)
    client.reactor.advance(5)
    assert client.is_hung_up_on
    assert not client.is_cut
    client.reactor.advance(5)
    assert client.is_cut


def test_messages_of_a_client_that_has_left_keep_nobody_waiting() -> None:
    """What waits for a processor that is not there is given up, and the end is processed."""
    ends = Ends()
    client = Peer({"processor": "it", "disconnected": "ends"}, it=nothing, ends=ends).open()
    client.processors.lose("pipeline.it")
    client.say("one")
    client.leave()
    assert ends.told == []
    drained = stop(client)
    assert (ends.told, drained.called) == ([(1006, "")], True)


def test_what_a_client_that_has_left_had_sent_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """What is being processed ends; what waits behind it is dropped, which is told."""
    it = Waiting()
    client = Peer("it", it=it).open()
    client.say("one", "two")
    client.leave()
    drained = stop(client)
    it.go_on()
    assert (it.messages, drained.called) == (["one"], True)
    assert "1 messages were not processed" in caplog.text


def test_nobody_is_let_in_any_more() -> None:
    """A client that comes while the site stops is 503."""
    client = Peer("it", it=nothing)
    drain(client.environment.sources, 20, client.reactor)
    assert client.upgrade()[0] == 503
