"""Verdicts: what became of tests, as lines for people and as JUnit's XML for machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Literal
from xml.etree import ElementTree

import click

from piped.ground.errors import Mark

Kind = Literal["passed", "failed", "skipped"]
_SIGNS: dict[Kind, tuple[str, str]] = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("–", "yellow")}
#: What XML cannot say.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one test.

    Args:
        suite: what it belongs to: a file, or a suite of status tests.
        told: why, in as many lines as needed; '' where there is nothing to say.
        where: the place where it is written, if that is known.
    """

    suite: str
    name: str
    outcome: Kind
    seconds: float
    told: str = ""
    where: Mark | None = None


def shown(verdict: Verdict) -> str:
    """A line about a test, and below it what there is to say."""
    sign, colour = _SIGNS[verdict.outcome]
    line = f"{click.style(f'{sign} {verdict.name}', fg=colour)}  {verdict.seconds * 1000:.0f} ms"
    return f"{line}\n{indent(verdict.told.rstrip(), '    ')}" if verdict.told else line


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many tests there were, and what became of them.

    Example:
        >>> summary([Verdict("site.yaml", "a", "passed", 0.1), Verdict("site.yaml", "b", "failed", 0.1)])
        '2 tests: 1 passed, 1 failed'
    """
    outcomes = [verdict.outcome for verdict in verdicts]
    counts = [f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped")]
    told = ", ".join(count for count in counts if not count.startswith("0 "))
    return f"{len(verdicts)} test{'' if len(verdicts) == 1 else 's'}: {told}"


def failures(verdicts: Sequence[Verdict]) -> list[str]:
    """The names of those that failed, with their places, for the end of a long list."""
    failed = [verdict for verdict in verdicts if verdict.outcome == "failed"]
    return [f"✗ {verdict.where or verdict.suite}: {verdict.name}" for verdict in failed]


def junit(verdicts: Sequence[Verdict]) -> bytes:
    """The file that programs for continuous integration read, in the form of JUnit."""
    root = ElementTree.Element("testsuites")
    for suite in dict.fromkeys(verdict.suite for verdict in verdicts):
        its = [verdict for verdict in verdicts if verdict.suite == suite]
        outcomes = [verdict.outcome for verdict in its]
        counts = {"tests": len(its), "failures": outcomes.count("failed"), "skipped": outcomes.count("skipped")}
        attributes = {"name": _text(suite)} | {name: str(count) for name, count in counts.items()}
        element = ElementTree.SubElement(root, "testsuite", attributes)
        for verdict in its:
            attributes = {"classname": suite, "name": verdict.name, "time": f"{verdict.seconds:.3f}"}
            if verdict.where is not None:
                attributes |= {"file": verdict.where.file, "line": str(verdict.where.line)}
            case = ElementTree.SubElement(element, "testcase", {key: _text(each) for key, each in attributes.items()})
            if verdict.outcome == "skipped":
                ElementTree.SubElement(case, "skipped", message=_text(verdict.told))
            elif verdict.outcome == "failed":
                first = verdict.told.partition("\n")[0]
                ElementTree.SubElement(case, "failure", message=_text(first)).text = _text(verdict.told)
    ElementTree.indent(root)
    made: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made


def _text(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
