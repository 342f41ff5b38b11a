"""Where a server listens and a client connects: ports, old forms and Twisted's endpoint strings as endpoints."""

from __future__ import annotations

import re
import warnings
from typing import Any

from twisted.python.filepath import FilePath

#: Connections that the system holds for us while we are busy; Twisted's own 50 turns bursts away.
_BACKLOG = 1024
_HAS_BACKLOG = re.compile(r"(tcp4?|tcp6|ssl|unix):.")
_MOST = 65535
#: The port of the endpoints that have one, as the first argument or by its name.
_PORT = re.compile(r"^(?:tcp4?|tcp6|ssl):(?:.*:)?(?:port=)?(\d+)(?::|$)|:port=(\d+)")
#: The port of an endpoint to connect to, as its second argument or by its name.
_PORT_OF_PEER = re.compile(r"^(?:tcp|tls|ssl):(?:\\.|[^:\\])*:(\d+)|:port=(\d+)")
#: The file of the key, which a colon ends.
_KEY = re.compile(r"^ssl:.*:privateKey=([^:]+)")
_ENCRYPTED = re.compile(rb"^(-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED)", re.MULTILINE)


def endpoint(reactor: Any, written: str | int, interface: str = "127.0.0.1") -> Any:
    """The IStreamServerEndpoint for what stands behind `port:` or `listen:`.

    A number listens on `interface`, an endpoint string ("tcp:8789", "ssl:1234", "unix:/run/site") where it says.

    Raises:
        ValueError: nothing can listen there; the text says why.
    """
    # Imported late, as it brings OpenSSL along, for which a check of what has no ports would wait.
    from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, serverFromString

    text = str(written).strip()
    if text.isdigit():
        make = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
        return make(reactor, _in_range(text), backlog=_BACKLOG, interface=interface)
    port = _PORT.search(text)
    if port:
        _in_range(port[1] or port[2])
    if _HAS_BACKLOG.match(text) and ":backlog=" not in text:
        text += f":backlog={_BACKLOG}"
    try:
        _refuse_encrypted(text)
        return serverFromString(reactor, text)
    except (IndexError, KeyError) as error:
        reason = "systemd has handed over no such socket" if is_known_only_when_running(text) else error
        raise ValueError(f"{str(written).strip()!r} is no endpoint: {reason}") from error
    except Exception as error:  # each kind of endpoint is a plug-in, and raises what it likes
        raise ValueError(f"{str(written).strip()!r} is no endpoint: {_reason(error)}") from error


def client_endpoint(reactor: Any, written: str) -> Any:
    """The IStreamClientEndpoint of an endpoint string such as "tcp:localhost:8789" or "tls:example.com:8789".

    Raises:
        ValueError: nothing can connect there; the text says why.
    """
    # Imported late, as above.
    from twisted.internet.endpoints import clientFromString

    port = _PORT_OF_PEER.search(written)
    if port and int(port[1] or port[2]) > _MOST:
        raise ValueError(f"{written!r} is no endpoint to connect to: the highest port is {_MOST}")
    try:
        with warnings.catch_warnings():  # while it is only checked, there is no resolver of names
            warnings.simplefilter("ignore", DeprecationWarning)
            return clientFromString(reactor, str(written))  # which it has to be, and no subclass
    except Exception as error:  # each kind of endpoint is a plug-in, and raises what it likes
        raise ValueError(f"{written!r} is no endpoint to connect to: {_reason_of_client(error)}") from error


def _reason_of_client(error: Exception) -> str:
    if isinstance(error, TypeError):
        return "it has not the parts that such an endpoint needs"
    cause = getattr(error, "originalException", error)
    if isinstance(cause, OSError) and cause.strerror:
        return f"cannot read {cause.filename}: {cause.strerror.lower()}"
    return str(error) or type(error).__name__


def _refuse_encrypted(text: str) -> None:
    """For a key with a passphrase OpenSSL would ask at the terminal, also a check that runs without one."""
    key = _KEY.search(text)
    if key and _ENCRYPTED.search(FilePath(key[1]).getContent()):
        raise ValueError("its key is encrypted: take the passphrase away, for nobody can be asked for it")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read {error.filename}: {error.strerror.lower()}"
    if type(error).__module__.startswith("OpenSSL."):
        return f"its key or certificate is not in the PEM form ({error})"
    return str(error)


def _in_range(port: str) -> int:
    if int(port) > _MOST:
        raise ValueError(f"{port} is no port: the highest is {_MOST}")
    return int(port)


def is_known_only_when_running(written: str | int) -> bool:
    """Whether an endpoint is handed to the process when it starts, so that nothing can be said of it before."""
    return str(written).strip().startswith("systemd:")
