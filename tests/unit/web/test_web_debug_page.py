"""The page of a kept failure: what it shows, and that nothing in a failure becomes a part of it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from piped.runtime.frames import MOST_FRAMES, KeptError
from piped.web.debug_page import LONGEST_BATON, View, headers, page

HOSTILE = "</script></pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--"


class Odd:
    """Something whose repr is markup."""

    def __repr__(self) -> str:
        return HOSTILE


def fail(given: Any) -> None:
    raise ValueError(given)


def kept(given: Any, function: Any = fail) -> KeptError:
    try:
        function(given)
    except Exception as error:
        error.add_note(f"in pipeline it, step {given} (site.yml:7:9)")
        return KeptError(error)
    raise AssertionError("it did not fail")


def shown(error: KeptError, baton: Any = None, request: str = "GET /") -> Any:
    """The page, as a browser understands it."""
    return lxml_html.fromstring(page(View(error, request, baton, "/__debug__/id", "token")).decode())


def text(document: Any, selector: str) -> str:
    [element] = document.xpath(selector)
    return str(element.text_content())


@given(st.text())
def test_markup_is_shown_as_what_it_is(some: str) -> None:
    """Neither a failure nor its step, a baton, a request or a variable is ever a part of the page."""
    for given_text in (HOSTILE, some, f"{some}%s%(token)s"):
        document = shown(kept(given_text), {given_text: [given_text, Odd()]}, f"GET /{given_text}")
        assert len(document.xpath("//script")) == 1
        assert document.xpath("//*[@onerror]") == []
        assert document.xpath("//img") == []
        assert len(document.xpath("//*[@id='headline']")) == 1


def test_a_page_is_called_as_whoever_shows_it_says() -> None:
    """The title is that of web sites unless another one is given, which is text too."""
    for view, title in (
        (View(kept("x"), "", None, "/", ""), "web.Server Traceback"),
        (View(kept("x"), "", None, "/", "", title="<a> %s"), "<a> %s"),
    ):
        document = lxml_html.fromstring(page(view).decode())
        assert {text(document, "//title"), text(document, "//h1")} == {f"{title} (most recent call last)"}


def test_hostile_texts_arrive_whole() -> None:
    """What was escaped is read as it was written."""
    document = shown(kept(HOSTILE), {"key": Odd()}, f"GET /{HOSTILE}")
    assert text(document, "//*[@id='headline']") == f"ValueError: {HOSTILE}"
    assert HOSTILE in text(document, "//*[@id='request']")
    assert HOSTILE in text(document, "//*[@id='places']")
    assert unescape(text(document, "//*[@id='baton']")).count("<!--") == 1


def test_signs_that_no_encoding_has_do_no_harm() -> None:
    """A lone surrogate, as JSON can bring it, is replaced."""
    assert "ValueError: ?" in text(shown(kept("\ud800"), {"a": "\ud800"}), "//*[@id='headline']")


def test_frames_have_source_variables_and_a_number() -> None:
    """The innermost is open, with its failing line; others are closed and say their line."""
    document = shown(kept("given"))
    frames = document.xpath("//details[contains(@class, 'frame')]")
    assert [frame.get("data-frame") for frame in frames] == ["0", "1"]
    assert [frame.get("open") is not None for frame in frames] == [False, True]
    assert text(frames[1], ".//*[contains(@class, 'failing')]/mark") == "raise ValueError(given)"
    assert text(frames[1], ".//summary").endswith("raise ValueError(given)")
    assert [element.text for element in frames[1].xpath(".//dt")] == ["given"]
    assert document.xpath("//section//h3") == []
    assert [element.text for element in frames[1].xpath(".//dd")] == ["'given'"]


def test_frames_of_the_engine_are_folded_together() -> None:
    """What users have not written is there, but not in the way; unless it is where it failed."""

    def through_the_engine(given: Any) -> None:
        KeptError(ValueError()).frame(3)

    document = shown(kept("it", through_the_engine))
    assert document.xpath("//details[@class='engine']//details[contains(@class, 'frame') and @open]") == []
    [innermost] = document.xpath("//details[contains(@class, 'frame') and @open]")
    assert "frames.py" in text(innermost, ".//*[@class='place']")


def test_each_error_of_a_chain_has_its_headline() -> None:
    """In the order of a traceback, with how one led to the other, and frames counted through."""

    def twice(given: Any) -> None:
        try:
            fail("first")
        except ValueError as error:
            raise KeyError("second") from error

    document = shown(kept("x", twice))
    assert [element.text for element in document.xpath("//section//h3")] == ["ValueError: first", "KeyError: 'second'"]
    assert "… which was the direct cause of" in [element.text for element in document.xpath("//*[@class='led']")]
    numbers = [frame.get("data-frame") for frame in document.xpath("//details[contains(@class, 'frame')]")]
    assert numbers == [str(number) for number in range(len(numbers))]


def test_a_page_is_bounded() -> None:
    """A huge baton, a long text and a deep recursion make no huge page."""

    def deep(given: Any) -> Any:
        return deep(given)

    error = kept("x" * 1_000_000, deep)
    whole = page(View(error, "GET /", {str(n): "y" * 2000 for n in range(5000)}, "/", "token"))
    assert len(whole) < 300_000
    document = lxml_html.fromstring(whole.decode())
    assert len(text(document, "//*[@id='baton']")) == LONGEST_BATON + 1
    assert len(document.xpath("//details[contains(@class, 'frame')]")) == MOST_FRAMES
    assert "were too many to be kept" in whole.decode()


def test_an_error_without_frames_has_a_page() -> None:
    """One that was never raised says so."""
    document = shown(KeptError(ValueError("made")))
    assert "made, but never raised" in document.text_content()


def test_only_the_pages_own_script_and_style_are_allowed() -> None:
    """The policy names their hashes, and lets the page talk to its own server only."""
    document = shown(kept("x"))
    policy = headers()["Content-Security-Policy"]
    for kind in ("script", "style"):
        [element] = document.xpath(f"//{kind}")
        digest = b64encode(sha256(element.text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "connect-src 'self'" in policy
    assert document.xpath("//*[@style]") == []
    assert re.findall(r'(?:src|href)="(?!data:,")', page(View(kept("x"), "", None, "/", "")).decode()) == []
