"""A session of SMTP, as a server: what each command means, and what is said to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.cred.error import UnauthorizedLogin
from twisted.mail.smtp import AddressError

from piped import Rejected
from piped.mail import replies
from piped.mail.addresses import Address, path_of, recipient
from piped.mail.authenticating import Challenge
from piped.mail.conversation import Answer, Conversation
from piped.mail.letters import Letter, header_bytes, received_header
from piped.mail.reading import Data, Fault
from piped.mail.replies import Reply, in_one_line

if TYPE_CHECKING:
    from piped.mail.server import SmtpServer

_log = logging.getLogger("piped.mail")
_FAULTS: Final = {
    Fault.BARE: replies.BARE_IN_MAIL,
    Fault.TOO_BIG: replies.TOO_BIG,
    Fault.TOO_LONG: replies.LINE_OF_MAIL_TOO_LONG,
    Fault.NO_ROOM: replies.NO_ROOM,
}


class Session(Conversation):
    """What the lambdas of a configuration are given as `protocol`.

    Besides what is set below it has the address of the client, `peer`, and `is_secure`: whether TLS has begun.
    """

    def __init__(self, server: SmtpServer) -> None:
        super().__init__(server)
        #: How the server calls itself.
        self.host = server.host
        #: How the client calls itself, and its address.
        self.helo: tuple[str, str] = ("", "")
        #: Who has logged in, once somebody has.
        self.avatar_id: Any = None
        self.has_avatar = self._is_extended = False
        self._letter: Letter | None = None
        self._challenge: Challenge | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.helo = ("", self.peer)

    def do(self, line: bytes) -> Answer:
        if self._challenge is not None:
            return self._challenged(self._challenge, line)
        name, _, rest = line.strip().partition(b" ")
        command = _COMMANDS.get(name.upper())
        return replies.UNKNOWN if command is None else command(self, rest.strip())

    def data_ended(self, data: Data) -> Answer:
        letter, self._letter = self._letter, None
        assert letter is not None
        if data.fault is None:
            return self._deliver(letter)
        level = logging.ERROR if data.fault is Fault.NO_ROOM else logging.INFO
        _log.log(level, "%s refuses a mail of %s: %s", self.server.name, self.peer, data.fault.value)
        return _FAULTS[data.fault]

    def forget(self) -> None:
        if self._letter is not None:
            self._letter.content.clear()
        self._letter = self._data = self._challenge = None

    # Commands

    def _helo(self, rest: bytes) -> Answer:
        return self._greeted(rest, f"250 {self.host}\r\n")

    def _ehlo(self, rest: bytes) -> Answer:
        words = ["PIPELINING", f"SIZE {self.options.max_message_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        if self.server.tls is not None and not self.is_secure:
            words.append("STARTTLS")
        if self._may_log_in:
            words.append("AUTH PLAIN LOGIN")
        lines = [self.host, *words]
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        return self._greeted(rest, text, is_extended=True)

    def _greeted(self, rest: bytes, text: str, is_extended: bool = False) -> Answer:
        if not rest:
            return replies.BAD_SYNTAX
        self.forget()
        self.helo, self._is_extended = (rest.decode(errors="replace"), self.peer), is_extended
        self.transport.write(text.encode())
        return None

    def _starttls(self, rest: bytes) -> Answer:
        if self.server.tls is None or self.is_secure:
            return replies.OUT_OF_ORDER
        # What came before the handshake may be of somebody between, who must not speak for the client after it.
        self._incoming.rest()
        self.forget()
        self.helo, self.is_secure = ("", self.peer), True
        self._say(replies.BEGIN_TLS)
        self.transport.startTLS(self.server.tls)
        return None

    @property
    def _may_log_in(self) -> bool:
        return self.is_secure and self.server.checkers is not None and self.server.checkers.know_passwords

    def _auth(self, rest: bytes) -> Answer:
        if self.server.checkers is None or not self.server.checkers.know_passwords:
            return replies.UNKNOWN
        if not self.is_secure:
            return replies.NEEDS_TLS
        if self.has_avatar or self._letter is not None:
            return replies.OUT_OF_ORDER
        mechanism, _, initial = rest.partition(b" ")
        if mechanism.upper() not in (b"PLAIN", b"LOGIN"):
            return replies.NO_SUCH_MECHANISM if mechanism else replies.BAD_SYNTAX
        challenge = self._challenge = Challenge(mechanism.upper().decode())
        if initial:
            return self._challenged(challenge, b"" if initial == b"=" else initial.strip())
        return self._ask(challenge)

    def _ask(self, challenge: Challenge) -> Answer:
        self.transport.write(b"334 " + challenge.question + b"\r\n")
        return None

    def _challenged(self, challenge: Challenge, line: bytes) -> Answer:
        if line == b"*":
            self._challenge = None
            return replies.CANCELLED
        try:
            login = challenge.answer(line)
        except ValueError:
            self._challenge = None
            return replies.BAD_SYNTAX
        if login is None:
            return self._ask(challenge)
        self._challenge = None
        return self._login(*login)

    async def _login(self, username: bytes, password: bytes) -> Reply:
        assert self.server.checkers is not None
        try:
            self.avatar_id = await self.server.checkers.login(username, password)
        except UnauthorizedLogin:
            # The name may be a password that was typed into the wrong field.
            _log.warning("%s: somebody at %s could not log in", self.server.name, self.peer)
            return replies.WRONG_CREDENTIALS
        self.has_avatar = True
        _log.info("%s: %s logged in from %s", self.server.name, self.avatar_id, self.peer)
        return replies.LOGGED_IN

    async def _mail(self, rest: bytes) -> Reply:
        if self.options.require_tls and not self.is_secure:
            return replies.NEEDS_TLS
        checkers, avatar_id = self.server.checkers, self.avatar_id
        if checkers is not None and not self.has_avatar:
            try:
                avatar_id = await checkers.anonymous()
            except UnauthorizedLogin:
                return replies.NEEDS_LOGIN
        if self._letter is not None:
            return replies.OUT_OF_ORDER
        path = path_of(rest[5:]) if rest[:5].upper() == b"FROM:" else None
        if path is None:
            return replies.BAD_SYNTAX
        try:
            origin = Address(path[0], self.host.encode())
        except AddressError:
            return replies.BAD_ADDRESS
        if (reply := self._parameters(path[1], origin)) is not None:
            return reply
        refused = await self._asked(self.server.lambdas.validate_from, replies.BAD_SENDER, self.helo, origin)
        if refused is None:
            self._letter = Letter(origin, has_avatar=checkers is not None, avatar_id=avatar_id)
        return refused or replies.SENDER_OK

    def _parameters(self, parameters: dict[bytes, bytes], origin: Address) -> Reply | None:
        """What is wrong with the parameters of a sender."""
        if not origin.is_ascii and b"SMTPUTF8" not in parameters:
            return replies.BAD_ADDRESS
        for name, value in parameters.items():
            if name == b"SIZE":
                if not (value.isdigit() and len(value) <= 20):
                    return replies.BAD_SYNTAX
                if int(value) > self.options.max_message_size:
                    return replies.TOO_BIG
            elif name == b"BODY":
                if value.upper() not in (b"7BIT", b"8BITMIME"):
                    return replies.BAD_PARAMETER
            elif name not in (b"SMTPUTF8", b"AUTH"):
                return replies.BAD_PARAMETER
        return None

    async def _asked(self, validate: Callable[..., Any] | None, otherwise: Reply, *arguments: Any) -> Reply | None:
        """Why a lambda refuses an address; nobody is accepted where there is none."""
        if validate is None:
            return otherwise
        try:
            accepted = validate(self, *arguments)
            if hasattr(accepted, "__await__"):
                accepted = await accepted
        except Rejected as rejected:
            return otherwise._replace(text=f"5.7.1 {in_one_line(rejected.msg) or 'refused'}")
        return None if accepted else otherwise

    async def _rcpt(self, rest: bytes) -> Reply:
        letter = self._letter
        if letter is None:
            return replies.OUT_OF_ORDER
        path = path_of(rest[3:]) if rest[:3].upper() == b"TO:" else None
        if path is None:
            return replies.BAD_SYNTAX
        if path[1]:
            return replies.BAD_PARAMETER
        if len(letter.recipients) >= self.options.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        try:
            address = Address(path[0], self.host.encode())
        except AddressError:
            return replies.BAD_ADDRESS
        if not address.local:
            return replies.BAD_ADDRESS
        user = recipient(address, self.helo, self, letter.origin)
        refused = await self._asked(self.server.lambdas.validate_to, replies.BAD_RECIPIENT, user)
        if refused is None:
            letter.recipients.append(user)
        return refused or replies.RECIPIENT_OK

    async def _data_begins(self, rest: bytes) -> Reply:
        letter = self._letter
        if letter is None or not letter.recipients:
            return replies.OUT_OF_ORDER
        if not self.server.delivery.is_open:
            return replies.NOT_NOW
        letter.received = await self._received(letter)
        self._data = Data(letter.content, self.options.max_message_size, self.options.max_line_length)
        return replies.GO_AHEAD

    async def _received(self, letter: Letter) -> bytes:
        """The header that is put before those of a mail."""
        own = self.server.lambdas.received_header
        if own is None:
            protocol = "ESMTP" if self._is_extended else "SMTP"
            protocol += "S" * self.is_secure + "A" * self.has_avatar
            number, now = self.server.number(), self.server.wall_clock()
            return header_bytes(received_header(self.helo, self.host, protocol, letter.addresses, number, now))
        header = own(self, self.helo, letter.origin, letter.recipients)
        return header_bytes(await header if hasattr(header, "__await__") else header)

    async def _deliver(self, letter: Letter) -> Reply:
        reply = await self.server.delivery.deliver(letter)
        if reply is replies.DELIVERED:
            self._errors = 0
        return reply

    def _rset(self, rest: bytes) -> Answer:
        self.forget()
        return replies.OK

    def _noop(self, rest: bytes) -> Answer:
        return replies.OK

    def _vrfy(self, rest: bytes) -> Answer:
        return replies.VERIFIES_NOTHING

    def _help(self, rest: bytes) -> Answer:
        return replies.HELP

    def _quit(self, rest: bytes) -> Answer:
        return replies.BYE


_COMMANDS: Final[dict[bytes, Callable[[Session, bytes], Answer]]] = {
    b"HELO": Session._helo,
    b"EHLO": Session._ehlo,
    b"STARTTLS": Session._starttls,
    b"AUTH": Session._auth,
    b"MAIL": Session._mail,
    b"RCPT": Session._rcpt,
    b"DATA": Session._data_begins,
    b"RSET": Session._rset,
    b"NOOP": Session._noop,
    b"VRFY": Session._vrfy,
    b"HELP": Session._help,
    b"QUIT": Session._quit,
}
