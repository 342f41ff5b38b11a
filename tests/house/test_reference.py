"""The reference says what the code says."""

import runpy
from pathlib import Path

REFERENCE = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "reference.py"))


def test_the_reference_is_what_the_code_says():
    """Every page of docs/reference is up to date, none is missing, and none is left over: else `make reference`."""
    folder = REFERENCE["FOLDER"]
    written = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.md")}
    assert written == REFERENCE["pages"]()
