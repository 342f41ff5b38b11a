"""Steps that work with WebSockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from websocket_stage import BINARY, TEXT, Peer, closed

from piped.catalog.discovery import discover
from piped.ground.errors import ConfigurationError, PipedError
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.runtime.running import Pipeline
from piped.spec.spec import Spec
from piped.web.topics import topics_of
from piped.web.websockets.processors import CloseWebSocket, JoinTopic, LeaveTopic, SendWebSocketMessage
from piped.web.websockets.websocket import check_code

CATALOG, _ = discover(None, None, (), built_in=["piped.web"])
NAMES = ["close-websocket", "join-topic", "leave-topic", "send-websocket-message"]


def client_of(*steps: Processor, before: Callable[[Any], Any] = lambda baton: None) -> Peer:
    """A client whose messages go through some steps, and through a function before them."""

    def it(baton: Any) -> Any:
        before(baton)
        return Pipeline(Graph("it", [steps[0]]))(baton) if len(steps) == 1 else [step.process(baton) for step in steps]

    client = Peer("it", it=it)
    for step in steps:
        step.configure(client.environment)
    return client.open()


@pytest.mark.parametrize("name", NAMES)
def test_every_step_says_what_it_does(name: str) -> None:
    """Each has a summary, a text for each option of its own, and an example."""
    spec: Spec = CATALOG.processors[name].spec
    assert spec.summary
    assert spec.examples
    assert not [parameter.name for parameter in spec.parameters if not parameter.text]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("grün", (TEXT, "grün".encode())),
        (b"\xff", (BINARY, b"\xff")),
        (bytearray(b"\xff"), (BINARY, b"\xff")),
        ({"name": "Ö"}, (TEXT, '{"name": "Ö"}'.encode())),
        ([1, None], (TEXT, b"[1, null]")),
        (None, (TEXT, b"null")),
    ],
)
def test_a_message_is_sent_as_what_it_is(value: Any, sent: tuple[int, bytes]) -> None:
    """Text and bytes as they are, anything else as JSON."""
    client = client_of(SendWebSocketMessage("reply.body"), before=lambda baton: baton.update(reply={"body": value}))
    assert client.say("x") == [sent]


def test_without_options_the_message_is_sent_back() -> None:
    """An echo is one step."""
    assert client_of(SendWebSocketMessage()).say("one", b"two") == [(TEXT, b"one"), (BINARY, b"two")]


def test_the_pipeline_waits_for_a_slow_client() -> None:
    """The next message is processed when the client has taken the answer to the first."""
    seen: list[str] = []
    client = client_of(SendWebSocketMessage(), before=lambda baton: seen.append(baton["message"]))
    client.stop_taking()
    client.say("one", "two")
    assert seen == ["one"]
    client.take()
    assert seen == ["one", "two"]


def test_a_client_that_leaves_meanwhile_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The pipeline goes on behind the step, and nothing is told."""
    went_on: list[str] = []
    step = SendWebSocketMessage()

    async def it(baton: Any) -> None:
        went_on.append((await step.process(baton))["message"])

    client = Peer("it", it=it).open()
    client.stop_taking()
    client.say("one")
    client.leave()
    assert (went_on, caplog.records) == (["one"], [])


@pytest.mark.parametrize(
    "step", [SendWebSocketMessage(), CloseWebSocket(), JoinTopic("a"), LeaveTopic("a")], ids=lambda step: step.name
)
def test_a_baton_whose_client_has_left_is_passed_on(step: Any) -> None:
    """Nothing is done for it; without a WebSocket in the baton that is told."""
    websockets: list[Any] = []
    client = client_of(step, before=lambda baton: websockets.append(baton["websocket"]))
    client.say("one")
    client.leave()
    baton = {"websocket": websockets[0], "message": "late"}
    assert step.process(baton) is baton
    with pytest.raises(PipedError, match="finds no WebSocket at 'websocket'"):
        step.process({"message": "x"})


def test_a_message_that_is_not_there_is_told() -> None:
    """The step names the path, so that the mistake is found."""
    client = client_of(SendWebSocketMessage("reply"), before=lambda baton: None)
    [(opcode, payload)] = client.say("x")
    assert (opcode, payload) == closed(1011)


def test_a_connection_is_closed_with_a_code_and_a_reason() -> None:
    """The reason may come from the baton."""
    from piped import BatonPath

    assert client_of(CloseWebSocket(4000, "over")).say("x") == [closed(4000, "over")]
    assert client_of(CloseWebSocket(reason=BatonPath("message"))).say("why") == [closed(1000, "why")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_a_code_that_cannot_be_sent_is_told_before_anything_runs(code: int) -> None:
    """Some codes are for what happens without a close, others are nobody's."""
    with pytest.raises(ConfigurationError, match=str(code)):
        CloseWebSocket(code)
    with pytest.raises(ConfigurationError):
        check_code(code)


def test_what_is_published_reaches_all_who_have_joined() -> None:
    """The sender too, if it has joined; a message goes once to each, however often it has joined."""
    client = client_of(JoinTopic("room"), JoinTopic("room"), SendWebSocketMessage(topic="room"))
    assert client.say("hello") == [(TEXT, b"hello")]
    topics = topics_of(client.environment)
    assert topics.members("room") == 1
    client.leave()
    assert "room" not in topics


def test_a_client_that_has_left_a_topic_gets_no_more_of_it() -> None:
    """It may leave what it had not joined."""
    client = client_of(JoinTopic("room"), LeaveTopic("room"), LeaveTopic("room"), SendWebSocketMessage(topic="room"))
    assert client.say("hello") == []


def test_a_client_that_joins_is_sent_the_history() -> None:
    """Who comes late to a room sees what was said, also when nobody was there."""
    join = JoinTopic("room", history=2)
    client = client_of(join)
    send = SendWebSocketMessage(topic="room")
    send.configure(client.environment)
    for number in range(3):
        send.process({"message": number})
    assert client.say("x") == [(TEXT, b"1"), (TEXT, b"2")]


def test_a_topic_may_come_from_the_baton() -> None:
    """A client chooses its room."""
    from piped import BatonPath

    topic = BatonPath("message")
    client = client_of(JoinTopic(topic), SendWebSocketMessage(topic=topic))
    assert client.say("blue") == [(TEXT, b"blue")]
    assert topics_of(client.environment).members("blue") == 1


def test_a_topic_needs_a_name() -> None:
    """An empty one is a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="needs a name"):
        JoinTopic("")
