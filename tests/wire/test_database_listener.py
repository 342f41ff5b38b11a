"""What PostgreSQL notifies, advisory locks and leaders: across lost connections and killed servers."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from database_stage import OnDatabases, until
from servers.postgres import Postgres
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from piped import processor
from piped_database.leading import LeaderService
from piped_database.locks import LockLost


@pytest.fixture(scope="module")
def own_postgres(postgres):
    """A server that nobody else needs."""
    with TemporaryDirectory() as folder, Postgres(Path(folder)) as server:
        yield server


class Listening(OnDatabases):
    """Tests with processes that listen."""

    @pytest.fixture(autouse=True)
    def _own(self, own_postgres):
        self.server = own_postgres

    def setUp(self):
        super().setUp()
        self.database = self.server.database()

    def process(self, more="", *plugins, driver="psycopg", pipelines="  nothing: [passthrough]"):
        return self.running(
            f"""\
database:
  engines:
    main:
      engine: {{url: {self.server.url(self.database, driver)}}}
      ping_interval: 0.3
      ping_timeout: 2
      retry_interval: 0.3
{more}
pipelines:
{pipelines}
""",
            *plugins,
        )

    async def sql(self, statement):
        return await deferToThread(self.server.sql, statement, self.database)

    async def cut(self):
        return await deferToThread(self.server.cut, self.database, "application_name LIKE '%listener'")


SOURCE = """\
  listeners:
    news:
      engine: main
      channels: [news, 'Other; "one"']
      processor: take
      on_connect: catch up
      json: true
"""
TAKING = """\
  take: [take]
  catch up: [catch-up]
"""


class Sources(Listening):
    """Notifications as batons."""

    def taking(self, source=SOURCE, driver="psycopg"):
        self.taken, self.caught_up = [], []

        @processor("take")
        async def take(baton):
            self.taken.append(baton)
            await self.hold

        @processor("catch-up")
        def catch_up(baton):
            self.caught_up.append(baton)

        self.hold = succeed(None)
        return self.process(source, take, catch_up, driver=driver, pipelines=TAKING)

    async def test_notifications_are_batons(self):
        """Each is a baton with its channel, payload and process, in order, whatever the driver of the engine."""
        for driver in ("psycopg", "asyncpg"):
            running = self.taking(driver=driver)
            await until(lambda: self.caught_up)
            for number in range(5):
                await self.sql(f"SELECT pg_notify('news', '{json.dumps({'n': number})}')")
            await self.sql("NOTIFY news, 'no JSON'")
            await self.sql('NOTIFY "Other; ""one"""')
            await until(lambda: len(self.taken) == 6)
            assert [baton["payload"] for baton in self.taken] == [*({"n": number} for number in range(5)), None]
            assert [baton["channel"] for baton in self.taken] == ["news"] * 5 + ['Other; "one"']
            assert all(baton["pid"] > 0 for baton in self.taken)
            await running.stop()

    async def test_listening_again(self):
        """After the connection was cut, and after the server was killed, it listens again, and says so."""
        self.taking()
        await until(lambda: len(self.caught_up) == 1)
        assert await self.cut() == 1
        await until(lambda: len(self.caught_up) == 2)
        await self.sql("NOTIFY news, '1'")
        await until(lambda: len(self.taken) == 1)
        await deferToThread(self.server.restart)
        await until(lambda: len(self.caught_up) == 3)
        await self.sql("NOTIFY news, '2'")
        await until(lambda: len(self.taken) == 2)
        assert self.caught_up[0] == {"engine": "main", "channels": ["news", 'Other; "one"']}

    async def test_more_than_the_pipeline_can_take(self):
        """What comes faster than it is processed waits, in the server where it is too much, and none is lost."""
        self.taking(SOURCE.replace("json: true", "json: true\n      max_waiting: 5"))
        await until(lambda: self.caught_up)
        self.hold = Deferred()
        await self.sql("SELECT pg_notify('news', n::text) FROM generate_series(1, 3000) AS n")
        await until(lambda: self.taken)
        hold, self.hold = self.hold, succeed(None)
        hold.callback(None)
        await until(lambda: len(self.taken) == 3000)
        assert [baton["payload"] for baton in self.taken] == list(range(1, 3001))

    async def test_a_queue_that_nobody_takes_from(self):
        """A full queue does not grow: the rest waits in the server, and comes when there is room, in order."""
        listener = await self.process().get("database.listener.main")
        queue = await listener.listen(["news"], most=5)
        await self.sql("SELECT pg_notify('news', n || repeat('x', 7000)) FROM generate_series(1, 1000) AS n")
        await until(lambda: queue.is_full)
        for _ in range(10):  # time enough for all of them
            await self.sql("SELECT 1")
        assert len(queue) < 500
        heard = [(await queue.get()).payload.rstrip("x") for _ in range(1000)]
        assert heard == [str(number) for number in range(1, 1001)]

    async def test_listening_that_is_cancelled(self):
        """A queue that nobody was given does not hold up the others, nor does what else listens there miss anything."""
        listener = await self.process().get("database.listener.main")
        for _ in range(5):
            given_up = Deferred.fromCoroutine(listener.listen(["news"], most=1))
            queue = Deferred.fromCoroutine(listener.listen(["news", "other"]))
            given_up.cancel()
            with pytest.raises(CancelledError):
                await given_up
            queue = await queue
            for _ in range(2):
                await self.sql("NOTIFY news")
                await self.sql("NOTIFY other")
            assert [(await queue.get()).channel for _ in range(4)] == ["news", "other"] * 2
            await queue.close()

    async def test_listening_while_it_connects(self):
        """Whoever begins to listen while the connection is made again hears what comes when it is there."""
        running = self.process("      checkout: [SELECT pg_sleep(0.3)]")
        dependency = running.dependency("database.listener.main")
        listener = await running.get("database.listener.main")
        assert await self.cut() == 1
        await until(lambda: not dependency.is_ready)
        queues = []
        for number in range(40):
            queues.append(await listener.listen([f"c{number}"]))
            await deferLater(reactor, 0.02)
        await until(lambda: dependency.is_ready)
        for number, queue in enumerate(queues):
            await self.sql(f"NOTIFY c{number}")
            assert (await queue.get()).channel == f"c{number}"


