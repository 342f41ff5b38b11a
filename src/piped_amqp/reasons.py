"""Why there is no connection: what a user would say of it, and what to do about it."""

from __future__ import annotations

import os
from typing import Any

from pika.connection import Connection
from pika.exceptions import (
    AMQPConnectionError,
    AMQPHeartbeatTimeout,
    AuthenticationError,
    ConnectionBlockedTimeout,
    ConnectionClosed,
    InvalidFrameError,
    StreamLostError,
)
from twisted.internet import error as connecting
from twisted.internet.error import ConnectionDone, ConnectionLost

from piped import told
from piped_amqp.parameters import Parameters

SPEAKS_NO_AMQP = "is it the port of an AMQP broker? With TLS, write tls: instead of tcp:"
SPEAKS_NO_TLS = "is it a port with TLS? Without, write tcp: instead of tls:"
_ACCESS_REFUSED, _FORCED, _NOT_ALLOWED = 403, 320, 530


class GivenUp(AMQPConnectionError):
    """We have ended the connection, or the attempt to make one: why, and what to do if there is more than to wait."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what, self.fix = what, fix

    def __str__(self) -> str:
        return self.what


def in_words(error: BaseException, parameters: Parameters, state: int | None = None) -> tuple[str, str]:
    """Why a connection was not made, or has ended, and what to do; that is empty where waiting is all.

    Args:
        state: how far the handshake was, as one of the states of pika's Connection.
    """
    if isinstance(error, ConnectionClosed):
        return _closed(error, parameters, state)
    if isinstance(error, AMQPHeartbeatTimeout):
        return f"nothing came from the broker, not even its heartbeat of {parameters.heartbeat} s", ""
    if isinstance(error, ConnectionBlockedTimeout):
        timeout = parameters.blocked_connection_timeout
        return f"the broker took no messages for {timeout:g} s (blocked_connection_timeout)", ""
    if isinstance(error, InvalidFrameError):
        return f"what answers there speaks no AMQP: {error}", SPEAKS_NO_AMQP
    if type(error).__module__.startswith(("OpenSSL.", "service_identity.")):
        said = _of_tls(error)
        return f"TLS has failed: {said}", SPEAKS_NO_TLS if "wrong version number" in said else ""
    if isinstance(error, AuthenticationError):
        return f"the broker accepts no login by {_mechanism(parameters)}", "check `parameters`"
    if isinstance(error, StreamLostError | ConnectionDone | ConnectionLost):
        return _hung_up(parameters, state)
    if isinstance(error, GivenUp):
        return error.what, error.fix
    return _not_reached(error), ""


def _closed(error: Any, parameters: Parameters, state: int | None) -> tuple[str, str]:
    code, text = error.reply_code, error.reply_text
    who = f"as {parameters.user!r}"
    if code == _ACCESS_REFUSED and state == Connection.CONNECTION_START:
        return f"the broker refuses the login {who}", "check username and password in `parameters`"
    said = f"the broker says {text!r} ({code})"
    if code == _NOT_ALLOWED and "not found" in text:
        return said, f"check virtual_host, or make it: rabbitmqctl add_vhost {parameters.virtual_host}"
    if code in (_NOT_ALLOWED, _ACCESS_REFUSED) and "refused" in text:
        return said, f"let {parameters.user!r} in: rabbitmqctl set_permissions, or check virtual_host"
    return said, ""


def _hung_up(parameters: Parameters, state: int | None) -> tuple[str, str]:
    if state in (Connection.CONNECTION_INIT, Connection.CONNECTION_PROTOCOL):
        return "what answers there has hung up instead of greeting", SPEAKS_NO_AMQP
    if state == Connection.CONNECTION_START:
        fix = "check username and password in `parameters`"
        return f"the broker has hung up on the login as {parameters.user!r}", fix
    if state == Connection.CONNECTION_TUNE:
        return f"the broker has hung up on the virtual host {parameters.virtual_host!r}", "check virtual_host"
    return "the broker has hung up", ""


def _mechanism(parameters: Parameters) -> str:
    return "certificate" if parameters.credentials == "external" else "username and password"


def _not_reached(error: BaseException) -> str:
    if isinstance(error, connecting.ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, connecting.DNSLookupError):
        return "there is no such host"
    if isinstance(error, connecting.TimeoutError | connecting.TCPTimedOutError):
        return "it does not answer"
    if isinstance(error, connecting.ConnectError) and error.osError:
        return os.strerror(error.osError).lower()
    return told(error)


def _of_tls(error: BaseException) -> str:
    """OpenSSL's errors are lists of (library, function, reason)."""
    listed = error.args[0] if error.args and isinstance(error.args[0], list | tuple) else ()
    reasons = [str(each[-1]) if isinstance(each, tuple) else str(each) for each in listed]
    return ", ".join(reasons) or str(error) or type(error).__name__
