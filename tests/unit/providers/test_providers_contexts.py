"""Tests of contexts, and of the files that persisted ones are kept in."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import sys
import textwrap
from collections import deque
from collections.abc import Callable
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from providers_stage import assembled, environment, resource
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath

from piped import ConfigurationError, RuntimeEnvironment, UnprovidedResourceError
from piped.providers.context_provider import (
    ContextProvider,
    PersistedContext,
    PersistedContextOptions,
    PersistedContextProvider,
)

# Contexts


def test_the_examples_of_the_reference_page_work() -> None:
    """Each name below `contexts` is a resource; what it holds is any value."""
    site = assembled("contexts: {my_context: {foo: bar}, another_context: this is a string}")
    assert resource(site, "context.my_context") == {"foo": "bar"}
    assert resource(site, "context.another_context") == "this is a string"


def test_a_context_is_one_object_for_everybody() -> None:
    """What one consumer changes, the other sees; the configuration itself stays as it was written."""
    site = assembled("contexts: {users: {known: []}}")
    resource(site, "context.users")["known"].append("Ada")
    assert resource(site, "context.users") == {"known": ["Ada"]}
    assert site.get_configuration_value("contexts.users") == {"known": []}


def test_a_context_reaches_the_pipelines_that_fetch_it() -> None:
    """`fetch-context` gives the shared object, under a name with dots as well."""
    site = assembled("contexts: {a.b: [1]}\npipelines: {main: [fetch-context: {context: a.b, output_path: known}]}")
    [baton] = resource(site, "pipeline.main")({}).result
    assert baton["known"] is resource(site, "context.a.b")


@pytest.mark.parametrize("text", ["contexts:", "contexts: {}"])
def test_there_may_be_no_contexts(text: str) -> None:
    """An empty section offers nothing."""
    assert list(assembled(text).resource_manager.get_registered_resources()) == ["pipeline_provider"]


def test_an_unknown_context_is_told_where_it_is_named() -> None:
    """A name of no context is a mistake of the configuration, with the closest one."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:2:45: there is no 'context\.user' – did you mean 'users'"):
        assembled("contexts: {users: 5}\npipelines: {main: [fetch-context: {context: user}]}")
    with pytest.raises(UnprovidedResourceError, match=r"context\.user'"):
        resource(assembled("contexts: {users: 5}"), "context.user")


def test_contexts_need_no_file() -> None:
    """An environment that a test makes by hand is enough: the provider checks what is set there."""
    made = RuntimeEnvironment()
    made.configuration_manager.set("contexts", {"a": [1]})
    ContextProvider().configure(made)
    PersistedContextProvider().configure(made)
    assert list(made.resource_manager.get_registered_resources()) == ["context.a"]
    assert resource(made, "context.a") == [1]


# Persisted contexts


class Kept:
    """A process with the persisted context `state` in the file `state.json` of a folder."""

    def __init__(self, folder: Path, options: str = "", into: RuntimeEnvironment | None = None) -> None:
        self.file = folder / "state.json"
        text = f"persisted_contexts:\n  state:\n    file: {self.file}\n" + textwrap.indent(options, "    ")
        self.environment = assembled(text, into=into)
        self.clock: Clock = self.environment.reactor

    def data(self) -> Any:
        return resource(self.environment, "persisted_context.state")

    def start(self) -> Any:
        """Start, and give the data."""
        data = self.data()
        self.environment.application.startService()
        return data

    def stop(self) -> Deferred[Any]:
        stopping: Deferred[Any] = self.environment.application.stopService()
        return stopping

    def saved(self) -> Any:
        """What is in the file now."""
        return json.loads(self.file.read_bytes())


def writes_of(kept: Kept) -> Callable[[], int]:
    """Counts how often the file was replaced."""
    seen: list[int] = []

    def count() -> int:
        now = os.stat(kept.file).st_mtime_ns
        if now not in seen:
            seen.append(now)
        return len(seen)

    return count


