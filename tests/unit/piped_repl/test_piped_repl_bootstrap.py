"""Bootstrap: Python in the configuration, or in a file that it names."""

from __future__ import annotations

import ast
import io
import traceback
from pathlib import Path
from typing import Any

import pytest
from twisted.python.filepath import FilePath

from piped import ConfigurationError, Mark
from piped.config.gathering import gather_text
from piped.spec.checking import Checker
from piped_repl.bootstrap import Bootstrap
from piped_repl.console import Console


def read(text: str) -> Bootstrap:
    """The bootstrap that stands at `bootstrap` in a configuration."""
    gathered = gather_text(text, "site.yml", environ={})
    checker = Checker({})
    made: Any = checker.value(Bootstrap, gathered.root.value["bootstrap"], owner="x")
    if checker.problems:
        raise ConfigurationError(problems=checker.problems)
    return made


def failure_of(bootstrap: Bootstrap) -> traceback.FrameSummary:
    """Where it fails when it is run."""
    error = Console({}).run(bootstrap.parse(), bootstrap.file, print).result()
    assert error is not None
    return traceback.extract_tb(error.__traceback__)[-1]


def test_its_names_are_those_of_the_prompt() -> None:
    """What is defined in a block is there afterwards, and its functions see each other."""
    console = Console({"base": 2})
    bootstrap = read("bootstrap: |\n  import ast\n  def first(): return second() * base\n  def second(): return 21\n")
    assert console.run(bootstrap.parse(), bootstrap.file, print).result() is None
    output = io.StringIO()
    console.evaluate("first(); ast", output.write)
    assert output.getvalue().startswith("42\n<module 'ast'")


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("bootstrap: |\n  a = 1\n  b = 1 / 0\n", 3, 6),
        ("x-more: 1\nbootstrap:\n    a = 1 / 0\n", 3, 8),
    ],
    ids=["block", "line"],
)
def test_a_failure_has_its_place_in_the_configuration(text: str, line: int, column: int) -> None:
    """The traceback names the file, the line and the column where it is written."""
    frame = failure_of(read(text))
    assert (frame.filename, frame.lineno, frame.colno) == ("site.yml", line, column)


def test_what_is_no_python_is_told_when_the_configuration_is_checked() -> None:
    """With its place, before anything is started."""
    with pytest.raises(ConfigurationError) as caught:
        read("bootstrap: |\n  a = 1\n  b = = 2\n")
    assert str(caught.value.problems[0]) == "site.yml:3:7: option 'bootstrap' of repl is no Python: invalid syntax"


def test_variables_of_the_environment_are_left_alone() -> None:
    """`${NAME}` may be part of the code."""
    assert read("bootstrap: 'text = \"${NOT_SET}\"'").source == 'text = "${NOT_SET}"'


def test_a_file_is_read_when_it_is_run(tmp_path: Path) -> None:
    """Its failures have their places in it."""
    file = tmp_path / "boot.py"
    bootstrap = read(f"bootstrap: !filepath {file}")
    file.write_text("a = 1\n\nb = 1 / 0\n")
    frame = failure_of(bootstrap)
    assert (frame.filename, frame.lineno) == (str(file), 3)


def test_a_file_that_is_missing_or_no_python_is_an_error(tmp_path: Path) -> None:
    """The error names the file."""
    file = tmp_path / "boot.py"
    bootstrap = Bootstrap(FilePath(str(file)), Mark("site.yml", 1, 1))
    with pytest.raises(OSError, match=r"boot\.py"):
        bootstrap.parse()
    file.write_text("a b")
    with pytest.raises(SyntaxError) as caught:
        bootstrap.parse()
    assert caught.value.filename == str(file)


def test_what_is_no_text_is_told() -> None:
    """A number is neither Python source nor a file."""
    with pytest.raises(ConfigurationError, match="must be Python source or a !filepath, not 3"):
        read("bootstrap: 3")


def test_nothing_is_a_bootstrap_too() -> None:
    """The default of Piped 0.7 was an empty text."""
    assert ast.unparse(read("bootstrap: ''").parse()) == ""
