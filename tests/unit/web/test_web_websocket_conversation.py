"""Messages of WebSockets as batons: order, back-pressure, failures, readiness and the end."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from websocket_stage import TEXT, Ends, Peer, Waiting, close_frame, closed, frame

from piped.ground.errors import Rejected
from piped.web.streaming import ClientLeft

pytestmark = pytest.mark.usefixtures("each_channel")


def nothing(baton: Any) -> None:
    """A processor."""


def test_a_baton_holds_the_message_the_websocket_and_the_request() -> None:
    """All batons of a connection have the same WebSocket, whose `state` remembers."""
    batons: list[Any] = []

    def it(baton: Any) -> None:
        state = baton["websocket"].state
        state["count"] = state.get("count", 0) + 1
        batons.append(dict(baton))

    client = Peer({"processor": "it", "connected": "it"}, it=it).open()
    client.say("one", b"two")
    assert [sorted(baton) for baton in batons] == [["request", "websocket"]] + [["message", "request", "websocket"]] * 2
    assert [baton.get("message") for baton in batons] == [None, "one", b"two"]
    assert batons[0]["websocket"] is batons[2]["websocket"]
    assert (batons[0]["websocket"].state, batons[0]["request"].path) == ({"count": 3}, b"/")
    assert batons[0]["websocket"].peer.host == "192.0.2.1"


def test_parameters_of_the_path_are_in_every_baton() -> None:
    """A path such as /rooms/{name} says which room."""
    from web_stage import Stage

    batons: list[Any] = []
    routing = {
        "rooms": {
            "{name}": {
                "__config__": {"websocket": dict.fromkeys(("processor", "connected", "disconnected"), "pipeline.it")}
            }
        }
    }
    stage = Stage({"pipeline.it": batons.append}, routing=routing)
    from websocket_stage import KEY, UPGRADE

    stage.get("/rooms/blue", *UPGRADE, f"Sec-WebSocket-Key: {KEY}")
    stage.send(frame(TEXT, b"hello"))
    stage.leave()
    assert [baton["params"] for baton in batons] == [{"name": "blue"}] * 3


def test_messages_of_a_connection_are_processed_one_after_the_other() -> None:
    """The second begins when the first has ended, however long that takes."""
    it = Waiting()
    client = Peer("it", it=it).open()
    client.say("one", "two", "three")
    assert it.messages == ["one"]
    it.go_on()
    assert it.messages == ["one", "two"]
    it.go_on()
    it.go_on()
    assert it.messages == ["one", "two", "three"]


def test_messages_are_processed_at_once_where_order_does_not_matter() -> None:
    """`ordered: false` processes up to `max_pending` of them, which may end in any order."""
    it = Waiting()
    client = Peer({"processor": "it", "ordered": False, "max_pending": 3}, it=it).open()
    client.say("one", "two", "three", "four")
    assert (it.messages, client.is_read) == (["one", "two", "three"], False)
    it.go_on(1)
    assert it.messages == ["one", "two", "three", "four"]


@pytest.mark.parametrize("ordered", [True, False])
def test_messages_wait_until_the_connection_was_greeted(ordered: bool) -> None:
    """Whatever `connected` prepares is there for the first message."""
    hello, it = Waiting(), Waiting()
    client = Peer({"processor": "it", "connected": "hello", "ordered": ordered}, it=it, hello=hello).open()
    client.say("one")
    assert (len(hello.batons), it.messages) == (1, [])
    hello.go_on()
    assert it.messages == ["one"]


@pytest.mark.parametrize("together", [True, False])
def test_a_client_is_not_read_while_too_many_of_its_messages_wait(together: bool) -> None:
    """A fast client waits; nothing that it has sent is lost."""
    it = Waiting()
    client = Peer({"processor": "it", "max_pending": 3}, it=it).open()
    texts = [str(number) for number in range(10)]
    if together:
        client.say(*texts)
    else:
        for text in texts:
            client.say(text)
    assert not client.is_read
    for number in range(10):
        assert client.is_read is (number > 7)
        it.go_on()
    assert (it.messages, client.is_read) == (texts, True)


def test_what_is_not_read_is_not_understood_either() -> None:
    """Of what came in one piece nothing is taken before there is room for it."""
    it = Waiting()
    client = Peer({"processor": "it", "max_pending": 2}, it=it).open()
    assert client.raw(*[frame(TEXT, b"x")] * 3, close_frame(1000)) == []
    it.go_on()
    assert client.heard() == []
    it.go_on()
    assert client.heard() == [closed(1000)]


def test_the_answer_to_a_close_is_read_though_messages_wait() -> None:
    """A client with many messages is hung up on as soon as it has answered."""
    it = Waiting()
    client = Peer({"processor": "it", "max_pending": 1}, it=it).open()
    client.say("one", "two")
    it.batons[0]["websocket"].close(4000)
    assert client.is_read
    assert not client.is_hung_up_on
    client.raw(close_frame(4000))
    assert client.is_hung_up_on


def test_messages_that_wait_when_we_close_are_not_processed() -> None:
    """`close` means that nothing of the client is wanted any more, also while one of its messages is processed."""
    it = Waiting()
    client = Peer("it", it=it).open()
    client.say("one", "two")
    it.batons[0]["websocket"].close()
    it.go_on()
    assert it.messages == ["one"]


def test_the_request_tells_when_the_client_has_left() -> None:
    """`notifyFinish` works as for other requests."""
    left: list[Any] = []
    client = Peer("it", it=lambda baton: baton["request"].notifyFinish().addErrback(left.append) and None).open()
    client.say("one")
    client.leave()
    assert len(left) == 1


def test_a_client_is_not_read_while_too_much_of_it_waits() -> None:
    """Few messages can be long: no more than twice `max_message_size` is kept of one client."""
    it = Waiting()
    client = Peer({"processor": "it", "max_message_size": 100}, it=it).open()
    client.say("first", "x" * 60)
    assert client.is_read
    client.say("x" * 60)
    assert not client.is_read
    it.go_on()
    assert client.is_read


def test_a_message_waits_while_its_processor_is_not_ready() -> None:
    """It is processed when that is back; until then nothing more is read from the client."""
    it = Waiting()
    client = Peer("it", it=it).open()
    client.processors.lose("pipeline.it")
    client.say("one", "two")
    assert (it.messages, client.is_read, client.is_hung_up_on) == ([], False, False)
    client.processors.restore("pipeline.it")
    assert (it.messages, client.is_read) == (["one"], True)


def test_messages_wait_while_the_site_is_busy_and_take_turns() -> None:
    """With `max_running` reached a message waits, and a client with many of them does not shut others out."""
    it = Waiting()
    first = Peer("it", it=it, site={"max_running": 1}).open()
    second = another_client(first)
    first.say("a", "b", "c")
    second.say("1", "2")
    for _ in range(5):
        it.go_on()
    assert it.messages == ["a", "1", "b", "2", "c"]


def another_client(first: Peer) -> Peer:
    """One more connection to the same site."""
    second = Peer.__new__(Peer)
    second.__dict__.update(first.__dict__)
    second.connect(first.site)
    return second.open()


def test_a_message_that_fails_closes_with_1011_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The client sees no traceback, the log has one; messages behind it are not processed."""
    seen: list[str] = []

    def it(baton: Any) -> None:
        seen.append(baton["message"])
        raise KeyError("secret")

    client = Peer("it", it=it).open()
    assert client.say("one", "two") == [closed(1011)]
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "pipeline.it failed for GET /" in record.message
    assert record.exc_info is not None
    assert seen == ["one"]


