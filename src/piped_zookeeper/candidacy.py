"""Candidacy: the queue of nodes that decides which of many processes has what only one may have."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import EventType
from twisted.internet.defer import Deferred

from piped_zookeeper.client import Client
from piped_zookeeper.errors import NotHeld
from piped_zookeeper.paths import below

#: Between what is a candidate's own and its number; as the locks and elections of kazoo and others have it.
_MARK: Final = "__lock__"
_NUMBERED: Final = re.compile(r"(?:__lock__|-lock-)(\d{10})$")


@dataclass(eq=False)
class Held:
    """What this process has, and no other one, for the time being."""

    #: What is held: the node below which the candidates queue up.
    path: str
    #: The node of this process.
    node: str
    #: Higher for each later holder (the zxid that made the node): who keeps the highest one that he has seen, and
    #: refuses what comes with a lower one, is safe from a holder that does not know yet that it is none any more.
    token: int
    client: Client = field(repr=False)
    #: Fires when somebody has deleted the node, and is cancelled when it is held no more for another reason.
    over: Deferred[Any] = field(repr=False)

    @property
    def is_held(self) -> bool:
        """Whether it is held at this moment, as far as this process can know by its own clock."""
        return self.client.is_certain and not self.over.called

    def check(self) -> None:
        """Go on only if it is held.

        Raises:
            NotHeld: it is not.
        """
        if not self.is_held:
            raise NotHeld(f"{self.path} is held no more")


class Candidacy:
    """One candidate: a place in the queue at a path.

    Candidates of the same path are served in the order in which they came. They share it with those of
    `kazoo.recipe.lock.Lock` and `kazoo.recipe.election.Election`.

    Args:
        identifier: what the node says.
    """

    def __init__(self, client: Client, path: str, identifier: str) -> None:
        self._client, self._path, self._identifier = client, path, identifier.encode()
        #: Tells this candidate's nodes from others', also where nobody has heard whether one was made.
        self._prefix = f"{uuid.uuid4().hex}{_MARK}"

    async def win(self) -> Held:
        """Queue up, and wait until it is this one's turn.

        Raises:
            DisconnectException: the connection was lost; the place is kept as long as the session.
        """
        client = self._client
        await client.ensure_path(self._path)
        while True:
            # What this server does not know yet could hide a node of our own.
            await client.sync()
            node = await self._own() or await self._queue_up()
            if await self._is_first(node):
                over: Deferred[Any] = Deferred()
                stat = await client.exists(node, watch=self._deletion(node, over))
                if stat is not None:
                    return Held(self._path, node, stat.czxid, client, over)

    async def withdraw(self) -> None:
        """Leave the queue, also where it is not known whether this one was in it."""
        try:
            names = await self._client.get_children(self._path)
        except NoNodeError:
            return
        for name in names:
            if name.startswith(self._prefix):
                await self._delete(below(self._path, name))

    async def _own(self) -> str | None:
        """The node of this candidate, if it has one in this session; those of former sessions are deleted."""
        found = None
        for name in await self._client.get_children(self._path):
            if name.startswith(self._prefix):
                node = below(self._path, name)
                stat = await self._client.exists(node)
                if stat is not None and stat.ephemeralOwner == self._client.session_id and found is None:
                    found = node
                elif stat is not None:
                    await self._delete(node)
        return found

    async def _queue_up(self) -> str:
        path = below(self._path, self._prefix)
        return await self._client.create(path, self._identifier, ephemeral=True, sequence=True)

    async def _is_first(self, node: str) -> bool:
        """Wait until nobody is before a node; False if it has gone meanwhile."""
        while True:
            queue = _in_order(await self._client.get_children(self._path))
            name = node.rpartition("/")[2]
            if name not in queue:
                return False
            place = queue.index(name)
            if place == 0:
                return True
            gone: Deferred[Any] = Deferred()
            # Only the one before: when it goes, not everybody asks.
            before = below(self._path, queue[place - 1])
            if await self._client.exists(before, watch=_fires(gone)) is not None:
                await gone

    def _deletion(self, node: str, over: Deferred[Any]) -> Any:
        """A watch that fires a Deferred when a node is deleted, and looks again when somebody has only written it."""
        fire = _fires(over)

        def changed(event: Any) -> None:
            if event.type != EventType.CHANGED or over.called:
                fire(event)
                return
            looked = self._client.exists(node, watch=changed)
            looked.addCallbacks(lambda stat: None if stat is not None else fire(event), fire)

        return changed

    async def _delete(self, node: str) -> None:
        try:
            await self._client.delete(node)
        except NoNodeError:  # it is what was wanted
            return


def _in_order(names: list[str]) -> list[str]:
    """The candidates among the children of a node, first come first.

    Example:
        >>> _in_order(["b__lock__0000000007", "a__lock__0000000010", "other", "c-lock-0000000003"])
        ['c-lock-0000000003', 'b__lock__0000000007', 'a__lock__0000000010']
    """
    numbered = [(match[1], name) for name in names if (match := _NUMBERED.search(name))]
    return [name for _, name in sorted(numbered)]


def _fires(waiting: Deferred[Any]) -> Any:
    """A watch that fires a Deferred, unless it was cancelled."""

    def fire(event: object) -> None:
        if not waiting.called:
            waiting.callback(event)

    return fire
