"""The section `cyclone`: settings as Tornado wants them, and what is told of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from cyclone_stage import Site, problems_of
from tornado import web


class Shout(web.UIModule):
    """A module for templates."""


class Hidden(web.OutputTransform):
    """A transform."""


def shout(handler: web.RequestHandler, text: str) -> str:
    return text.upper()


def log(handler: web.RequestHandler) -> None:
    """Takes the place of the access log."""


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("listen: 99999", "site.yml:3:13: 99999 is no port"),
        ("listen: [8888, 'haproxy:tcp:8080']", "site.yml:3:20: Tornado cannot serve 'haproxy:tcp:8080'"),
        ("listen: 'ssl:443:privateKey=nothing.pem'", "site.yml:3:13: 'ssl:443:privateKey=nothing.pem' is no endpoint"),
        ("lisen: 8888", "site.yml:3:5: cyclone.site has no option 'lisen' – did you mean 'listen'?"),
        ("type: builtins.dict", "site.yml:3:11: what is named here must be a subclass of tornado.web.Application"),
        (
            "type: cyclone.web.Application\napplication_factory: cyclone.web.Application",
            "site.yml:2:3: cyclone.site: `type` and `application_factory` are the same – remove one",
        ),
        ("idle_timeout: 0", "site.yml:3:19: option 'idle_timeout' of cyclone.site must be a number above 0 (s), not 0"),
        ("application: {debug_allow: [1.2.3]}", "site.yml:3:33: a client must be an address"),
        ("application: {debug_alow: []}", "site.yml:3:19: neither Piped nor Tornado knows the setting 'debug_al"),
        ("application: {handlres: []}", "site.yml:3:19: neither Piped nor Tornado knows the setting 'handlr"),
        ("application: {ui_modules: {a: builtins.dict}}", "site.yml:3:35: what is named here must be a class of UI"),
        ("application: {ui_modules: 7}", "site.yml:3:31: what is named here must be the full name"),
        (
            "application: {transforms: [builtins.dict]}",
            "site.yml:3:32: what is named here must be a subclass of torn",
        ),
        ("application: {default_handler_class: builtins.dict}", "site.yml:3:42: what is named here must be a class of"),
        ("application: {piped_dependencies: {a: pipeline.none}}", "site.yml:3:43: there is no 'pipeline.none'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(section: str, told: str) -> None:
    """Each mistake is told once, at the line and column where it stands."""
    [problem] = problems_of(section)
    assert problem.startswith(told), problem


def test_settings_reach_tornado_as_it_wants_them(tmp_path: Path) -> None:
    """Names are loaded, files are absolute texts, and what nobody has declared is handed on."""
    here = __name__
    site = Site(
        f"""
application:
  ui_modules: {{Shout: {here}.Shout}}
  ui_methods: {here}
  transforms: [{here}.Hidden]
  default_handler_class: cyclone.web.ErrorHandler
  default_handler_args: {{status_code: 410}}
  log_function: {here}.log
  static_path: {tmp_path}/static
  template_path: !filepath templates
  other_path: !path elsewhere
  login_url: /login
  cookie_secret: a secret
  piped_dependencies: {{names: context.names}}
  debug: true
""",
        "contexts: {names: {first: ada}}",
    )
    settings = dict(site.application.settings)
    dependencies = settings.pop("piped_dependencies")
    assert dependencies.names == {"first": "ada"}
    assert settings.pop("ui_modules") == {"Shout": Shout}
    assert settings.pop("ui_methods").shout is shout
    assert settings == {
        "default_handler_class": web.ErrorHandler,
        "default_handler_args": {"status_code": 410},
        "log_function": log,
        "static_path": f"{tmp_path}/static",
        "template_path": str(Path("templates").absolute()),
        "other_path": str(Path("elsewhere").absolute()),
        "login_url": "/login",
        "cookie_secret": "a secret",
        "websocket_ping_interval": 30,
    }
    assert site.application.transforms == [Hidden]
    assert site.application.ui_methods["shout"] is shout


def test_debug_is_no_setting_of_tornados() -> None:
    """Neither does anything start anew when a file changes, nor does everybody see tracebacks."""
    settings = Site("application: {debug: true, debug_allow: [127.0.0.1]}").application.settings
    assert set(settings) == {"piped_debugger", "websocket_ping_interval"}


def test_ui_modules_may_be_a_module() -> None:
    """A text names what holds them all."""
    application = Site(f"application: {{ui_modules: {__name__}}}").application
    assert application.ui_modules["Shout"] is Shout


@pytest.mark.parametrize("name", ["other_path", "debugging", "handler_of_mine", "default_handler_args", "log_level"])
def test_anything_may_be_a_setting_of_somebodys(name: str) -> None:
    """Only what differs from an option by a letter or two is taken for a slip of the pen."""
    assert problems_of(f"application: {{{name}: {{}}}}") == []
