"""Tests of the page on which a trace can be followed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.ground.errors import ConfigurationError, PipedError
from piped.pipelines.handovers import Handover
from piped.pipelines.processor import Processor
from piped.processors import trace_page
from piped.processors.rendering import PAGES, SelfDrawing
from piped.processors.trace_page import View, fields

SiteOf = Callable[[str], Any]
HOSTILE = "</script><script>alert(1)</script><!-- <script> \u2028 ]]> \" ' & \ud800"


class Page(HTMLParser):
    """A page as a browser reads it: `scripts` by their id or place, `elements` with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.styles: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._into: Callable[[str], None] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            key = dict(attrs).get("id") or str(len(self.scripts))
            self.scripts[key] = ""
            self._into = lambda data: self.scripts.update({key: self.scripts[key] + data})
        elif tag == "style":
            self._into = self.styles.append

    def handle_endtag(self, tag: str) -> None:
        self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into(data)
        else:
            self.text += data

    def json(self, name: str) -> Any:
        return json.loads(self.scripts[f"{name}-json"])

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def policy(self) -> str:
        [policy] = [meta["content"] for meta in self.named("meta") if "http-equiv" in meta]
        return policy or ""


def step(source: Any, destination: Any, baton: Any = None, **more: Any) -> Handover:
    plain = {"time_spent": None, "is_error_consumer": False, "failure": None}
    return {"source": source, "destination": destination, "baton": baton, **plain, **more}


def processor(id: str, pipeline: str = "p") -> Processor:
    made = Processor()
    made.id, made.pipeline_name = id, pipeline
    return made


def page(view: View) -> Page:
    return Page((PAGES / "trace.html").read_text() % fields(view, json.JSONEncoder().encode))


A, B = processor("a"), processor("b")
TRACE = [step("out", A, {"n": 1}), step(A, B, {"n": 2}, time_spent=0.5), step(B, None, {"n": 3}, time_spent=0.25)]
SVG = '<?xml version="1.0"?><!DOCTYPE svg><svg><g id="graph0"></g></svg>'


def test_the_page_has_the_steps() -> None:
    """Each step names its ends, what it is, its baton and its time; the ends have labels and pipelines."""
    shown = page(View(TRACE, SVG))
    assert [(step["source"], step["destination"], step["kind"], step["baton"]) for step in shown.json("steps")] == [
        ("outside/out", "p/a", "consumer", {"n": 1}),
        ("p/a", "p/b", "consumer", {"n": 2}),
        ("p/b", "p/b/result", "result", {"n": 3}),
    ]
    assert [step["time_spent"] for step in shown.json("steps")] == [None, 0.5, 0.25]
    assert shown.json("processors")["p/a"] == {"label": "a", "pipeline": "p", "name": "", "where": None}
    assert shown.json("processors")["outside/out"] == {"label": "out"}
    assert {"id": "graph0"} in shown.named("g")
    assert fields(View(TRACE, SVG), json.JSONEncoder().encode)["dot"] == '<svg><g id="graph0"></g></svg>'


def test_the_page_knows_where_a_failure_began() -> None:
    """The steps that it only climbs past say so."""
    failure = {"type": "builtins.KeyError", "args": ["x"], "traceback": ""}
    climbing = [*TRACE[:2], step(B, A, failure=failure), step(A, "out", failure=failure)]
    assert [step["is_origin"] for step in page(View(climbing, SVG)).json("steps")] == [False, False, True, False]


def test_the_form_is_filled_and_completes_names() -> None:
    """The form has what was asked for, and the names of all pipelines to choose from."""
    shown = page(View([], pipelines=["web.a", "b"], pipeline="web.a", baton='{"n": "<1>"}'))
    [form] = shown.named("form")
    assert (form["method"], "action" in form) == ("get", False)
    assert [option["value"] for option in shown.named("option")] == ["web.a", "b"]
    assert shown.named("input")[0]["value"] == "web.a"
    assert '{"n": "<1>"}' in shown.text


