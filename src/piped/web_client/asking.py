"""What a step asks another web server for: the URL, headers and body that are written, or lie in the baton."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from piped import BatonPath, ConfigurationError, Path, PipedError, Seconds, get_path
from piped.pipelines.input_output import is_awaitable
from piped.web_client.exchange import headers_of, uri_of
from piped.web_client.outgoing import InThread, Outgoing, Whole, outgoing

_MISSING: Final = object()
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


async def known(baton: Any, option: Any) -> Any:
    """What an option stands for: the baton's value for a `!path`, what a function gives, what a Deferred has.

    Raises:
        PipedError: the baton has nothing at a path.
    """
    if isinstance(option, BatonPath):
        value = get_path(baton, option, _MISSING)
        if value is _MISSING:
            raise PipedError(f"the baton has nothing at {str(option)!r}")
    elif type(option) is dict:
        return {name: await known(baton, member) for name, member in option.items()}
    elif type(option) is list:
        return [await known(baton, member) for member in option]
    else:
        value = option
    if callable(value):
        value = value()
    return await value if is_awaitable(value) else value


async def seconds_of(baton: Any, option: Any) -> Seconds:
    """How long an option for a time says; 0 for nothing.

    Raises:
        PipedError: what the baton has is no number.
    """
    value = await known(baton, option)
    try:
        return max(float(value or 0), 0.0)
    except (TypeError, ValueError) as error:
        raise PipedError(f"{value!r} is no number of seconds") from error


def is_fixed(option: Any) -> bool:
    """Whether an option is the same for every baton.

    Example:
        >>> is_fixed(["a", {"b": 1}]), is_fixed({"a": [BatonPath("b")]})
        (True, False)
    """
    if type(option) is dict:
        return all(map(is_fixed, option.values()))
    if type(option) is list:
        return all(map(is_fixed, option))
    return not (isinstance(option, BatonPath) or callable(option) or is_awaitable(option))


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
    try:
        if is_fixed(url):
            uri_of(_joined(url, url))
        if type(written["headers"]) is dict:
            headers_of(written["headers"])
        if type(written["user"]) is str:
            _authorization({"user": written["user"]})
        if is_fixed(written["json"]):
            _as_json(written["json"])
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
    own = {str(name): value for name, value in mapping_in(given, "headers").items()}
    lower = {name.lower() for name in own}
    return {
        "url": _with_params(_joined(given["url"], written["url"]), mapping_in(given, "params")),
        "method": str(given.get("method") or ("GET" if body is None else "POST")).upper(),
        "headers": {name: value for name, value in headers.items() if name not in lower} | own,
        "body": body,
    }


async def _body(given: Mapping[str, Any], in_thread: InThread) -> tuple[str | None, Outgoing | None]:
    """The body, with its content type."""
    if "json" in given:
        return "application/json", Whole(_as_json(given["json"]))
    if "form" in given:
        return "application/x-www-form-urlencoded", Whole(_encoded(mapping_in(given, "form")).encode())
    return None, await outgoing(given.get("body"), in_thread)


def _as_json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:  # also text that is none
        raise PipedError(f"what stands for `json` cannot be sent as JSON: {error}") from error


def mapping_in(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping that an option stands for, an empty one for nothing.

    Raises:
        PipedError: it is something else.
    """
    value = given.get(name)
    if isinstance(value, Mapping):
        return value
    if value is None:
        return {}
    raise PipedError(f"{name} must be a mapping, not {type(value).__name__}")  # the value may be a secret


def _joined(url: Any, written: Any) -> str:
    if not isinstance(url, list | tuple):
        return str(url)
    if not url:
        raise PipedError("'' is no URL of a page: it has no parts")
    own = written if type(written) is list else [None] * len(url)
    # Whoever writes '' wants a slash; in a baton it is no name, and without one all things are asked for, not one.
    segments = [_segment(part, may_be_empty=type(as_) is str) for part, as_ in zip(url[1:], own[1:], strict=True)]
    return "/".join([str(url[0]).rstrip("/"), *segments])


def _segment(part: Any, *, may_be_empty: bool) -> str:
    """A value as one segment of a path, whoever has chosen it.

    Raises:
        PipedError: it would lead elsewhere.
    """
    if part is None or part in (".", "..") or (part == "" and not may_be_empty):
        raise PipedError(f"{part!r} is no segment of a URL: it leads elsewhere")
    return quote(str(part), safe="")


def _with_params(url: str, params: Mapping[str, Any]) -> str:
    query = _encoded(params)
    if not query:
        return url
    before, hash_, fragment = url.partition("#")
    return f"{before}{'&' if urlsplit(before).query else '?'}{query}{hash_}{fragment}"


def _encoded(fields: Mapping[str, Any]) -> str:
    return urlencode(list(_pairs(fields)), quote_via=quote)


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str | bytes]]:
    for name, value in fields.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, bytes):
                yield name, one
            elif one is not None:
                yield name, str(one).lower() if isinstance(one, bool) else str(one)


def _authorization(given: Mapping[str, Any]) -> str | None:
    if given.get("bearer") is not None:
        return f"Bearer {given['bearer']}"
    if given.get("user") is None:
        return None
    if ":" in str(given["user"]):
        raise PipedError("the name of a user has no colon", hint="the password is an option of its own")
    # Source: RFC 7617, section 2.
    pair = f"{given['user']}:{given.get('password') or ''}"
    return f"Basic {b64encode(pair.encode()).decode()}"
