"""Whether a client has the present version of a file already."""

from __future__ import annotations

import pytest
from web_stage import Client

from piped.web.conditions import is_known
from piped.web.request import Request

#: Thu, 01 Jan 2026 00:00:00 GMT
NEW_YEAR = 1767225600


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ([], False),
        (['If-None-Match: "a"'], True),
        (['If-None-Match: "b"'], False),
        (['If-None-Match: "b", "a"'], True),
        (['If-None-Match: "b","a" , "c"'], True),
        (['If-None-Match: W/"a"'], True),
        (['If-None-Match: "b"', 'If-None-Match: "a"'], True),
        (["If-None-Match: *"], True),
        (["If-None-Match: a"], False),
        (['If-None-Match: "xa"'], False),
        (["If-None-Match: "], False),
        (["If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"], True),
        (["If-Modified-Since: Thu, 01 Jan 2026 00:00:01 GMT"], True),
        (["If-Modified-Since: Wed, 31 Dec 2025 23:59:59 GMT"], False),
        (["If-Modified-Since: yesterday"], False),
        (["If-Modified-Since:"], False),
        (["If-Modified-Since: \f"], False),
        (["If-Modified-Since: Thu, 99 Foo 9999999 99:99:99 GMT"], False),
        (['If-None-Match: "b"', "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"], False),
        (['If-None-Match: "a"', "If-Modified-Since: Wed, 31 Dec 2025 23:59:59 GMT"], True),
    ],
)
def test_what_a_client_says_that_it_has_is_compared(headers: list[str], known: bool) -> None:
    """Lists of tags and weak tags are understood, a time counts only without tags, and nonsense is no version."""
    seen: list[Request] = []
    Client(seen.append).get("/", *headers)
    assert is_known(seen[0], b'"a"', NEW_YEAR) is known


def test_what_has_no_time_is_known_by_its_tag_only() -> None:
    """A time says nothing of what is made of several files."""
    seen: list[Request] = []
    Client(seen.append).get("/", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT")
    assert not is_known(seen[0], b'"a"')
