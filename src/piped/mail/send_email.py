"""The step that gives a mail to a server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from piped import ConfigurationError, OrPath, Path, PipedError, Processor, RuntimeEnvironment, get_path
from piped.mail.client import Client
from piped.mail.outgoing import Outgoing, addresses_of
from piped.mail.relay_options import Relay
from piped.mail.sending import Sender


class SendEmail(Processor):
    """Give a mail to a server, and wait until that has taken it.

    What the server cannot take now, and what finds no connection, is sent again, later each time; what it refuses for
    good is not. A mail that is taken for some recipients and refused for others has been sent: the result says for
    whom. If nobody gets it, the step fails with one of Twisted's errors (`twisted.mail.smtp.SMTPDeliveryError`,
    `SMTPConnectError`, `SMTPTimeoutError`, `SMTPTLSError`, `AUTHDeclinedError` …), whose `code` is that of the server.

    Connections are kept for the next mails. `Bcc` headers are not sent; `Date` and `Message-ID` are added to
    email messages without, and are the same at every try.

    Args:
        message_path: the mail in the baton: an email message, or its text, bytes or an open file.
        from_: the address of the sender; '' for a mail that nobody shall answer.
        from_path: where it is in the baton.
        to: the addresses of the recipients: a text, or a list of texts.
        to_path: where they are in the baton.
        configuration: the server.
        output_path: where to put what became of the mail: it has `accepted` and `refused`, `response` and `tries`.

    Example:
        - create-email-message:
            headers: {From: piped@example.org, To: ada@example.org, Subject: Hello}
            payload_path: text
        - send-email:
            from: piped@example.org
            to: ada@example.org
            configuration: {host: mail.example.org, port: 587, username: piped, password: '${MAIL_PASSWORD:-secret}'}
    """

    name = "send-email"

    def __init__(
        self,
        message_path: Path = "message",
        from_: OrPath[str] | None = None,
        from_path: Path | None = None,
        to: OrPath[str | list[str]] | None = None,
        to_path: Path | None = None,
        configuration: Relay = Relay(),  # noqa: B008 - it is frozen
        output_path: Path | None = None,
    ) -> None:
        super().__init__()
        if (from_ is None) == (from_path is None):
            raise ConfigurationError("one of `from` and `from_path` is needed", hint="from: ada@example.org")
        if (to is None) == (to_path is None):
            raise ConfigurationError("one of `to` and `to_path` is needed", hint="to: bob@example.org")
        self.message_path, self.output_path, self.relay = message_path, output_path, configuration
        self._from, self._from_path, self._to, self._to_path = from_, from_path, to, to_path
        try:
            if isinstance(from_, str):
                _sender_of(from_)
            if isinstance(to, str | list):
                addresses_of(to)
        except PipedError as error:
            raise ConfigurationError(error.msg, hint="write addresses such as ada@example.org") from error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.environment = runtime_environment
        self.tls = self.relay.tls()
        self.sender = Sender(self.relay, runtime_environment.reactor, self.connect, self.tls)
        self.sender.setServiceParent(runtime_environment.application)

    def connect(self, client: Client) -> Deferred[Any]:
        """Connect a client to the server."""
        # Late, as it brings OpenSSL along, for which every other configuration would wait.
        from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS

        relay = self.relay
        endpoint: Any = HostnameEndpoint(self.environment.reactor, relay.host, relay.port, timeout=relay.timeout)
        if relay.use_ssl:
            endpoint = wrapClientTLS(self.tls, endpoint)
        connecting: Deferred[Any] = connectProtocol(endpoint, client)
        return connecting

    async def process(self, baton: Any) -> Any:
        origin = self._value(baton, self._from, self._from_path)
        recipients = addresses_of(self._value(baton, self._to, self._to_path))
        message = self._value(baton, None, self.message_path)
        now, host = self.environment.wall_clock(), self.relay.called
        sent = await self.sender.send(Outgoing(_sender_of(origin), recipients, message, now, host))
        return self.get_resulting_baton(baton, self.output_path, sent)

    def _value(self, baton: Any, written: Any, path: Path | None) -> Any:
        value = self.get_input(baton, written, None) if path is None else get_path(baton, path, None)
        if value is None:
            raise PipedError(f"the baton has nothing at {path or str(written)!r}")
        return value


def _sender_of(written: Any) -> str:
    if written == "":
        return ""
    addresses = addresses_of(written)
    if len(addresses) > 1:
        raise PipedError(f"{written!r} are several senders, and a mail has one")
    return addresses[0]