class Locks(Listening):
    """Advisory locks, and who leads."""

    async def test_one_holds_a_lock(self):
        """A second process gets a lock when the first one lets it go, with a higher token."""
        one, other = self.process(), self.process()
        first, second = await one.get("database.listener.main"), await other.get("database.listener.main")
        lock = await first.wait_for_advisory_lock("report")
        assert await first.wait_for_advisory_lock("report") is lock
        waiting = second.wait_for_advisory_lock("report")
        assert await first.release_lock("report")
        await second.wait_for_advisory_lock("another")
        assert not waiting.called  # it was asked for twice
        assert await first.release_lock("report")
        assert (await waiting).token > lock.token
        assert not await first.release_lock("report")

    async def test_who_waits_is_told(self):
        """Whoever waits for a lock when the connection is lost hears so; who was cancelled does not get it."""
        one, other = self.process(), self.process()
        first, second = await one.get("database.listener.main"), await other.get("database.listener.main")
        await first.wait_for_advisory_lock("report")
        waiting = second.wait_for_advisory_lock("report")
        cancelled = second.wait_for_advisory_lock("report")
        cancelled.cancel()
        with pytest.raises(CancelledError):
            await cancelled
        assert await self.cut() == 2
        with pytest.raises(LockLost, match="report"):
            await waiting

    async def test_one_of_many_leads(self):
        """Of three processes one leads; when it stops or is cut off, another does, and never two at a time."""
        more = "  leaders: {boss: {engine: main}}"
        processes = [self.process(more) for _ in range(3)]
        leaders = [each.dependency("database.leader.boss") for each in processes]
        listeners = [each.dependency("database.listener.main") for each in processes]
        changes = []
        for number, leader in enumerate(leaders):
            leader.on_ready += lambda leader, number=number: changes.append((number, leader.get_resource().token))
        for _ in range(3):
            await until(lambda: all(each.is_ready for each in listeners))
            await until(lambda: any(leader.is_ready for leader in leaders))
            [leads] = [leader for leader in leaders if leader.is_ready]
            lost = []
            leads.on_lost += lambda *_, lost=lost: lost.append(sum(leader.is_ready for leader in leaders))
            before = len(changes)
            assert await self.cut() == 3
            await until(lambda before=before: len(changes) > before)
            assert lost == [0]
            assert sum(leader.is_ready for leader in leaders) == 1
        tokens = [token for _, token in changes]
        assert tokens == sorted(set(tokens))
        number, _ = changes[-1]
        await processes[number].stop()
        await until(lambda: sum(leader.is_ready for leader in leaders) == 1)
        assert not leaders[number].is_ready

    async def test_a_lock_is_lost_while_notifications_wait(self):
        """Whoever holds a lock hears that it is lost, even if nobody takes what is notified on that connection."""
        running = self.process("  leaders: {boss: {engine: main}}")
        listener = await running.get("database.listener.main")
        await listener.listen(["news"], most=1)
        leader = running.dependency("database.leader.boss")
        await until(lambda: leader.is_ready)
        lost = []
        leader.on_lost += lambda *_: lost.append(True)
        await self.sql("NOTIFY news")
        await self.cut()
        await until(lambda: lost)

    async def test_a_leader_that_is_refused(self):
        """When the server has an error for whoever tries to lead, it is tried again, and nothing stays locked."""
        await self.sql("CREATE FUNCTION public.txid_current() RETURNS bigint AS 'SELECT 1/0' LANGUAGE sql")
        await self.sql(f"ALTER DATABASE {self.database} SET search_path = public, pg_catalog")
        running = self.process("  leaders: {boss: {engine: main}}")
        listener = await running.get("database.listener.main")
        leader = running.dependency("database.leader.boss")
        with self.assertLogs("piped.database", "WARNING") as logged:
            await until(lambda: any("cannot try to lead" in line for line in logged.output))
        assert not leader.is_ready
        await self.sql("DROP FUNCTION public.txid_current()")
        await until(lambda: leader.is_ready)
        assert await listener.release_lock("boss")
        assert await self.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"

    async def test_a_leader_service(self):
        """A service hears what is notified while it leads, and goes on after what it cannot read or handle."""
        heard = []

        class Clerk(LeaderService):
            listener_dependency = "main"
            channels = ("orders-in", "unknown")
            lock_name = "clerk"

            async def begin(self):
                heard.append("begun")

            async def handle_orders_in(self, payload):
                heard.append(payload)
                if payload == 1:
                    raise ZeroDivisionError

        self.process("", Clerk)
        await until(lambda: heard == ["begun"])
        for payload in ("1", "{", "", "[2]"):
            await self.sql(f"SELECT pg_notify('orders-in', '{payload}')")
        await self.sql("NOTIFY unknown")
        await until(lambda: heard == ["begun", 1, None, [2]])
        await self.cut()
        await until(lambda: heard[4:] == ["begun"])
