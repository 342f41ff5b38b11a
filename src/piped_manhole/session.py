"""Session: the channel between one conversation and the terminal, command or pipe of a client."""

from __future__ import annotations

import struct
from collections.abc import Callable
from threading import get_ident
from typing import Any, Final

from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.connection import EXTENDED_DATA_STDERR
from twisted.conch.ssh.session import parseRequest_pty_req, parseRequest_window_change

from piped.runtime.console import Console
from piped_manhole.conversations import Command, Conversation, Script
from piped_manhole.logins import Quiet
from piped_manhole.painting import Size
from piped_manhole.prompt import Prompt

#: Bytes that wait for a client that does not take them; what is printed beyond is left out.
MOST_UNSENT: Final = 16 * 1024 * 1024
#: Bytes that are worth a packet of their own.
_PACKET: Final = 32 * 1024
#: Signals that a client may send: they cancel what is being waited for.
_SIGNALS: Final = (b"INT", b"TERM", b"QUIT", b"HUP")


class Session(SSHChannel):
    """A channel of the kind `session`. Source: RFC 4254, 6.

    Args:
        new_console: gives the namespace and evaluation of this session.
        greeting: told on a terminal.
    """

    name = b"session"
    _log = Quiet()
    conn: Any  # a Channels

    def __init__(self, new_console: Callable[[], Console], greeting: str, **rest: Any) -> None:
        super().__init__(**rest)
        self._new_console, self._greeting = new_console, greeting
        self._terminal: Size | None = None
        self._conversation: Conversation | None = None
        self._has_begun = self._has_ended = False
        self._early = b""
        #: What is sent soon, or when the client has room for it.
        self._unsent = bytearray()
        self._left_out = 0
        self._is_due = False
        self._thread = get_ident()
        self._status: int | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is running in it."""
        return self._conversation is not None and self._conversation.is_busy

    # Requests of the client

    def channelOpen(self, specificData: bytes) -> None:
        """Nothing happens before the client says what for."""

    def requestReceived(self, requestType: bytes, data: bytes) -> bool:
        requests: dict[bytes, Callable[[bytes], bool]] = {
            b"pty-req": self._terminal_wanted,
            b"window-change": self._terminal_changed,
            b"shell": self._shell_wanted,
            b"exec": self._command_wanted,
            b"signal": self._signalled,
        }
        answer = requests.get(requestType)
        try:
            return answer is not None and answer(data)
        except (struct.error, IndexError, ValueError):  # it is no such request
            return False

    def _terminal_wanted(self, data: bytes) -> bool:
        _, (height, width, _, _), _ = parseRequest_pty_req(data)
        self._terminal = Size.of(width, height)
        return True

    def _terminal_changed(self, data: bytes) -> bool:
        height, width, _, _ = parseRequest_window_change(data)
        self._terminal = Size.of(width, height)
        if isinstance(self._conversation, Prompt) and self._has_begun:
            self._conversation.resize(self._terminal)
        return True

    def _shell_wanted(self, _: bytes) -> bool:
        if self._terminal is None:
            return self._begin_soon(Script(self._new_console(), self))
        return self._begin_soon(Prompt(self._new_console(), self, self._greeting, self._terminal))

    def _command_wanted(self, data: bytes) -> bool:
        command = getNS(data)[0].decode()
        return self._begin_soon(Command(self._new_console(), self, command))

    def _signalled(self, data: bytes) -> bool:
        if self._conversation is not None and getNS(data)[0] in _SIGNALS:
            self._conversation.interrupt()
        return self._conversation is not None

    def _begin_soon(self, conversation: Conversation) -> bool:
        """Begin once the client was told that it may: what it is sent comes after that."""
        if self._conversation is not None:
            return False
        self._conversation = conversation
        self.conn.transport.clock.callLater(0, self._begin, conversation)
        return True

    def _begin(self, conversation: Conversation) -> None:
        if self.localClosed:
            return
        self._has_begun = True
        conversation.begin()
        early, self._early = self._early, b""
        if early and not conversation.is_over:
            conversation.received(early)
        if self._has_ended and not conversation.is_over:
            conversation.input_ended()
        self.take_more()

    # Input

    def dataReceived(self, data: bytes) -> None:
        self.conn.transport.input_came()
        conversation = self._conversation
        if conversation is None or not self._has_begun:
            self._early += data  # no more than fits in the window
        elif not conversation.is_over:
            if isinstance(conversation, Command) and self._terminal is not None and b"\x03" in data:
                conversation.interrupt()
            conversation.received(data)

    def extReceived(self, dataType: int, data: bytes) -> None:
        """Clients have nothing to say on the standard error."""

    def eofReceived(self) -> None:
        self._has_ended = True
        if self._conversation is None:
            self.leave(0)
        elif self._has_begun and not self._conversation.is_over:
            self._conversation.input_ended()

    def closeReceived(self) -> None:
        """The client takes nothing any more: what waits to be sent is not waited for."""
        self.conn.sendClose(self)

    def closed(self) -> None:
        if self._conversation is not None:
            self._conversation.hang_up()

    @property
    def takes_more(self) -> bool:
        """Whether the client may go on to send."""
        return self._has_begun and self._conversation is not None and self._conversation.takes_more

    def take_more(self) -> None:
        """Let the client send what was held back."""
        if taken := self.localWindowSize - self.localWindowLeft:
            self.conn.adjustWindow(self, taken)

    # Output

    def tell(self, text: str) -> None:
        """Show something; threads that were started at the prompt may call it too."""
        if get_ident() == self._thread:
            self._send(text)
        else:
            self.conn.transport.clock.callFromThread(self._send, text)

    def tell_error(self, text: str) -> None:
        """Show what has gone wrong: on the standard error, unless there is a terminal."""
        self._send_waiting()
        if self._terminal is not None or self._unsent or self.buf:  # else it would overtake what is waiting
            self._send(text)
        elif not self.localClosed and text:
            self.writeExtended(EXTENDED_DATA_STDERR, text.encode(errors="replace")[:MOST_UNSENT])

    def _send(self, text: str) -> None:
        """Gather what is to be sent: a packet for each word that is printed would be slow."""
        if self.localClosed or not text:
            return
        if self._terminal is not None:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        data = text.encode(errors="replace")
        room = max(MOST_UNSENT - len(self._unsent) - len(self.buf), 0)
        self._left_out += max(len(data) - room, 0)
        self._unsent += data[:room]
        if len(self._unsent) >= _PACKET and not self.buf:
            self._send_waiting()
        elif not self._is_due:
            self._is_due = True
            self.conn.transport.clock.callLater(0, self._send_due)

    def _send_due(self) -> None:
        self._is_due = False
        self._send_waiting()

    def addWindowBytes(self, data: int) -> None:
        """The client has room for more."""
        super().addWindowBytes(data)
        self._send_waiting()

    def _send_waiting(self) -> None:
        if self.buf or self.localClosed:
            return
        if self._unsent:
            waiting, self._unsent = bytes(self._unsent), bytearray()
            self.write(waiting)
        if self._left_out and not self.buf:
            left_out, self._left_out = self._left_out, 0
            self._send(f"\n… {left_out} bytes were left out\n")
            return self._send_waiting()
        if self._status is not None and not self.buf and not self.extBuf:
            self._close(self._status)

    # The end

    def leave(self, status: int) -> None:
        """End the session with an exit status, once all that was told has been sent."""
        if self._status is None:
            self._status = status
            self._send_waiting()

    def say_goodbye(self, why: str) -> None:
        """Tell the client why it has to go, and stop what is running."""
        if self._conversation is not None:
            self._conversation.hang_up()
        self.tell(f"\n{why}\n")
        self.leave(1)

    def _close(self, status: int) -> None:
        if not self.localClosed:
            self.conn.sendRequest(self, b"exit-status", struct.pack(">L", status))
            self.conn.sendEOF(self)
            self.conn.sendClose(self)
