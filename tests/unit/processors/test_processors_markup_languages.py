"""Tests of the steps that read HTML and XML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped.ground.errors import ConfigurationError
from piped.processors.markup_languages import ProcessXPaths, RemoveMarkup, text_of

FEED = """<?xml version="1.0" encoding="iso-8859-1"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <entry id="1"><title>Grün</title></entry>
  <entry id="2"><title>Rot</title></entry>
</feed>"""
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Hello, <b>world</b>!</p>\n", "Hello, world!"),
        ("no markup", "no markup"),
        ("<a title='1 > 0' href=\"x>y\">link</a>", "link"),
        ("a<!-- <b>not this</b> > -->b", "ab"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        *((text, text) for text in ("&lt;b&gt;", "&amp;amp;", "Tom &amp Jerry & co", "&#38; &#x26;&", "&&amp;")),
        ("<script>if (a < b) run('<b>')</script>text<style>p > b {}</style>", "text"),
        ("<!DOCTYPE html><br/>one<br>two", "onetwo"),
        ("<iframe>R&amp;D</iframe>", "R&amp;D"),
        ("1 <", "1 <"),
        ("I <3 you", "I <3 you"),
        ("up to <here", "up to <here"),
        ("<p title=it's>It's <b>me</b>", "It's me"),
        ("<p\nclass='a'\n>a</P x>", "a"),
        ("<scripts>text</scripts>", "text"),
        ("a<SCRIPT\nsrc='>'>b</scripts>c</script\n>d", "ad"),
        ("<?xml version='1.0'?><![CDATA[x]]>a", "a"),
        ("a<!-->b<!--->c<!-- <b> --!>d", "abcd"),
        *(("a" + unended, "a") for unended in ("<!-- <b>c", "<script>b<c>", "<style>b", "<!b", "<?b")),
        ("", ""),
    ],
)
def test_markup_is_removed(markup: str, text: str) -> None:
    """Tags, comments, scripts and style sheets go; the text stays to the letter, but for blanks at its ends."""
    assert text_of(markup) == text


PIECES = st.one_of(
    st.tuples(st.text(st.characters(exclude_characters="<"))).map(lambda piece: (*piece, *piece)),
    st.tuples(
        st.sampled_from(
            ["<b>", "</b>", "<br/>", "<a b='<\">' c=\"'>\">", "<!-- <b> -->", "<!x>", "<style>p > a {}</style>"]
        ),
        st.just(""),
    ),
)


@given(st.lists(PIECES))
def test_nothing_but_markup_is_removed(pieces: list[tuple[str, str]]) -> None:
    """Whatever stands between tags, and whatever stands in them, each text is left as it was."""
    assert text_of("".join(markup for markup, _ in pieces)) == "".join(text for _, text in pieces).strip()


@pytest.mark.parametrize(
    "hostile", ["<", "<a ", "<a b=", "<a b='", "<a b=\"'", "<!--", "<![CDATA[", "</a ", "<script></"]
)
def test_no_text_stops_the_process(hostile: str) -> None:
    """Tags that never end cost no more than others: a stranger's 100 KB take milliseconds."""
    begin = process_time()
    text_of(hostile * (100_000 // len(hostile)))
    assert process_time() - begin < 1


def test_several_values_are_relieved_of_their_markup() -> None:
    """remove-markup takes a mapping of paths."""
    baton = RemoveMarkup(["a", {"b": "c"}, "missing"]).process({"a": "<i>1</i>", "b": " <i>2</i> "})
    assert baton == {"a": "1", "b": " <i>2</i> ", "c": "2"}


def test_what_is_no_text_has_no_markup() -> None:
    """An input of another kind fails with its path and its kind."""
    with pytest.raises(TypeError, match="what lies at 'a' is no text but bytes"):
        RemoveMarkup(["a"]).process({"a": b"<i>1</i>"})


def found(xml: Any, *xpaths: str, **options: Any) -> list[Any]:
    step = ProcessXPaths("xml", dict.fromkeys(xpaths, "found"), **options)
    result: list[Any] = step.process({"xml": xml})["found"]
    return result


def test_what_is_found_is_collected_in_lists() -> None:
    """Each expression adds to the list at its path, which may be there already."""
    step = ProcessXPaths("xml", {"//b/text()": "found.b", "//c/@d": "found.c", "count(//b)": "found.b"})
    baton = step.process({"xml": "<a><b>1</b><b>2</b><c d='3'/></a>", "found": {"c": ["0"]}})
    assert baton["found"] == {"b": ["1", "2", 2.0], "c": ["0", "3"]}
    assert {type(one) for one in baton["found"]["c"]} == {str}


def test_elements_can_be_worked_with() -> None:
    """An expression may find elements, as lxml has them."""
    [element] = found("<a><b c='1'/></a>", "//b")
    assert element.get("c") == "1"


@pytest.mark.parametrize("xml", [FEED, FEED.encode("latin-1")])
def test_namespaces_and_encodings_are_understood(xml: Any) -> None:
    """Bytes are read in the encoding that they declare, text as it is; prefixes are named in the options."""
    assert found(xml, "//a:title/text()", namespaces={"a": "http://www.w3.org/2005/Atom"}) == ["Grün", "Rot"]


def test_a_document_reads_no_files(tmp_path: Path) -> None:
    """Neither entities nor a document type can bring in what lies on the machine."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "secret.dtd").write_text("<!ENTITY x 'secret'><!ATTLIST a b CDATA 'secret'>")
    with pytest.raises(ValueError, match="declares entities"):
        found(f"<!DOCTYPE a [<!ENTITY x SYSTEM 'file://{secret}'>]><a>&x;</a>", "string(/)")
    outside = f"<!DOCTYPE a SYSTEM 'file://{tmp_path}/secret.dtd'><a>&x;</a>"
    assert found(outside, "//text()", "string(/)", "//@b") == [""]


@pytest.mark.parametrize("content", ["<a>&{};</a>", "<a b='&{};'/>", "<a/>"])
@pytest.mark.parametrize(("entities", "name"), [("<!ENTITY l0 'ha'>", "l0"), (f"<!ENTITY l0 'ha'>{LAUGHS}", "l9")])
def test_entities_are_refused(entities: str, name: str, content: str) -> None:
    """A few lines cannot become gigabytes."""
    with pytest.raises(ValueError, match=r"declares entities|amplification"):
        found(f"<!DOCTYPE a [{entities}]>{content.format(name)}", "string(/)")


def test_references_of_xml_itself_are_read() -> None:
    """Those that every document has stand for their characters."""
    assert found("<!DOCTYPE a><a b='&quot;'>&lt;&#252;</a>", "//@b", "//text()") == ['"', "<ü"]


def test_a_document_has_its_bounds() -> None:
    """What is nested without end is refused."""
    with pytest.raises(ValueError, match="is no XML"):
        found("<a>" * 1000 + "</a>" * 1000, "//a")


@pytest.mark.parametrize("xml", ["", "<a>", b"\xff", "<a>&x</a>", None, 5])
def test_what_is_no_xml_is_a_value_error(xml: Any) -> None:
    """One kind of error says that an input cannot be read, whatever is wrong with it."""
    with pytest.raises(ValueError, match="what lies at 'xml' is no XML"):
        found(xml, "//a")


@pytest.mark.parametrize("xpath", ["//", "//x:a", "nonsense(1)", "//a["])
def test_a_wrong_expression_is_told_at_the_start(xpath: str) -> None:
    """An expression, prefix or function that is wrong is a mistake of the configuration."""
    with pytest.raises(ConfigurationError, match="cannot be used as XPath"):
        ProcessXPaths("xml", {xpath: "found"})


def test_a_place_for_lists_is_needed() -> None:
    """The baton is not replaced, and what is no list is not overwritten."""
    with pytest.raises(ConfigurationError, match="cannot replace the baton"):
        ProcessXPaths("xml", {"//a": ""})
    with pytest.raises(TypeError, match="what lies at 'found' is no list but str"):
        ProcessXPaths("xml", {"//a": "found"}).process({"xml": "<a/>", "found": "text"})


def test_without_lxml_it_is_told_how_to_get_it() -> None:
    """Only who uses process-xpaths needs lxml, and is told so at the start."""
    program = (
        "import sys; sys.modules['lxml'] = None\n"
        "from piped import ConfigurationError\n"
        "from piped.processors.markup_languages import ProcessXPaths\n"
        "try: ProcessXPaths('xml', {})\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "lxml is not installed" in done.stdout
    assert "HINT: pip install 'piped[xml]'" in done.stdout
