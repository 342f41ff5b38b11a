"""The page of a kept failure: HTML in which everything is escaped, and which needs nothing but itself."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from piped.pipelines.tracing import snapshot
from piped.runtime.frames import Frame, KeptError, Link, cut

_PAGES = Path(__file__).with_name("pages")
#: Signs of the baton.
LONGEST_BATON: Final = 20_000


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows.

    Args:
        request: its method and address.
        url: where the page sends what is typed, a path on the same server.
        token: is sent along.
        title: what the page calls itself.
    """

    kept: KeptError
    request: str
    baton: Any
    url: str
    token: str
    title: str = "web.Server Traceback"


def page(view: View) -> bytes:
    """The whole page."""
    template, style, script = _parts()
    kept = view.kept
    values = {
        "title": _html(view.title),
        "style": style,
        "script": script,
        "url": _html(view.url),
        "token": _html(view.token),
        "headline": _html(kept.headline),
        "request": _html(view.request),
        "places": "".join(f"<li>{_html(note)}</li>" for note in kept.notes),
        "frames": _links(kept.links),
        "baton": _html(_told(view.baton)),
        "traceback": _html(kept.traceback),
    }
    return (template % values).encode()


@cache
def headers() -> dict[str, str]:
    """The headers of every such page: nothing is loaded, nothing runs but its own script, and nobody frames it."""
    _, style, script = _parts()
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }


@cache
def _parts() -> tuple[str, str, str]:
    template, style, script = ((_PAGES / f"debugger.{kind}").read_text() for kind in ("html", "css", "js"))
    return template, style, script


def _links(links: Sequence[Link]) -> str:
    first = 0
    parts = []
    for link in links:
        if link.led_by:
            parts.append(f'<p class="led">… {_html(link.led_by)}</p>')
        if len(links) > 1:
            parts.append(f'<h3 class="failure">{_html(link.headline)}</h3>')
        parts.append(_frames(link, first, is_last=link is links[-1]))
        first += len(link.frames)
    return "".join(parts)


def _frames(link: Link, first: int, *, is_last: bool) -> str:
    """The frames of one error; those of the engine are folded, but for the last one of all."""
    innermost = first + len(link.frames) - 1 if is_last else -1
    numbered = list(enumerate(link.frames, first))
    parts = []
    if link.left_out:
        parts.append(f'<p class="led">{link.left_out} frames in the middle were too many to be kept.</p>')
    for is_folded, group in groupby(numbered, lambda item: item[1].is_engine and item[0] != innermost):
        html = [_frame(frame, number, is_open=number == innermost) for number, frame in group]
        parts.append(_folded(html) if is_folded else "".join(html))
    return "".join(parts) or '<p class="led">It has no frames: it was made, but never raised.</p>'


def _folded(frames: list[str]) -> str:
    count = f"{len(frames)} frames" if len(frames) > 1 else "1 frame"
    return f'<details class="engine"><summary>{count} of Piped and Twisted</summary>{"".join(frames)}</details>'


def _frame(frame: Frame, number: int, *, is_open: bool) -> str:
    source = frame.source()
    failing = next((text for line, text in source if line == frame.line), "")
    return (
        f'<details class="frame" data-frame="{number}"{" open" if is_open else ""}>'
        f'<summary><span class="function">{_html(frame.function)}</span> '
        f'<span class="place">{_html(f"{frame.file}:{frame.line}")}</span>'
        f"<code>{_html(failing.strip())}</code></summary>"
        f"{_source(frame, source)}{_variables(frame.variables())}</details>"
    )


def _source(frame: Frame, source: list[tuple[int, str]]) -> str:
    if not source:
        return '<p class="led">Nobody knows the source of this frame.</p>'
    return f'<pre class="source" tabindex="0" aria-label="Source">{"".join(_lines(frame, source))}</pre>'


def _lines(frame: Frame, source: list[tuple[int, str]]) -> Iterable[str]:
    for number, text in source:
        if number != frame.line:
            yield f'<span class="line"><i>{number}</i>{_html(text)}\n</span>'
            continue
        begin, end = frame.failing(text)
        marked = f"{_html(text[:begin])}<mark>{_html(text[begin:end])}</mark>{_html(text[end:])}"
        yield f'<span class="line failing"><i>{number}</i>{marked}\n</span>'


def _variables(variables: list[tuple[str, str]]) -> str:
    if not variables:
        return ""
    rows = "".join(f"<dt>{_html(name)}</dt><dd>{_html(value)}</dd>" for name, value in variables)
    return f'<dl class="variables" aria-label="Variables">{rows}</dl>'


def _told(baton: Any) -> str:
    return cut(json.dumps(snapshot(baton), indent=2, ensure_ascii=False), LONGEST_BATON)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _html(text: str) -> str:
    """A text within HTML or between quotes; it may hold signs that no encoding has."""
    return escape(text).encode("utf-8", "replace").decode()
