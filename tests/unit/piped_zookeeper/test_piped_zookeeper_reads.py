"""Tests of what was read and is kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from piped_zookeeper.reads import Reads


class Server:
    """Answers when it is told to, and keeps the watches."""

    def __init__(self, most: int = 100) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: list[Deferred[Any]] = []
        self.watches: list[Any] = []
        self.reads = Reads(self.fetch, most)

    def fetch(self, method: str, path: str, watch: Any) -> Deferred[Any]:
        self.asked.append((method, path))
        self.watches.append(watch)
        self.answers.append(Deferred())
        return self.answers[-1]


def value_of(deferred: Deferred[Any]) -> Any:
    values: list[Any] = []
    deferred.addBoth(values.append)
    [value] = values
    return value


def test_those_who_ask_for_the_same_share_a_request():
    """Many who ask at a time, and those who ask later, are one request; another path or call is another one."""
    server = Server()
    first, second = (server.reads.read("get", "/a") for _ in range(2))
    server.reads.read("get", "/b")
    server.reads.read("exists", "/a")
    server.answers[0].callback(b"x")
    assert [value_of(first), value_of(second), value_of(server.reads.read("get", "/a"))] == [b"x"] * 3
    assert server.asked == [("get", "/a"), ("get", "/b"), ("exists", "/a")]


def test_errors_are_not_kept():
    """All who wait for it hear of an error, and who asks again asks the server again."""
    server = Server()
    waiting = [server.reads.read("get", "/a") for _ in range(3)]
    server.answers[0].errback(KeyError("a"))
    assert [value_of(each).type for each in waiting] == [KeyError] * 3
    server.reads.read("get", "/a")
    assert len(server.asked) == 2


def test_a_watch_lets_it_be_read_anew():
    """What has changed is asked for again; also if that is heard before the answer comes, which is old then."""
    server = Server()
    old = server.reads.read("get", "/a")
    server.watches[0](None)
    new = server.reads.read("get", "/a")
    server.answers[0].callback(b"old")
    assert value_of(old) == b"old"
    server.answers[1].callback(b"new")
    assert [value_of(new), value_of(server.reads.read("get", "/a"))] == [b"new", b"new"]
    server.watches[1](None)
    server.reads.read("get", "/a")
    assert len(server.asked) == 3


def test_who_cancels_leaves_the_others_alone():
    """One who does not want the answer any more takes it from nobody."""
    server = Server()
    first, second = (server.reads.read("get", "/a") for _ in range(2))
    first.cancel()
    assert value_of(first).type is CancelledError
    server.answers[0].callback(b"x")
    assert value_of(second) == b"x"


def test_everybody_gets_a_list_of_his_own():
    """Who changes the list of children that he got changes nobody else's."""
    server = Server()
    first, second = (server.reads.read("get_children", "/a") for _ in range(2))
    server.answers[0].callback(["b"])
    value_of(first).append("mine")
    assert value_of(second) == ["b"]
    value_of(server.reads.read("get_children", "/a")).append("mine")
    assert value_of(server.reads.read("get_children", "/a")) == ["b"]


def test_what_is_full_keeps_no_more():
    """Above a number what is read is asked for each time, without a watch: neither memory nor watches pile up."""
    server = Server(most=1)
    server.reads.read("get", "/a")
    server.reads.read("get", "/b")
    server.reads.read("get", "/b")
    assert server.asked == [("get", "/a"), ("get", "/b"), ("get", "/b")]
    assert server.watches[1:] == [None, None]
    assert len(server.reads) == 1


def test_a_node_has_one_watch_for_the_same():
    """Watches of the same are equal, so that none are collected where something is read again and again."""
    server = Server()
    server.reads.read("get", "/a")
    server.reads.wrote("/a")
    server.reads.read("get", "/a")
    server.reads.read("exists", "/a")
    assert len({*server.watches}) == 2


@given(st.lists(st.sampled_from(["read", "write", "told", "lost"]), max_size=30))
def test_nobody_reads_what_was_overwritten(actions: list[str]) -> None:
    """Whatever happens in whatever order, what is read is never older than the last write or watch that was told."""
    state = {"now": 0, "least": 0}
    watches: list[Any] = []

    def fetch(method: str, path: str, watch: Any) -> Deferred[Any]:
        watches.append(watch)
        return succeed(state["now"])

    reads = Reads(fetch, 10)
    for action in actions:
        if action == "read":
            assert value_of(reads.read("get", "/a/b")) >= state["least"]
        elif action == "write":
            state["now"] += 1
            reads.wrote("/a/b")
            state["least"] = state["now"]
        elif action == "told":  # somebody else has written
            state["now"] += 1
            for watch in watches:
                watch(None)
            state["least"] = state["now"]
        else:
            reads.clear()
            state["least"] = state["now"]


def test_a_failure_is_told_as_such():
    """A cached read that fails raises what the server said."""
    server = Server()
    read = server.reads.read("get", "/a")
    server.answers[0].errback(Failure(ValueError("no")))
    assert value_of(read).value.args == ("no",)
