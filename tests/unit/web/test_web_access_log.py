"""The lines of the access log."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from web_stage import Stage

from piped.web.access_log import Entry, access_log, as_json, combined, remote_of

ENTRY = Entry(1e9, "192.0.2.1", b"GET", b"/a?b=c", b"HTTP/1.1", 200, 17, 0.0123, b"http://x/", b"curl/8")


def test_a_combined_line_is_what_web_servers_write() -> None:
    """Every program that reads the combined format can read it; the seconds stand behind it."""
    assert combined(ENTRY) == (
        '192.0.2.1 - - [09/Sep/2001:01:46:40 +0000] "GET /a?b=c HTTP/1.1" 200 17 "http://x/" "curl/8" 0.012'
    )
    empty = replace(ENTRY, method=b"", target=b"", version=b"", status=400, size=0, referrer=None, agent=None)
    assert combined(empty).endswith('"-" 400 - "-" "-" 0.012')


def test_a_line_of_json_has_a_key_for_each_part() -> None:
    """The same for programs; what was not sent has no key."""
    assert json.loads(as_json(ENTRY)) == {
        "time": "2001-09-09T01:46:40.000+00:00",
        "remote": "192.0.2.1",
        "method": "GET",
        "path": "/a?b=c",
        "status": 200,
        "bytes": 17,
        "seconds": 0.0123,
        "referrer": "http://x/",
        "agent": "curl/8",
    }
    assert "agent" not in json.loads(as_json(replace(ENTRY, agent=None)))


@given(st.binary(), st.binary())
def test_a_client_cannot_forge_a_line(target: bytes, agent: bytes) -> None:
    """Whatever a client sends stays within its line and its quotes, and shows no control characters."""
    entry = replace(ENTRY, target=target, agent=agent)
    for line in (combined(entry), as_json(entry)):
        assert line.isascii()
        assert line.isprintable()
    assert combined(entry).count('"') == 6
    assert json.loads(as_json(entry))["status"] == 200


def test_an_attempt_to_forge_is_readable() -> None:
    """Line breaks, quotes and escape sequences of terminals are written as what they are."""
    hostile = b'x" 200 1\r\n192.0.2.2 - - \x1b[31m\\ \xe2\x80\xae'
    assert r'"x\x22 200 1\x0d\x0a192.0.2.2 - - \x1b[31m\x5c \xe2\x80\xae"' in combined(replace(ENTRY, agent=hostile))


def test_a_site_logs_when_it_is_told_to(caplog: pytest.LogCaptureFixture) -> None:
    """`access_log: combined` and `json` give a line of `piped.access` at level info; by default there is none."""
    caplog.set_level(logging.INFO, "piped.access")
    for form, begin in (("combined", "192.0.2.1 - - ["), ("json", '{"time": ')):
        Stage({}, routing={}, access_log=form).get("/a")
        [record] = caplog.records
        assert (record.name, record.levelname, record.getMessage().startswith(begin)) == ("piped.access", "INFO", True)
        caplog.clear()
    Stage({}, routing={}).get("/a")
    assert (access_log("none"), caplog.records) == (None, [])


def test_a_client_is_told_by_its_address() -> None:
    """The address of the connection is what is logged; a UNIX socket has none."""
    assert remote_of(IPv4Address("TCP", "192.0.2.1", 1)) == "192.0.2.1"
    assert remote_of(IPv6Address("TCP", "2001:db8::1", 1)) == "2001:db8::1"
    assert remote_of(UNIXAddress(None)) == "unix"
