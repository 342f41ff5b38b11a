"""Several files as one: read once, and again when one of them has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from piped.web import methods
from piped.web.conditions import is_known, not_modified
from piped.web.request import Request


class ConcatenatedFile:
    """Answers with the contents of files, one after the other."""

    def __init__(self, paths: Sequence[str], content_type: str) -> None:
        self.paths, self.content_type = tuple(paths), content_type
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._content, self._tag = b"", b""

    def __call__(self, request: Request) -> bool:
        if request.method not in (b"GET", b"HEAD"):
            methods.refuse(request, "GET", "HEAD")
            return True
        content = self._read()
        if is_known(request, self._tag):
            not_modified(request, self._tag)
            return True
        request.setHeader(b"Content-Type", self.content_type)
        request.setHeader(b"ETag", self._tag)
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
