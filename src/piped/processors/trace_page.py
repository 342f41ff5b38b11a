"""Steps that show traces: one page, on which the way of a baton can be followed step by step."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Any

from twisted.python.filepath import FilePath

from piped import (
    DottedName,
    InputOutputProcessor,
    Path,
    PipedError,
    Processor,
    RuntimeEnvironment,
    current_failure,
    get_path,
    told,
)
from piped.pipelines.handovers import Handover
from piped.pipelines.processor import Baton
from piped.pipelines.trace_drawing import ends_of, kind_of, label_of, name_of, origins, target_of
from piped.processors.markup import BATON_ENCODER, load_class
from piped.processors.rendering import PAGES, SelfDrawing, engine

#: Signs of JSON in one page; steps behind that are shown without their batons.
MOST_SIGNS = 10_000_000
#: Read by HTML as the end of a script or as a comment, wherever they stand in it; JSON has another spelling for them.
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


class RenderTrace(InputOutputProcessor):
    """Make a page of a trace, on which the way of the baton can be followed step by step.

    The page shows the drawing, the steps, what each of them changed in the baton, and failures with their tracebacks.
    It stands alone: it loads nothing, and only its own script runs. Its form sends `pipeline` and `baton` (as JSON) to
    the address of the page, by GET; without a trace there is only the form. As an error consumer it also says what
    went wrong where there is no trace.

    `examples/tracing.yaml` shows all of it at work.

    A template is read for each trace and formatted with `%`: `%(dot)s` is the drawing, and `%(steps)s`,
    `%(processors)s` and `%(pipeline_names)s` are JSON that is safe inside a script. The page of Piped also uses
    `policy`, `title`, `style`, `script`, `engine`, `dot_source`, `pipeline`, `baton`, `options` and `failure`. A
    percent sign is written `%%`.

    Args:
        svg_path: where the drawing is: SVG, or the text that `diagram-trace` makes, which the browser draws then.
        request_path: where the request is, whose arguments fill the form; there may be none.
        template: a file with another page; left out, the page of Piped.
        json_encoder: the full name of a subclass of `json.JSONEncoder`, for batons.

    Example:
        - set-value: {path: n, value: 5}
        - run-pipeline: {pipeline: .square, input_path: n, trace_path: trace}
        - diagram-trace: {}
        - render-trace: {}
    """

    name = "render-trace"

    def __init__(
        self,
        svg_path: Path = "dot",
        request_path: Path = "request",
        template: FilePath | None = None,  # type: ignore[type-arg]  # the checker knows the class, not its kinds
        json_encoder: DottedName = BATON_ENCODER,
        input_path: Path = "trace",
        output_path: Path | None = "content",
        skip_if_nonexistent: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_path, output_path, skip_if_nonexistent, **options)
        self._svg_path, self._request_path = svg_path, request_path
        self._template = FilePath(str(PAGES / "trace.html")) if template is None else template
        self._encode = load_class(self, json_encoder, json.JSONEncoder)().encode

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment

    def process_input(self, input: list[Handover] | None, baton: Baton) -> Any:
        failure = current_failure()
        asked = getattr(get_path(baton, self._request_path), "args", {})
        view = View(
            trace=input or [],
            drawing=get_path(baton, self._svg_path),
            pipelines=list(self._environment.graphs),
            pipeline=asked.get("pipeline", [""])[0],
            baton=asked.get("baton", ["{}"])[0],
            # A trace tells it better.
            failure="" if input or failure is None else told(failure.value, with_notes=False),
        )
        return self._environment.in_thread(self._page, view)

    def _page(self, view: View) -> str:
        values = fields(view, self._encode)
        try:
            return self._template.getContent().decode() % values
        except (KeyError, ValueError, TypeError) as error:
            hint = "fields are written %(steps)s and a percent sign %%; see: piped show render-trace"
            raise PipedError(f"{self._template.path} cannot be filled in: {error!r}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows.

    Args:
        drawing: an SVG document or dot, as text or bytes; None shows no drawing.
        pipelines: the names that the form completes.
        pipeline: what stands in the form, as `baton` does.
        failure: why there is no trace.
    """

    trace: Sequence[Handover]
    drawing: str | bytes | None = None
    pipelines: Sequence[str] = ()
    pipeline: str = ""
    baton: str = "{}"
    failure: str = ""


def fields(view: View, encode: Callable[[Any], str]) -> dict[str, str]:
    """What stands for the fields of a template; blocks, as files are read.

    Raises:
        PipedError: the drawing is neither SVG nor dot.
    """
    svg, source = _svg_and_source(view.drawing)
    style, script = ((PAGES / name).read_text() for name in ("trace.css", "trace.js"))
    library = engine() if source else ""
    ends = {name_of(end): end for step in view.trace for end in ends_of(step)}
    return {
        "policy": _policy(style, *filter(None, (script, library))),
        "title": _html(f"{view.pipeline} – trace" if view.pipeline else "Trace"),
        "style": style,
        "script": script,
        "engine": library,
        "dot": svg,
        "dot_source": _safe(encode(source)),
        "steps": f"[{','.join(_steps(view.trace, encode))}]",
        "processors": _safe(encode({name: _told(end) for name, end in ends.items()})),
        "pipeline_names": _safe(encode(list(view.pipelines))),
        "options": "".join(f'<option value="{_html(name)}">' for name in view.pipelines),
        "pipeline": _html(view.pipeline),
        "baton": _html(view.baton),
        "failure": _html(view.failure),
    }


def _svg_and_source(drawing: str | bytes | None) -> tuple[str, str]:
    """The SVG element of a drawing, or else the dot from which the browser makes one."""
    if isinstance(drawing, SelfDrawing):  # its script would be one more, and the page has the engine already
        return "", drawing.dot
    text = drawing.decode("utf-8", "replace") if isinstance(drawing, bytes) else drawing or ""
    if not text or text.lstrip().startswith(("digraph", "graph", "strict")):
        return "", text
    if (start := text.find("<svg")) < 0:
        raise PipedError("the drawing is neither SVG nor dot", hint="write type: svg for the render-dot before this")
    return text[start:], ""


def _steps(trace: Sequence[Handover], encode: Callable[[Any], str]) -> Iterable[str]:
    size, begun = 0, origins(trace)
    for index, step in enumerate(trace):
        entry = {**step, "source": name_of(step["source"]), "destination": target_of(step), "kind": kind_of(step)}
        entry["is_origin"] = index in begun
        if size > MOST_SIGNS:
            entry |= {"baton": None, "is_cut": True}
        text = _safe(encode(entry))
        size += len(text)
        yield text


def _told(end: Any) -> dict[str, Any]:
    """What the page says about one end of a step."""
    if not isinstance(end, Processor):
        return {"label": label_of(end)}
    where = None if end.where is None else str(end.where)
    return {"label": end.label, "pipeline": end.pipeline_name, "name": end.name, "where": where}


def _policy(style: str, *scripts: str) -> str:
    """Nothing is loaded, and nothing runs but these very scripts."""
    allowed = [*map(_hash, scripts), *(["'wasm-unsafe-eval'"] if len(scripts) > 1 else [])]
    return (
        f"default-src 'none'; script-src {' '.join(allowed)}; style-src {_hash(style)}; img-src data:; "
        "form-action 'self'; base-uri 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _safe(encoded: str) -> str:
    """JSON that can stand in a script of an HTML page, whatever is in it."""
    return encoded.translate(_UNSAFE)


def _html(text: str) -> str:
    """A text within HTML or between quotes; what a client sent may hold signs that no encoding has."""
    return escape(text).encode("utf-8", "replace").decode()
