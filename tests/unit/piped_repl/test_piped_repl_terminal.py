"""Terminal: the history; the rest is seen on a real terminal, in tests/wire."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory, InMemoryHistory

from piped_repl.terminal import open_history


def test_the_history_is_for_its_owner_only(tmp_path: Path) -> None:
    """Its folder is made; a file that others could read is theirs no longer."""
    file = tmp_path / "state" / "piped" / "history"
    open_history(str(file)).append_string("one")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.chmod(0o644)
    history = open_history(str(file))
    assert isinstance(history, FileHistory)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(history.load_history_strings()) == ["one"]


def test_a_history_that_cannot_be_kept_is_said_to_be_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The prompt works without."""
    (tmp_path / "file").write_text("")
    history = open_history(str(tmp_path / "file" / "folder" / "history"))
    assert isinstance(history, InMemoryHistory)
    assert "the prompt keeps no history" in caplog.text
    assert "Not a directory" in caplog.text


def test_a_device_keeps_its_mode() -> None:
    """`history: /dev/null` keeps nothing, and does not take the device from everybody else."""
    before = Path("/dev/null").stat().st_mode
    open_history("/dev/null")
    assert Path("/dev/null").stat().st_mode == before
