"""The two channels beside each other: what one of them takes for a request, the other takes for the same."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from web_stage import Client, Served

from malformed_requests import mutated, smuggling
from piped.web.request import Request

#: Seeds of as many requests with something wrong.
SEEDS = 3000


def told(data: bytes, channel: str) -> tuple[list[int], list[Any]]:
    """The codes of the responses, and what a pipeline would have been given."""
    seen = []

    def answer(request: Request) -> None:
        headers = dict(request.requestHeaders.getAllRawHeaders())
        seen.append((request.method, request.uri, request.clientproto, headers, request.content.read()))
        request.answer(b"ok")

    Served.by = channel
    try:
        client = Client(answer, max_body=10_000)
        codes = re.findall(rb"HTTP/1\.[01] (\d+) ", client.send(data))
    finally:
        Served.by = "twisted"
    return list(map(int, codes)), seen


def differences(data: bytes) -> str:
    """How the answers differ, in one word of the list in docs/web.md; empty where they do not."""
    (codes, seen), (fast_codes, fast_seen) = told(data, "twisted"), told(data, "fast")
    assert fast_seen == seen[: len(fast_seen)], f"the fast channel understands something else: {data!r}"
    accepted, fast_accepted = ([code for code in found if 200 <= code < 400] for found in (codes, fast_codes))
    refused, fast_refused = ([code for code in found if code >= 400] for found in (codes, fast_codes))
    assert len(fast_accepted) <= len(accepted), data
    if len(fast_accepted) < len(accepted):
        assert fast_refused in ([400], [431]), f"the fast channel drops a request: {data!r}"
        return "stricter"
    if refused != fast_refused:
        return "code" if refused and fast_refused else "later" if refused else "sooner"
    return "" if codes == fast_codes else "continue"


@pytest.mark.parametrize("part", range(4))
def test_neither_channel_takes_what_the_other_refuses(part: int) -> None:
    """The fast channel accepts nothing that Twisted's does not, and understands all that it accepts in the same way."""
    found = {differences(mutated(random.Random(seed))) for seed in range(part, SEEDS, 4)}
    assert found >= {"", "stricter", "code", "sooner", "continue"}


def test_no_body_is_taken_for_a_request() -> None:
    """What hides a request within a body is refused, or understood as a body, by both."""
    for data in smuggling():
        for channel in ("twisted", "fast"):
            _, seen = told(data, channel)
            assert all(b"smuggled" not in request[1] for request in seen), (channel, data)
        differences(data)
