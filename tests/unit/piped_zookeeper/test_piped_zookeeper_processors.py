"""Tests of the steps that read and write nodes, and of those that need to lead."""

from __future__ import annotations

from typing import Any

import pytest
from kazoo.exceptions import NodeExistsError, NoNodeError
from twisted.internet.defer import Deferred
from zookeeper_fakes import Process, Tree

from piped import BatonPath, PipedError
from piped.pipelines.processor import Processor
from piped_zookeeper.errors import NotHeld
from piped_zookeeper.options import ClientName, LeaderName
from piped_zookeeper.processors import (
    CreateZookeeperNode,
    DeleteZookeeperNode,
    GetZookeeperChildren,
    GetZookeeperData,
    SetZookeeperData,
    ZookeeperNodeExists,
)
from piped_zookeeper.requiring import RequireLeadership

MAIN = ClientName("main")


class Stage:
    """A process with some nodes, and steps in it."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.process = Process(self.tree)
        for path, data in [("/shop", b""), ("/shop/open", b"yes"), ("/shop/till", b"")]:
            self.tree.create(0, path, data, False, False)
        self.process.kazoo.calls.clear()

    def configured(self, step: Processor) -> Processor:
        step.configure(self.process.environment)
        self.process.environment.dependency_manager.resolve_initial_states()
        return step

    def run(self, step: Processor, baton: Any = None) -> Any:
        self.configured(step)
        ended: list[Any] = []
        Deferred.fromCoroutine(step.process({} if baton is None else baton)).addBoth(ended.append)
        self.process.reactor.settle()
        [result] = ended
        if hasattr(result, "raiseException"):
            result.raiseException()
        return result


def test_a_path_may_be_written_with_a_slash_or_come_out_of_the_baton():
    """A slash at the end is left out, and a path out of the baton is used for everything that the step does."""
    stage = Stage()
    assert stage.run(GetZookeeperChildren(MAIN, "/shop/")) == {"children": ["open", "till"]}
    baton = {"where": "/new/deep/n"}
    made = stage.run(CreateZookeeperNode(MAIN, BatonPath("where"), create_intermediary_nodes=True), baton)
    assert made["create"] == "/new/deep/n"
    assert "/new/deep/n" in stage.tree.nodes


def test_what_a_baton_lacks_is_told():
    """A baton without what an option names fails with words, and so does what is no path or no data."""
    stage = Stage()
    with pytest.raises(PipedError, match="the baton has nothing at 'where'"):
        stage.run(GetZookeeperData(MAIN, BatonPath("where")))
    for step, baton in [
        (GetZookeeperData(MAIN, BatonPath("where")), {}),
        (GetZookeeperData(MAIN, BatonPath("where")), {"where": 7}),
        (GetZookeeperData(MAIN, BatonPath("where")), {"where": "/a/../b"}),
        (SetZookeeperData(MAIN, "/shop/open", BatonPath("data")), {}),
        (SetZookeeperData(MAIN, "/shop/open", BatonPath("data")), {"data": {"no": "bytes"}}),
        (SetZookeeperData(MAIN, "/shop/open", "x", BatonPath("version")), {"version": "1"}),
    ]:
        with pytest.raises(PipedError):
            stage.run(step, baton)
    assert stage.process.kazoo.calls == []


def test_output_goes_where_it_is_wanted():
    """'' makes a result the baton, null discards it; the metadata go where they are told to."""
    stage = Stage()
    assert stage.run(GetZookeeperData(MAIN, "/shop/open", output_path="")) == b"yes"
    read = stage.run(GetZookeeperData(MAIN, "/shop/open", output_path=None, metadata_output_path="stat"))
    assert list(read) == ["stat"]
    there = stage.run(ZookeeperNodeExists(MAIN, "/shop/open", metadata_output_path="stat"))
    assert there["exists"] is True
    assert there["stat"].data_length == 3
    assert stage.run(ZookeeperNodeExists(MAIN, "/no", metadata_output_path="stat")) == {"exists": False, "stat": None}


def test_reading_steps_ask_once_unless_they_are_told_otherwise():
    """Steps share what was read; with `cached` off they ask each time."""
    stage = Stage()
    for cached, calls in [(True, 1), (False, 3)]:
        for _ in range(2):
            for step in (GetZookeeperData, GetZookeeperChildren, ZookeeperNodeExists):
                stage.run(step(MAIN, "/shop/open", cached=cached))
        assert len(stage.process.kazoo.calls) == 3 * calls


def test_a_missing_node_is_made_if_that_is_wanted():
    """Writing a node that does not exist fails, or makes it and those above it, parents first."""
    stage = Stage()
    with pytest.raises(NoNodeError):
        stage.run(SetZookeeperData(MAIN, "/a/b/c", "x"))
    stage.process.kazoo.calls.clear()
    written = stage.run(SetZookeeperData(MAIN, "/a/b/c", "é", create_intermediary_nodes=True))
    assert written["set"].version == 1
    assert stage.tree.nodes["/a/b/c"][0] == "é".encode()
    made = [path for method, path in stage.process.kazoo.calls if method == "create"]
    assert made[-3:] == ["/a", "/a/b", "/a/b/c"]
    with pytest.raises(NodeExistsError):
        stage.run(CreateZookeeperNode(MAIN, "/shop/open", create_intermediary_nodes=True))


@pytest.mark.parametrize(
    ("flags", "ephemeral", "sequence"),
    [
        (None, False, False),
        ("EPHEMERAL", True, False),
        (["SEQUENCE"], False, True),
        (["EPHEMERAL", "SEQUENCE"], True, True),
        (3, True, True),
        ([1, "SEQUENCE"], True, True),
    ],
)
def test_flags_may_be_names_or_numbers(flags, ephemeral, sequence):
    """Flags are a name, a number or a list, as ZooKeeper knows them."""
    stage = Stage()
    path = stage.run(CreateZookeeperNode(MAIN, "/shop/n", flags=flags), {})["create"]
    assert (stage.tree.nodes[path][1] != 0, path != "/shop/n") == (ephemeral, sequence)


def test_nodes_are_deleted():
    """A node is deleted, with all that is below it if that is wanted; one that is not there is no failure."""
    stage = Stage()
    stage.run(DeleteZookeeperNode(MAIN, "/shop/none"))
    with pytest.raises(NoNodeError):
        stage.run(DeleteZookeeperNode(MAIN, "/shop/none", skip_if_nonexistent=False))
    stage.run(DeleteZookeeperNode(MAIN, "/shop", recursive=True))
    assert list(stage.tree.nodes) == ["/"]


def test_a_step_goes_on_only_while_this_process_leads():
    """It gives the token while it leads; a baton that was on its way when that ended goes no further."""
    stage = Stage()
    step = stage.configured(RequireLeadership(LeaderName("office"), output_path="token"))
    stage.process.reactor.settle()
    held = step._dependency.get_resource()
    assert step.process({}) == {"token": held.token}
    stage.process.reactor.rightNow += 10  # a process that stood still: nobody has told it anything
    with pytest.raises(NotHeld):
        step.process({})
