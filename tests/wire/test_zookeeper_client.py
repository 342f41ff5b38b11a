"""A client of a real ZooKeeper: nodes are read and written, and what was read is kept until it changes."""

import pytest
from database_stage import until
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError, NotEmptyError
from kazoo.security import make_acl
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zookeeper_stage import OnZooKeeper, rooted

from piped import PipedError

PIPELINES = """
  make:
    - create-zookeeper-node:
        client: main
        path: !path path
        data: !path data
        flags: [EPHEMERAL, SEQUENCE]
        create_intermediary_nodes: true
  write: [set-zookeeper-data: {client: main, path: !path path, data: !path data, create_intermediary_nodes: true}]
  read:
    - get-zookeeper-data: {client: main, path: !path path, metadata_output_path: stat}
    - get-zookeeper-children: {client: main, path: /shop/}
    - zookeeper-node-exists: {client: main, path: /shop/none, metadata_output_path: none}
  tidy:
    - delete-zookeeper-node: {client: main, path: /shop, recursive: true}
    - delete-zookeeper-node: {client: main, path: /shop}
"""


class TestNodes(OnZooKeeper):
    """What can be done with nodes."""

    @pytest.fixture(autouse=True)
    def _server(self, zookeeper):
        self.servers = rooted(zookeeper)

    async def other(self):
        """A client of kazoo alone, as another program would have it."""
        await self.client.ensure_path("/")
        other = KazooClient(self.servers)
        await deferToThread(other.start)
        self.addCleanup(deferToThread, other.close)
        self.addCleanup(deferToThread, other.stop)
        return other

    async def test_the_steps_do_what_they_say(self):
        """Steps make, write, read and delete nodes; a path out of the baton is used as it comes."""
        running = await self.made(self.servers, PIPELINES)
        made = await running.run("make", {"path": "/shop/orders/o-", "data": "first"})
        assert made["create"] == "/shop/orders/o-0000000000"
        _, stat = await self.client.get(made["create"])
        assert stat.ephemeralOwner == self.client.session_id
        written = await running.run("write", {"path": "/shop/deep/open/", "data": b"\xff"})
        assert written["set"].data_length == 1
        read = await running.run("read", {"path": "/shop/deep/open"})
        assert (read["data"], read["stat"].version) == (b"\xff", 1)
        assert sorted(read["children"]) == ["deep", "orders"]
        assert (read["exists"], read["none"]) == (False, None)
        await running.run("tidy")
        assert await self.client.exists("/shop") is None

    async def test_what_zookeeper_refuses_says_of_what(self):
        """A call that is refused fails as what ZooKeeper says, with the name of the call and the path."""
        await self.made(self.servers)
        client = self.client
        await client.create_recursive("/a/b")
        for refused, kind, text in [
            (client.get("/none"), NoNodeError, "get /none"),
            (client.get("/none", cached=True), NoNodeError, "get /none"),
            (client.create("/a"), NodeExistsError, "create /a"),
            (client.delete("/a"), NotEmptyError, "delete /a"),
            (client.set("/a", b"", version=7), BadVersionError, "set /a"),
        ]:
            with pytest.raises(kind) as caught:
                await refused
            assert str(caught.value) == text
        for unfit in [
            client.set("/a", b"x" * 1_040_000),
            client.exists("/" + "x" * 1_040_000),
            client.get("/\ud800"),
            client.set("/a", b"", version=1 << 40),
            client.create("/c", acl=["everybody"]),
            client.transaction(lambda it: [it.create(f"/c{number}", b"x" * 600_000) for number in range(2)]),
        ]:
            with pytest.raises(PipedError, match="cannot be sent") as caught:
                await unfit
            assert len(str(caught.value)) < 300
        with pytest.raises(PipedError):
            client.get("/../secret")
        with pytest.raises(PipedError, match="/ is not deleted"):
            client.delete_recursive("/")
        assert await client.exists("/a")
        assert self.events == ["starting", "connected"]  # the connection is as it was

    async def test_what_was_read_is_kept_until_it_changes(self):
        """A cached read asks the server once, also for many at a time, and again after somebody else has written."""
        await self.made(self.servers)
        other, client = await self.other(), self.client
        await client.create_recursive("/shop/open", b"yes")
        (first, _), *rest = await gatherResults([client.get("/shop/open", cached=True) for _ in range(20)])
        assert first == b"yes"
        assert len(rest) == 19
        assert len(client.reads) == 1
        assert client.get("/shop/open", cached=True).called  # without asking anybody
        assert await client.get_children("/shop", cached=True) == ["open"]
        assert await client.exists("/shop/none", cached=True) is None
        await deferToThread(other.set, "/shop/open", b"no")
        await deferToThread(other.create, "/shop/none")

        async def changed():
            data, _ = await client.get("/shop/open", cached=True)
            return data, sorted(await client.get_children("/shop", cached=True))

        while await changed() != (b"no", ["none", "open"]):
            await deferLater(reactor, 0)  # what is kept is there at once: nobody else would have a turn
        await until(lambda: len(client.reads) <= 2)
        assert await client.exists("/shop/none", cached=True)

    async def test_what_it_has_written_itself_it_reads(self):
        """Nobody gets out of the cache what he has overwritten."""
        await self.made(self.servers)
        await self.client.create_recursive("/counter", b"0")
        for number in range(200):
            await self.client.set("/counter", b"%d" % number)
            data, _ = await self.client.get("/counter", cached=True)
            assert data == b"%d" % number

    async def test_a_watch_is_called_once_when_it_changes(self):
        """Whoever reads with a watch is told, in the reactor, of the next change."""
        await self.made(self.servers)
        seen = []
        await self.client.create_recursive("/a", b"")
        await self.client.exists("/a/b", watch=seen.append)
        await self.client.create("/a/b")
        await until(lambda: seen)
        await self.client.set("/a/b", b"x")
        assert [(event.type, event.path) for event in seen] == [("CREATED", "/a/b")]

    async def test_a_transaction_is_done_as_a_whole(self):
        """Of a transaction everything happens, or nothing."""
        await self.made(self.servers)

        def make(transaction):
            transaction.create("/a", b"1")
            transaction.create("/b", b"2")

        await self.client.ensure_path("/")
        assert await self.client.transaction(make) == ["/a", "/b"]
        results = await self.client.transaction(lambda it: (it.create("/c", b""), it.create("/b", b"")))
        assert isinstance(results[1], NodeExistsError)
        assert await self.client.exists("/c") is None

    async def test_many_calls_at_a_time(self):
        """Thousands of calls at a time are done in order; those that are cancelled are for nobody."""
        await self.made(self.servers, "", 10)  # in a short one, a busy machine might lose the session meanwhile
        await self.client.ensure_path("/many")
        calls = [self.client.create("/many/n-", sequence=True) for _ in range(3000)]
        cancelled = calls.pop()
        cancelled.cancel()
        with pytest.raises(CancelledError):
            await cancelled
        made = await gatherResults(calls)
        assert made == sorted(made)

    async def test_who_may_do_what(self):
        """With `auth` and `default_encoded_acls` nobody else sees what a client makes."""
        options = """auth: digest:ada:secret
      default_encoded_acls: [{scheme: auth, perms: all}]"""
        await self.made(self.servers, "", 2, options)
        await self.client.create_recursive("/mine", b"x")
        other = await self.other()
        with pytest.raises(NoAuthError):
            await deferToThread(other.get, "/mine")
        assert (await self.client.get("/mine"))[0] == b"x"

    async def test_a_path_that_others_have_made_is_enough(self):
        """Whoever may only work below a node gets by without the right to make that node."""
        await self.made(self.servers)
        other = await self.other()
        await deferToThread(other.ensure_path, "/leaders/office")
        await deferToThread(other.set_acls, "/leaders", [make_acl("world", "anyone", read=True)])
        await self.client.ensure_path("/leaders/office")
        with pytest.raises(NoAuthError):
            await self.client.ensure_path("/leaders/another")
        self.running.dependency("zookeeper.leader.office")
        await self.running.get("zookeeper.leader.office")
