"""The handlers of the house: pipelines, providers and failures, without a socket."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest
from cyclone_stage import Site, until
from tornado import web
from twisted.internet.defer import Deferred

from piped import Rejected
from piped_cyclone.handlers import DebuggableHandler


class Fails(DebuggableHandler):
    def get(self) -> None:
        answer = 42
        raise KeyError("nothing", answer)

    def post(self) -> None:
        raise web.HTTPError(409)


class Provided(web.RequestHandler):
    def initialize(self, text: str) -> None:
        self.text = text

    def get(self) -> None:
        self.set_status(202)
        self.write(self.text)


PIPELINE = "application: {handlers: [['/(.*)', {provider: pipeline.page}]]}"


def piped(code: str) -> str:
    return f"pipelines:\n  page:\n    - exec-code:\n        code: |\n          {code}\n"


def test_a_pipeline_gets_the_handler_and_the_groups() -> None:
    """The baton is `{handler, args, kwargs}`, with any method."""
    site = Site(PIPELINE, piped("baton['handler'].finish(f\"{baton['args']} {baton['kwargs']} {sorted(baton)}\")"))
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = site.ask("/a%20b", method)
        assert (answer.code, answer.body) == (200, b"('a b',) {} ['args', 'handler', 'kwargs']")


def test_a_pipeline_that_forgets_to_finish_is_finished(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets what was written, and the log names the pipeline."""
    site = Site(PIPELINE, piped("baton['handler'].write('half')"))
    assert site.ask("/a").body == b"half"
    assert "pipeline.page ended without finishing /a: finishing it" in caplog.text


@pytest.mark.parametrize(
    ("error", "code", "body"),
    [
        (KeyError("x"), 500, b"500: Internal Server Error"),
        (Rejected("no"), 400, b"no\n"),
        (web.HTTPError(410), 410, b"Gone"),
    ],
)
def test_a_pipeline_that_fails_is_told(error: Exception, code: int, body: bytes) -> None:
    """What it raises decides on the status."""
    more = """
pipelines:
  page:
    - eval-lambda:
        input_path: ""
        dependencies: {failure: the.failure}
        lambda: "baton: self.dependencies.failure()"
"""
    answer = Site(PIPELINE, more, {"the.failure": lambda: _raise(error)}).ask("/a")
    assert (answer.code, body in answer.body) == (code, True)


def _raise(error: Exception) -> None:
    raise error


def test_a_pipeline_that_is_not_ready_is_503() -> None:
    """The client is asked to come again, and is served once it is ready."""
    more = """
pipelines:
  page:
    - eval-lambda:
        input_path: handler
        output_path: null
        dependencies: {text: the.text}
        lambda: "handler: handler.finish(self.dependencies.text)"
"""
    site = Site(PIPELINE, more, {"the.text": "here"})
    assert site.ask("/a").body == b"here"
    site.stage.lose("the.text")
    answer = site.ask("/a")
    assert (answer.code, answer.headers["Retry-After"]) == (503, "2")
    site.stage.provide("the.text", "back")
    assert site.ask("/a").body == b"back"


@pytest.mark.parametrize(("method", "is_stopped"), [("GET", True), ("POST", False)])
def test_a_client_who_leaves_stops_what_only_reads(method: str, is_stopped: bool) -> None:
    """The pipeline of a GET is cancelled; that of a POST goes on."""
    waiting: list[Deferred[Any]] = []

    def wait() -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[0]

    more = """
pipelines:
  page:
    - eval-lambda:
        input_path: ""
        output_path: ignored
        dependencies: {wait: the.wait}
        lambda: "baton: self.dependencies.wait()"
"""

    async def play() -> None:
        site = Site(PIPELINE, more, {"the.wait": wait})
        connection = site.start("/a", method)
        await until(lambda: bool(waiting))
        connection.lost()
        await asyncio.sleep(0.01)
        assert waiting[0].called == is_stopped
        if not is_stopped:
            waiting[0].callback("done")
        await until(lambda: site.site.source.running == 0)

    asyncio.run(play())


def test_a_provider_gives_the_class_for_each_request() -> None:
    """The class may change while the site runs; one that is not there is 503, what is no class of handlers 500."""
    section = "application: {handlers: [[/, {provider: the.handler}, {text: configured}]]}"
    site = Site(section, resources={"the.handler": Provided})
    assert (site.ask("/").code, site.ask("/").body) == (202, b"configured")
    site.stage.lose("the.handler")
    assert site.ask("/").code == 503
    site.stage.provide("the.handler", "junk")
    assert site.ask("/").code == 500
    site.stage.provide("the.handler", Provided)
    assert site.ask("/").code == 202


DEBUGGED = f"""
application:
  handlers: [[/, {__name__}.Fails], [/pipe, {{provider: pipeline.page}}]]
  debug: true
  debug_allow: [127.0.0.1]
  debug_timeout: 5
"""


WAITED_FOR: list[Deferred[Any]] = []


def token_in(page: bytes) -> str:
    found = re.search(rb'data-token="([^"]*)"', page)
    assert found is not None
    return found[1].decode()


def url_in(page: bytes) -> str:
    found = re.search(rb'data-url="http://localhost([^"]*)"', page)
    assert found is not None
    return found[1].decode()


