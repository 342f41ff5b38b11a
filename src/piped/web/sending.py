"""A whole response in one piece, as most are: its head and its body are handed to the connection at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.http import NO_BODY_CODES

if TYPE_CHECKING:
    from piped.web.request import Request


def write_whole(request: Request, body: bytes) -> bool:
    """Write a response that has nothing unusual; False, and nothing done, for any other.

    Twisted's `write` asks for each header anew, and for what may have become of the response meanwhile: for a short
    response that is a quarter of all the work.
    """
    if (
        request.startedWriting
        or request.method == b"HEAD"
        or request.code in NO_BODY_CODES
        or request.etag is not None
        or request.lastModified is not None
        or request.cookies
        or request._encoder is not None
        or request.clientproto == b"HTTP/2"
    ):
        return False
    # Not a public name; what `getAllRawHeaders` gives is this, and cannot be added to.
    headers = request.responseHeaders._rawHeaders
    headers[b"Content-Length"] = [b"%d" % len(body)]
    if body and b"Content-Type" not in headers and request.defaultContentType is not None:
        headers[b"Content-Type"] = [request.defaultContentType]
    lines = [b"%s %d %s" % (request.clientproto, request.code, request.code_message)]
    for name, values in headers.items():
        if len(values) == 1:
            lines.append(name + b": " + values[0])
        else:
            lines += [name + b": " + value for value in values]
    lines += (b"", body)
    request.startedWriting = 1
    request.sentLength += len(body)
    request.channel.write(b"\r\n".join(lines))
    return True
