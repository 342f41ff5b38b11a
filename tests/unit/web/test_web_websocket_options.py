"""What may be written behind `websocket:`."""

from __future__ import annotations

import sys
import textwrap

import pytest

from piped.config.gathering import gather_text
from piped.runtime.assembly import check
from piped.web.websockets.options import origin_of

SITE = """\
web:
  site:
    routing:
      __config__:
        websocket: {}
pipelines:
  it: [passthrough]
"""


def problems(written: str) -> list[str]:
    site = SITE.replace("websocket: {}", f"websocket: {written}")
    return [str(problem) for problem in check(gather_text(site, "site.yml", environ={}), {}).problems]


@pytest.mark.parametrize(
    "written",
    [
        "it",
        "pipeline.it",
        "{processor: it, connected: it, disconnected: it}",
        "{processor: it, max_message_size: 65536, ping_interval: null, max_unsent: 0, ordered: false}",
        '{processor: it, origins: ["*"], subprotocols: [v2.chat], on_error: continue, ping_timeout: 0.5}',
    ],
)
def test_what_is_right_is_accepted(written: str) -> None:
    """A processor alone, or a mapping with whatever is different."""
    assert problems(written) == []


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{}", "site.yml:5:9: websocket needs the option 'processor'"),
        ("17", "site.yml:5:20: option 'websocket' of __config__ must be"),
        ("{procesor: it}", "did you mean 'processor'?"),
        ("nowhere", "site.yml:5:20: there is no"),
        ("{processor: it, disconnected: nowhere}", "site.yml:5:50: there is no"),
        ("{processor: it, origins: [example.com]}", "site.yml:5:46: an origin must be a scheme and a host"),
        ("{processor: it, origins: [https://example.com/]}", "site.yml:5:46: an origin must be"),
        ('{processor: it, origins: ["https://*.example.com"]}', "site.yml:5:46: an origin must be"),
        ("{processor: it, origins: []}", "`origins` is empty"),
        ("{processor: it, subprotocols: [a b]}", "'a b' is no name of a subprotocol"),
        ("{processor: it, max_message_size: 0}", "site.yml:5:54: option 'max_message_size' of websocket must be"),
        ("{processor: it, ping_interval: 0}", "option 'ping_interval' of websocket must be"),
        ("{processor: it, max_pending: 0}", "option 'max_pending' of websocket must be"),
        ("{processor: it, on_error: ignore}", "option 'on_error' of websocket must be"),
    ],
)
def test_mistakes_are_told_at_their_place(written: str, told: str) -> None:
    """Before anything starts, with what to write instead."""
    found = problems(written)
    assert any(told in problem for problem in found), found


def test_without_wsproto_a_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is needed only where there is a WebSocket."""
    monkeypatch.setitem(sys.modules, "wsproto", None)
    assert problems("it") == [
        "site.yml:4:7: __config__: websocket needs the package wsproto – pip install 'piped[websocket]'"
    ]
    without = textwrap.dedent(SITE).replace("websocket: {}", "processor: it")
    assert check(gather_text(without, "site.yml", environ={}), {}).problems == []


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://example.com", None),
        ("http://example.com:443", "http://example.com:443"),
        ("https://example.com:443", "https://example.com"),
        ("http://user@example.com", None),
        ("ftp://example.com", None),
        ("https://example.com\n", None),
        ("https://", None),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(written: str, origin: str | None) -> None:
    """Two origins are the same when these are; nothing else is one."""
    assert origin_of(written) == origin
