"""Topics: names under which something is published for whoever has joined."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from piped.runtime.environment import RuntimeEnvironment
from piped.web.topics import Message, Topics, topics_of


class Member:
    """Somebody who keeps what is delivered."""

    def __init__(self) -> None:
        self.got: list[Message] = []

    def deliver(self, message: Message) -> None:
        self.got.append(message)

    @property
    def texts(self) -> list[Any]:
        return [message.data for message in self.got]


def topics() -> Topics:
    return Topics(Clock(), "f00")


def test_a_message_reaches_every_member() -> None:
    """Whoever has joined gets what is published under that name, and nothing else."""
    news, one, other, elsewhere = topics(), Member(), Member(), Member()
    news.join("rain", one)
    news.join("rain", other)
    news.join("sun", elsewhere)
    assert news.publish("rain", Message("wet")) == 2
    assert (one.texts, other.texts, elsewhere.texts) == (["wet"], ["wet"], [])
    assert news.members("rain") == 2


def test_who_has_left_gets_nothing_more() -> None:
    """Leaving ends it, for this member only; leaving twice does no harm."""
    news, one, other = topics(), Member(), Member()
    leave = news.join("rain", one)
    news.join("rain", other)
    leave()
    leave()
    assert news.publish("rain", Message("wet")) == 1
    assert (one.texts, other.texts) == ([], ["wet"])


def test_joining_twice_is_two_members() -> None:
    """Each of the two is left by itself."""
    news, one = topics(), Member()
    leave = news.join("rain", one)
    news.join("rain", one)
    leave()
    leave()
    assert news.publish("rain", Message("wet")) == 1


def test_a_topic_that_nobody_is_in_is_gone() -> None:
    """Publishing for nobody keeps nothing, and names that were used once do not pile up."""
    news = topics()
    assert news.publish("rain", Message("wet")) == 0
    leave = news.join("rain", Member())
    assert "rain" in news
    leave()
    assert "rain" not in news


def test_a_member_that_fails_hurts_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The others get the message all the same, and the failure is told."""

    class Broken:
        def deliver(self, message: Message) -> None:
            raise ValueError("out of order")

    news, one = topics(), Member()
    news.join("rain", Broken())
    news.join("rain", one)
    with caplog.at_level(logging.ERROR, "piped.web"):
        assert news.publish("rain", Message("wet")) == 2
    assert one.texts == ["wet"]
    assert "'rain' could not be delivered" in caplog.text
    assert "out of order" in caplog.text


def test_members_may_come_and_go_while_a_message_is_published() -> None:
    """A member that leaves or lets in another when it gets a message disturbs nobody."""
    news, late, last = topics(), Member(), Member()

    class Restless:
        def deliver(self, message: Message) -> None:
            leave()
            news.join("rain", late)

    leave = news.join("rain", Restless())
    news.join("rain", last)
    assert news.publish("rain", Message("wet")) == 2
    assert (last.texts, late.texts) == (["wet"], [])
    assert news.publish("rain", Message("dry")) == 2
    assert (last.texts, late.texts) == (["wet", "dry"], ["dry"])


def test_a_message_is_encoded_once_for_each_format() -> None:
    """However many members there are, the work is done once; where nobody asks, not at all."""
    calls: list[str] = []

    def loud(message: Message) -> str:
        calls.append("loud")
        return str(message.data).upper()

    def short(message: Message) -> str:
        calls.append("short")
        return str(message.data)[:1]

    message = Message("wet")
    assert [message.encoded(loud) for _ in range(3)] == ["WET"] * 3
    assert [message.encoded(short) for _ in range(3)] == ["w"] * 3
    assert calls == ["loud", "short"]


