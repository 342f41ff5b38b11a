"""How a mail is given to a server: greeting, TLS, login, sender, recipients, content."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from piped.mail.client import Client, Response
from piped.mail.errors import (
    AUTHDeclinedError,
    AUTHRequiredError,
    SMTPClientError,
    SMTPConnectError,
    SMTPDeliveryError,
    TLSRequiredError,
)
from piped.mail.outgoing import Outgoing
from piped.mail.relay_options import Relay


@dataclass(eq=False)
class Connection:
    """A client that may send mails, and what the server on the other side can do."""

    client: Client
    extensions: dict[str, str]
    #: Whether a mail has gone over it.
    is_used: bool = False

    @property
    def is_lost(self) -> bool:
        return self.client.is_lost

    async def send(self, mail: Outgoing, recipients: Sequence[str]) -> dict[str, Response]:
        """What the server says for each recipient, those of a mail that it has taken among them.

        Raises:
            SMTPClientError: it does not take the mail for anybody, or nobody knows.
        """
        extensions = self.extensions
        if mail.needs_utf8 and "SMTPUTF8" not in extensions:
            raise SMTPDeliveryError(-1, b"this server takes ASCII addresses only (it has no SMTPUTF8)")
        content = mail.content("8BITMIME" in extensions, "SMTPUTF8" in extensions)
        parameters = "".join(
            [
                f" SIZE={len(content)}" if "SIZE" in extensions else "",
                " BODY=8BITMIME" if "8BITMIME" in extensions and not content.isascii() else "",
                " SMTPUTF8" if mail.needs_utf8 else "",
            ]
        )
        commands = [f"MAIL FROM:<{mail.origin}>{parameters}", *(f"RCPT TO:<{address}>" for address in recipients)]
        ahead = "PIPELINING" in extensions
        sender, *answers = await self.client.ask(*map(str.encode, commands), ahead=ahead)
        if not sender.is_good:
            await self._reset()
            raise error_of(sender)
        said = dict(zip(recipients, answers, strict=True))
        taken = [address for address, answer in said.items() if answer.is_good]
        if not taken:
            await self._reset()
            return said
        [go_ahead] = await self.client.ask(b"DATA")
        if go_ahead.code != 354:
            await self._reset()
            raise error_of(go_ahead)
        end = await self.client.send(content)
        if not end.is_good:
            raise error_of(end)
        return said | dict.fromkeys(taken, end)

    async def _reset(self) -> None:
        """Make it fit for another mail, unless the server hangs up on whom it refuses."""
        with suppress(SMTPClientError):
            await self.client.ask(b"RSET")


def error_of(response: Response) -> SMTPDeliveryError:
    """What a server has refused; `retry` says whether it may not do so later."""
    return SMTPDeliveryError(response.code, response.text.encode(), retry=response.is_for_now)


async def introduced(client: Client, relay: Relay, tls: Any) -> Connection:
    """A connection over which mails may be sent.

    Args:
        tls: what TLS is made with.

    Raises:
        SMTPClientError: the server does not let us, or we do not trust it.
    """
    greeting = await client.answer()
    if not greeting.is_good:
        raise SMTPConnectError(greeting.code, greeting.text.encode(), retry=greeting.is_for_now)
    extensions = await _greet(client, relay)
    is_secure = relay.use_ssl
    if not is_secure and "STARTTLS" in extensions:
        [answer] = await client.ask(b"STARTTLS")
        if answer.is_good:
            client.start_tls(tls)
            extensions, is_secure = await _greet(client, relay), True
    if relay.is_strict and not is_secure:
        raise TLSRequiredError(502, b"the server offers no TLS, which is required")
    if relay.username is not None and relay.password is not None:
        await _log_in(client, relay.username, relay.password, extensions, relay.must_log_in)
    return Connection(client, extensions)


async def _greet(client: Client, relay: Relay) -> dict[str, str]:
    """The extensions that the server offers, with their parameters."""
    [answer] = await client.ask(f"EHLO {relay.called}".encode())
    if not answer.is_good and relay.helo_fallback:
        [answer] = await client.ask(f"HELO {relay.called}".encode())
        if answer.is_good:
            return {}
    if not answer.is_good:
        raise SMTPConnectError(answer.code, answer.text.encode(), retry=answer.is_for_now)
    words = (line.partition(" ") for line in answer.text.split("\n")[1:])
    return {name.upper(): parameters for name, _, parameters in words}


async def _log_in(client: Client, username: str, password: str, extensions: dict[str, str], is_required: bool) -> None:
    mechanisms = extensions.get("AUTH", "").upper().split()
    if "PLAIN" in mechanisms:
        [answer] = await client.ask(b"AUTH PLAIN " + b64encode(f"\0{username}\0{password}".encode()))
    elif "LOGIN" in mechanisms:
        for line in (b"AUTH LOGIN", b64encode(username.encode()), b64encode(password.encode())):
            [answer] = await client.ask(line)
            if answer.code != 334:
                break
    elif is_required:
        raise AUTHRequiredError(502, b"the server offers no AUTH PLAIN or LOGIN, which is required")
    else:
        return
    if not answer.is_good:
        # Its text is left out: some servers repeat what was sent.
        error: type[SMTPClientError] = AUTHDeclinedError
        raise error(answer.code, b"the server does not let us log in", retry=answer.is_for_now)
