"""Row: how handlers may be written, and what is told of those that cannot work."""

from __future__ import annotations

import pytest
from cyclone_stage import problems_of


def problems(row: str) -> list[str]:
    return problems_of(f"application:\n  handlers:\n    - {row}")


@pytest.mark.parametrize(
    "row",
    [
        "[/, tornado.web.RequestHandler]",
        "[/, cyclone.web.RequestHandler]",
        "[/, cyclone.web.RequestHandler, {}, name]",
        "[/, cyclone.web.RequestHandler, null, name]",
        "[/(.*), {class: cyclone.web.RedirectHandler}, {url: /x}]",
        "{pattern: '/(?P<path>.*)', handler: cyclone.web.StaticFileHandler, kwargs: {path: .}, name: files}",
        "{pattern: /, handler: {class: cyclone.websocket.WebSocketHandler}}",
        "{pattern: /, handler: {provider: pipeline.page}}",
        "[/, piped_cyclone.handlers.DebuggableHandler]",
    ],
)
def test_what_may_be_written(row: str) -> None:
    """Tuples and mappings, classes and providers, as the documents have them."""
    assert problems(row) == []


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("[/]", "5:11: a handler must be a mapping, or a list: pattern, handler, kwargs, name, not a list of 1"),
        ("[/, a, {}, b, c]", "5:11: a handler must be a mapping, or a list: pattern, handler, kwargs, name"),
        ("7", "5:11: a handler must be a mapping, or a list: pattern, handler, kwargs, name, not 7"),
        ("{handler: tornado.web.RequestHandler}", "5:11: a handler needs the option 'pattern'"),
        ("{pattern: /}", "5:11: a handler needs the option 'handler'"),
        ("[/, tornado.web.RequestHandler, {}, 7]", "5:47: option 'name' of a handler must be text, not 7"),
        ("[/, tornado.web.Nothing]", "5:15: what is named here: cannot import 'tornado.web.Nothing'"),
        ("[/, cyclone.redis.Connection]", "5:15: what is named here: cannot import 'tornado.redis.Connection'"),
        ("[/, builtins.dict]", "5:15: what is named here must be a class of request handlers"),
        ("[/, {klass: x}]", "5:15: what handles requests must be the full name of a class, a mapping with `class`"),
        ("[/, [x]]", "5:15: what handles requests must be the full name of a class"),
        ("[/, {provider: pipeline.pag}]", "5:26: there is no 'pipeline.pag'"),
        ("['/(', tornado.web.RequestHandler]", "5:12: the pattern of a handler must be a regular expression (missing"),
        ("['/(?P<a>.)(.)', tornado.web.RequestHandler]", "5:12: the groups of the pattern '/(?P<a>.)(.)' have names"),
        ("[/, tornado.web.RequestHandler, {a: 1}]", "5:43: RequestHandler.initialize cannot be called"),
        ("[/, tornado.web.RedirectHandler]", "5:11: RedirectHandler.initialize cannot be called with these kwargs"),
        ("[/, {provider: pipeline.page}, {a: 1}]", "5:42: a pipeline takes no kwargs"),
    ],
)
def test_what_cannot_work_is_told_with_its_place(row: str, told: str) -> None:
    """Each mistake is told once, at the line and column where it stands."""
    [problem] = problems(row)
    assert problem.startswith(f"site.yml:{told}"), problem


def test_a_name_is_given_once() -> None:
    """Two handlers of one name would hide each other from `reverse_url`."""
    [problem] = problems("[/a, tornado.web.RequestHandler, {}, x]\n    - [/b, tornado.web.RequestHandler, {}, x]")
    assert problem == "site.yml:6:11: two handlers are called 'x' – rename one of them"
