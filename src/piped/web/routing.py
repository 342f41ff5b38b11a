"""Which answer a path leads to: a tree of dictionaries, built once and walked once for each request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Answer = TypeVar("Answer")
_PLAIN = re.compile(r"[\w~.-]+", re.ASCII)
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Match(Generic[Answer]):
    """An answer for a path, and what it is to be told of the path.

    `postpath` holds the segments below the answer, `params` those that stand for parameters on the way to it;
    `otherwise` is asked when the answer has nothing there after all.
    """

    answer: Answer
    postpath: list[str]
    params: dict[str, str] = field(default_factory=dict)
    otherwise: Match[Answer] | None = None


@dataclass(slots=True)
class Route(Generic[Answer]):
    """One path of a site and all that is configured below it."""

    #: Answers this very path, with and without a slash at its end.
    own: Answer | None = None
    #: Looks for whatever no child stands for, and for this path where it has no answer of its own.
    files: Answer | None = None
    #: Answers what nothing else does, here and below.
    rest: Answer | None = None
    children: dict[str, Route[Answer]] = field(default_factory=dict)
    #: The name and the route of a segment that may be any text, where no child is called so.
    parameter: tuple[str, Route[Answer]] | None = None

    def find(self, segments: Sequence[str]) -> Match[Answer] | None:
        """The answer for the decoded segments below this route; a path that ends with a slash ends with ''.

        Children win over a parameter, and both over files; the deepest route wins over those above it. There is no way
        back: what a child has no answer for is not looked for below a parameter beside it.

        Example:
            >>> user = Route("user", children={"mail": Route("mail")})
            >>> shop = Route("shop", children={"cart": Route(rest="cart")}, parameter=("name", user))
            >>> shop.find([""]).answer, shop.find(["cart", "items", "3"]).postpath, shop.find(["jo", "sale"])
            ('shop', ['items', '3'], None)
            >>> shop.find(["jo", "mail"]).params
            {'name': 'jo'}
        """
        route, depth = self, 0
        params: dict[str, str] = {}
        rest, rest_depth, rest_params = self.rest, 0, params
        for segment in segments:
            child = route.children.get(segment)
            if child is None:
                if route.parameter is None or not segment:
                    break
                name, child = route.parameter
                params = {**params, name: segment}
            route, depth = child, depth + 1
            if child.rest is not None:
                rest, rest_depth, rest_params = child.rest, depth, params
        below = list(segments[depth:])
        if route.own is not None and below in ([], [""]):
            return Match(route.own, [], params)
        last = None if rest is None else Match(rest, list(segments[rest_depth:]), rest_params)
        return last if route.files is None else Match(route.files, below, params, last)


def exact_matches(route: Route[Answer], path: bytes = b"/") -> dict[bytes, Match[Answer]]:
    """What `find` gives for each path, as clients write it, that has an answer of its own and no parameters.

    Example:
        >>> sorted(exact_matches(Route("root", children={"a": Route("a"), "b c": Route("not in plain letters")})))
        [b'/', b'/a', b'/a/']
    """
    found = {}
    if route.own is not None:
        found[path] = found[path.rstrip(b"/") or path] = Match(route.own, [])
    for name, child in route.children.items():
        if _PLAIN.fullmatch(name):
            found.update(exact_matches(child, path + name.encode() + b"/"))
    return found


def parameter_of(segment: str) -> str | None:
    """The name of the parameter that a configured segment stands for; None for one that stands for itself.

    Raises:
        ValueError: it has braces, and is no parameter.

    Example:
        >>> parameter_of("{id}"), parameter_of("users")
        ('id', None)
    """
    found = _PARAMETER.fullmatch(segment)
    if found is None and ("{" in segment or "}" in segment):
        raise ValueError(f"{segment!r} is neither a parameter nor a plain segment")
    return None if found is None else found[1]


def text_segments(segments: Iterable[str | bytes]) -> list[str]:
    """Segments of a path as text; what is no UTF-8 is replaced, so that nothing a client sends can fail later."""
    return [segment.decode("utf-8", "replace") if isinstance(segment, bytes) else segment for segment in segments]
