"""Channel: a ZeroMQ socket on the reactor, which receives without a thread, and sends when it can."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final

import zmq
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from piped import PipedError, Seconds, TimeoutError  # noqa: A004 - Piped's own

log = logging.getLogger("piped.zmq")

_NOBLOCK: Final = zmq.Flag.DONTWAIT
_MORE: Final = zmq.Flag.DONTWAIT | zmq.Flag.SNDMORE
#: What says that it can send only when it can. Others say so always; if they then cannot, they are asked now and then.
_SURE_OF_ROOM: Final = frozenset({zmq.PUSH, zmq.DEALER, zmq.PAIR, zmq.REQ})
_RETRY: Final[Seconds] = 0.1
_NOBODY: Final = "is somebody there who receives it?"


class SocketError(PipedError):
    """A socket cannot send: its type forbids it, its peer is unknown, too much waits, or it was closed."""


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of pyzmq, after which the channel has another look."""

    @wraps(method)
    def call(socket: QueueSocket, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(socket, *args, **kwargs)
        finally:
            # The descriptor tells of each change once, and any call may swallow that.
            if socket.channel is not None:
                socket.channel.look_soon()

    return call


class QueueSocket(zmq.Socket[bytes]):
    """The socket of a queue: pyzmq's own, with its channel.

    Whoever uses it directly does so in the thread of the reactor, and without waiting (`zmq.NOBLOCK`).
    """

    # Declared, as pyzmq takes any other attribute for a socket option.
    channel: Channel | None = None

    send = _telling(zmq.Socket.send)
    recv = _telling(zmq.Socket.recv)
    recv_into = _telling(zmq.Socket.recv_into)
    poll = _telling(zmq.Socket.poll)
    bind = _telling(zmq.Socket.bind)
    unbind = _telling(zmq.Socket.unbind)
    connect = _telling(zmq.Socket.connect)
    disconnect = _telling(zmq.Socket.disconnect)
    get = getsockopt = _telling(zmq.Socket.get)


class _Waiting:
    """A message that waits until it can be sent."""

    __slots__ = ("frames", "sent", "timer")

    def __init__(self, frames: Sequence[bytes], sent: Deferred[None]) -> None:
        self.frames, self.sent = frames, sent
        self.timer: Any = None


@implementer(IReadDescriptor)
class Channel:
    """A socket that tells the reactor when something can be received or sent.

    The descriptor of a ZeroMQ socket is no more than a bell. It rings once when the state may have changed, whatever
    the change, and any call of the socket may silence it. So after it has rung, all that can be done is done, or
    another look is planned; and so it is after each call that may have silenced it.

    Args:
        name: how messages call the socket, such as "zmq.socket.jobs".
        reactor: a reactor for descriptors.
        max_waiting: how many messages may wait until they can be sent.
    """

    def __init__(self, name: str, socket: QueueSocket, reactor: Any, *, max_waiting: int) -> None:
        self.name, self.socket, self._reactor = name, socket, reactor
        self._max_waiting = max_waiting
        self._descriptor = int(socket.getsockopt(zmq.FD))
        #: The methods of pyzmq: what the channel does itself need not be told to it.
        own: Any = super(QueueSocket, socket)
        self._send, self._recv, self._get = own.send, own.recv, own.get
        self._waiting: deque[_Waiting] = deque()
        self._receive: Callable[[], bool] | None = None
        self._is_looking = self._is_watched = self._has_received = False
        self._next_look: Any = None
        self._retry: Any = None
        self._type = zmq.SocketType(int(socket.type))
        self._is_sure_of_room = self._type in _SURE_OF_ROOM
        socket.channel = self

    # What a reactor asks of a descriptor

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return self.name

    def doRead(self) -> None:
        self.look()

    def connectionLost(self, reason: Failure) -> None:
        """Called when the reactor gives up, for `look` has raised an exception; or when it stops."""
        self._is_watched = False

    # Receiving

    def receive_with(self, receive: Callable[[], bool] | None) -> None:
        """Have something called whenever there may be messages; None: nothing any more.

        It calls `received` until that gives None, or it has enough for now; and returns whether it wants to be called
        again in the next turn of the reactor. One that wants no more for now calls `look` when it does.
        """
        self._receive = receive
        self._watch()
        if receive is not None:
            self.look_soon()

    def received(self) -> bytes | list[bytes] | None:
        """The next message: its bytes, or a list of them if it has several parts; None if there is none."""
        try:
            frame: zmq.Frame = self._recv(_NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EAGAIN, zmq.EFSM):  # the latter by a REQ that has not asked
                return None
            raise
        self._has_received = True
        if not frame.more:
            return frame.bytes
        parts = [frame.bytes]
        while frame.more:
            frame = self._recv(_NOBLOCK, copy=False)
            parts.append(frame.bytes)
        return parts

    def look_soon(self) -> None:
        """Look in the next turn of the reactor."""
        if self._next_look is None and not self._is_looking and (self._receive is not None or self._waiting):
            self._next_look = self._reactor.callLater(0, self._planned_look)

    def look(self) -> None:
        """Send what waits, and receive what is there; called by what that leads to, it does nothing."""
        if self._is_looking or self.socket.closed:
            return
        self._is_looking = True
        try:
            is_more = self._has_more()
        finally:
            self._is_looking = False
        if is_more:
            self.look_soon()

    def _has_more(self) -> bool:
        """Do what can be done; gives whether another look is needed, without the bell."""
        events = self._events
        if self._waiting:
            self._flush()
            if self.socket.closed:  # by whoever was told
                return False
            events = self._events  # sending may have silenced the bell for what came
        self._has_received = is_more = False
        if self._receive is not None and events & zmq.POLLIN:
            is_more = self._receive()
        if not self._waiting:
            return is_more
        if self._is_sure_of_room:
            # Receiving may have silenced the bell for what waits.
            return is_more or self._has_received or bool(events & zmq.POLLOUT)
        if self._retry is None:
            self._retry = self._reactor.callLater(_RETRY, self._retried)
        return is_more

    def _retried(self) -> None:
        self._retry = None
        self.look()

    def _planned_look(self) -> None:
        self._next_look = None
        self.look()

    # Sending

    def send(self, frames: Sequence[bytes], wait: Seconds | None = None) -> Deferred[None] | None:
        """Send a message of at least one part: None if that is done, else a Deferred that fires when it is.

        Messages are sent in the order in which they come. One that is cancelled while it waits is not sent.

        Args:
            wait: how many seconds it may wait until the socket can send it; None for as long as it takes.

        Raises:
            SocketError: it cannot be sent, also later; or as many wait already as may.
        """
        if not self._waiting and self._has_sent(frames):
            self.look_soon()
            return None
        if self.socket.closed:
            raise SocketError(f"{self.name} was closed")
        if len(self._waiting) >= self._max_waiting:
            raise SocketError(
                f"{len(self._waiting)} messages wait already until {self.name} can send",
                hint=f"{_NOBODY} `max_waiting` sets how many may wait",
            )
        waiting = _Waiting(frames, Deferred(lambda _: self._drop(waiting)))
        self._waiting.append(waiting)
        if wait is not None:
            waiting.timer = self._reactor.callLater(wait, self._too_late, waiting, wait)
        self._watch()
        self.look_soon()  # the bell may have rung when it was tried
        return waiting.sent

    @property
    def can_send(self) -> bool:
        """Whether a message would be sent at once."""
        events = self._events
        self.look_soon()
        return bool(events & zmq.POLLOUT)

    @property
    def _events(self) -> int:
        """What can be done now; silences the bell."""
        return int(self._get(zmq.EVENTS))

    def _has_sent(self, frames: Sequence[bytes]) -> bool:
        """Send a message unless the socket cannot for now."""
        try:
            for frame in frames[:-1]:
                self._send(frame, _MORE)
            self._send(frames[-1], _NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EFSM and self._type == zmq.REQ:
                return False  # it waits for a reply
            raise SocketError(f"{self.name} cannot send: {_reason(error, self._type.name)}") from error
        return True

    def _flush(self) -> None:
        """Send what waits, as far as that is possible; what comes meanwhile has its turn later."""
        for _ in range(len(self._waiting)):
            if not self._waiting:  # whoever was told has closed the socket, or cancelled the others
                return
            waiting, failure = self._waiting[0], None
            try:
                if not self._has_sent(waiting.frames):
                    return
            except SocketError:
                failure = Failure()
            self._drop(waiting)
            if failure is None:
                waiting.sent.callback(None)
            else:
                waiting.sent.errback(failure)

    def _too_late(self, waiting: _Waiting, wait: Seconds) -> None:
        waiting.timer = None
        self._drop(waiting)
        waiting.sent.errback(TimeoutError(f"{self.name} could not send within {wait:g} s", hint=_NOBODY))

    def _drop(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
        self._watch()

    # Watching and closing

    def _watch(self) -> None:
        """Have the reactor look at the descriptor while something is waited for."""
        is_wanted = (self._receive is not None or bool(self._waiting)) and not self.socket.closed
        if is_wanted is not self._is_watched:
            self._is_watched = is_wanted
            (self._reactor.addReader if is_wanted else self._reactor.removeReader)(self)

    def close(self, linger: int) -> None:
        """Close the socket; what it has yet to send has that many milliseconds, and what waits is not sent."""
        self._receive = None
        for planned in (self._next_look, self._retry):
            if planned is not None:
                planned.cancel()
        self._next_look = self._retry = None
        for waiting in list(self._waiting):
            self._drop(waiting)
            waiting.sent.errback(SocketError(f"{self.name} was closed before it could send"))
        self._watch()
        self.socket.close(linger)


def _reason(error: zmq.ZMQError, kind: str) -> str:
    match error.errno:
        case zmq.ENOTSUP:
            return f"a {kind} only receives"
        case zmq.EFSM:
            return f"this {kind} has no request to answer"
        case zmq.EHOSTUNREACH:
            return "there is no peer with this identity"
        case zmq.ENOTSOCK | zmq.ETERM:
            return "it was closed"
        case _:
            return error.strerror.lower()
