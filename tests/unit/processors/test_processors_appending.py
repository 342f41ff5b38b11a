"""Tests of the one writer of a file."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, execute

from piped.processors.appending import Appender, take_back
from piped.runtime.environment import RuntimeEnvironment

NOON = datetime(2026, 11, 22, 12).timestamp()
DAY = 24 * 60 * 60


class Disk(RuntimeEnvironment):
    """An environment whose threads do nothing until they get a turn, and whose wall clock is set by hand."""

    def __init__(self, *, is_slow: bool = False) -> None:
        super().__init__(wall_clock=lambda: self.now)
        self.now = NOON
        self.is_slow = is_slow
        self._turns: list[Callable[[], object]] = []

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if not self.is_slow:
            return execute(function, *arguments)
        done: Deferred[Any] = Deferred()
        self._turns.append(lambda: done.callback(None))
        return done.addCallback(lambda _: function(*arguments))

    def turn(self) -> None:
        """Let one thread do its work."""
        self._turns.pop(0)()

    @property
    def has_work(self) -> bool:
        return bool(self._turns)

    def finish(self) -> None:
        while self.has_work:
            self.turn()


def started(path: Path, *, is_daily: bool = False, is_slow: bool = False) -> tuple[Appender, Disk]:
    disk = Disk(is_slow=is_slow)
    appender = Appender(str(path), is_daily, disk)
    appender.startService()
    return appender, disk


def outcome_of(written: Deferred[None]) -> Any:
    """None for a line that is in the file, else the class of what it failed with."""
    outcomes: list[Any] = []
    written.addCallbacks(outcomes.append, lambda failure: outcomes.append(failure.type))
    [outcome] = outcomes
    return outcome


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """The disk is full at so many bytes of each file."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_a_line_is_in_the_file_when_it_is_told_so(tmp_path: Path) -> None:
    """Nothing stays behind in a buffer, and what was in the file before stays."""
    file = tmp_path / "file"
    file.write_bytes(b"before\n")
    appender, disk = started(file, is_slow=True)
    one, two, three = appender.append(b"1\n"), appender.append(b"2\n"), appender.append(b"3\n")
    assert (one.called, file.read_bytes()) == (False, b"before\n")
    disk.finish()
    assert (one.called, two.called, three.called) == (True, True, True)
    assert file.read_bytes() == b"before\n1\n2\n3\n"


def test_lines_that_wait_are_written_together(tmp_path: Path) -> None:
    """A slow disk is asked once for all that has come meanwhile, and never for two things at a time."""
    appender, disk = started(tmp_path / "file", is_slow=True)
    lines = [appender.append(b"%d\n" % number) for number in range(1000)]
    disk.turn()
    disk.turn()
    assert all(line.called for line in lines)
    assert not disk.has_work


def test_a_line_that_is_cancelled_in_time_is_not_written(tmp_path: Path) -> None:
    """Whoever waits can be cancelled; the lines of others are written, and a line that is being written too."""
    file = tmp_path / "file"
    appender, disk = started(file, is_slow=True)
    lines = [appender.append(b"%d\n" % number) for number in range(4)]
    lines[2].cancel()
    disk.turn()
    lines[1].cancel()
    disk.finish()
    assert file.read_bytes() == b"0\n1\n3\n", "1 was on its way already"
    assert list(map(outcome_of, lines)) == [None, CancelledError, CancelledError, None]


def test_lines_that_are_all_cancelled_need_no_disk(tmp_path: Path) -> None:
    """What was waited for behind another line leaves nothing to be done."""
    appender, disk = started(tmp_path / "file", is_slow=True)
    first, second = appender.append(b"1\n"), appender.append(b"2\n")
    second.addErrback(lambda failure: failure.trap(CancelledError) and None)
    second.cancel()
    disk.turn()
    assert not disk.has_work
    third = appender.append(b"3\n")
    disk.finish()
    assert (outcome_of(first), outcome_of(third)) == (None, None)


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    """Until it is opened anew lines go to the file that was moved, then to a new one: each is in one of them."""
    file, moved = tmp_path / "file", tmp_path / "moved"
    appender, disk = started(file, is_slow=True)
    open_files = len(os.listdir("/proc/self/fd"))
    appender.append(b"1\n")
    file.rename(moved)
    appender.append(b"2\n")
    disk.finish()
    disk.on_reopen()
    appender.append(b"3\n")
    disk.finish()
    assert (moved.read_bytes(), file.read_bytes()) == (b"1\n2\n", b"3\n")
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_new_file_is_there_even_if_nothing_is_written(tmp_path: Path) -> None:
    """Whoever moved a file away sees at once that it was understood."""
    file = tmp_path / "file"
    _, disk = started(file)
    file.unlink()
    disk.on_reopen()
    assert file.read_bytes() == b""


