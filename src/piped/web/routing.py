"""Which answer a path leads to: a tree of dictionaries, built once and walked once for each request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Match(Generic[Answer]):
    """An answer for a path, and what it is to be told of the path.

    `postpath` holds the segments below the answer; `otherwise` is asked when the answer has nothing there after all.
    """

    answer: Answer
    postpath: list[str]
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

    def find(self, segments: Sequence[str]) -> Match[Answer] | None:
        """The answer for the decoded segments below this route; a path that ends with a slash ends with ''.

        Children win over files, the deepest route wins over those above it.

        Example:
            >>> shop = Route("shop", children={"cart": Route(rest="cart")})
            >>> shop.find([""]).answer, shop.find(["cart", "items", "3"]).postpath, shop.find(["sale"])
            ('shop', ['items', '3'], None)
        """
        route, depth = self, 0
        rest, rest_depth = self.rest, 0
        for segment in segments:
            child = route.children.get(segment)
            if child is None:
                break
            route, depth = child, depth + 1
            if child.rest is not None:
                rest, rest_depth = child.rest, depth
        below = list(segments[depth:])
        if route.own is not None and below in ([], [""]):
            return Match(route.own, [])
        last = None if rest is None else Match(rest, list(segments[rest_depth:]))
        return last if route.files is None else Match(route.files, below, last)


def text_segments(segments: Iterable[str | bytes]) -> list[str]:
    """Segments of a path as text; what is no UTF-8 is replaced, so that nothing a client sends can fail later."""
    return [segment.decode("utf-8", "replace") if isinstance(segment, bytes) else segment for segment in segments]
