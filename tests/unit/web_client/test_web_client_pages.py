"""The step that fetches pages, as it is written."""

from __future__ import annotations

from typing import Any

import pytest
from client_stage import result_of
from twisted.internet.defer import Deferred

from piped.catalog.discovery import discover
from piped.config.gathering import gather_text
from piped.ground.batons import BatonPath
from piped.ground.errors import ConfigurationError, PipedError
from piped.runtime.assembly import check
from piped.runtime.environment import RuntimeEnvironment
from piped.web_client.fetching import client_of
from piped.web_client.pages import WebClientGetPage

CATALOG, _ = discover(None, None, (), built_in=["piped.web"])


def problems_with(options: str) -> list[str]:
    text = f"pipelines: {{main: [{{web-client-get-page: {options}}}]}}"
    return [str(problem) for problem in check(gather_text(text, "site.yml", environ={}), {}).problems]


@pytest.mark.parametrize(
    "options",
    [
        "{}",
        "{url: http://x/}",
        "{base_url: http://x/, url: [a, !path b, 3], method: !path m, headers: !path h, cookies: !path c}",
        "{timeout: 1.5, redirect_limit: !path n, follow_redirect: false, after_found_get: !path y}",
        "{headers: {a: !path b, c: [d, 3]}, agent: null, postdata: !path request.content, output_path: null}",
    ],
)
def test_options_may_be_written_or_lie_in_the_baton(options: str) -> None:
    """Every option is a value or a !path."""
    assert problems_with(options) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{timeout: soon}", "timeout"),
        ("{timeout: -1}", "timeout"),
        ("{headers: [a]}", "headers"),
        ("{follow_redirect: 3}", "follow_redirect"),
        ("{redirect_limit: many}", "redirect_limit"),
        ("{redirect_limit: -1}", "redirect_limit"),
        ("{max_body: -1}", "max_body"),
        ("{uri: http://x/}", "no option 'uri'"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(options: str, message: str) -> None:
    """What no value could be is a mistake of the configuration, with its place."""
    [problem] = problems_with(options)
    assert problem.startswith("site.yml:1:")
    assert message in problem


def test_all_steps_share_one_client() -> None:
    """The connections of a process belong to one service, which stops with it."""
    environment = RuntimeEnvironment()
    steps = [WebClientGetPage(), WebClientGetPage(url="http://x/")]
    for step in steps:
        step.configure(environment)
    assert list(environment.application) == [client_of(environment)]


def test_a_file_that_is_missing_is_told_when_the_process_starts() -> None:
    """A ca_file that is not there does not wait for the first page."""
    with pytest.raises(ConfigurationError, match=r"'/no/such/file.pem' cannot be read: "):
        WebClientGetPage(ca_file="/no/such/file.pem").configure(RuntimeEnvironment())


@pytest.mark.parametrize("name", sorted(CATALOG.processors))
def test_every_step_of_the_web_says_what_it_does(name: str) -> None:
    """Each has a summary, a text for each option, and an example that can be copied into a pipeline."""
    spec: Any = CATALOG.processors[name].spec
    assert spec.summary
    assert not [parameter.name for parameter in spec.parameters if not parameter.text]
    assert spec.examples
    for example in spec.examples:
        indented = "\n".join(f"    {line}" for line in example.splitlines())
        gathered = gather_text(f"pipelines:\n  main:\n{indented}\n", "site.yml", environ={})
        assert [str(problem) for problem in check(gathered, {}).problems] == []


@pytest.mark.parametrize("name", ["headers", "cookies"])
def test_what_has_names_is_a_mapping(name: str) -> None:
    """What the baton has instead is told without showing it: it may be secret."""
    step = WebClientGetPage(**{"url": "http://x/", name: BatonPath("v")})
    step.configure(RuntimeEnvironment())
    with pytest.raises(PipedError, match=f"{name} must be a mapping, not str$"):
        result_of(Deferred.fromCoroutine(step.process({"v": "secret"})))