@pytest.mark.parametrize(
    ("content", "data"),
    [
        ("grün", "grün"),
        (b"\xff", b"\xff"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        ({"ü": [1, None]}, '{"ü": [1, null]}'),
        (None, "null"),
        (17, "17"),
    ],
)
def test_anything_can_be_published(content: Any, data: str | bytes) -> None:
    """Text and bytes go as they are, other values as JSON."""
    assert Message(content).data == data


@pytest.mark.parametrize("content", [object(), {1, 2}, float("nan")])
def test_what_is_no_json_fails_where_it_is_published(content: Any) -> None:
    """The publisher is told, and not each member."""
    with pytest.raises((TypeError, ValueError)):
        Message(content)


class TestHistory:
    """What was published lately, for clients that come back."""

    def test_who_comes_back_gets_what_was_missed(self) -> None:
        """What was published after the last id that a member has is delivered as it joins again."""
        news, one, other = topics(), Member(), Member()
        leave = news.join("rain", one, history=10)
        news.publish("rain", Message("first"))
        leave()
        news.publish("rain", Message("second"))
        news.publish("rain", Message("third"))
        news.join("rain", other, history=10, after=one.got[-1].id)
        assert other.texts == ["second", "third"]

    def test_who_comes_for_the_first_time_gets_what_is_new(self) -> None:
        """Without a last id nothing is delivered that was published before."""
        news, one = topics(), Member()
        news.remember("rain", 10)
        news.publish("rain", Message("first"))
        news.join("rain", one)
        assert one.texts == []

    def test_an_id_that_is_unknown_gets_all(self) -> None:
        """Who was away for too long, or comes from another process, gets all that there is."""
        news, one = topics(), Member()
        news.remember("rain", 2)
        for text in ("first", "second", "third"):
            news.publish("rain", Message(text))
        news.join("rain", one, after="elsewhere-17")
        assert one.texts == ["second", "third"]

    @pytest.mark.parametrize("number", ["9" * 5000, "-1", "1.5", "\u0663", "", "x"])
    def test_an_id_that_nobody_gave_does_no_harm(self, number: str) -> None:
        """A client may say anything: what is no number of ours is unknown."""
        news, one = topics(), Member()
        news.remember("rain", 2)
        news.publish("rain", Message("first"))
        news.join("rain", one, after=f"f00-{number}")
        assert one.texts == ["first"]

    def test_who_is_in_several_topics_gets_nothing_twice(self) -> None:
        """The last id may be that of another topic: what came after it counts."""
        news, one = topics(), Member()
        for topic in ("rain", "sun"):
            news.remember(topic, 10)
        for topic, text in (("rain", "wet"), ("sun", "dry"), ("rain", "wetter"), ("sun", "drier")):
            news.publish(topic, Message(text))
        news.join("rain", one, after="f00-2")
        news.join("sun", one, after="f00-2")
        assert one.texts == ["wetter", "drier"]

    def test_an_id_of_ones_own_is_found_again(self) -> None:
        """Whoever publishes may name the messages; it need be in no order."""
        news, one = topics(), Member()
        news.remember("rain", 10)
        for name in ("b", "a", "c"):
            news.publish("rain", Message(name, id=name))
        news.join("rain", one, after="a")
        assert one.texts == ["c"]

    def test_ids_are_unique(self) -> None:
        """Messages without an id get one; those of other processes begin in another way, and a given one is kept."""
        news, one = topics(), Member()
        news.remember("rain", 2)
        news.remember("sun", 2)
        news.join("rain", one)
        news.join("sun", one)
        for topic in ("rain", "sun", "rain"):
            news.publish(topic, Message("x"))
        news.publish("rain", Message("x", id="mine"))
        assert [message.id for message in one.got] == ["f00-1", "f00-2", "f00-3", "mine"]

    def test_what_was_encoded_before_is_encoded_anew_with_its_id(self) -> None:
        """A message that was looked at before it was published is not sent without its id."""
        news, message = topics(), Message("x")

        def with_id(message: Message) -> str | None:
            return message.id

        assert message.encoded(with_id) is None
        news.remember("rain", 1)
        news.publish("rain", message)
        assert message.encoded(with_id) == "f00-1"

    def test_without_a_history_there_are_no_ids(self) -> None:
        """An id that nothing could be replayed after would promise too much."""
        news, one = topics(), Member()
        news.join("rain", one)
        news.publish("rain", Message("x"))
        assert one.got[0].id is None

    def test_it_outlives_the_last_member_for_a_minute(self) -> None:
        """A client that is only reconnecting misses nothing, and names that were used once do not pile up."""
        clock, one = Clock(), Member()
        news = Topics(clock, "f00")
        leave = news.join("rain", one, history=10)
        news.publish("rain", Message("first"))
        leave()
        clock.advance(59)
        news.join("rain", one, after="f00-0")()
        assert one.texts == ["first", "first"]
        clock.advance(59)
        assert "rain" in news
        clock.advance(1)
        assert "rain" not in news

    def test_a_topic_that_somebody_is_in_stays(self) -> None:
        """Who comes back within the minute keeps it for as long as he likes."""
        clock = Clock()
        news = Topics(clock, "f00")
        leave = news.join("rain", Member(), history=10)
        news.publish("rain", Message("first"))
        leave()
        news.join("rain", Member())
        clock.advance(1000)
        assert "rain" in news

    def test_a_topic_that_is_to_be_remembered_stays(self) -> None:
        """A topic of the configuration has its history also before and after its members."""
        clock, one = Clock(), Member()
        news = Topics(clock, "f00")
        news.remember("rain", 10)
        news.publish("rain", Message("first"))
        news.join("rain", one)()
        clock.advance(1000)
        news.join("rain", one, after="f00-0")
        assert one.texts == ["first"]

    def test_the_largest_history_counts(self) -> None:
        """Several may ask for one; what is there already is kept."""
        news, one = topics(), Member()
        news.remember("rain", 2)
        news.publish("rain", Message("first"))
        news.remember("rain", 3)
        news.remember("rain", 1)
        for text in ("second", "third"):
            news.publish("rain", Message(text))
        news.join("rain", one, after="")
        assert one.texts == ["first", "second", "third"]

    @given(size=st.integers(1, 5), published=st.integers(0, 12), seen=st.integers(0, 12))
    def test_nobody_gets_a_message_twice_or_out_of_order(self, size: int, published: int, seen: int) -> None:
        """What a member gets on joining is the end of what was published, as far as it is kept and new."""
        news, one = topics(), Member()
        news.remember("rain", size)
        for number in range(1, published + 1):
            news.publish("rain", Message(str(number)))
        news.join("rain", one, after=f"f00-{min(seen, published)}")
        kept = range(max(published - size, 0) + 1, published + 1)
        assert one.texts == [str(number) for number in kept if number > min(seen, published)]


def test_a_process_has_one_set_of_topics() -> None:
    """All steps of a process share them, and no other process's ids are like its own."""
    environment = RuntimeEnvironment(reactor=Clock(), wall_clock=lambda: 1.0)
    news, one = topics_of(environment), Member()
    assert topics_of(environment) is news
    news.remember("rain", 1)
    news.join("rain", one)
    news.publish("rain", Message("x"))
    first = f"3e8.{os.getpid():x}"
    assert one.got[0].id == f"{first}-1"
    later = topics_of(RuntimeEnvironment(reactor=Clock(), wall_clock=lambda: 2.0))
    later.remember("rain", 1)
    later.join("rain", one)
    later.publish("rain", Message("x"))
    assert one.got[1].id == f"7d0.{os.getpid():x}-1"


def test_a_stop_leaves_nothing_behind() -> None:
    """A process that stops does not wait for what is only remembered; whoever leaves later does no harm."""
    environment = RuntimeEnvironment(reactor=Clock())
    news = topics_of(environment)
    early, late = news.join("rain", Member(), history=3), news.join("sun", Member(), history=3)
    news.publish("rain", Message("x"))
    news.publish("sun", Message("x"))
    early()
    environment.application.startService()
    environment.application.stopService()
    late()
    assert environment.reactor.getDelayedCalls() == []
