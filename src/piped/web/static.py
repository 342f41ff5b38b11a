"""Files and directories below a path of a site, and never what is outside of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil
from types import CodeType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from twisted.web import http, server
from twisted.web.static import File

from piped.web import methods
from piped.web.conditions import is_known, not_modified, tag_of
from piped.web.request import Request

_ONE_RANGE = re.compile(rb"bytes=(\d{1,18}-\d{0,18}|-\d{1,18})")
#: No dot in front, no separator, nothing that was no text where the file system gave it.
_VISIBLE = re.compile(r"(?!\.)[^/\\\0\ud800-\udfff]+")


def locate(root: str, names: Sequence[str], extensions: Sequence[str] = ()) -> str | None:
    """The real path of what lies at `names` below a directory, or of `root` itself; None if there is nothing to show.

    Hidden files (with a dot in front), names that lead elsewhere (`..`, a slash that was encoded) and links that leave
    the tree are nothing to show.

    Args:
        extensions: tried one after the other when there is no such file; "*" stands for any.
    """
    if not all(is_visible(name) for name in names):
        return None
    base = os.path.realpath(root)
    wanted = os.path.join(base, *names)
    if names and extensions and not os.path.exists(wanted):
        wanted = _completed(wanted, extensions)
    real = os.path.realpath(wanted)
    if not os.path.exists(real):
        return None
    # What lies outside has a path from `base` that begins with "..", which is no visible name.
    below = os.path.relpath(real, base).split(os.sep)
    return real if below == [os.curdir] or all(map(is_visible, below)) else None


def _completed(path: str, extensions: Sequence[str]) -> str:
    """The path with the first of the endings that there is; the path itself where there is none."""
    folder, name = os.path.split(path)
    for extension in extensions:
        if extension != "*":
            if os.path.exists(path + extension):
                return path + extension
            continue
        try:
            found = min((other for other in os.listdir(folder) if other.startswith(f"{name}.")), default=name)
        except OSError:  # no directory
            return path
        if found != name:
            return os.path.join(folder, found)
    return path


def is_visible(name: str) -> bool:
    """Whether a name may stand for a file that is served."""
    return _VISIBLE.fullmatch(name) is not None


class StaticFiles:
    """Serves a file, or the files of a directory and those below it.

    Args:
        path: the file or directory.
        listing: show what a directory holds when it has no index.html.
        default_type: content type of files whose ending says nothing.
        ignored_extensions: endings that a client may leave out; "*" stands for any.
        preprocessors: `lambda request: …`, compiled; called in order before a file is sent.
        namespace: the globals of the preprocessors, in which `self` is the file that is sent.
    """

    def __init__(
        self,
        path: str,
        *,
        listing: bool = True,
        default_type: str = "text/html",
        ignored_extensions: Sequence[str] = (),
        preprocessors: Sequence[CodeType] = (),
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.listing = listing
        self.default_type = default_type
        self.ignored_extensions = ignored_extensions
        self.preprocessors = preprocessors
        self.namespace = namespace or {}

    def __call__(self, request: Request) -> bool:
        """Answer with what lies at the request's postpath; False when there is nothing."""
        asks_for_directory = request.postpath[-1:] == [""]
        names = request.postpath[:-1] if asks_for_directory else request.postpath
        path = locate(self.path, names, self.ignored_extensions)
        if path is None:
            return False
        answer = self._answer(path, asks_for_directory)
        if answer is None:
            return False
        if request.method in (b"GET", b"HEAD"):
            answer(request)
        else:
            methods.refuse(request, "GET", "HEAD")
        return True

    def _answer(self, path: str, asks_for_directory: bool) -> Callable[[Request], None] | None:
        if os.path.isfile(path):
            return None if asks_for_directory else lambda request: self._send_file(request, path)
        if not os.path.isdir(path):
            return None  # a pipe or a device: opening it might never end
        if not asks_for_directory:
            return _add_slash
        index = locate(path, ["index.html"])
        if index is not None and os.path.isfile(index):
            return lambda request: self._send_file(request, index)
        return (lambda request: _send_listing(request, path)) if self.listing else None

    def _send_file(self, request: Request, path: str) -> None:
        file = File(path, self.default_type)
        for code in self.preprocessors:
            eval(code, {**self.namespace, "self": file})(request)
            if not request.is_open:
                return
        stat = os.stat(path)
        tag, changed = tag_of(stat), ceil(stat.st_mtime)
        request.lastModified = changed
        if is_known(request, tag, changed):
            not_modified(request, tag)
            return
        request.setHeader(b"ETag", tag)
        # Twisted would look at it again, also where a tag has been asked for.
        request.requestHeaders.removeHeader(b"If-Modified-Since")
        _keep_simple_range(request, tag, stat.st_size)
        body = file.render_GET(request)
        if body == server.NOT_DONE_YET:
            return
        if body:
            request.answer(body)
        else:  # the answer to HEAD has its length already
            request.finish()


def _keep_simple_range(request: Request, tag: bytes, size: int) -> None:
    """Drop a Range header that asks for several ranges, which multiplies the size, or for one of another version."""
    wanted = request.getHeader(b"range")
    if wanted is None:
        return
    if not _ONE_RANGE.fullmatch(wanted) or request.getHeader(b"if-range") not in (None, tag):
        request.requestHeaders.removeHeader(b"range")
    elif wanted.startswith(b"bytes=-"):
        # Twisted seeks to before the beginning for the last 100 bytes of 10.
        last = min(int(wanted[7:]), size)
        request.requestHeaders.setRawHeaders(b"range", [b"bytes=%d-" % (size - last)])


def _add_slash(request: Request) -> None:
    """Send the client to the directory's own address, from which relative links lead into it."""
    query = request.uri.partition(b"?")[2]
    # To browsers a backslash is a slash, and two of them begin the address of another site.
    path = request.path.replace(b"\\", b"%5C")
    request.setResponseCode(http.FOUND)
    request.setHeader(b"Location", path + b"/" + (b"?" + query if query else b""))
    request.answer(b"")


def _send_listing(request: Request, path: str) -> None:
    items = []
    for name in sorted(os.listdir(path)):
        found = locate(path, [name])
        if found is not None:
            shown = name + "/" if os.path.isdir(found) else name
            items.append(f'<li><a href="./{quote(shown)}">{escape(shown)}</a></li>\n')
    title = "Directory listing for " + escape(unquote_to_bytes(request.path).decode("utf-8", "replace"))
    head = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1>\n"
    page = f"{head}<ul>\n{''.join(items)}</ul></body></html>\n"
    request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
    request.answer(page.encode())
