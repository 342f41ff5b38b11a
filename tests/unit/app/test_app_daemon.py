"""The file that says which process runs."""

import os

import click
import pytest

from piped.app.daemon import pid_file


def test_a_pid_file_is_there_while_the_process_runs(tmp_path):
    """It holds the process id, and is gone afterwards, however that came."""
    file = tmp_path / "site.pid"
    with pid_file(str(file)):
        assert file.read_text() == f"{os.getpid()}\n"
    assert not file.exists()
    with pytest.raises(LookupError), pid_file(str(file)):
        raise LookupError
    assert not file.exists()


def test_a_second_process_is_refused(tmp_path):
    """Whose file it is stands in the message; the file is left as it was."""
    file = str(tmp_path / "site.pid")
    with pid_file(file):
        with pytest.raises(click.ClickException, match=f"already running as process {os.getpid()}"), pid_file(file):
            pass
        assert os.path.exists(file)


def test_what_a_crash_left_behind_is_taken_over(tmp_path):
    """Also when another process runs under that id by now, such as the first one of a container after its restart."""
    file = tmp_path / "site.pid"
    file.write_text("1\n")
    with pid_file(str(file)):
        assert file.read_text() == f"{os.getpid()}\n"


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    """With the reason of the system."""
    with (
        pytest.raises(click.ClickException, match=r"cannot write the pid file .*: No such file"),
        pid_file(str(tmp_path / "nowhere" / "site.pid")),
    ):
        pass


def test_no_name_means_no_file(tmp_path, monkeypatch):
    """Without -p nothing is written; an empty name asks for the same."""
    monkeypatch.chdir(tmp_path)
    for name in (None, ""):
        with pid_file(name):
            assert os.listdir() == []
