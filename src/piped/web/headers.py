"""Headers that a site gives to every response, unless its pipeline has set them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from twisted.web.http_headers import Headers
from twisted.web.server import version

from piped import Problem
from piped.config.nodes import Node
from piped.web.request import Request, put_header

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: What is good for any site of these days. The rest (Content-Security-Policy and others) depends on its pages.
SECURE: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Strict-Transport-Security": "max-age=31536000",
}
#: Says for how long browsers are to come over TLS only; over anything else it is to be ignored.
#: Source: RFC 6797, 7.2 and 8.1.
_OVER_TLS: Final = b"Strict-Transport-Security"
#: What follows from a response and its connection, so that no configuration can know it.
_NOT_TO_BE_SET: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-range", "date", "keep-alive", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
#: The only header that the site itself sets before a pipeline sees the request, and that somebody may want to replace.
_NAMED_BY_SITE: Final = [version]


class Fields(dict[str, str]):
    """Names of headers with their values."""

    __shape__: ClassVar = dict[str, str | int]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Fields | None:
        found = _checked(checker, node, "headers", is_null_right=False)
        return None if found is None else cls({name: value for name, value in found.items() if value is not None})


class SecureFields(dict[str, str]):
    """True for what is good for any site, or a mapping of what is different; null leaves a header out."""

    __shape__: ClassVar = bool | dict[str, str | int | None]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> SecureFields | None:
        if type(node.value) is bool:
            return cls(SECURE if node.value else {})
        written = _checked(checker, node, "security_headers", is_null_right=True)
        if written is None:
            return None
        changed = {name.lower() for name in written}
        made = {name: value for name, value in SECURE.items() if name.lower() not in changed}
        return cls(made | {name: value for name, value in written.items() if value is not None})


def _checked(checker: Checker, node: Node, owner: str, is_null_right: bool) -> dict[str, str | None] | None:
    """The headers of a mapping, in which each that cannot be sent is a Problem at its place."""
    if not node.is_mapping:
        checker.refuse(owner, "a mapping" if owner == "headers" else "true, false or a mapping", node)
        return None
    found: dict[str, str | None] = {}
    for name, member in node.value.items():
        if name.lower() in _NOT_TO_BE_SET:
            what, fix = f"{name!r} follows from each response", "remove it: the site sends it where it belongs"
            checker.problems.append(Problem(what, member.named_at, fix))
        elif is_null_right and member.value is None:
            found[name] = None
        else:
            value = checker.value(str | int, member, owner=f"header {name!r}")
            if value is not None and _can_be_sent(checker, name, value, member):
                found[name] = str(value)
    return found


def _can_be_sent(checker: Checker, name: str, value: str | int, member: Node) -> bool:
    try:
        put_header(Headers(), name, value)
    except ValueError as error:
        fix = "write it in one line; `>-` folds several into one" if "\n" in str(value) else ""
        checker.problems.append(Problem(str(error), member.where, fix))
        return False
    return True


class FixedHeaders:
    """Gives headers to every response that does not have them; those that are for TLS only over TLS.

    Args:
        fields: text by names; names may be written in any case.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        headers = Headers()
        for name, value in fields.items():
            put_header(headers, name, value)
        members = [(name, list(values)) for name, values in headers.getAllRawHeaders()]
        self._always = [(name, values) for name, values in members if name != _OVER_TLS]
        self._over_tls = [(name, values) for name, values in members if name == _OVER_TLS]

    def __call__(self, request: Request, size: int | None) -> None:
        # Not a public name; asking for each by a public one would canonise its name again.
        headers = request.responseHeaders._rawHeaders
        for name, values in self._always:
            if (present := headers.get(name)) is None or present == _NAMED_BY_SITE:
                headers[name] = values.copy()
        if self._over_tls and request.isSecure():
            for name, values in self._over_tls:
                headers.setdefault(name, values.copy())


def vary_by(request: Request, name: bytes) -> None:
    """Tell caches that the response depends on a header of the request; `name` is in its canonical case.

    Source: RFC 9110, 12.5.5.
    """
    headers = request.responseHeaders._rawHeaders
    named = headers.get(b"Vary")
    if named is None:
        headers[b"Vary"] = [name]
        return
    known = {one.strip().lower() for one in b",".join(named).split(b",")}
    if name.lower() not in known and b"*" not in known:
        headers[b"Vary"] = [b", ".join([*named, name])]
