"""Steps that make pictures of drawings."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Literal

from piped import InputOutputProcessor, PipedError, RuntimeEnvironment

#: Seconds that Graphviz gets for one drawing.
LONGEST = 30
Picture = Literal["png", "svg", "pdf", "jpg", "gif", "webp", "ps", "json", "plain"]
PAGES = Path(__file__).with_name("pages")
#: What a text of XML 1.0 may not hold; the engine has it between quotes, where JavaScript knows another spelling.
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class RenderDot(InputOutputProcessor):
    """Render a drawing with Graphviz, its program `dot`.

    Graphviz runs in a thread. A drawing that it cannot read fails, with what Graphviz says about it. Where it is not
    installed, an svg is a document of 2 MB that draws itself in the browser; as it needs a script for that, it stays
    empty as the `src` of an image. All other types fail.

    Args:
        type: the format of the picture.

    Example:
        - diagram-pipelines: {}
        - render-dot: {type: svg}
    """

    name = "render-dot"

    def __init__(self, type: Picture = "png", input_path: str = "dot", **options: Any) -> None:
        super().__init__(input_path=input_path, **options)
        self.type = type

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._in_thread = runtime_environment.in_thread

    def process_input(self, input: str | bytes, baton: Any) -> Any:
        return self._in_thread(render, input.encode() if isinstance(input, str) else input, self.type)


class SelfDrawing(bytes):
    """An SVG document that draws itself with the engine inside it; `dot` is what it draws."""

    dot: str

    def __new__(cls, dot: str) -> SelfDrawing:
        made = super().__new__(cls, _self_drawing(dot).encode())
        made.dot = dot
        return made


def render(dot: bytes, type: Picture) -> bytes:
    """The picture of a drawing; blocks.

    Raises:
        PipedError: Graphviz is not installed, takes too long, or refuses the drawing.
    """
    try:
        done = subprocess.run(["dot", f"-T{type}"], input=dot, capture_output=True, timeout=LONGEST)
    except FileNotFoundError:
        if type == "svg":
            return SelfDrawing(dot.decode())
        raise PipedError("graphviz is not installed", hint="install it: apt-get install graphviz") from None
    except subprocess.TimeoutExpired:
        raise PipedError(f"graphviz did not finish the drawing within {LONGEST} s") from None
    if done.returncode:
        raise PipedError("graphviz cannot draw this", done.stderr.decode(errors="replace").strip())
    return done.stdout


@cache
def engine() -> str:
    """The script that lays out drawings in a browser, with its licence; it can stand in HTML as it is."""
    return "".join((PAGES / name).read_text() for name in ("viz-global.license.js", "viz-global.js"))


@cache
def _engine_in_xml() -> str:
    return escape(_NOT_IN_XML.sub(lambda found: rf"\x{ord(found[0]):02x}", engine()), quote=False)


def _self_drawing(dot: str) -> str:
    # Opened as a document it is read as XML, within a page as HTML: what is escaped means the same in both.
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="40">'
        '<text x="10" y="25" font-family="sans-serif" font-size="14">This draws itself where scripts may run …</text>'
        f"<metadata>{escape(_NOT_IN_XML.sub('', dot), quote=False)}</metadata>"
        f"<script>{_engine_in_xml()}</script>"
        f"<script>{escape((PAGES / 'self_drawing.js').read_text(), quote=False)}</script></svg>"
    )
