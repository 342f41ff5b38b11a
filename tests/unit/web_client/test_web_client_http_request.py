"""The step that asks web servers, as it is written."""

from __future__ import annotations

from typing import Any

import pytest
from client_stage import result_of
from twisted.internet.defer import Deferred

from piped.catalog.discovery import discover
from piped.config.gathering import gather_text
from piped.ground.batons import BatonPath
from piped.ground.errors import PipedError
from piped.runtime.assembly import check
from piped.runtime.environment import RuntimeEnvironment
from piped.web_client.fetching import client_of
from piped.web_client.http_request import HttpRequest
from piped.web_client.pages import WebClientGetPage

CATALOG, _ = discover(None, None, (), built_in=["piped.web"])


def problems_with(options: str) -> list[str]:
    text = f"pipelines: {{main: [{{http-request: {options}}}]}}"
    return [str(problem) for problem in check(gather_text(text, "site.yml", environ={}), {}).problems]


@pytest.mark.parametrize(
    "options",
    [
        "{url: http://x/}",
        "{url_path: where, params: {a: [!path b, 1]}, headers_path: h, bearer: !path token}",
        "{url: [https://x/v1, !path id], method: PATCH, json: {a: !path b}, output: json, output_path: null}",
        "{url: !path u, form_path: f, user: ada, password: !path p, fail_on: [5xx, 404], max_redirects: 0}",
        "{url: http://x/, body_path: file, retries: 3, timeout: !path t, connect_timeout: 1, attempt_timeout: 2}",
        "{url: http://x/, retries: {times: 2, on: [connection, 503], wait: 1, max_wait: 9, repeatable: true}}",
        "{url: http://x/, save_to: !path name, save_sync: true, max_body: 1000, output: status}",
        "{url: http://x/, stream: true, output: body, verify: false, max_connections_per_host: 1}",
    ],
)
def test_options_may_be_written_or_lie_in_the_baton(options: str) -> None:
    """Each value of a request may be a !path."""
    assert problems_with(options) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{}", "nothing says what to ask for – add `url`"),
        ("{url: example.org}", "'example.org' is no URL of a page: it must begin with http:// or https://"),
        ("{url: [ftp://x, a]}", "'ftp://x/a' is no URL of a page"),
        ("{url: [http://x, ..]}", "it leads elsewhere"),
        ("{url: []}", "no parts"),
        ("{url: [http://x, null]}", "None is no segment of a URL"),
        ("{url: http://x/, headers: {a b: !path c}}", "'a b' is no name of a header"),
        ("{url: http://x/, json: {share: .nan}}", "what stands for `json` cannot be sent as JSON: Out of range float"),
        ("{url: http://x/, user: 'a:b'}", "the name of a user has no colon – the password is an option of its own"),
        ("{url: http://x/, save_to: ''}", "save_to is empty – name a file"),
        ("{url: http://ada:secret@x/}", "'http://…@x/' is no URL of a page: a name and a password"),
        ("{url: http://x/, url_path: u}", "url and url_path mean the same – remove one of them"),
        ("{url: http://x/, json: 1, body_path: b}", "json and body exclude each other – a request has one body"),
        ("{url: http://x/, bearer: a, user: b}", "bearer and user exclude each other"),
        ("{url: http://x/, password: b}", "a password without a user – add `user`"),
        ("{url: http://x/, method: 'GET /'}", "'GET /' is no method"),
        ("{url: http://x/, retries: -1}", "retries"),
        ("{url: http://x/, retries: {on: [sometimes]}}", "on"),
        ("{url: http://x/, fail_on: [6xx]}", "fail_on"),
        ("{url: http://x/, timeout: soon}", "timeout"),
        ("{url: http://x/, connect_timeout: 0}", "connect_timeout"),
        ("{url: http://x/, stream: true, save_to: a}", "stream and save_to exclude each other"),
        ("{url: http://x/, save_to: a, output: json}", "output: json needs the body in memory"),
        ("{url: http://x/, save_to: a, output: body}", "the body that is saved is not there"),
        ("{url: http://x/, key_file: a}", "a key_file without its certificate – add `cert_file`"),
        ("{url: http://x/, ca_file: a, verify: false}", "ca_file is of no use with verify: false"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(options: str, message: str) -> None:
    """What could never be sent is a mistake of the configuration, with its place."""
    [problem] = problems_with(options)
    assert problem.startswith("site.yml:1:")
    assert message in problem


@pytest.mark.parametrize("name", [None, "", 17])
def test_a_file_has_a_name(name: Any) -> None:
    """What is no name does not become one."""
    step = HttpRequest(url="http://x/", save_to=BatonPath("name"))
    step.configure(RuntimeEnvironment())
    with pytest.raises(PipedError, match=f"save_to must be the name of a file, not {name!r}"):
        result_of(Deferred.fromCoroutine(step.process({"name": name})))


def test_steps_share_their_connections() -> None:
    """All steps of a process have one client, which stops with it; files are read when the process starts."""
    environment = RuntimeEnvironment()
    steps: list[Any] = [HttpRequest(url="http://x/"), HttpRequest(url="http://y/"), WebClientGetPage()]
    for step in steps:
        step.configure(environment)
    assert list(environment.application) == [client_of(environment)]
