"""What a step asks another web server for: the URL, headers and body that are written, or lie in the baton."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from piped import BatonPath, ConfigurationError, Path, PipedError
from piped.web_client.exchange import uri_of
from piped.web_client.known import is_fixed, known
from piped.web_client.outgoing import InThread, Outgoing, Whole, outgoing

_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def either(name: str, value: Any, path: Path | None) -> Any:
    """An option that may be written, or lie at a path of the baton.

    Raises:
        ConfigurationError: it does both.
    """
    if path is None:
        return value
    if value is not None:
        raise ConfigurationError(f"{name} and {name}_path mean the same", hint="remove one of them")
    return BatonPath(path)


def check_written(written: Mapping[str, Any]) -> None:
    """Refuse what could never be sent.

    Raises:
        ConfigurationError: with what is wrong.
    """
    url, method = written["url"], written["method"]
    if url is None:
        raise ConfigurationError("nothing says what to ask for", hint="add `url`")
    bodies = [name for name in ("json", "form", "body") if written[name] is not None]
    if len(bodies) > 1:
        raise ConfigurationError(f"{bodies[0]} and {bodies[1]} exclude each other", hint="a request has one body")
    if written["bearer"] is not None and written["user"] is not None:
        raise ConfigurationError("bearer and user exclude each other", hint="remove one of them")
    if written["password"] is not None and written["user"] is None:
        raise ConfigurationError("a password without a user", hint="add `user`")
    if type(method) is str and not _METHOD.fullmatch(method):
        raise ConfigurationError(f"{method!r} is no method", hint="such as GET or POST")
    if is_fixed(url):
        try:
            uri_of(_joined(url))
        except PipedError as error:
            raise ConfigurationError(error.msg, hint=error.hint) from error


async def request_of(written: Mapping[str, Any], baton: Any, in_thread: InThread) -> dict[str, Any]:
    """What is asked for with a baton: the `url`, the `method`, the `headers` and the `body`.

    Raises:
        PipedError: what the baton has is no request.
    """
    # Null in the baton is a value that can be sent as JSON; null that is written is an option that is not there.
    given = {name: await known(baton, each) for name, each in written.items() if each is not None}
    kind, body = await _body(given, in_thread)
    headers = {"user-agent": "Piped", "content-type": kind, "authorization": _authorization(given)}
    own = given.get("headers") or {}
    lower = {name.lower() for name in own}
    return {
        "url": _with_params(_joined(given["url"]), given.get("params")),
        "method": str(given.get("method") or ("GET" if body is None else "POST")).upper(),
        "headers": {name: value for name, value in headers.items() if name not in lower} | own,
        "body": body,
    }


async def _body(given: Mapping[str, Any], in_thread: InThread) -> tuple[str | None, Outgoing | None]:
    """The body, with its content type."""
    if "json" in given:
        text = json.dumps(given["json"], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return "application/json", Whole(text.encode())
    if "form" in given:
        return "application/x-www-form-urlencoded", Whole(_encoded(given["form"]).encode())
    return None, await outgoing(given.get("body"), in_thread)


def _joined(url: Any) -> str:
    if not isinstance(url, list | tuple):
        return str(url)
    if not url:
        raise PipedError("'' is no URL of a page: it has no parts")
    first, *segments = map(str, url)
    return "/".join([first.rstrip("/"), *map(_segment, segments)])


def _segment(text: str) -> str:
    """A text as one segment of a path, whoever has chosen it.

    Raises:
        PipedError: it would lead elsewhere.
    """
    if text in (".", ".."):
        raise PipedError(f"{text!r} is no segment of a URL: it leads elsewhere")
    return quote(text, safe="")


def _with_params(url: str, params: Mapping[str, Any] | None) -> str:
    query = _encoded(params or {})
    if not query:
        return url
    before, hash_, fragment = url.partition("#")
    return f"{before}{'&' if urlsplit(before).query else '?'}{query}{hash_}{fragment}"


def _encoded(fields: Mapping[str, Any]) -> str:
    return urlencode(list(_pairs(fields)), quote_via=quote)


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                yield name, str(one).lower() if isinstance(one, bool) else str(one)


def _authorization(given: Mapping[str, Any]) -> str | None:
    if given.get("bearer") is not None:
        return f"Bearer {given['bearer']}"
    if given.get("user") is None:
        return None
    if ":" in given["user"]:
        raise PipedError("the name of a user has no colon", hint="the password is an option of its own")
    # Source: RFC 7617, section 2.
    pair = f"{given['user']}:{given.get('password') or ''}"
    return f"Basic {b64encode(pair.encode()).decode()}"