def test_the_page_loads_nothing_and_runs_only_its_own() -> None:
    """No address of another host, and a policy that allows these very scripts and this style only."""
    for view in (View(TRACE, SVG), View(TRACE, "digraph {}")):
        shown = page(view)
        scripts = [text for key, text in shown.scripts.items() if not key.endswith("-json") and text]
        assert shown.policy.startswith("default-src 'none'; ")
        for text in [*scripts, *shown.styles]:
            digest = b64encode(sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in shown.policy
        assert "unsafe-inline" not in shown.policy
        addresses = [element.get(name) for _, element in shown.elements for name in ("src", "href", "action")]
        assert {address for address in addresses if address} == {"data:,"}


def test_nothing_in_the_page_is_taken_for_html() -> None:
    """A hostile baton, name, question or failure stays text, and the JSON says exactly what was there."""
    evil = processor(HOSTILE, HOSTILE)
    failure = {"type": HOSTILE, "args": [HOSTILE], "traceback": HOSTILE}
    trace = [step(HOSTILE, evil, {HOSTILE: HOSTILE}), step(evil, HOSTILE, HOSTILE, failure=failure)]
    asked = {"pipelines": [HOSTILE], "pipeline": HOSTILE, "baton": HOSTILE, "failure": HOSTILE}
    shown = page(View(trace, f"digraph {HOSTILE}", **asked))  # type: ignore[arg-type] # they are of these types
    assert len(shown.named("script")) == 5
    assert shown.json("steps")[0]["baton"] == {HOSTILE: HOSTILE}
    assert shown.json("steps")[1]["failure"] == failure
    assert shown.json("dot") == f"digraph {HOSTILE}"
    assert shown.json("processors")[f"{HOSTILE}/{HOSTILE}"]["label"] == HOSTILE
    readable = HOSTILE.replace("\ud800", "?")
    assert shown.named("input")[0]["value"] == shown.named("option")[0]["value"] == readable
    assert shown.text.count(readable) == 3  # the title, the baton and the failure


@settings(max_examples=100)
@given(st.text() | st.text("<>/!-&script'\"\\ "))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    """What the page's script reads is what the baton was, for any text; every page can be encoded."""
    values = fields(View([step("out", A, text)], pipeline=text, baton=text, failure=text), json.JSONEncoder().encode)
    for value in values.values():
        value.encode()
    assert Page(f"<script id=x-json>{values['steps']}</script>").json("x")[0]["baton"] == text


def test_the_browser_draws_what_graphviz_did_not() -> None:
    """From dot, or a picture that draws itself, the page draws with the engine; WebAssembly is allowed only then."""
    for drawing in ("digraph {a}", b"digraph {a}", SelfDrawing("digraph {a}")):
        shown = page(View(TRACE, drawing))
        assert shown.json("dot") == "digraph {a}"
        assert any("Viz={}" in text for text in shown.scripts.values())
        assert "'wasm-unsafe-eval'" in shown.policy
    for ready in (SVG, SVG.encode(), None):
        shown = page(View(TRACE, ready))
        assert shown.json("dot") == ""
        assert not any("Viz={}" in text for text in shown.scripts.values())
        assert "wasm" not in shown.policy


def test_another_picture_is_no_drawing_of_a_page() -> None:
    """A png is refused, and the error says what to write."""
    with pytest.raises(PipedError) as caught:
        page(View(TRACE, b"\x89PNG\r\n"))
    assert "type: svg" in caught.value.hint


def test_batons_of_a_large_trace_are_left_out() -> None:
    """The page stays bounded: every step is told, but no baton once there are too many signs."""
    much = "x" * (trace_page.MOST_SIGNS // 4)
    steps = page(View([step("out", A, much)] * 7)).json("steps")
    assert [("is_cut" in step, step["baton"] is None) for step in steps] == [(False, False)] * 4 + [(True, True)] * 3


SITE = """
    pipelines:
      main:
        chained_consumers:
          - run-pipeline: {pipeline_path: whom, trace_path: trace}
          - diagram-trace
          - render-trace: OPTIONS
        error_consumers:
          - diagram-trace: {consumers: [render-trace: {}]}
      inner: [set-value: {path: n, value: 1}]
      fails: [raise-exception: {type: ValueError, args: not today}]
"""


def test_a_pipeline_is_traced_to_a_page(site: SiteOf) -> None:
    """run-pipeline, diagram-trace and render-trace after each other give the page; the request fills the form."""
    request = SimpleNamespace(args={"pipeline": ["inner"], "baton": ["{}"]})
    [baton] = site(SITE.replace("OPTIONS", "{}")).run({"whom": "inner", "request": request})
    shown = Page(baton["content"])
    assert [step["destination"] for step in shown.json("steps")] == ["inner/set-value-1", "inner/set-value-1/result"]
    assert shown.json("processors")["inner/set-value-1"]["where"].endswith("site.yml:10:11")
    assert shown.json("dot") == baton["dot"]
    assert shown.named("input")[0]["value"] == "inner"
    assert [option["value"] for option in shown.named("option")] == ["main", "inner", "fails"]


def test_a_pipeline_that_fails_has_a_page(site: SiteOf) -> None:
    """As an error consumer it shows the trace with the failure, or why there is no trace."""
    running = site(SITE.replace("OPTIONS", "{}"))
    [failed] = running.run({"whom": "fails"})
    shown = Page(failed["content"])
    assert shown.json("steps")[-1]["failure"]["args"] == ["not today"]
    assert "not today" not in shown.text
    [missing] = running.run({"whom": "inne"})
    shown = Page(missing["content"])
    assert shown.json("steps") == []
    assert "nobody provides the resource 'pipeline.inne'" in shown.text
    assert "did you mean 'pipeline.inner'?" in shown.text


def test_a_template_of_ones_own(site: SiteOf, tmp_path: Path) -> None:
    """Another page can be given, with the fields of Piped 0.7; it is read for each trace."""
    template = tmp_path / "mine.html"
    running = site(SITE.replace("OPTIONS", f"{{template: {template}, svg_path: none, output_path: ''}}"))
    template.write_text("100%% %(steps)s|%(processors)s|%(pipeline_names)s|%(dot)s")
    percent, processors, names, dot = running.run({"whom": "inner"})[0].split("|")
    assert (percent[:7], json.loads(names), dot) == ("100% [{", ["main", "inner", "fails"], "")
    assert set(json.loads(processors)) == {"main/run-pipeline-1", "inner/set-value-1"}
    template.write_text("anew")
    assert running.run({"whom": "inner"}) == ["anew"]


@pytest.mark.parametrize("text", ["%(stepps)s", "100%"])
def test_a_template_that_cannot_be_filled_in(site: SiteOf, tmp_path: Path, text: str) -> None:
    """A field that there is not and a lone percent sign are told with the name of the file and how to write them."""
    template = tmp_path / "mine.html"
    template.write_text(text)
    running = site("pipelines: {main: [render-trace: {template: %s}]}" % template)  # noqa: UP031 - it has braces
    with pytest.raises(PipedError, match=r"mine\.html cannot be filled in") as caught:
        running.run({})
    assert "%%" in caught.value.hint


def test_an_encoder_of_ones_own(site: SiteOf) -> None:
    """`json_encoder` names a class, and what is none is a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="JSONEncoder"):
        site("pipelines: {main: [render-trace: {json_encoder: json.JSONDecoder}]}")