def test_without_a_file_it_holds_the_initial_data(tmp_path: Path) -> None:
    """The first start begins with what the configuration says, as a copy."""
    kept = Kept(tmp_path, "initial_data: {users: []}")
    kept.start()["users"].append("Ada")
    assert kept.data() == {"users": ["Ada"]}
    assert Kept(tmp_path, "initial_data: {users: []}").data() == {"users": []}


def test_initial_data_is_what_every_start_begins_with(tmp_path: Path) -> None:
    """A start that follows in the same process does not begin with what the former one has made of it."""
    options = PersistedContextOptions(file=FilePath(str(tmp_path / "state.json")), initial_data={"users": []})
    for _ in range(2):
        data = PersistedContext("state", options, environment()).get()
        assert data == {"users": []}
        data["users"].append("Ada")


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """What was in it when the process stopped is there when it starts again; everybody has the same object."""
    kept = Kept(tmp_path, "initial_data: {users: []}")
    kept.start()["users"].append("Ada")
    assert kept.stop().called
    again = Kept(tmp_path, "initial_data: {users: []}")
    assert again.data() == {"users": ["Ada"]}
    assert again.data() is again.data()


def test_all_options_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is then `<name>.json` in the run directory, also for a name with dots, and holds an empty mapping."""
    monkeypatch.chdir(tmp_path)
    site = assembled("persisted_contexts: {a.b: }")
    resource(site, "persisted_context.a.b")["n"] = 1
    site.application.startService()
    site.application.stopService()
    assert json.loads((tmp_path / "a.b.json").read_text()) == {"n": 1}


@pytest.mark.parametrize("written", ["~/state.json", "!filepath ~/state.json", "${HOME}/state.json"])
def test_the_name_of_the_file_is_expanded(tmp_path: Path, written: str) -> None:
    """`~` is the home directory, as in every name of a file; `!filepath` may be written as well."""
    site = assembled(f"persisted_contexts:\n  a:\n    file: {written}", environ={"HOME": str(tmp_path)})
    resource(site, "persisted_context.a")["n"] = 1
    site.application.startService()
    site.application.stopService()
    assert json.loads((tmp_path / "state.json").read_text()) == {"n": 1}


def test_it_is_written_at_the_interval_when_it_changed(tmp_path: Path) -> None:
    """A process that is killed loses no more than `interval` seconds; where nothing changes, nothing is written."""
    kept = Kept(tmp_path, "interval: 10")
    data = kept.start()
    data["n"] = 1
    kept.clock.advance(9.9)
    assert not kept.file.exists()
    kept.clock.advance(0.1)
    assert kept.saved() == {"n": 1}
    writes = writes_of(kept)
    kept.clock.pump([10] * 5)
    assert writes() == 1
    data["n"] = 2
    kept.clock.advance(10)
    assert (kept.saved(), writes()) == ({"n": 2}, 2)
    kept.stop()
    assert writes() == 2
    assert not kept.clock.getDelayedCalls()


def test_an_interval_of_0_writes_only_at_the_stop(tmp_path: Path) -> None:
    """Whoever wants no writing in between says so."""
    kept = Kept(tmp_path, "interval: 0")
    kept.start()["n"] = 1
    kept.clock.advance(3600)
    assert not kept.file.exists()
    kept.stop()
    assert kept.saved() == {"n": 1}


def test_what_nobody_uses_is_neither_read_nor_written(tmp_path: Path) -> None:
    """A context without consumers leaves its file alone, whatever is in it."""
    (tmp_path / "state.json").write_text("not JSON")
    kept = Kept(tmp_path)
    kept.environment.application.startService()
    kept.clock.advance(100)
    kept.stop()
    assert os.listdir(tmp_path) == ["state.json"]
    assert kept.file.read_text() == "not JSON"


def test_a_start_that_failed_writes_nothing(tmp_path: Path) -> None:
    """Initial data that was never worked with does not become the state."""
    kept = Kept(tmp_path, "initial_data: {a: 1}")
    kept.data()
    kept.stop()
    assert not kept.file.exists()


def test_a_file_in_another_layout_is_left_as_it_is(tmp_path: Path) -> None:
    """What a person has indented stays so until the data changes."""
    text = '{\n    "a": 1\n}\n'
    (tmp_path / "state.json").write_text(text)
    kept = Kept(tmp_path, "interval: 1")
    kept.start()
    kept.clock.advance(1)
    kept.stop()
    assert kept.file.read_text() == text


@pytest.mark.parametrize(
    "value",
    ["Grüße, 世界 🎈", "\ud800 half a character", -0.0, math.inf, 2**80, None, [[{"a.b": {}}]], "line\nline\u2028\x00"],
)
def test_every_value_that_json_has_comes_back(tmp_path: Path, value: Any) -> None:
    """Text of any kind and numbers of any size survive a restart."""
    kept = Kept(tmp_path)
    kept.start()["value"] = value
    kept.stop()
    assert Kept(tmp_path).data() == {"value": value}


def test_what_is_no_number_comes_back(tmp_path: Path) -> None:
    """NaN, which strict JSON does not know, must not keep the rest from being saved."""
    kept = Kept(tmp_path)
    kept.start()["value"] = math.nan
    kept.stop()
    assert math.isnan(Kept(tmp_path).data()["value"])


def test_the_file_is_readable_for_people(tmp_path: Path) -> None:
    """Text stands in it as UTF-8, not as escapes."""
    kept = Kept(tmp_path)
    kept.start()["text"] = "Grüße"
    kept.stop()
    assert kept.file.read_text(encoding="utf-8") == '{"text": "Grüße"}'


# Whatever happens to the file


def test_the_file_is_whole_whenever_the_process_dies(tmp_path: Path) -> None:
    """At every moment of writing there is the old content or the new one, never a part."""
    (tmp_path / "state.json").write_text('{"old": 1}')
    kept = Kept(tmp_path)
    data = kept.start()
    data["new"] = "x" * 100_000
    seen: set[bytes] = set()

    def look(frame: Any, event: str, argument: Any) -> None:
        sys.setprofile(None)  # looking is not looked at
        seen.add(kept.file.read_bytes())
        sys.setprofile(look)

    sys.setprofile(look)
    try:
        kept.stop()
    finally:
        sys.setprofile(None)
    assert seen == {b'{"old": 1}', json.dumps(data).encode()}
    assert os.listdir(tmp_path) == ["state.json"]


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    """A temporary file of before is neither read nor in the way, even one that nobody may write."""
    left = tmp_path / "state.json.new"
    left.write_text('{"half')
    left.chmod(0o400)
    kept = Kept(tmp_path)
    kept.start()["n"] = 1
    kept.stop()
    assert kept.saved() == {"n": 1}
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_file_that_cannot_be_read_is_kept_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is overwritten that a person might still mend; the context begins anew, and the log says so."""
    (tmp_path / "state.json").write_text('{"users": ["Ada"')
    kept = Kept(tmp_path, "initial_data: {users: []}")
    assert kept.start() == {"users": []}
    assert (tmp_path / "state.json.broken-1000").read_text() == '{"users": ["Ada"'
    assert not kept.file.exists()
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "state.json cannot be read (JSONDecodeError" in line
    assert "state.json.broken-1000" in line
    kept.stop()
    assert kept.saved() == {"users": []}


