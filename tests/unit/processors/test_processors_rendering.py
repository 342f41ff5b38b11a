"""Tests of the steps that make pictures of drawings."""

from __future__ import annotations

import hashlib
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from piped.processors.rendering import PAGES, SelfDrawing, engine

SVG = "{http://www.w3.org/2000/svg}"


@settings(max_examples=5, deadline=None)  # each reads 2 MB
@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r￾￿")))
def test_a_picture_that_draws_itself_is_xml(dot: str) -> None:
    """Whatever is drawn, the document can be read, has what is to be drawn, and the engine that draws it."""
    picture = SelfDrawing(dot)
    root = ElementTree.fromstring(picture.decode())
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}metadata") == "".join(sign for sign in dot if sign >= " " or sign in "\t\n")
    library, start = (script.text or "" for script in root.iter(f"{SVG}script"))
    assert "Viz={}" in library
    assert "Viz.instance()" in start
    assert picture.dot == dot


def test_the_engine_comes_with_its_licence() -> None:
    """Whoever gets the engine in a page gets its licence too; nothing in it ends the script that it stands in."""
    assert "Copyright (c) Michael Daines" in engine()
    assert "Permission is hereby granted" in engine()
    assert "Eclipse Public License" in engine()
    assert "</script" not in engine().lower()
    assert "<!--" not in engine()
    assert "\0" not in engine()
    assert "\r" not in engine()


def test_the_engine_is_the_released_one() -> None:
    """The file is viz-global.js of @viz-js/viz 3.31.0 as it was published, unchanged."""
    assert (
        hashlib.sha256((PAGES / "viz-global.js").read_bytes()).hexdigest()
        == "c9e0b310f9883910e01c66054b48b7ff4be3d8695141116635e72b0af152692e"
    )
