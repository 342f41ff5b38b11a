"""Steps that send messages over WebSockets, join them to topics, and close them."""

from __future__ import annotations

from typing import Annotated, Any, cast

from annotated_types import Ge
from twisted.python.failure import Failure

from piped import BatonPath, ConfigurationError, OrPath, Path, PipedError, Processor, RuntimeEnvironment, get_path
from piped.web.streaming import ClientLeft
from piped.web.streaming_processors import content_of, text_of
from piped.web.topics import Message, Topics, data_of, topics_of
from piped.web.websockets.websocket import WebSocket, check_code


class WebSocketProcessor(Processor):
    """A step that works with the WebSocket in a baton: a subclass says how in `process_websocket`.

    Args:
        websocket_path: where the WebSocket is.
    """

    def __init__(self, websocket_path: Path = "websocket", node_name: str | None = None) -> None:
        super().__init__(node_name)
        self.websocket_path = websocket_path

    def process(self, baton: Any) -> Any:
        websocket = get_path(baton, self.websocket_path)
        if websocket is None:
            what = f"{self.label} finds no WebSocket at {self.websocket_path!r}"
            raise PipedError(what, hint="it is in the batons of a path with `websocket:`")
        if websocket.is_open:
            return self.process_websocket(cast(WebSocket, websocket), baton)
        return baton

    def process_websocket(self, websocket: WebSocket, baton: Any) -> Any:
        """What is done with a WebSocket that is open; gives the baton, now or later."""
        raise NotImplementedError(f"{type(self).__name__} has no process_websocket()")


class SendWebSocketMessage(WebSocketProcessor):
    """Send a message over the WebSocket of the baton, or to all who have joined a topic.

    Text and bytes are sent as they are, anything else as JSON. The pipeline goes on when the client can take more, and
    at once when it has left. Nobody waits for the clients of a topic: one that reads too slowly is cut off, as
    `max_unsent` says.

    Args:
        message_path: where the message is.
        topic: the name that `join-topic` or `open-event-stream` has joined, or `!path`; left out, the client of the
            WebSocket is meant.

    Example:
        - set-value: {path: message, value: {price: 17}}
        - send-websocket-message: {topic: prices}
    """

    name = "send-websocket-message"

    def __init__(self, message_path: Path = "message", topic: OrPath[str] | None = None, **websocket: Any) -> None:
        super().__init__(**websocket)
        self.message_path, self.topic = message_path, topic

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._topics: Topics = topics_of(runtime_environment)

    def process(self, baton: Any) -> Any:
        if self.topic is None:
            return super().process(baton)
        message = Message(content_of(baton, self.message_path, self))
        self._topics.publish(text_of(baton, self.topic, "topic", self), message)
        return baton

    def process_websocket(self, websocket: WebSocket, baton: Any) -> Any:
        sent = websocket.send(data_of(content_of(baton, self.message_path, self)))
        if sent.called:
            return baton
        return sent.addCallbacks(lambda _: baton, lambda failure: _unless_left(failure, baton))


def _unless_left(failure: Failure, baton: Any) -> Any:
    failure.trap(ClientLeft)
    return baton


class CloseWebSocket(WebSocketProcessor):
    """Close the WebSocket of the baton, after what still waits to be sent.

    Args:
        code: what the client is told: 1000 for a normal end, 1008 for a violation of rules; 4000 to 4999 mean what you
            say they do.
        reason: for people, or `!path`; cut off after 123 bytes.

    Example:
        - close-websocket: {code: 4000, reason: the game is over}
    """

    name = "close-websocket"

    def __init__(self, code: int = 1000, reason: OrPath[str] = "", **websocket: Any) -> None:
        super().__init__(**websocket)
        check_code(code)
        self.code, self.reason = code, reason

    def process_websocket(self, websocket: WebSocket, baton: Any) -> Any:
        websocket.close(self.code, text_of(baton, self.reason, "reason", self))
        return baton


class JoinTopic(WebSocketProcessor):
    """Let the client of a WebSocket have what is published under a name, until it leaves.

    To join twice changes nothing.

    Args:
        topic: a name of your choice, or `!path`.
        history: how many of the last messages the topic keeps; a client that joins is sent them. They outlast the last
            client by a minute; for good where `topic` is a plain name.

    Example:
        - join-topic: {topic: prices}
    """

    name = "join-topic"

    def __init__(self, topic: OrPath[str], history: Annotated[int, Ge(0)] = 0, **websocket: Any) -> None:
        super().__init__(**websocket)
        if topic == "":
            raise ConfigurationError("a topic needs a name", hint="such as `topic: prices`")
        self.topic, self.history = topic, history

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._topics: Topics = topics_of(runtime_environment)
        if self.history and not isinstance(self.topic, BatonPath):
            self._topics.remember(str(self.topic), self.history)

    def process_websocket(self, websocket: WebSocket, baton: Any) -> Any:
        topic = text_of(baton, self.topic, "topic", self)
        # No message has an empty id: the client has none, and is sent all that is kept.
        websocket.join(topic, lambda name, member: self._topics.join(name, member, self.history, after=""))
        return baton


class LeaveTopic(WebSocketProcessor):
    """Let the client of a WebSocket have no more of what is published under a name; nothing if it had not joined.

    Args:
        topic: the name, or `!path`.

    Example:
        - leave-topic: {topic: prices}
    """

    name = "leave-topic"

    def __init__(self, topic: OrPath[str], **websocket: Any) -> None:
        super().__init__(**websocket)
        self.topic = topic

    def process_websocket(self, websocket: WebSocket, baton: Any) -> Any:
        websocket.leave(text_of(baton, self.topic, "topic", self))
        return baton
