"""Connections: SSH with the algorithms that are safe today, limits on what comes before a login, and a log of both."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.conch.avatar import ConchUser
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import (
    MSG_CHANNEL_OPEN_FAILURE,
    OPEN_RESOURCE_SHORTAGE,
    OPEN_UNKNOWN_CHANNEL_TYPE,
    SSHConnection,
)
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import (
    DISCONNECT_BY_APPLICATION,
    DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE,
    DISCONNECT_PROTOCOL_ERROR,
    SSHServerTransport,
)
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped import told
from piped_manhole.checkers import portal_of
from piped_manhole.logins import SIGNATURES, Logins, Quiet

_log = logging.getLogger("piped.manhole")

#: Seconds after which a client that was told to go, and does not, is cut off.
GRACE: Final = 2.0
#: Seconds between two signs of life.
BEAT: Final = 30.0
#: What may wait in a connection for the rest of its packet. RFC 4253, 6.1: 35,000 bytes have to be understood.
MOST_WAITING: Final = 256 * 1024
#: How many sessions one connection may have at a time.
MOST_SESSIONS: Final = 10


class Connection(SSHServerTransport):
    """One client, from its first byte on."""

    # Of Conch, and None before there are any; that they are those of a manhole is not known to mypy.
    factory: Any
    transport: Any
    service: Any

    _log = Quiet()
    # No CBC and no 3DES, no MD5 and no SHA-1, and no compression, which a client could use to fill the memory.
    supportedCiphers = [
        name for name in SSHServerTransport.supportedCiphers if name.startswith(b"aes") and b"ctr" in name
    ]
    supportedMACs = [b"hmac-sha2-512", b"hmac-sha2-256"]
    # Elliptic curves, and one against quantum computers where OpenSSL has it.
    supportedKeyExchanges = [name for name in SSHServerTransport.supportedKeyExchanges if b"diffie" not in name]
    supportedCompressions = [b"none"]
    ourVersionString = b"SSH-2.0-Piped"

    #: Nothing is heard from it any more: it was told to go, or has gone.
    is_cut = False
    #: Who has logged in, for the log.
    user = ""
    _refusals = 0

    def connectionMade(self) -> None:
        options = self.factory.options
        self.clock = self.factory.clock
        self.peer = _called(self.transport.getPeer())
        self._timer: Any = self.clock.callLater(options.login_time, self._too_slow)
        self._cutting: Any = None
        self._next_beat: Any = None
        self._came_at = self.clock.seconds()
        self.factory.connections.add(self)
        self.transport.registerProducer(self, True)
        super().connectionMade()

    def pauseProducing(self) -> None:
        """Hear nothing from a client that does not take its answers: they would fill the memory."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is lost, which is told elsewhere."""

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends; whatever is wrong with it ends this connection, and nothing else."""
        if self.is_cut:
            return
        try:
            super().dataReceived(data)
        except Exception as error:  # Conch's parsers raise whatever their first wrong step raises
            self._cut(f"{type(error).__name__} in what it sent")
            _log.debug("%s: %s", self.factory.name, told(error), exc_info=error)
        if len(self.buf) > MOST_WAITING:
            self._cut("a packet is too long")
        if self.is_cut:
            self.buf = b""

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        if not self.is_cut:
            super().dispatchMessage(messageNum, payload)

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        """Tell the client to go, and see to it that it does."""
        if self.is_cut:
            return
        self.is_cut = True
        self._cutting = self.clock.callLater(GRACE, self.transport.abortConnection)
        super().sendDisconnect(reason, desc)
        self.transport.unregisterProducer()  # what it would resume is over, and closing would wait for it

    def _cut(self, why: str) -> None:
        if not self.is_cut:
            self.is_cut = True
            _log.info("%s: %s is cut off: %s", self.factory.name, self.peer, why)
            self.transport.abortConnection()

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """The client says that it goes, which is no error."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.is_cut = True
        for timer in (self._timer, self._cutting, self._next_beat):
            if timer is not None and timer.active():
                timer.cancel()
        super().connectionLost(reason)
        if self.user:
            seconds = self.clock.seconds() - self._came_at
            _log.info("%s: %s from %s has left after %.0f s", self.factory.name, self.user, self.peer, seconds)
        self.factory.has_gone(self)

    # Logging in

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """Logging in is asked for once, as attempts are counted one after another, and only where nobody can listen."""
        if self.service is not None or not self.isEncrypted("both"):
            self.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, b"not now")
        else:
            super().ssh_SERVICE_REQUEST(packet)

    def sendExtInfo(self, extensions: list[tuple[bytes, bytes]]) -> None:
        """Tell all signatures that are accepted: Conch would tell those of its own key only (twisted#12107)."""
        super().sendExtInfo([(b"server-sig-algs", b",".join(SIGNATURES))])

    def logged_in(self, user: bytes, method: bytes) -> None:
        """Somebody was let in."""
        self.user = _printable(user)
        _log.info("%s: %s from %s has logged in by %s", self.factory.name, self.user, self.peer, method.decode())
        self.input_came()
        self._next_beat = self.clock.callLater(BEAT, self._beat)

    def refused(self, user: bytes, method: bytes, why: str) -> None:
        """Somebody was not let in."""
        self._refusals += 1
        words = self.factory.name, _printable(user), self.peer, _printable(method)
        # A checker may have put the name into its words.
        _log.warning("%s: %s from %s is refused by %s: %s", *words, why if why.isprintable() else repr(why))
        if self._refusals >= self.factory.options.max_attempts:
            self.sendDisconnect(DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE, b"too many attempts")

    def _too_slow(self) -> None:
        _log.info("%s: %s did not log in within %g s", self.factory.name, self.peer, self.factory.options.login_time)
        self.sendDisconnect(DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE, b"you took too long")

    # Afterwards

    def _beat(self) -> None:
        """Send something now and then: only so is it found out that a client has vanished."""
        self.sendIgnore(b"")
        self._next_beat = self.clock.callLater(BEAT, self._beat)

    def input_came(self) -> None:
        """Begin to count the idle time, or that for the login is over."""
        if self._timer.active():
            self._timer.cancel()
        if (limit := self.factory.options.idle_timeout) is not None:
            self._timer = self.clock.callLater(limit, self._is_idle)

    def _is_idle(self) -> None:
        if any(channel.is_busy for channel in self.service.channels.values()):
            self.input_came()
        else:
            self.say_goodbye("nothing was typed for too long")

    def say_goodbye(self, why: str) -> None:
        """Tell every session why it ends, and end all of them."""
        if self.user and isinstance(self.service, SSHConnection):
            for channel in list(self.service.channels.values()):
                channel.say_goodbye(why)
        self.sendDisconnect(DISCONNECT_BY_APPLICATION, why.encode())