def test_a_write_that_fails_is_logged_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that is gone for a while costs nothing but a line for each attempt."""
    folder = tmp_path / "folder"
    folder.mkdir()
    kept = Kept(folder, "interval: 10")
    kept.start()["n"] = 1
    folder.rename(tmp_path / "elsewhere")
    kept.clock.pump([10, 10])
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 2
    assert f"'state' is not saved to {kept.file}: FileNotFoundError" in lines[0]
    (tmp_path / "elsewhere").rename(folder)
    kept.clock.advance(10)
    assert kept.saved() == {"n": 1}


def test_a_full_disk_is_not_filled_further(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What could be written of the new content is taken away again; the old content stays."""
    (tmp_path / "state.json").write_text('{"old": 1}')
    kept = Kept(tmp_path, "interval: 10")
    kept.start()["new"] = "x" * 100_000
    most, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (50_000, hard))
    try:
        kept.clock.advance(10)
    finally:
        setrlimit(RLIMIT_FSIZE, (most, hard))
    assert "is not saved" in caplog.text
    assert os.listdir(tmp_path) == ["state.json"]
    assert kept.saved() == {"old": 1}


def endless() -> list[Any]:
    """A list that is too deep for every format."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize("unsavable", [object(), {1, 2}, endless()], ids=["object", "set", "too deep"])
def test_data_that_cannot_be_saved_does_not_end_the_saving(
    tmp_path: Path, unsavable: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The file keeps what was right; once the data is again, it is saved."""
    kept = Kept(tmp_path, "interval: 10")
    data = kept.start()
    data["n"] = 1
    kept.clock.advance(10)
    data["n"] = unsavable
    kept.clock.pump([10, 10])
    assert kept.saved() == {"n": 1}
    assert sum("is not saved" in record.getMessage() for record in caplog.records) == 2
    data["n"] = 2
    kept.clock.advance(10)
    assert kept.saved() == {"n": 2}


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    """Not when the process stops, and its state with it."""
    with pytest.raises(ConfigurationError) as raised:
        Kept(tmp_path / "nowhere").data()
    [problem] = raised.value.problems
    assert str(problem.where) == "site.yml:3:11"
    assert "nowhere/state.json could never be written" in problem.what