def test_a_failure_need_not_close() -> None:
    """With `on_error: continue` the next message is processed, also after one that was rejected."""
    seen: list[str] = []

    def it(baton: Any) -> None:
        seen.append(baton["message"])
        raise [KeyError("one"), Rejected("two")][len(seen) % 2]

    client = Peer({"processor": "it", "on_error": "continue"}, it=it).open()
    assert client.say("one", "two", "three") == []
    assert seen == ["one", "two", "three"]


@pytest.mark.parametrize("on_error", ["close", "continue"])
def test_a_client_that_cannot_be_greeted_is_closed(on_error: str) -> None:
    """Without what `connected` prepares no message makes sense; one that is rejected is told why."""

    def reject(baton: Any) -> None:
        raise Rejected("no token")

    seen: list[Any] = []
    client = Peer({"processor": "it", "connected": "reject", "on_error": on_error}, it=seen.append, reject=reject)
    client.open()
    assert client.first == [closed(1008, "no token")]
    client.say("one")
    assert seen == []


def test_a_rejected_message_closes_with_the_reason() -> None:
    """The client is told why, as far as 123 bytes go, and no sign is cut in two."""

    def it(baton: Any) -> None:
        raise Rejected("ü" * 100)

    assert Peer("it", it=it).open().say("one") == [closed(1008, "ü" * 61)]


