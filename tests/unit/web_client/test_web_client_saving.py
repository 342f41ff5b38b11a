"""Bodies become files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from client_stage import result_of
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, execute

from piped.web_client.saving import save


class Threads:
    """Threads that begin their work when they are told to."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], object]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()

        def work() -> None:
            # Like a pool of threads, which does not notice that nobody waits any more.
            execute(function, *arguments).addBoth(lambda result: None if done.called else done.callback(result))

        self._waiting.append(work)
        return done

    def work(self, position: int = 0) -> bool:
        if self._waiting:
            self._waiting.pop(position)()
        return bool(self._waiting)


async def parts_of(parts: list[bytes], error: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if error is not None:
        raise error


def saving(parts: Any, name: Path, in_thread: Any = execute, sync: bool = False) -> Deferred[int]:
    return Deferred.fromCoroutine(save(parts, str(name), in_thread, sync=sync))


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_has_all_the_parts(tmp_path: Path, sync: bool) -> None:
    """It replaces the one that was there, and nothing else is left."""
    name = tmp_path / "file"
    name.write_bytes(b"before")
    assert result_of(saving(parts_of([b"a", b"bc"]), name, sync=sync)) == 3
    assert name.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [name]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """Half a body is no file, and the failure is the one that happened."""
    name = tmp_path / "file"
    name.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError):
        result_of(saving(parts_of([b"half"], ZeroDivisionError()), name))
    assert (name.read_bytes(), list(tmp_path.iterdir())) == (b"before", [name])
    with pytest.raises(FileNotFoundError):
        result_of(saving(parts_of([b"a"]), tmp_path / "none" / "file"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        result_of(saving(parts_of([b"a"]), tmp_path / "folder"))
    assert sorted(tmp_path.iterdir()) == [name, tmp_path / "folder"]


@given(st.integers(0, 6), st.lists(st.integers(0, 1), max_size=4))
def test_whenever_it_is_cancelled_nothing_is_left(steps: int, order: list[int]) -> None:
    """Whatever a thread is doing then, and whichever thread comes first after that."""
    with TemporaryDirectory() as folder:
        threads, name = Threads(), Path(folder, "file")
        running = saving(parts_of([b"a", b"b"]), name, threads)
        for _ in range(steps):
            threads.work()
        is_saved = running.called
        running.addErrback(lambda failure: failure.trap(CancelledError))
        running.cancel()
        for position in order:
            threads.work(min(position, len(threads._waiting) - 1))
        while threads.work():
            pass
        assert running.called
        left = [each.name for each in Path(folder).iterdir()]
        assert left == ["file"] if is_saved else left in ([], ["file"])
        assert not left or name.read_bytes() == b"ab"
