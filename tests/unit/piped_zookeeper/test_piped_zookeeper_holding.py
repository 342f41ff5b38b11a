"""Tests of what only one process of many has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zookeeper_fakes import Process, Tree

from piped_zookeeper.errors import NotHeld

OFFICE = "zookeeper.leader.office"


def settle(*processes: Process) -> None:
    """Let everything happen that is due, in all processes."""
    for _ in range(3):
        for process in processes:
            process.reactor.settle()


@pytest.mark.parametrize("path", [OFFICE, "zookeeper.lock.printer"])
def test_one_of_many_has_it_and_the_next_one_follows(path):
    """The first one has it; when that one stops the second has it, with a higher token."""
    tree = Tree()
    first, second = (Process(tree, needs=path) for _ in range(2))
    settle(first, second)
    assert (first.held.is_ready, second.held.is_ready) == (True, False)
    held = first.held.get_resource()
    first.environment.application.stopService()
    assert not held.is_held
    settle(second)
    assert second.held.get_resource().token > held.token
    assert second.held.get_resource().is_held


def test_it_is_lost_with_the_connection():
    """The moment in which the connection is lost is the one in which nothing is held, and nobody else has it yet."""
    tree = Tree()
    first, second = (Process(tree, needs=OFFICE) for _ in range(2))
    settle(first, second)
    held = first.held.get_resource()
    at_once: list[bool] = []
    # Those who need the client hear of it in any order.
    first.service("zookeeper.client.main")._consumers.reverse()
    first.client.on_lost += lambda *_: at_once.append(first.held.is_ready)
    first.lose()
    settle(second)
    assert at_once == [False]
    assert not held.is_held
    with pytest.raises(NotHeld):
        held.check()
    assert not second.held.is_ready
    first.expire()
    settle(second)
    assert second.held.is_ready


def test_it_is_kept_with_the_session():
    """Who comes back with the same session has what it had, with the same token, and stands in the queue once."""
    tree = Tree()
    process = Process(tree, needs=OFFICE)
    settle(process)
    token = process.held.get_resource().token
    for _ in range(3):
        process.lose()
        process.connect()
        settle(process)
    assert process.held.get_resource().token == token
    assert len(tree.children("/office")) == 1


def test_who_stops_gives_way_while_its_client_goes_on():
    """A leader that is stopped leaves the queue at once, also where the session of its process goes on."""
    tree = Tree()
    first, second = (Process(tree, needs=OFFICE) for _ in range(2))
    settle(first, second)
    held = first.held.get_resource()
    first.service(OFFICE).stopService()
    assert not held.is_held
    assert first.client.is_ready
    settle(first, second)
    assert second.held.is_ready
    second.service(OFFICE).stopService()
    settle(first, second)
    assert tree.children("/office") == []


def test_the_place_of_a_former_session_is_left():
    """A process with a new session does not wait for its own former one to end."""
    tree = Tree()
    process = Process(tree, needs=OFFICE, client="reuse_session: false")
    settle(process)
    token = process.held.get_resource().token
    process.lose()
    assert len(tree.children("/office")) == 1
    process.connect()
    settle(process)
    assert process.held.get_resource().token > token
    assert len(tree.children("/office")) == 1


def test_a_place_that_nobody_has_heard_of_is_found_again():
    """A node that was made when the connection was lost, so that no answer came, is used, and blocks nobody."""
    tree = Tree()
    process = Process(tree, needs=OFFICE)
    settle(process)
    other = Process(tree, needs=OFFICE, connect=False)
    other.kazoo.connect()
    other.reactor.settle()
    other.lose()  # its place in the queue goes on
    process.environment.application.stopService()
    other.connect()
    settle(other)
    assert other.held.is_ready
    assert len(tree.children("/office")) == 1


def test_only_the_one_behind_is_woken():
    """A candidate watches the one before, and no other: who goes wakes one, and one who waits may leave quietly."""
    tree = Tree()
    processes = [Process(tree, needs=OFFICE) for _ in range(4)]
    settle(*processes)
    for process in processes:
        process.kazoo.calls.clear()
    processes[1].environment.application.stopService()
    settle(*processes)
    assert [process.held.is_ready for process in processes] == [True, False, False, False]
    assert processes[2].kazoo.calls
    assert not processes[3].kazoo.calls
    processes[0].environment.application.stopService()
    settle(*processes)
    assert [process.held.is_ready for process in processes] == [False, False, True, False]


def test_who_is_deposed_stands_again():
    """When somebody deletes the node of a holder it is lost, and it queues up at the end after a while."""
    tree = Tree()
    first, second = (Process(tree, needs=OFFICE) for _ in range(2))
    settle(first, second)
    tree.delete(first.held.get_resource().node)
    settle(first, second)
    assert (first.held.is_ready, second.held.is_ready) == (False, True)
    first.reactor.advance(1)
    settle(first)
    assert len(tree.children("/office")) == 2


def test_who_is_only_written_to_goes_on():
    """Somebody who writes the node of a holder deposes nobody, and who deletes it then still does."""
    tree = Tree()
    first, second = (Process(tree, needs=OFFICE) for _ in range(2))
    settle(first, second)
    held = first.held.get_resource()
    for _ in range(2):
        tree.set(held.node, b"looked after")
        settle(first, second)
        assert held.is_held
    assert (first.held.is_ready, second.held.is_ready) == (True, False)
    tree.delete(held.node)
    settle(first, second)
    assert (first.held.is_ready, second.held.is_ready) == (False, True)


def test_nobody_who_does_not_need_it_stands():
    """A process in which nothing depends on a leader does not take it from the others."""
    tree = Tree()
    process = Process(tree)
    settle(process)
    assert tree.children("/") == []


def test_the_node_says_who_it_is():
    """People who look find out which process leads."""
    tree = Tree()
    process = Process(tree, needs=OFFICE)
    settle(process)
    [name] = tree.children("/office")
    assert b":" in tree.nodes[f"/office/{name}"][0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["lose", "expire", "connect", "wait"])), max_size=25))
def test_never_two_and_tokens_only_grow(steps: list[tuple[int, str]]) -> None:
    """Whatever networks and sessions do: at most one has it, a later one has a higher token, and in the end one has."""
    tree = Tree()
    processes = [Process(tree, needs=OFFICE) for _ in range(3)]
    state = {"highest": 0}
    #: Lost, expired or connected.
    are = ["connected"] * 3

    def look() -> None:
        settle(*processes)
        holding = [process for process in processes if process.held.is_ready]
        assert len(holding) <= 1
        for process in holding:
            token = process.held.get_resource().token
            assert token >= state["highest"]
            state["highest"] = token

    look()
    for number, step in steps:
        process = processes[number]
        if step == "lose" and are[number] == "connected":
            process.lose()
            are[number] = "lost"
        elif step == "expire" and are[number] == "lost":
            process.expire()
            are[number] = "expired"
        elif step == "connect" and are[number] != "connected":
            process.connect()
            are[number] = "connected"
        elif step == "wait":
            process.reactor.advance(1)
        look()
    for number, process in enumerate(processes):
        if are[number] != "connected":
            process.connect()
    for _ in range(30):
        for process in processes:
            process.reactor.advance(1)
        look()
    assert sum(process.held.is_ready for process in processes) == 1
