"""What a site says on the head of each response: its own headers, CORS, and how the body is compressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from piped.web.compression import Compressing, Compression
from piped.web.cors import CrossOrigin, Preflights
from piped.web.headers import FixedHeaders
from piped.web.request import Request

if TYPE_CHECKING:
    from piped.web.options import SiteOptions
    from piped.web.site import Site

#: Has a say on the head of a response: called with the request, and the size of the whole body where it is known.
Say = Callable[[Request, int | None], object]


def dress(site: Site, options: SiteOptions, in_thread: Callable[..., Any]) -> None:
    """Have a site dress its responses as its options say; one whose options say nothing is left as it is.

    Args:
        in_thread: calls a function in a thread, and gives a Deferred of its result.
    """
    says: list[Say] = []
    # What was written for this very site wins over what is good for any.
    if fixed := {**options.security_headers, **options.headers}:
        says.append(FixedHeaders(fixed))
    if options.cors is not None:
        cross_origin = CrossOrigin(options.cors)
        says.append(cross_origin)
        site.resource = Preflights(site.resource, options.cors, cross_origin)
    if options.compression:
        compression = Compression() if options.compression is True else options.compression
        says.append(Compressing(compression, in_thread))  # last: what it does depends on the headers
    if says:
        site.before_head = says[0] if len(says) == 1 else _in_turn(says)


def _in_turn(says: list[Say]) -> Say:
    def say(request: Request, size: int | None) -> None:
        for one in says:
            one(request, size)

    return say
