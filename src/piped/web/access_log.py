"""Access log: one line for each request, as web servers write it, or as JSON."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from twisted.internet.address import UNIXAddress

_log = logging.getLogger("piped.access")
#: What could end a line, hide a part of it or pretend to be its end.
_UNSAFE: Final = re.compile(r'[^\x20-\x7e]|["\\]')
#: What stands for a request whose client has left before anything was sent to it, as with nginx.
CLIENT_LEFT: Final = 499


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, and what became of it.

    `time` is when it ended, in seconds since 1970; `seconds` how long it took since its headers were complete. What a
    client has sent is as it came; `method`, `target` and `version` are empty where no first line was understood.
    """

    time: float
    remote: str
    method: bytes
    target: bytes
    version: bytes
    status: int
    size: int
    seconds: float
    referrer: bytes | None
    agent: bytes | None


def combined(entry: Entry) -> str:
    """The line of the "combined" log format, and at its end the seconds.

    Source: Apache HTTP Server, mod_log_config.
    """
    moment = datetime.fromtimestamp(entry.time, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    parts = filter(None, (entry.method, entry.target, entry.version))
    line = _quoted(b" ".join(parts))
    about = f"{_quoted(entry.referrer)} {_quoted(entry.agent)}"
    return f"{entry.remote} - - [{moment}] {line} {entry.status} {entry.size or '-'} {about} {entry.seconds:.3f}"


def as_json(entry: Entry) -> str:
    """The entry as an object; keys of what the client did not send are left out."""
    told: dict[str, Any] = {
        "time": datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds"),
        "remote": entry.remote,
        "method": _text(entry.method),
        "path": _text(entry.target),
        "status": entry.status,
        "bytes": entry.size,
        "seconds": round(entry.seconds, 6),
        "referrer": _text(entry.referrer),
        "agent": _text(entry.agent),
    }
    return json.dumps({key: value for key, value in told.items() if value != ""})


def access_log(form: Literal["none", "combined", "json"]) -> Callable[[Entry], None] | None:
    """What writes an entry to the logger `piped.access`; None where nothing is to be written."""
    if form == "none":
        return None
    line_of = combined if form == "combined" else as_json
    return lambda entry: _log.info("%s", line_of(entry))


def remote_of(address: Any) -> str:
    """The host of a client's address; "unix" for a client of a UNIX socket."""
    return "unix" if isinstance(address, UNIXAddress) else str(getattr(address, "host", address))


def _quoted(data: bytes | None) -> str:
    return f'"{_UNSAFE.sub(_escaped, (data or b"-").decode("latin-1"))}"'


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "backslashreplace")