def test_messages_that_came_before_a_close_are_processed() -> None:
    """A client may send and close at once; the end is told after its messages."""
    it, ends = Waiting(), Ends()
    client = Peer({"processor": "it", "disconnected": "ends"}, it=it, ends=ends).open()
    client.say("one", "two")
    client.raw(close_frame(1000))
    client.leave()
    it.go_on()
    assert (it.messages, ends.told) == (["one", "two"], [])
    it.go_on()
    assert ends.told == [(1000, "")]


def test_messages_behind_our_close_are_not_processed() -> None:
    """`close` means that nothing of the client is wanted any more."""
    seen: list[str] = []

    def it(baton: Any) -> None:
        seen.append(baton["message"])
        baton["websocket"].close(4000, "enough")

    client = Peer("it", it=it).open()
    assert client.say("one", "two") == [closed(4000, "enough")]
    client.say("three")
    assert seen == ["one"]


def test_processing_goes_on_when_the_client_leaves() -> None:
    """What a client has sent is done, unless the site says `cancel_on_disconnect`."""
    it = Waiting()
    client = Peer("it", it=it).open()
    client.say("one", "two")
    client.leave()
    it.go_on()
    assert (it.messages, it.cancelled) == (["one", "two"], 0)


def test_processing_can_be_cancelled_when_the_client_leaves(caplog: pytest.LogCaptureFixture) -> None:
    """With `cancel_on_disconnect` of the site nothing more is done for it, which is no failure."""
    it, ends = Waiting(), Ends()
    client = Peer({"processor": "it", "disconnected": "ends"}, it=it, ends=ends, site={"cancel_on_disconnect": True})
    client.open().say("one", "two")
    client.leave()
    assert (it.messages, it.cancelled, ends.told) == (["one"], 1, [(1006, "")])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_pipeline_that_sends_to_nobody_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits for `send` is woken by ClientLeft, and no failure is told."""
    raised: list[type] = []

    async def it(baton: Any) -> None:
        try:
            while True:
                await baton["websocket"].send("x" * 10)
        except BaseException as error:
            raised.append(type(error))
            raise

    client = Peer("it", it=it).open()
    client.stop_taking()
    client.say("go")
    client.leave()
    assert raised == [ClientLeft]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_failure_of_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else would notice that what was to be cleaned up was not."""

    def ends(baton: Any) -> None:
        raise KeyError("lost")

    client = Peer({"processor": "it", "disconnected": "ends"}, it=nothing, ends=ends).open()
    client.leave()
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "pipeline.ends failed" in record.message


def test_the_end_waits_until_its_processor_is_ready() -> None:
    """A connection that ends while the database is away is told of when that is back."""
    ends = Ends()
    client = Peer({"processor": "it", "disconnected": "ends"}, it=nothing, ends=ends).open()
    client.processors.lose("pipeline.ends")
    client.leave()
    assert ends.told == []
    client.processors.restore("pipeline.ends")
    assert ends.told == [(1006, "")]


def test_one_processor_may_do_everything() -> None:
    """The same pipeline for messages, beginnings and ends, and for requests of the same path."""
    batons: list[Any] = []

    def it(baton: Any) -> None:
        batons.append(sorted(baton))
        if "websocket" not in baton:
            baton["request"].answer(b"")

    same = {"processor": "it", "connected": "it", "disconnected": "it"}
    client = Peer(same, path={"processor": "pipeline.it"}, it=it)
    client.get()
    client.open().say("one")
    client.leave()
    assert [len(keys) for keys in batons] == [1, 2, 3, 4]