def test_a_file_that_cannot_be_opened_anew_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines go on to where they went, and the log says why."""
    folder, moved = tmp_path / "folder", tmp_path / "moved"
    folder.mkdir()
    appender, disk = started(folder / "file")
    folder.rename(moved)
    disk.on_reopen()
    assert outcome_of(appender.append(b"1\n")) is None
    assert (moved / "file").read_bytes() == b"1\n"
    assert f"{folder}/file cannot be opened anew" in caplog.text
    assert "No such file or directory" in caplog.text


def test_a_stop_comes_after_the_last_line(tmp_path: Path) -> None:
    """What waits is written before the file is closed, and nothing is heard of SIGHUP any more."""
    file = tmp_path / "file"
    appender, disk = started(file, is_slow=True)
    open_files = len(os.listdir("/proc/self/fd"))
    lines = [appender.append(b"1\n"), appender.append(b"2\n")]
    stopped: list[Any] = []
    appender.stopService().addCallback(stopped.append)
    assert not stopped
    disk.finish()
    assert stopped
    assert list(map(outcome_of, lines)) == [None, None]
    assert file.read_bytes() == b"1\n2\n"
    assert len(os.listdir("/proc/self/fd")) == open_files - 1
    assert len(disk.on_reopen) == 0
    assert appender.stopService().called, "a second stop has nothing to do"


def test_lines_outside_of_the_life_of_the_process_are_written(tmp_path: Path) -> None:
    """Before the start and after the stop the file is opened for each batch, and none stays open."""
    file = tmp_path / "file"
    disk = Disk()
    appender = Appender(str(file), False, disk)
    open_files = len(os.listdir("/proc/self/fd"))
    appender.check()
    assert outcome_of(appender.append(b"1\n")) is None
    appender.startService()
    appender.startService()
    appender.stopService()
    assert outcome_of(appender.append(b"2\n")) is None
    file.unlink()
    file.mkdir()
    assert outcome_of(appender.append(b"3\n")) is IsADirectoryError
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_full_disk_fails_the_lines_that_do_not_fit(tmp_path: Path) -> None:
    """A line is in the file as a whole or not at all; shorter ones behind it may still fit."""
    file = tmp_path / "file"
    appender, disk = started(file, is_slow=True)
    lines = [appender.append(line) for line in (b"one\n", b"two\n", b"a long one\n", b"four\n", b"five\n", b"6\n")]
    with no_file_longer_than(16):
        disk.finish()
    assert list(map(outcome_of, lines)) == [None, None, OSError, None, OSError, None]
    assert file.read_bytes() == b"one\ntwo\nfour\n6\n"
    later = appender.append(b"later\n")
    disk.finish()
    assert outcome_of(later) is None
    assert file.read_bytes() == b"one\ntwo\nfour\n6\nlater\n"


def test_a_disk_that_is_full_between_two_lines(tmp_path: Path) -> None:
    """What has just fitted is not taken back."""
    file = tmp_path / "file"
    appender, disk = started(file, is_slow=True)
    lines = [appender.append(line) for line in (b"one\n", b"two\n", b"six\n", b"ten\n")]
    with no_file_longer_than(12):
        disk.finish()
    assert list(map(outcome_of, lines)) == [None, None, None, OSError]
    assert file.read_bytes() == b"one\ntwo\nsix\n"


def test_only_the_own_part_of_a_line_is_taken_back(tmp_path: Path) -> None:
    """Where another process has written behind it, and in a pipe, it stays."""
    file = tmp_path / "file"
    ours, others = (os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT) for _ in range(2))
    os.write(ours, b"whole\npart")
    take_back(ours, len("part"))
    assert file.read_bytes() == b"whole\n"
    os.write(ours, b"part")
    os.write(others, b"other\n")
    take_back(ours, len("part"))
    assert file.read_bytes() == b"whole\npartother\n"
    reader, writer = os.pipe()
    os.write(writer, b"part")
    take_back(writer, len("part"))
    assert os.read(reader, 10) == b"part"
    for descriptor in (ours, others, reader, writer):
        os.close(descriptor)


def test_a_failure_names_the_file() -> None:
    """A device that is full says so, and which it was."""
    appender, _ = started(Path("/dev/full"))
    failures: list[Any] = []
    for line in (b"1\n", b"2\n"):
        appender.append(line).addErrback(failures.append)
    assert [str(failure.value) for failure in failures] == ["[Errno 28] No space left on device: '/dev/full'"] * 2
    assert failures[0].value is not failures[1].value


def test_a_pipe_that_nobody_reads_does_not_stop_the_start(tmp_path: Path) -> None:
    """It is an error, and not a process that hangs."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        Appender(str(tmp_path / "pipe"), False, Disk()).check()


