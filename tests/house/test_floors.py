"""What the floors of ARCHITECTURE.md promise and import-linter does not see."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "piped"
EVERYTHING = sorted(SOURCE.parent.rglob("*.py"))
PURE = ("ground", "config", "spec", "catalog", "pipelines", "resources")
#: Modules that a pure floor may not know, wherever it would import them.
WORLD = ("asyncio", "socket", "subprocess", "threading", "time", "twisted.internet.reactor")


def files(*rooms):
    return [path for room in rooms for path in sorted((SOURCE / room).rglob("*.py"))]


def imported(path):
    """The full names of all that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", files(*PURE), ids=str)
def test_what_decides_does_not_know_the_world(path):
    """Floors 0 to 4 are given the time, the reactor and files; they import none of them."""
    assert not set(imported(path)) & set(WORLD)


@pytest.mark.parametrize("path", files(*PURE, "runtime"), ids=str)
def test_no_floor_below_the_face_imports_it(path):
    """`from piped import …` is for those above."""
    assert not [name for name in imported(path) if name == "piped" or name.startswith("piped.exceptions")]


@pytest.mark.parametrize("path", EVERYTHING, ids=str)
def test_only_the_door_installs_and_imports_the_reactor(path):
    """Nobody but the command fetches the reactor from where Twisted keeps it."""
    if path.parent.name != "app":
        assert "twisted.internet.reactor" not in set(imported(path))


@pytest.mark.parametrize("path", EVERYTHING, ids=str)
def test_a_file_has_one_purpose_and_says_so(path):
    """Each file begins with a sentence about it, and is short enough to be read."""
    text = path.read_text()
    first = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    assert first.endswith((".", ":")), f"{path} does not begin with a sentence"
    assert len(text.splitlines()) <= 400
