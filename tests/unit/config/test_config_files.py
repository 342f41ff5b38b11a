"""Finding and reading files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from piped.config.files import find_file, read_file
from piped.ground.errors import Mark, Problem

WHERE = Mark("site.yml", 2, 5)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The run directory: a fresh one with some files."""
    (tmp_path / "conf").mkdir()
    for name in ("base.yml", "conf/base.yml", "conf/only.yml", "top.yml"):
        (tmp_path / name).write_text(f"name: {name}\n")
    with chdir(tmp_path):
        yield tmp_path


@pytest.mark.usefixtures("folder")
def test_a_file_is_looked_up_beside_the_one_that_names_it() -> None:
    """The folder comes first, then the run directory; an absolute name is taken as it is."""
    assert find_file("base.yml", "conf", WHERE, {}) == "conf/base.yml"
    assert find_file("top.yml", "conf", WHERE, {}) == "top.yml"
    assert find_file("../top.yml", "conf", WHERE, {}) == "top.yml"
    assert find_file("$C/only.yml", "conf", WHERE, {"C": "conf"}) == "conf/only.yml"


def test_an_absolute_name_is_taken_as_it_is(folder: Path) -> None:
    """An absolute name has nothing to do with the folder."""
    assert find_file(str(folder / "top.yml"), "conf", WHERE, {}) == str(folder / "top.yml")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("onli.yml", "neither in 'conf' nor in the run directory", "did you mean 'only.yml'?"),
        ("zzz", "neither in 'conf' nor in the run directory", "there is: base.yml, only.yml"),
        ("$NONE/x.yml", "neither in 'conf' nor in the run directory", "the environment variable NONE is not set"),
        ("no/x.yml", "neither in 'conf' nor in the run directory", ""),
    ],
)
def test_a_file_that_is_not_there_is_told(name: str, what: str, fix: str) -> None:
    """A missing file is told where it is named, with where it was looked for and what there is instead."""
    problem = Problem(f"there is no file {name!r}, {what}", WHERE, fix)
    assert find_file(name, "conf", WHERE, {}) == problem


@pytest.mark.usefixtures("folder")
def test_files_that_cannot_be_read_are_told() -> None:
    """A folder, or text that is not UTF-8, is told; the byte by its own place."""
    Path("latin.yml").write_bytes("a: é\nb: 1\nc: né\n".encode("latin-1").replace(b"a: \xe9", "a: é".encode()))
    assert str(read_file("conf", WHERE)) == "site.yml:2:5: 'conf' cannot be read: is a directory – name a file in it"
    assert str(read_file("latin.yml", WHERE)) == "latin.yml:3:5: byte 0xe9 is not UTF-8 text – save the file as UTF-8"
    assert str(read_file("gone.yml", None)) == "'gone.yml' cannot be read: no such file or directory"


@pytest.mark.usefixtures("folder")
def test_a_byte_order_mark_is_no_text() -> None:
    """Files of editors that write a byte order mark are read like others."""
    Path("bom.yml").write_bytes("\ufeffa: 1\n".encode())
    assert read_file("bom.yml", None) == "a: 1\n"