class TestDaily:
    """A file of which every day has its own."""

    def test_the_file_of_yesterday_is_put_aside(self, tmp_path: Path) -> None:
        """The first line of a day begins a new file, as private as the former; the former is named after its day."""
        file = tmp_path / "log"
        appender, disk = started(file, is_daily=True)
        file.chmod(0o600)
        for day, line in ((0, b"1\n"), (0, b"2\n"), (1, b"3\n"), (3, b"4\n")):
            disk.now = NOON + day * DAY
            assert outcome_of(appender.append(line)) is None
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
            "log.2026_11_22": b"1\n2\n",
            "log.2026_11_23": b"3\n",
            "log": b"4\n",
        }
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}

    def test_a_day_that_ended_before_the_start_counts(self, tmp_path: Path) -> None:
        """What another process has written yesterday is put aside by the name of that day, without zeros."""
        file = tmp_path / "log"
        file.write_bytes(b"old\n")
        old = datetime(2026, 3, 5, 23, 59).timestamp()
        os.utime(file, (old, old))
        appender, _ = started(file, is_daily=True)
        appender.append(b"new\n")
        assert ((tmp_path / "log.2026_3_5").read_bytes(), file.read_bytes()) == (b"old\n", b"new\n")

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        """The file that a link leads to is put aside in its own folder."""
        (tmp_path / "there").mkdir()
        link = tmp_path / "log"
        link.symlink_to(tmp_path / "there" / "file")
        appender, disk = started(link, is_daily=True)
        appender.append(b"1\n")
        disk.now += DAY
        appender.append(b"2\n")
        assert link.is_symlink()
        assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["file", "file.2026_11_22"]

    def test_nothing_is_overwritten(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Where the file of that day is there already, lines are added to the present one; it is told once a day."""
        file, aside = tmp_path / "log", tmp_path / "log.2026_11_22"
        aside.write_bytes(b"precious\n")
        appender, disk = started(file, is_daily=True)
        appender.append(b"1\n")
        disk.now += DAY
        appender.append(b"2\n")
        appender.append(b"3\n")
        assert (aside.read_bytes(), file.read_bytes()) == (b"precious\n", b"1\n2\n3\n")
        assert caplog.text.count(f"there is {aside} already") == 1

    def test_what_somebody_else_put_aside_is_left_alone(self, tmp_path: Path) -> None:
        """Another process may have put the file aside already: its new one is used, and not moved."""
        file, moved = tmp_path / "log", tmp_path / "moved"
        for other in (b"of another process\n", None):
            appender, disk = started(file, is_daily=True)
            appender.append(b"1\n")
            file.rename(moved)
            disk.now += DAY
            if other:
                file.write_bytes(other)
                os.utime(file, (disk.now, disk.now))
            appender.append(b"2\n")
            assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "moved"]
            assert (moved.read_bytes(), file.read_bytes()) == (b"1\n", (other or b"") + b"2\n")
            file.unlink()

    def test_a_file_that_cannot_be_put_aside_is_kept(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """No line is lost with it, and the log says why."""
        file = tmp_path / ("l" * 250)  # a file can have that name, but no longer one
        appender, disk = started(file, is_daily=True)
        appender.append(b"1\n")
        disk.now += DAY
        assert outcome_of(appender.append(b"2\n")) is None
        assert file.read_bytes() == b"1\n2\n"
        assert "File name too long" in caplog.text

    def test_only_files_are_put_aside(self, tmp_path: Path) -> None:
        """A pipe or a device, such as /dev/null, stays where everybody expects it."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        appender, disk = started(pipe, is_daily=True)
        disk.now += DAY
        line = b"more than a pipe can hold at once" * 10_000
        received: list[bytes] = []

        def read() -> None:
            with os.fdopen(reader, "rb") as stream:
                received.append(stream.read(len(line)))

        reading = Thread(target=read, daemon=True)
        reading.start()
        assert outcome_of(appender.append(line)) is None
        reading.join(30)
        assert received == [line]
        assert list(tmp_path.iterdir()) == [pipe]


ACTIONS = st.lists(st.sampled_from(["append", "cancel", "disk", "move and reopen", "reopen", "next day"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.booleans())
def test_nothing_is_lost_or_written_twice(actions: list[str], is_daily: bool) -> None:
    """However lines, cancellations, moved files and days follow each other, each line is there once, in order."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        appender, disk = started(file, is_daily=is_daily, is_slow=True)
        lines: list[Deferred[None]] = []
        moved: list[Path] = []
        for action in actions:
            if action == "append":
                lines.append(appender.append(b"%d\n" % len(lines)))
            elif action == "cancel" and lines:
                lines[-1].cancel()
            elif action == "disk" and disk.has_work:
                disk.turn()
            elif action == "next day":
                disk.now += DAY
            elif action == "move and reopen" and file.exists():
                moved.append(file.rename(Path(folder) / f"moved{len(moved)}"))
            if action.endswith("reopen"):
                disk.on_reopen()
        appender.stopService()
        disk.finish()
        outcomes = list(map(outcome_of, lines))
        found = sorted(int(line) for path in Path(folder).iterdir() for line in path.read_bytes().split())
        assert len(found) == len(set(found))
        assert {number for number, outcome in enumerate(outcomes) if outcome is None} <= set(found)
        for path in Path(folder).iterdir():
            numbers = [int(line) for line in path.read_bytes().split()]
            assert numbers == sorted(numbers)
