"""Link: one client of kazoo as Deferreds; the one place where its threads and the reactor meet."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    SessionExpiredError,
)
from kazoo.protocol.states import KazooState, KeeperState
from twisted.internet.defer import CancelledError, Deferred

from piped import told
from piped_zookeeper.errors import DisconnectException, TooManyCalls

_log = logging.getLogger("piped.zookeeper")

#: So many calls are given to kazoo at a time: it wakes its thread with a byte for each, and a few hundred of them would
#: block whoever calls while that thread is busy.
MOST_IN_FLIGHT: Final = 128
#: So many more wait for their turn.
MOST_WAITING: Final = 10_000
#: What kazoo says of a call whose connection was lost.
_LOST: Final = (ConnectionLoss, ConnectionClosedError, SessionExpiredError)


class Notices(Protocol):
    """Who is told, in the reactor, what becomes of a link."""

    def connected(self) -> None:
        """The session is there, and the server has answered."""

    def suspended(self) -> None:
        """The connection is lost; the session may go on with the next one."""

    def expired(self) -> None:
        """The session is over. There will be another one."""

    def ended(self, reason: str) -> None:
        """kazoo has given up."""


class Link:
    """One client of kazoo from its start to its stop.

    While it is connected it asks for a sign of life every third of a session. When that does not come within the
    next third, it cuts the connection: kazoo looks for silence only while it has nothing to send. So whoever is told
    that the connection is lost knows it before the server can end the session.

    Args:
        client: a new client of kazoo, or what does the same.
        reactor: where everything that is told is told.
        in_thread: calls what blocks.
    """

    def __init__(self, client: Any, reactor: Any, in_thread: Callable[..., Deferred[Any]], notices: Notices) -> None:
        self._kazoo, self._reactor, self._in_thread, self._notices = client, reactor, in_thread, notices
        self._waiting: deque[tuple[Deferred[Any], str, tuple[Any, ...], dict[str, Any]]] = deque()
        #: What is given to kazoo, or waits for it, and has not been answered.
        self._open: dict[Deferred[Any], None] = {}
        self._in_flight = 0
        self._is_connected = self._is_stopping = False
        self._beats: Any = None
        #: When the last sign of life that came back was asked for, and when the leader surely knew of one: a follower
        #: tells it of its clients only now and then, so that the last one could be lost with the follower.
        self._asked = self._alive = 0.0
        #: Which of the connections it is: what belongs to a former one is not told any more.
        self._connection = 0

    @property
    def session_timeout(self) -> float:
        """How long the server keeps the session without a sign of life, in seconds."""
        return float(self._kazoo.session_timeout)

    @property
    def session_id(self) -> int | None:
        identity = self._kazoo.client_id
        return None if identity is None else int(identity[0])

    @property
    def is_certain(self) -> bool:
        """Whether the server cannot have ended the session yet, by the time that has gone by.

        A process that was held for long does not know of that when it wakes.
        """
        return self._is_connected and self._reactor.seconds() < self._alive + self.session_timeout

    def start(self) -> None:
        """Connect, and connect again whenever that is lost."""
        self._kazoo.add_listener(self._heard)
        self._kazoo.start_async()

    async def stop(self) -> None:
        """End the session, or leave it to the server if that does not answer soon; nothing is told any more."""
        self._is_stopping = True
        self._disconnect("the client has stopped")
        cutting = self._reactor.callLater(min(self.session_timeout / 3, 2), self._cut_again)
        self._beats = cutting
        try:
            await self._in_thread(self._stop)
        except Exception as error:  # of a thread of kazoo's; there is nothing else to be done
            _log.warning("a client of ZooKeeper did not stop well: %s", told(error))
        finally:
            self._stop_beating()

    def call(self, method: str, *args: Any, **options: Any) -> Deferred[Any]:
        """What a method of kazoo gives, which is named without its `_async`; a `watch` is called in the reactor."""
        if not self._is_connected:
            return _failed(DisconnectException(f"{_named(method, args)}: there is no connection to ZooKeeper"))
        if len(self._waiting) >= MOST_WAITING:
            what = f"{_named(method, args)}: {len(self._open)} calls wait for ZooKeeper already"
            return _failed(TooManyCalls(what, hint="let fewer of them run at a time"))
        if options.get("watch") is not None:
            options["watch"] = _Watch(self._hop, options["watch"])
        # It may be cancelled: what comes of it then is for nobody.
        called: Deferred[Any] = Deferred(self._cancelled)
        self._open[called] = None
        self._waiting.append((called, method, args, options))
        self._pump()
        return called

    def build(self, make: Callable[[Any], Any]) -> Deferred[Any]:
        """The results of a transaction, to which `make` adds what is to be done."""
        transaction = self._kazoo.transaction()
        make(transaction)
        return self.call("commit", of=transaction)

    # Inner workings: calls

    def _pump(self) -> None:
        while self._waiting and self._in_flight < MOST_IN_FLIGHT:
            called, method, args, options = self._waiting.popleft()
            if not called.called:
                self._in_flight += 1
                self._begin(called, method, args, options)

    def _begin(self, called: Deferred[Any], method: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        try:
            on = options.pop("of", self._kazoo)
            result = getattr(on, f"{method}_async")(*args, **options)
        except Exception as error:  # an argument that kazoo does not take
            self._answered(called, method, args, None, error)
            return
        result.rawlink(lambda it: self._hop(self._answered, called, method, args, it.value, it.exception))

    def _answered(
        self, called: Deferred[Any], method: str, args: tuple[Any, ...], value: Any, error: BaseException | None
    ) -> None:
        self._in_flight -= 1
        self._open.pop(called, None)
        if called.called:  # cancelled, or given up with its connection
            self._pump()
        elif error is None:
            called.callback(value)
            self._pump()
        else:
            called.errback(_in_words(error, method, args))
            if not isinstance(error, _LOST):  # else the others are about to fail too: kazoo would keep them
                self._pump()

    def _cancelled(self, called: Deferred[Any]) -> None:
        self._open.pop(called, None)
        called.errback(CancelledError())

    # Inner workings: the connection

    def _hop(self, function: Callable[..., Any], *args: Any) -> None:
        """Call something in the reactor; the only thing that kazoo's threads do here."""
        self._reactor.callFromThread(function, *args)

    def _heard(self, state: str) -> None:
        """A change, told by a thread of kazoo's."""
        self._hop(self._changed, state, self._kazoo.client_state)

    def _changed(self, state: str, detail: str) -> None:
        if self._is_stopping:
            return
        if state == KazooState.CONNECTED:
            self._connection += 1
            self._beat(self._connection)
            return
        self._connection += 1
        self._disconnect("the connection to ZooKeeper was lost")
        if state == KazooState.SUSPENDED:
            self._notices.suspended()
        elif detail == KeeperState.EXPIRED_SESSION:
            self._notices.expired()
        elif detail == KeeperState.AUTH_FAILED:
            self._notices.ended("ZooKeeper refuses what stands in `auth`")
        else:
            self._notices.ended("the client has broken down")

    def _disconnect(self, why: str) -> None:
        self._is_connected = False
        self._stop_beating()
        self._waiting.clear()
        calls, self._open = list(self._open), {}
        for called in calls:
            if not called.called:
                called.errback(DisconnectException(why, hint="what was called for may have been done, or not"))

    # Inner workings: signs of life

    def _beat(self, connection: int) -> None:
        """Ask for a sign of life from the leader of the ensemble, through the server that this is connected to."""
        if self._is_stopping or connection != self._connection:
            return
        sent = self._reactor.seconds()
        self._beats = self._reactor.callLater(self.session_timeout / 3, self._silent, connection)
        result = self._kazoo.sync_async("/")
        result.rawlink(lambda it: self._hop(self._beaten, connection, sent, it.exception))

    def _beaten(self, connection: int, sent: float, error: BaseException | None) -> None:
        if self._is_stopping or connection != self._connection:
            return
        self._stop_beating()
        if isinstance(error, _LOST):
            return  # which is told
        if error is not None and not isinstance(error, AuthFailedError):
            _log.debug("ZooKeeper has answered a sign of life with %s", told(error))
        self._alive, self._asked = (self._asked if self._is_connected else sent), sent
        if not self._is_connected:
            self._is_connected = True
            self._notices.connected()
        if connection == self._connection and not self._is_stopping:
            left = sent + self.session_timeout / 3 - self._reactor.seconds()
            self._beats = self._reactor.callLater(max(left, 0), self._beat, connection)

    def _silent(self, connection: int) -> None:
        """Give up a connection on which nothing came back."""
        if self._is_stopping or connection != self._connection:
            return
        _log.debug("ZooKeeper is silent: the connection is cut")
        self._connection += 1
        was_connected = self._is_connected
        self._disconnect("ZooKeeper did not answer")
        if was_connected:
            self._notices.suspended()
        self._kazoo.cut()

    def _stop_beating(self) -> None:
        if self._beats is not None and self._beats.active():
            self._beats.cancel()
        self._beats = None

    def _cut_again(self) -> None:
        """Hasten a stop for which the server is not there."""
        self._kazoo.cut()
        self._beats = self._reactor.callLater(0.5, self._cut_again)

    def _stop(self) -> None:
        """In a thread: it waits for the others."""
        self._kazoo.stop()
        self._kazoo.close()


class _Watch:
    """Calls something in the reactor; equal to another one for the same, so that kazoo keeps it once."""

    __slots__ = ("_hop", "_watch")

    def __init__(self, hop: Callable[..., None], watch: Callable[[Any], Any]) -> None:
        self._hop, self._watch = hop, watch

    def __call__(self, event: Any) -> None:
        self._hop(self._watch, event)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Watch) and self._watch == other._watch

    def __hash__(self) -> int:
        return hash(self._watch)


def _failed(error: Exception) -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.errback(error)
    return failed


def _named(method: str, args: tuple[Any, ...]) -> str:
    return f"{method} {args[0]}" if args else method


def _in_words(error: BaseException, method: str, args: tuple[Any, ...]) -> BaseException:
    """An exception that says what was called; those of kazoo say nothing."""
    if isinstance(error, _LOST):
        what = f"{_named(method, args)}: the connection to ZooKeeper was lost"
        return DisconnectException(what, hint="it may have been done, or not")
    if isinstance(error, KazooException) and not error.args:
        error.args = (_named(method, args),)
    return error
