"""The command as a function, in a folder of its own."""

import sys

import pytest
from click.testing import CliRunner

from piped.app.main import command


@pytest.fixture
def piped(tmp_path, monkeypatch):
    """Calls a verb that needs no reactor; gives `exit_code`, `stdout`, `stderr` and `output`, which is both."""
    searched = list(sys.path)
    runner = CliRunner()

    def call(*arguments, **options):
        monkeypatch.chdir(tmp_path)  # each time, as -d changes it
        return runner.invoke(command, [str(argument) for argument in arguments], prog_name="piped", **options)

    yield call
    sys.path[:] = searched


@pytest.fixture
def write(tmp_path):
    """Writes files, given by name, into the folder in which the command is called."""

    def write_files(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write_files