def test_a_file_that_may_not_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    """It may hold something, so it is not begun anew."""
    (tmp_path / "state.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"site\.yml:3:11: .*state\.json cannot be read: Is a directory"):
        Kept(tmp_path).data()


def test_problems_with_the_file_are_problems_of_the_configuration(tmp_path: Path) -> None:
    """They are found while everything is resolved, before anything starts."""
    text = f"""
        persisted_contexts: {{a: {{file: {tmp_path}/nowhere/a.json}}}}
        pipelines: {{main: [fetch-persisted-context: {{context: a}}]}}
    """
    with pytest.raises(ConfigurationError, match=r"site\.yml:2:32: .*could never be written"):
        assembled(text)


def test_two_contexts_cannot_share_a_file(tmp_path: Path) -> None:
    """Each would overwrite the other; a link to the file is the same file."""
    (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
    text = f"persisted_contexts:\n  a: {{file: {tmp_path}/a.json}}\n  b: {{file: {tmp_path}/link.json}}"
    with pytest.raises(ConfigurationError, match=r"site\.yml:3:13: the persisted contexts 'a' and 'b' would overwrite"):
        assembled(text)


def test_the_permissions_of_the_file_stay(tmp_path: Path) -> None:
    """What only its owner may read stays so."""
    file = tmp_path / "state.json"
    file.write_text("{}")
    file.chmod(0o640)
    kept = Kept(tmp_path)
    kept.start()["n"] = 1
    kept.stop()
    assert kept.saved() == {"n": 1}
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that it points to is replaced, or put aside."""
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "state.json").symlink_to(real / "data.json")
    kept = Kept(tmp_path)
    kept.start()["n"] = 1
    kept.stop()
    assert json.loads((real / "data.json").read_text()) == {"n": 1}
    (real / "data.json").write_text("{")
    Kept(tmp_path).data()
    assert os.listdir(real) == ["data.json.broken-1000"]
    assert kept.file.is_symlink()


# Writing takes time


class SlowDisk(RuntimeEnvironment):
    """An environment whose threads do nothing until they are told to."""

    def __init__(self) -> None:
        super().__init__(reactor=Clock(), wall_clock=lambda: 1000.0)
        self.calls: deque[tuple[Deferred[None], Callable[[], None]]] = deque()

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        ended: Deferred[Any] = Deferred()
        self.calls.append((ended, lambda: function(*arguments)))
        return ended

    def finish(self) -> None:
        """Let the oldest call of a thread do its work."""
        ended, call = self.calls.popleft()
        call()
        ended.callback(None)


def test_what_changes_while_it_is_written_is_written_next(tmp_path: Path) -> None:
    """A write holds the data of one moment."""
    disk = SlowDisk()
    kept = Kept(tmp_path, "interval: 10", disk)
    data = kept.start()
    data["n"] = 1
    kept.clock.advance(10)
    data["n"] = 2
    disk.finish()
    assert kept.saved() == {"n": 1}
    kept.clock.advance(10)
    disk.finish()
    assert kept.saved() == {"n": 2}


def test_two_writes_never_overlap(tmp_path: Path) -> None:
    """A stop while a write is under way waits for it, writes what changed since, and is over when that is done."""
    disk = SlowDisk()
    kept = Kept(tmp_path, "interval: 10", disk)
    data = kept.start()
    data["n"] = 1
    kept.clock.advance(10)
    data["n"] = 2
    stopping = kept.stop()
    assert len(disk.calls) == 1
    disk.finish()
    assert (kept.saved(), len(disk.calls), stopping.called) == ({"n": 1}, 1, False)
    disk.finish()
    assert (kept.saved(), stopping.called) == ({"n": 2}, True)


# Pickles


def test_a_pickle_is_refused_where_it_is_asked_for() -> None:
    """To read one runs whatever its author wants: `check` says so, with the place and what to do."""
    with pytest.raises(ConfigurationError) as raised:
        assembled("persisted_contexts:\n  state: {kind: pickle}")
    [problem] = raised.value.problems
    assert str(problem).startswith("site.yml:2:3: persisted_contexts.state: a pickle can run any code")
    assert "allow_pickle: true" in problem.fix


def test_a_pickle_that_is_allowed_keeps_python_objects(tmp_path: Path) -> None:
    """Tuples, sets and shared objects come back as they were."""
    options = "kind: pickle\nallow_pickle: true"
    kept = Kept(tmp_path, options)
    shared = {1, 2}
    kept.start().update({(1, "a"): shared, "again": shared})
    kept.stop()
    data = Kept(tmp_path, options).data()
    assert data == {(1, "a"): {1, 2}, "again": {1, 2}}
    assert data["again"] is data[(1, "a")]


def test_a_pickle_that_is_broken_is_kept_beside(tmp_path: Path) -> None:
    """Whatever a pickle raises, the process starts."""
    (tmp_path / "state.json").write_bytes(pickle.dumps({"a": 1})[:-3])
    assert Kept(tmp_path, "kind: pickle\nallow_pickle: true").data() == {}
    assert (tmp_path / "state.json.broken-1000").exists()


# Any history

INTERVAL = 10.0
HISTORIES = st.lists(
    st.one_of(
        st.sampled_from(["change", "crash", "crash while writing", "restart"]),
        st.floats(0.1, 25),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES)
def test_no_history_loses_more_than_the_interval(tmp_path: Path, history: list[str | float]) -> None:
    """After any series of changes, seconds, crashes and restarts the file is whole, and what is missing is young."""
    (tmp_path / "state.json").unlink(missing_ok=True)
    kept = Kept(tmp_path, f"interval: {INTERVAL}\ninitial_data: {{n: 0}}")
    data, now, changes = kept.start(), 0.0, [(0.0, 0)]  # when n got which value
    for step in history:
        if isinstance(step, float):
            now += step
            kept.clock.advance(step)
        elif step == "change":
            data["n"] += 1
            changes.append((now, data["n"]))
        else:
            if step == "restart":
                kept.stop()
            elif step == "crash while writing":
                (tmp_path / "state.json.new").write_bytes(b'{"n": ')
            kept = Kept(tmp_path, f"interval: {INTERVAL}\ninitial_data: {{n: 0}}")
            data = kept.start()
            oldest = now if step == "restart" else now - INTERVAL
            assert data["n"] >= max((value for at, value in changes if at <= oldest), default=0)
            changes = [(at, value) for at, value in changes if value <= data["n"]]
        assert not kept.file.exists() or set(kept.saved()) == {"n"}
    assert not [name for name in os.listdir(tmp_path) if "broken" in name]
