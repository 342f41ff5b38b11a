"""Steps that make pictures of drawings."""

from __future__ import annotations

import subprocess
from typing import Any, Literal

from piped import InputOutputProcessor, PipedError, RuntimeEnvironment

#: Seconds that Graphviz gets for one drawing.
LONGEST = 30
Picture = Literal["png", "svg", "pdf", "jpg", "gif", "webp", "ps", "json", "plain"]


class RenderDot(InputOutputProcessor):
    """Render a drawing with Graphviz, whose program `dot` must be installed.

    Graphviz runs in a thread. A drawing that it cannot read fails, with what Graphviz says about it.

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


def render(dot: bytes, type: Picture) -> bytes:
    """The picture of a drawing; blocks.

    Raises:
        PipedError: Graphviz is not installed, takes too long, or refuses the drawing.
    """
    try:
        done = subprocess.run(["dot", f"-T{type}"], input=dot, capture_output=True, timeout=LONGEST)
    except FileNotFoundError:
        raise PipedError("graphviz is not installed", hint="install it: apt-get install graphviz") from None
    except subprocess.TimeoutExpired:
        raise PipedError(f"graphviz did not finish the drawing within {LONGEST} s") from None
    if done.returncode:
        raise PipedError("graphviz cannot draw this", done.stderr.decode(errors="replace").strip())
    return done.stdout
