"""Tests of the standard input."""

from __future__ import annotations

import pytest
from providers_stage import Needy, Offer, assembled, recorder

from piped import ConfigurationError, RuntimeEnvironment
from piped.providers.stdin_provider import StdinProvider


class Site:
    """A configuration with `stdin`, and the batons that its pipeline recorded."""

    def __init__(self, options: str = "processor: main", steps: str = "record", **offers: Offer) -> None:
        record, self.batons = recorder()
        text = f"stdin: {{{options}}}\npipelines: {{main: [{steps}]}}\n"
        self.environment: RuntimeEnvironment = assembled(text, record, Needy, offers=offers)

    @property
    def provider(self) -> StdinProvider:
        [provider] = self.environment.application
        assert isinstance(provider, StdinProvider)
        return provider


def test_each_line_is_a_baton_and_so_is_the_end() -> None:
    """The end of the input is a baton with null for the line, after the last line."""
    site = Site()
    for piece in (b"one\n\ntw", b"o\nrest", b""):
        site.provider.received(piece)
    assert site.batons == [{"line": "one"}, {"line": ""}, {"line": "two"}, {"line": "rest"}, {"line": None}]


def test_the_delimiter_and_the_bound_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    """As those of a process can."""
    site = Site("processor: main, delimiter: ';', max_length: 3")
    site.provider.received(b"abc;long;d\ne;")
    assert [baton["line"] for baton in site.batons] == ["abc", "d\ne"]
    assert caplog.messages == ["stdin: a line is longer than max_length, 3 bytes: it is dropped"]


def test_lines_wait_until_the_processor_is_ready() -> None:
    """Nothing is lost of what comes before."""
    outside = Offer()
    site = Site("processor: main", "needy, record", outside=outside)
    site.provider.received(b"early\n")
    assert site.batons == []
    outside.deliver("here")
    assert site.batons == [{"line": "early"}]


def test_what_is_not_enabled_reads_nothing() -> None:
    """The section may stay where it is."""
    assert list(Site("enabled: false, processor: main").environment.application) == []


def test_a_processor_is_needed() -> None:
    """A section without one is told at its place."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:1:1: stdin needs the option 'processor'"):
        Site("enabled: true")
