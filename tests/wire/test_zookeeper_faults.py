"""Members of an ensemble are killed, a network is held, sessions expire: all is well again by itself."""

import pytest
from database_stage import until
from servers import zookeeper as zookeeper_server
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zookeeper_stage import OnZooKeeper, rooted, steal

from piped_zookeeper.errors import DisconnectException

NEEDY = """
  lead: [require-leadership: {leader: office, output_path: token}]
  print: [require-lock: {lock: printer, output_path: token}]
"""


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Three members that nobody else needs."""
    if not zookeeper_server.is_installed():
        pytest.skip("ZOOKEEPER IS NOT INSTALLED (apt install zookeeper): nothing is tested against a real ensemble")
    with zookeeper_server.ZooKeeper(tmp_path_factory.mktemp("ensemble"), members=3) as servers:
        yield servers


class TestFaults(OnZooKeeper):
    """What becomes of a client, and of what only one process has."""

    @pytest.fixture(autouse=True)
    def _ensemble(self, ensemble):
        self.ensemble = ensemble
        yield
        for member in ensemble.members:
            if not member.is_running:
                member.start()

    async def everything(self, servers, session=2):
        """A client, a leader and a lock, all of them there."""
        running = await self.made(servers, NEEDY, session)
        await self.client.ensure_path("/")
        self.leads, self.prints = (running.dependency(f"pipeline.{name}") for name in ("lead", "print"))
        await until(lambda: self.leads.is_ready and self.prints.is_ready)
        await self.told("starting", "connected")
        self.seen = []
        held = self.running.dependency("zookeeper.leader.office").get_resource()
        self.resource.on_lost += lambda *_: self.seen.append((self.states(), held.is_held, len(self.client.reads)))

    def states(self):
        """Who is ready: the client, what depends on the leader, and on the lock."""
        return self.resource.is_ready, self.leads.is_ready, self.prints.is_ready

    async def test_the_node_of_a_client_is_killed(self):
        """The session goes on with another member, and so do its ephemeral nodes; while it is away nothing is ready."""
        await self.everything(rooted(self.ensemble))
        session = self.client.session_id
        await self.client.create("/mine", ephemeral=True)
        assert await self.client.get_children("/", cached=True)
        held = self.running.dependency("zookeeper.leader.office").get_resource()
        refused = []
        self.resource.on_lost += lambda *_: refused.append(self.client.get("/mine"))
        member = self.ensemble.member_of(session)
        await deferToThread(member.kill)
        await until(lambda: self.seen)
        # In the very moment in which it is lost.
        assert self.seen == [((False, False, False), False, 0)]
        with pytest.raises(DisconnectException):
            await refused[0]
        await until(lambda: self.states() == (True, True, True))
        await self.told("reconnecting", "reconnected")
        assert self.client.session_id == session
        assert (await self.client.exists("/mine")).ephemeralOwner == session
        assert self.running.dependency("zookeeper.leader.office").get_resource().token == held.token

    async def test_the_leader_of_the_ensemble_is_killed(self):
        """What was answered is there when the others have elected another leader; the rest has failed with words."""
        await self.everything(rooted(self.ensemble), session=4)
        done, failed = set(), []

        async def write_on():
            number = 0
            while len(failed) < 1 or len(done) < 200 or not self.resource.is_ready:
                number += 1
                try:
                    await self.client.create_recursive(f"/written/{number}")
                    done.add(str(number))
                except DisconnectException:
                    failed.append(number)
                    await deferLater(reactor, 0.01)

        writing = Deferred.fromCoroutine(write_on())
        await until(lambda: len(done) > 50)
        # Its client may be with a follower, which looks for the new leader too.
        await deferToThread(self.ensemble.leader.kill)
        await writing
        await until(lambda: self.resource.is_ready)
        await self.client.sync()
        assert done <= set(await self.client.get_children("/written"))

    async def test_the_server_ends_the_session(self):
        """All ephemeral nodes are gone then, and there is a new session; what is led is led with a higher token."""
        servers = rooted(self.ensemble)
        await self.everything(servers)
        before = self.client.session_id
        held = self.running.dependency("zookeeper.leader.office").get_resource()
        await self.client.create("/mine", ephemeral=True)
        await steal(self.client, servers)
        await self.told("reconnecting", "expired", "stopping", "starting", "connected")
        assert self.client.session_id != before
        assert await self.client.exists("/mine") is None
        await until(lambda: self.states() == (True, True, True))
        assert self.running.dependency("zookeeper.leader.office").get_resource().token > held.token

    async def test_a_network_that_is_held_for_longer_than_the_session(self):
        """It is known to be lost before the server ends the session, however much is asked for meanwhile."""
        networks, servers = self.network(*self.ensemble.members)
        await self.everything(servers, session=3)
        assert self.client.session_timeout == 3
        session = f"0x{self.client.session_id & (1 << 64) - 1:x}"
        asked = []

        def ask_on():
            if self.resource.is_ready:
                asked.append(self.client.exists("/").addErrback(lambda failure: failure.trap(DisconnectException)))
                reactor.callLater(0.05, ask_on)

        ask_on()
        for network in networks:
            network.hold()
        held_at = reactor.seconds()
        await until(lambda: not self.resource.is_ready)
        assert reactor.seconds() - held_at < 3 * 0.9
        # The server has not ended it yet.
        assert session in self.ensemble.leader.ask("dump")
        assert self.states() == (False, False, False)
        await until(lambda: all(each.called for each in asked))
        await until(lambda: session not in self.ensemble.leader.ask("dump"))
        assert self.states() == (False, False, False)
        for network in networks:
            network.go_on()
        await self.told("reconnecting", "expired", "stopping", "starting", "connected")
        await until(lambda: self.states() == (True, True, True))

    async def test_a_stop_does_not_wait_for_a_network_that_is_held(self):
        """A process ends within a few seconds, whatever becomes of ZooKeeper; before that it tells that it stops."""
        [network], servers = self.network(self.ensemble.members[0])
        await self.everything(servers, session=10)
        await self.running.environment.before_stop()
        await self.told("stopping")
        network.hold()
        began = reactor.seconds()
        await self.running.stop()
        assert reactor.seconds() - began < 6

    async def test_a_client_begins_anew_when_there_is_no_way_back(self):
        """After `reconnect_timeout` it stops trying to get back to its session, and gets another one."""
        [network], servers = self.network(self.ensemble.members[0])
        await self.made(servers, "", 10, "reconnect_timeout: 0.5")
        first = self.client.session_id
        await self.told("starting", "connected")
        network.hold()
        network.cut()
        await self.told("reconnecting", "stopping", "starting")
        network.go_on()
        await self.told("connected")
        assert self.client.session_id not in (None, first)

    async def test_a_session_for_each_connection(self):
        """Without `reuse_session` a connection that was lost comes back with another session."""
        [network], servers = self.network(self.ensemble.members[0])
        await self.made(servers, "", 4, "reuse_session: false")
        first = self.client.session_id
        network.cut()
        await self.told("starting", "connected", "reconnecting", "connected")
        assert self.client.session_id not in (None, first)

    async def test_what_holds_is_lost_when_its_node_is_deleted(self):
        """Somebody who deletes the node of a leader deposes it, and it stands for election again."""
        await self.everything(rooted(self.ensemble))
        leader = self.running.dependency("zookeeper.leader.office")
        held = leader.get_resource()
        await self.client.delete(held.node)
        await until(lambda: not held.is_held)
        await until(lambda: leader.is_ready)
        assert leader.get_resource().token > held.token
