"""What became of tests, as people and machines read it."""

from xml.etree import ElementTree

import click
import pytest

from piped.app.verdicts import Verdict, failures, junit, shown, summary
from piped.ground.errors import Mark

PASSED = Verdict("site.yaml", "one", "passed", 0.0123)
FAILED = Verdict("site.yaml", "two", "failed", 1.5, "site.yaml:1:2: result is 1, expected 2\nTraceback\n")
SKIPPED = Verdict("smoke", "three", "skipped", 0, "not today")


@pytest.mark.parametrize(
    ("verdict", "lines"),
    [
        (PASSED, ["✓ one  12 ms"]),
        (FAILED, ["✗ two  1500 ms", "    site.yaml:1:2: result is 1, expected 2", "    Traceback"]),
        (SKIPPED, ["– three  0 ms", "    not today"]),
    ],
)
def test_a_verdict_is_a_line_with_the_reasons_below(verdict, lines):
    """The sign says it without colours."""
    assert click.unstyle(shown(verdict)).splitlines() == lines


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ([PASSED], "1 test: 1 passed"),
        ([PASSED, FAILED, SKIPPED, PASSED], "4 tests: 2 passed, 1 failed, 1 skipped"),
        ([FAILED] * 10, "10 tests: 10 failed"),
    ],
)
def test_the_summary_counts(verdicts, told):
    """Only what there was."""
    assert summary(verdicts) == told


def test_those_that_failed_are_named_at_the_end():
    """With the place where they are written, or else with their suite; of a long list nobody sees the middle."""
    placed = Verdict("site.yaml", "four", "failed", 0.1, where=Mark("site.yaml", 4, 7))
    assert failures([PASSED, placed, SKIPPED, FAILED]) == ["✗ site.yaml:4:7: four", "✗ site.yaml: two"]
    assert failures([PASSED]) == []


def test_junit_leads_to_the_place():
    """Programs show the line of the test, if it is known."""
    [[case]] = ElementTree.fromstring(junit([Verdict("a.yaml", "x", "passed", 0, where=Mark("a.yaml", 4, 7))]))
    assert (case.get("file"), case.get("line")) == ("a.yaml", "4")


def test_junit_has_a_suite_for_each_file():
    """With the counts, times and reasons that programs look for."""
    root = ElementTree.fromstring(junit([PASSED, SKIPPED, FAILED]))
    suites = [[suite.get(key) for key in ("name", "tests", "failures", "skipped")] for suite in root]
    assert suites == [["site.yaml", "2", "1", "0"], ["smoke", "1", "0", "1"]]
    one, two = root[0]
    assert (one.attrib, list(one)) == ({"classname": "site.yaml", "name": "one", "time": "0.012"}, [])
    [failure] = two
    assert failure.get("message") == "site.yaml:1:2: result is 1, expected 2"
    assert failure.text == FAILED.told
    assert root[1][0][0].get("message") == "not today"


def test_junit_holds_whatever_a_test_says():
    """XML has no word for some signs: they are replaced, and the file can be read."""
    root = ElementTree.fromstring(junit([Verdict("a\0", "<b>&", "failed", 0, "c\x1b\ud800 ]]> d")]))
    assert root[0].get("name") == "a�"
    assert root[0][0].get("name") == "<b>&"
    assert root[0][0][0].text == "c�� ]]> d"
