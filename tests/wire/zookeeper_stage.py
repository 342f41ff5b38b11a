"""Clients of a real ZooKeeper in a process that runs: the real reactor, and what they tell of themselves."""

from __future__ import annotations

import secrets
from typing import Any

from database_stage import Running, until
from kazoo.client import KazooClient
from servers.proxy import Proxy
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from piped import processor

EVENTS = ("starting", "stopping", "connected", "reconnecting", "reconnected", "expired")
CONFIGURATION = """
zookeeper:
  clients:
    main:
      servers: SERVERS
      session_timeout: SESSION
      OPTIONS
      events: {EVENTS}
  leaders:
    office: {client: main, path: /leaders/office}
  locks:
    printer: {client: main, path: /locks/printer}
pipelines:
  told: [remember-event]
"""


class OnZooKeeper(TestCase):
    """A test with a client in a process of its own, which stops at the end.

    `self.events` is what its pipelines were told.
    """

    timeout = 60

    async def made(
        self, servers: str, pipelines: str = "", session: float = 4, options: str = "", *plugins: Any
    ) -> Running:
        self.events: list[str] = []

        @processor("remember-event")
        def remember(baton: dict[str, Any]) -> None:
            self.events.append(baton["event"])
            assert baton["client"].name == "main"

        text = CONFIGURATION.replace("SERVERS", servers).replace("SESSION", str(session)).replace("OPTIONS", options)
        text = text.replace("EVENTS", ", ".join(f"{event}: told" for event in EVENTS))
        running = Running(text + pipelines, remember, *plugins)
        running.environment.after_start()
        self.addCleanup(lambda: Deferred.fromCoroutine(running.stop()))
        self.running = running
        self.resource = running.dependency("zookeeper.client.main")
        self.client = await running.get("zookeeper.client.main")
        await until(lambda: "connected" in self.events)
        return running

    def network(self, *members: Any) -> tuple[list[Proxy], str]:
        """A network of one's own to some members, and a root behind it that nobody else has, as a client writes it."""
        proxies = [Proxy(member.port) for member in members]
        for proxy in proxies:
            self.addCleanup(proxy.close)
        servers = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
        return proxies, f"{servers}/{secrets.token_hex(6)}"

    async def told(self, *events: str) -> None:
        """Wait until that has been told, and nothing else, since the last time."""
        try:
            await until(lambda: len(self.events) >= len(events))
        finally:
            assert self.events[: len(events)] == list(events)
            del self.events[: len(events)]


def rooted(server: Any) -> str:
    """The servers, with a root that nobody else has."""
    return f"{server.servers}/{secrets.token_hex(6)}"


async def steal(client: Any, servers: str) -> None:
    """Let the server end the session of a client, as it does when it hears nothing of it for long."""
    identity = client._link._kazoo.client_id  # there is no other way to know the password of a session
    thief = KazooClient(servers, client_id=identity, timeout=2)
    await deferToThread(thief.start)
    await deferToThread(thief.stop)
    await deferToThread(thief.close)
