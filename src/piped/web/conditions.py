"""Conditional requests: whether a client has the present version of a file already."""

from __future__ import annotations

import os
import re
from typing import Final

from twisted.web import http

from piped.web.request import Request

_TAG: Final = re.compile(rb'"[^"]*"')


def tag_of(stat: os.stat_result) -> bytes:
    """The ETag of a file: another one whenever its time or its size has changed."""
    return b'"%x-%x"' % (stat.st_mtime_ns, stat.st_size)


def is_known(request: Request, tag: bytes, changed: int | None = None) -> bool:
    """Whether the client has said that it has the version of that tag, or, without tags, one not older than `changed`.

    Args:
        tag: an ETag, with its quotes; a client may have it back from a proxy as a weak one.
        changed: when the file was changed, in seconds since 1970.

    Source: RFC 9110, 13.1.2, 13.1.3 and 13.2.2.
    """
    tags = request.requestHeaders.getRawHeaders(b"If-None-Match")
    if tags is not None:
        return tag in _TAG.findall(b",".join(tags)) or b"*" in tags
    since = request.requestHeaders.getRawHeaders(b"If-Modified-Since")
    if since is None or changed is None:
        return False
    try:
        return bool(changed <= http.stringToDatetime(since[0]))
    except (ValueError, IndexError):  # the latter where there is nothing but white space
        return False


def not_modified(request: Request, tag: bytes) -> None:
    """Tell the client that what it has is the present version."""
    request.setResponseCode(http.NOT_MODIFIED)
    request.setHeader(b"ETag", tag)
    request.finish()
