"""CycloneProvider: applications as resources, handlers that are told where they are used, and the ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from cyclone_stage import Site, problems_of
from tornado import web

from piped import ConfigurationError
from piped.testing import Stage


class Told(web.RequestHandler):
    """Is told of where it is used."""

    told: ClassVar[list[Any]] = []

    @classmethod
    def configure(cls, runtime_environment: Any) -> None:
        cls.told.append(runtime_environment)


class Mine(web.Application):
    """An application of one's own."""


class Alone(web.Application):
    """Knows its handlers itself."""

    def __init__(self) -> None:
        super().__init__([])


def make(handlers: Any, **settings: Any) -> web.Application:
    return Mine(handlers, made="by a function", **settings)


def make_nothing(handlers: Any, **settings: Any) -> None:
    """Forgets to return what it has made."""


@pytest.mark.parametrize("key", ["type", "application_factory"])
@pytest.mark.parametrize("factory", ["Mine", "make"])
def test_the_application_is_made_by_whom_one_names(key: str, factory: str) -> None:
    """A subclass or a function, under either key; the application is a resource."""
    application = Site(f"{key}: {__name__}.{factory}\napplication: {{colour: red}}").application
    assert type(application) is Mine
    assert application.settings.pop("websocket_ping_interval") == 30
    assert application.settings == {"colour": "red"} | ({"made": "by a function"} if factory == "make" else {})


def test_a_function_that_makes_nothing_is_told() -> None:
    """The problem stands where the function is named."""
    with pytest.raises(ConfigurationError) as refused:
        Stage(f"cyclone: {{site: {{type: {__name__}.make_nothing}}}}")
    [problem] = refused.value.problems
    assert "make_nothing has made no application, but NoneType" in problem.what
    assert (problem.where and problem.where.line, problem.where and problem.where.column) == (1, 24)


def test_a_class_that_takes_no_handlers_is_told() -> None:
    """Those of Tornado's examples often make their handlers themselves, and have to be changed for it."""
    with pytest.raises(ConfigurationError) as refused:
        Stage(f"cyclone: {{site: {{type: {__name__}.Alone}}}}")
    [problem] = refused.value.problems
    assert "Alone cannot be called with a list of handlers and the settings: too many positional" in problem.what
    assert problem.fix == "have it take `handlers, **settings`, as tornado.web.Application does"
    assert (problem.where and problem.where.column) == 24


@pytest.mark.parametrize(("written", "interval"), [("", 30), ("websocket_ping_interval: 0", 0)])
def test_a_websocket_is_asked_whether_its_client_is_there(written: str, interval: int) -> None:
    """One whose client has vanished does not count for ever, unless somebody wants it so."""
    assert Site(f"application: {{{written}}}").application.settings["websocket_ping_interval"] == interval


def test_files_are_served_from_a_filepath(tmp_path: Path) -> None:
    """The folder of Tornado's handler of files may be a `!filepath`, as in the settings."""
    (tmp_path / "a.txt").write_text("a file")
    for folder in (f"!filepath {tmp_path}", str(tmp_path), f"!path {tmp_path}"):
        row = f"['/(.*)', cyclone.web.StaticFileHandler, {{path: {folder}}}]"
        assert Site(f"application: {{handlers: [{row}]}}").ask("/a.txt").body == b"a file"


def test_a_class_is_told_once_of_where_it_is_used() -> None:
    """However many handlers and sites it is used for."""
    Told.told.clear()
    rows = f"[[/a, {__name__}.Told], [/b, {{class: {__name__}.Told}}]]"
    stage = Stage(f"cyclone: {{a: {{application: {{handlers: {rows}}}}}, b: {{application: {{handlers: {rows}}}}}}}")
    assert Told.told == [stage.environment]


def test_what_is_not_enabled_is_not_there() -> None:
    """It neither listens nor offers its application."""
    stage = Stage("cyclone: {a: {enabled: false}, b: {listen: [0, 'unix:b.socket']}}")
    assert [listener.owner for listener in stage.environment.listeners.members] == ["cyclone.b", "cyclone.b"]
    [problem] = problems_of("enabled: false\napplication: {piped_dependencies: {own: cyclone.application.site}}")
    assert "there is no 'cyclone.application.site'" in problem


def test_names_lead_back_to_addresses() -> None:
    """`reverse_url` knows the names of handlers, also of those that are pipelines or provided."""
    site = Site(
        """
application:
  handlers:
    - [/a/(.*), tornado.web.RequestHandler, {}, first]
    - {pattern: /b, handler: {provider: pipeline.page}, name: second}
    - {pattern: /c, handler: {provider: the.handler}, name: third}
""",
        "pipelines: {page: [passthrough]}",
        {"the.handler": Told},
    )
    reverse = site.application.reverse_url
    assert [reverse("first", "x y"), reverse("second"), reverse("third")] == ["/a/x%20y", "/b", "/c"]


def test_a_stop_without_clients_ends_at_once() -> None:
    """Nothing is waited for where nobody was ever connected."""
    site = Site("listen: 0")
    site.environment.application.startService()
    stopped = site.environment.application.stopService()
    assert stopped.called