class Channels(SSHConnection):
    """What a connection is used for: sessions only; nothing is forwarded."""

    _log = Quiet()
    transport: Any

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        kind, rest = getNS(packet)
        sender, _, longest = struct.unpack(">3L", rest[:12])
        if kind != b"session" or longest == 0:
            self._refuse(sender, OPEN_UNKNOWN_CHANNEL_TYPE, b"there are sessions only")
        elif len(self.channels) >= MOST_SESSIONS:
            self._refuse(sender, OPEN_RESOURCE_SHORTAGE, b"too many sessions")
        else:
            super().ssh_CHANNEL_OPEN(packet)

    def adjustWindow(self, channel: Any, bytesToAdd: int) -> None:
        """Let the client send more, unless what it has sent has to wait."""
        if channel.takes_more:
            super().adjustWindow(channel, bytesToAdd)

    def _refuse(self, sender: int, reason: int, why: bytes) -> None:
        self.transport.sendPacket(MSG_CHANNEL_OPEN_FAILURE, struct.pack(">2L", sender, reason) + NS(why) + NS(b""))


class Connections(SSHFactory):
    """All clients of a manhole.

    Args:
        name: how the log calls the manhole.
        options: of the manhole.
        checkers: who may log in.
        new_session: makes a channel for a session.
        clock: the reactor.
    """

    protocol = Connection
    services = {b"ssh-userauth": Logins, b"ssh-connection": Channels}
    noisy = False
    primes = None
    _log = Quiet()

    def __init__(
        self, name: str, options: Any, checkers: Any, new_session: Callable[..., SSHChannel], clock: Any
    ) -> None:
        self.name, self.options, self.clock = name, options, clock
        self.portal = portal_of(_Realm(new_session), checkers)
        self.connections: set[Connection] = set()
        self._waiting: list[Deferred[None]] = []

    def use_key(self, key: Key) -> None:
        """Answer as the server whose private key this is; called before the port opens."""
        self.publicKeys = {key.sshType(): key.public()}
        self.privateKeys = {key.sshType(): key}

    def buildProtocol(self, addr: Any) -> Any:
        """A Connection, or None where there are too many."""
        if len(self.connections) >= self.options.max_connections:
            _log.warning("%s: %s is turned away: too many are connected", self.name, _called(addr))
            return None
        made = super().buildProtocol(addr)
        made.supportedPublicKeys = [name for name in made.supportedPublicKeys if name in SIGNATURES]
        return made

    def has_gone(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def close(self, why: str) -> Deferred[None]:
        """Tell all clients to go; fires when they have gone, or were cut off."""
        for connection in list(self.connections):
            connection.say_goodbye(why)
        if not self.connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._waiting.append(gone)
        return gone


class _Realm:
    def __init__(self, new_session: Callable[..., SSHChannel]) -> None:
        self._new_session = new_session

    def requestAvatar(self, avatar_id: Any, mind: object, *interfaces: Any) -> Any:
        user = ConchUser()
        user.channelLookup[b"session"] = self._new_session
        return IConchUser, user, lambda: None


def _called(address: Any) -> str:
    """How the log calls a client."""
    if isinstance(address, IPv4Address | IPv6Address):
        return f"{address.host}:{address.port}"
    return "a local socket"


def _printable(name: bytes) -> str:
    """A name as somebody has sent it, as it can stand in a line of the log."""
    with suppress(UnicodeDecodeError):
        text = name.decode()
        if text.isprintable() and 0 < len(text) <= 64 and not set(text) & set(" '\""):
            return text
    return repr(name[:64])
