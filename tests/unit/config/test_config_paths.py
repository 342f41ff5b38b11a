"""Names of files in a configuration."""

from __future__ import annotations

import os

import pytest
from twisted.python.filepath import FilePath, InsecurePath

import piped
from piped.config.paths import expand, make_path, unset_in

ENVIRON = {"HOME": "/home/ada", "CONF": "/etc/site"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~", "/home/ada"),
        ("~/x", "/home/ada/x"),
        ("$CONF/x.yml", "/etc/site/x.yml"),
        ("$NONE/x", "$NONE/x"),
        ("a~b", "a~b"),
        ("~root/x", os.path.expanduser("~root/x")),
    ],
)
def test_homes_and_variables_are_filled_in(text: str, path: str) -> None:
    """`~` and `$VAR` work as in a shell; what is not set stays."""
    assert expand(text, ENVIRON) == path


def test_unset_variables_are_found() -> None:
    """Advice about a missing file can name the variable that is not set."""
    assert unset_in("$CONF/$NONE/x", ENVIRON) == ["NONE"]


def test_a_file_path_begins_in_the_run_directory() -> None:
    """A relative `!filepath` counts from where Piped runs, and remembers how it was written."""
    path = make_path("!filepath", "x y", ENVIRON)
    assert (path, path.text) == (FilePath(os.path.join(os.getcwd(), "x y")), "x y")


def test_a_piped_path_lies_in_the_package() -> None:
    """`!pipedpath` names what comes with Piped; nothing names its folder."""
    folder = os.path.dirname(str(piped.__file__))
    assert make_path("!pipedpath", "", ENVIRON) == FilePath(folder)
    assert make_path("!pipedpath", "config/paths.py", ENVIRON).exists()


@pytest.mark.parametrize("text", ["..", "../x", "a/../../x", "/etc", "~/x"])
def test_a_piped_path_stays_in_the_package(text: str) -> None:
    """Nothing outside of the package can be named so."""
    with pytest.raises(InsecurePath):
        make_path("!pipedpath", text, ENVIRON)
