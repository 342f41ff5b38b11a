"""Topics: what is published under a name reaches every client that has joined it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from twisted.application.service import Service

from piped import RuntimeEnvironment

T = TypeVar("T")
_log = logging.getLogger("piped.web")
#: Seconds that the history of a topic outlives its last member: it may only be reconnecting.
_KEPT: Final = 60.0


class Message:
    """What is published; it is encoded once for each format, however many members there are.

    Text and bytes are sent as they are, anything else as JSON.

    Args:
        event: what kind of message it is, for formats that can tell.
        id: by which a client says what it has got already; a topic with a history gives one to a message without.

    Raises:
        TypeError: it is none of these.
        ValueError: it is a number that JSON does not have.

    Example:
        >>> Message("hello").data, Message(b"hello").data, Message({"price": 17}).data
        ('hello', b'hello', '{"price": 17}')
    """

    __slots__ = ("_encoded", "data", "event", "id")

    def __init__(self, content: Any, event: str | None = None, id: str | None = None) -> None:
        self.data: str | bytes = data_of(content)
        self.event, self.id = event, id
        self._encoded: dict[Callable[[Message], Any], Any] = {}

    def encoded(self, encode: Callable[[Message], T]) -> T:
        """What `encode` makes of the message; called once, and only if somebody asks for it."""
        try:
            found: T = self._encoded[encode]
        except KeyError:
            found = self._encoded[encode] = encode(self)
        return found

    def identify(self, id: str) -> None:
        """Give it another id."""
        self.id = id
        self._encoded.clear()


def data_of(content: Any) -> str | bytes:
    """Text and bytes as they are, anything else as JSON; fails as `Message` does."""
    if isinstance(content, str | bytes):
        return content
    if isinstance(content, bytearray | memoryview):
        return bytes(content)
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


class Member(Protocol):
    """Somebody who has joined a topic."""

    def deliver(self, message: Message) -> object:
        """Called with each message; it may come once more to one that leaves while a message is being published."""


class _Topic:
    """The members of one topic, and what was published lately."""

    __slots__ = ("end", "history", "is_lasting", "members")

    def __init__(self) -> None:
        #: A member that joins twice gets each message twice.
        self.members: dict[object, Member] = {}
        #: Messages, each with its number among those of all topics.
        self.history: deque[tuple[int, Message]] = deque(maxlen=0)
        #: It is there for as long as the process.
        self.is_lasting = False
        #: The call that forgets its history.
        self.end: Any = None


class Topics(Service):
    """The topics of a process by their names. One that has neither members nor a history is gone.

    All of it is called in the thread of the reactor.

    Args:
        clock: IReactorTime.
        first_id: those of the messages begin with it; no other process that a client may have met has the same.
    """

    name: Any = "web-topics"

    def __init__(self, clock: Any, first_id: str) -> None:
        self._clock, self._first_id = clock, first_id
        self._count = 0
        self._topics: dict[str, _Topic] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._topics

    def members(self, name: str) -> int:
        """How many members a topic has."""
        topic = self._topics.get(name)
        return 0 if topic is None else len(topic.members)

    def remember(self, name: str, history: int) -> None:
        """Keep the last messages of a topic from now on, also while it has no members; the largest number counts."""
        self._topic(name, history).is_lasting = True

    def join(self, name: str, member: Member, history: int = 0, after: str | None = None) -> Callable[[], None]:
        """Let a member have what is published; gives what it leaves with, which may be called more than once.

        Args:
            history: how many of the last messages the topic is to keep.
            after: the id of the last message that the member got, of this topic or another; what is kept of the later
                ones is delivered at once, and all that is kept where nobody knows that id.
        """
        topic = self._topic(name, history)
        if topic.end is not None:
            topic.end.cancel()
            topic.end = None
        key = object()
        topic.members[key] = member
        if after is not None:
            self._deliver(self._later(topic, after), (member,), name)
        return lambda: self._leave(name, topic, key)

    def publish(self, name: str, message: Message) -> int:
        """Deliver a message to all members, in the order in which they came; gives how many there are."""
        topic = self._topics.get(name)
        if topic is None:
            return 0
        if topic.history.maxlen:
            self._count += 1
            if message.id is None:
                message.identify(f"{self._first_id}-{self._count}")
            topic.history.append((self._count, message))
        members = list(topic.members.values())
        self._deliver((message,), members, name)
        return len(members)

    def stopService(self) -> None:
        super().stopService()
        for topic in self._topics.values():
            if topic.end is not None:
                topic.end.cancel()
        self._topics.clear()

    def _topic(self, name: str, history: int) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic()
        if history > (topic.history.maxlen or 0):
            topic.history = deque(topic.history, history)
        return topic

    def _deliver(self, messages: Iterable[Message], members: Iterable[Member], name: str) -> None:
        for message in messages:
            for member in members:
                try:
                    member.deliver(message)
                except Exception:
                    # The others are none the worse for it.
                    _log.exception("a message of the topic %r could not be delivered to %r", name, member)

    def _later(self, topic: _Topic, last: str) -> list[Message]:
        """What a topic keeps of the messages after the one with an id; all where there was none."""
        first, _, number = last.rpartition("-")
        known = int(number) if first == self._first_id and re.fullmatch("[0-9]{1,18}", number) else 0
        for number_of, message in topic.history:
            if message.id == last:
                known = number_of
        return [message for number_of, message in topic.history if number_of > known]

    def _leave(self, name: str, topic: _Topic, key: object) -> None:
        if topic.members.pop(key, None) is None or topic.members or topic.is_lasting:
            return
        if topic.history and name in self._topics:
            topic.end = self._clock.callLater(_KEPT, self._forget, name)
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._topics.pop(name, None)


def topics_of(environment: RuntimeEnvironment) -> Topics:
    """The topics of a process, which all its sites share; the first who asks brings them into being."""
    try:
        found: Topics = environment.application.getServiceNamed(Topics.name)
    except KeyError:
        # Several processes may be started at the same time.
        found = Topics(environment.reactor, f"{int(environment.wall_clock() * 1000):x}.{os.getpid():x}")
        found.setServiceParent(environment.application)
    return found