def test_a_failure_is_looked_into_until_it_is_forgotten() -> None:
    """The page keeps its frames; what is typed is evaluated in them; after `debug_timeout` without use it is gone."""
    site = Site(DEBUGGED, piped("baton['none']"))
    page = site.ask("/").body
    assert b"<title>web.Application Traceback (most recent call last)</title>" in page
    url, token = url_in(page), token_in(page)
    for _ in range(3):
        site.stage.clock.advance(4)
        answer = site.ask(url, "POST", token=token, frame_no=-1, expr="answer")
        assert (answer.code, answer.body) == (200, b'"42\\n"')
    site.stage.clock.advance(4)
    assert site.ask(url).code == 200
    site.stage.clock.advance(6)
    assert site.ask(url, "POST", token=token, frame_no=-1, expr="answer").code == 404


def test_a_failure_in_which_something_is_evaluated_is_in_use() -> None:
    """However long the evaluation has taken, its failure can be looked into afterwards."""
    site = Site(DEBUGGED, piped("baton['none']"))
    page = site.ask("/").body
    url, token = url_in(page), token_in(page)

    async def play() -> None:
        WAITED_FOR.clear()
        expr = "WAITED_FOR.append(Deferred())\nawait WAITED_FOR[0]"
        connection = site.start(url, "POST", token=token, frame_no=-1, expr=expr)
        await until(lambda: bool(WAITED_FOR))
        site.stage.clock.advance(4)
        WAITED_FOR[0].callback("awaited")
        await until(lambda: connection.is_finished)
        assert b"awaited" in connection.body

    asyncio.run(play())
    site.stage.clock.advance(4)
    assert site.ask(url).code == 200


def test_a_page_of_ones_own_is_found_without_a_folder_of_templates(tmp_path: Path) -> None:
    """`debug_template` is a file like any other then, from where the process runs."""
    (tmp_path / "own.html").write_text("{{ kept.headline }}")
    own = os.path.relpath(tmp_path / "own.html")
    answer = Site(f"{DEBUGGED}  debug_template: {own}\n", piped("baton['none']")).ask("/")
    assert (answer.code, answer.body[:8]) == (500, b"KeyError")


@pytest.mark.parametrize("template", [None, "{% end %}", "{{ nobody_knows }}"])
def test_a_page_of_ones_own_that_fails_hides_no_failure(
    tmp_path: Path, template: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The built-in page is shown in its place, and the log says why."""
    if template is not None:
        (tmp_path / "debugger.html").write_text(template)
    section = f"{DEBUGGED}  debug_template: debugger.html\n  template_path: {tmp_path}\n"
    answer = Site(section, piped("baton['none']")).ask("/")
    assert (answer.code, b"web.Application Traceback" in answer.body) == (500, True)
    assert "cyclone.site cannot use debug_template, and shows the built-in page" in caplog.text


def test_who_is_not_allowed_sees_nothing() -> None:
    """Others get the plain 500 for the failure, 404 for its page and 403 for an evaluation."""
    site = Site(DEBUGGED, piped("baton['none']"))
    page = site.ask("/").body
    stranger = site.ask("/", peer="192.0.2.1")
    assert (stranger.code, b"Traceback" in stranger.body) == (500, False)
    assert site.ask(url_in(page), peer="192.0.2.1").code == 404
    fields = {"token": token_in(page), "frame_no": -1, "expr": "answer"}
    assert site.ask(url_in(page), "POST", peer="192.0.2.1", **fields).code == 403
    assert site.ask(url_in(page), "POST", **(fields | {"token": "x"})).code == 403
    assert site.ask(url_in(page), "POST", **(fields | {"frame_no": "x"})).code == 400
    assert site.ask(url_in(page), "DELETE").code == 405


def test_what_was_meant_to_be_told_is_no_failure() -> None:
    """An HTTPError below 500 has no page of the debugger."""
    site = Site(DEBUGGED, piped("baton['none']"))
    answer = site.ask("/", "POST")
    assert (answer.code, b"Traceback" in answer.body) == (409, False)
    assert site.ask("/?__debug__=none").code == 404


def test_the_debugger_knows_two_methods() -> None:
    """With any other, a request for it does not reach the handler either."""
    site = Site(DEBUGGED, piped("baton['handler'].finish('reached')"))
    assert [site.ask("/pipe?__debug__=none", method).code for method in ("HEAD", "PUT")] == [405, 405]


def test_the_page_of_a_pipeline_shows_its_baton() -> None:
    """The baton of the step that has failed, and where it stands."""
    page = Site(DEBUGGED, piped("baton['none']")).ask("/pipe").body
    assert b"in pipeline page, step" in page
    assert b"KeyError" in page


def test_without_debug_nothing_is_kept() -> None:
    """A `__debug__` in the query means nothing then."""
    site = Site(f"application: {{handlers: [[/, {__name__}.Fails]]}}")
    answer = site.ask("/?__debug__=x")
    assert (answer.code, b"Traceback" in answer.body) == (500, False)


def test_nobody_on_the_list_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever switches debugging on reads in the log who may, or that nobody may."""
    with caplog.at_level(logging.WARNING):
        Site("application: {debug: true}")
        Site(DEBUGGED, piped("baton['none']"))
    assert "debug is on, but nobody may debug: debug_allow is empty" in caplog.text
    assert "clients from 127.0.0.1 may run any code in this process" in caplog.text
