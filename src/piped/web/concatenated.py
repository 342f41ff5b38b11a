"""Several files as one: read once, and again when one of them has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from twisted.web import http

from piped.web import replies
from piped.web.request import Request


class ConcatenatedFile:
    """Answers with the contents of files, one after the other."""

    def __init__(self, paths: Sequence[str], content_type: str) -> None:
        self.paths, self.content_type = tuple(paths), content_type
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._content, self._tag = b"", b""

    def __call__(self, request: Request) -> bool:
        if request.method not in (b"GET", b"HEAD"):
            replies.method_not_allowed(request, "GET", "HEAD")
            return True
        content = self._read()
        request.setHeader(b"Content-Type", self.content_type)
        if request.setETag(self._tag) is http.CACHED:
            request.finish()
        else:
            request.answer(content)
        return True

    def _read(self) -> bytes:
        found = tuple((stat.st_mtime_ns, stat.st_size) for stat in map(os.stat, self.paths))
        if found != self._seen:
            parts = []
            for path in self.paths:
                with open(path, "rb") as file:
                    parts.append(file.read())
            self._content, self._seen = b"".join(parts), found
            self._tag = b'"%s"' % hashlib.sha256(self._content).hexdigest()[:32].encode()
        return self._content
