"""Tests of processes, with children that do as a test says."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from providers_stage import assembled, fail, recorder, resource
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from piped import ConfigurationError, NotReadyError, PipedError, RuntimeEnvironment
from piped.children.pipes import MOST
from piped.providers.process_provider import ProcessOptions, ProcessProtocol
from piped.providers.process_streams import OutputProtocol
from piped.runtime.draining import drain

PROTOCOL = f"{__name__}.Played"


class Pipe:
    """One end of a pipe that is only noted."""

    def __init__(self) -> None:
        self.is_paused = self.is_ended = False
        self.written: list[bytes] = []

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def write(self, data: bytes) -> Deferred[None]:
        self.written.append(data)
        return succeed(None)

    def end(self) -> None:
        self.is_ended = True


class PlayedChild:
    """A child that ends when a test says so, or as soon as it is asked to; then `cleaning` delays its end."""

    pid = 4711

    def __init__(self, is_merged: bool, cleaning: Deferred[None] | None = None) -> None:
        self.stdin, self.stdout, self.stderr = Pipe(), Pipe(), None if is_merged else Pipe()
        self.cleaning = cleaning
        self.is_killed = False
        self._code: int | None = None
        self._waiting: list[Deferred[int]] = []

    def when_ended(self) -> Deferred[int]:
        if self._code is not None:
            return succeed(self._code)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def exit(self, code: int) -> None:
        self._code = code
        while self._waiting:
            self._waiting.pop(0).callback(code)

    async def end(self, kill_after: float) -> None:
        if self._code is None:
            self.exit(-15)
        if self.cleaning is not None:
            await self.cleaning

    def kill(self) -> None:
        self.is_killed = True


class Played(ProcessProtocol):
    """A process whose runs are played; the one named "missing" cannot be started."""

    def __init__(self, name: str, options: ProcessOptions, guard: Any) -> None:
        super().__init__(name, options, guard)
        self.runs: list[PlayedChild] = []
        self.cleaning: Deferred[None] | None = None

    def launch(self) -> Any:
        if self.options.executable == "missing":
            raise FileNotFoundError(2, "No such file or directory", "missing")
        self.runs.append(PlayedChild(self._is_merged, self.cleaning))
        return self.runs[-1]


class Raw(OutputProtocol):
    """Hears bytes as they come."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heard: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)


class Site:
    """A configuration with the process `worker`, and the lines that came to its pipeline."""

    def __init__(self, options: str = "", steps: str = "record", executable: str = "work") -> None:
        record, self.batons = recorder()
        self.clock = Clock()
        text = f"""
            processes:
              worker: {{executable: {executable}, protocol: {PROTOCOL}, {options}}}
            pipelines:
              main: [{steps}]
        """
        self.environment = assembled(text, record, fail, into=RuntimeEnvironment(reactor=self.clock))
        services = self.environment.application
        [self.provider] = list(services)
        self.process: Played = self.provider.getServiceNamed("process.worker")

    def start(self) -> Site:
        self.environment.application.startService()
        return self

    def needs(self, path: str) -> Any:
        """The dependency of somebody on a resource."""
        manager = self.environment.dependency_manager
        dependency = manager.add_dependency(manager.as_dependency(path))
        manager.resolve_initial_states()
        return dependency

    @property
    def lines(self) -> list[str]:
        return [baton["line"] for baton in self.batons]


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= level]


# Resources


def test_its_resources_are_there_while_it_runs() -> None:
    """The process and its streams; they are lost, with how it ended, when it has ended."""
    site = Site()
    needed = {part: site.needs(f"process.worker{part}") for part in ("", ".stdin", ".stdout", ".stderr")}
    assert not any(each.is_ready for each in needed.values())
    site.start()
    process = site.process
    resources = [each.get_resource() for each in needed.values()]
    assert resources == [process, process.stdin, process.stdout, process.stderr]
    process.runs[0].exit(3)
    for each in needed.values():
        assert not each.is_ready
        with pytest.raises(NotReadyError):
            each.get_resource()
    waits = str(site.environment.dependency_manager.waiting())
    assert "process.worker.stdin (ended with code 3)" in waits


def test_who_comes_later_gets_them_too_and_may_go() -> None:
    """Whoever needs a resource while it runs gets it at once; who has left hears nothing more."""
    site = Site().start()
    later = site.needs("process.worker.stdin")
    assert later.is_ready
    lost: list[object] = []
    later.on_resource_lost += lost.append
    site.provider.remove_consumer(later)
    site.process.runs[0].exit(0)
    assert lost == []


def test_names_with_dots_are_names() -> None:
    """A process may be called `a.stdout`, next to one called `b`."""
    record, _ = recorder()
    text = f"processes: {{a.stdin: {{executable: x, protocol: {PROTOCOL}}}}}"
    environment = assembled(text, record)
    environment.application.startService()
    assert resource(environment, "process.a.stdin.stdin").name == "process.a.stdin.stdin"


# Lines


def test_each_line_of_the_output_is_a_baton() -> None:
    """What it writes to its standard output comes line by line; the last one need not be complete."""
    site = Site("stdout: {processor: main}").start()
    site.process.stdout.data_received(b"one\n\ntwo\nrest")
    assert site.batons == [{"line": "one"}, {"line": ""}, {"line": "two"}]
    site.process.stdout.ended()
    assert site.lines == ["one", "", "two", "rest"]


def test_both_streams_have_settings_of_their_own() -> None:
    """Another delimiter, another bound; and another processor or none."""
    site = Site("stdout: {processor: main, delimiter: '--'}, stderr: {processor: main, max_length: 3}").start()
    site.process.stdout.data_received(b"a\nb--c-")
    site.process.stderr.data_received(b"oops\nerr\n")
    site.process.stdout.data_received(b"-")
    assert site.lines == ["a\nb", "err", "c"]


def test_it_waits_while_its_lines_are_processed() -> None:
    """Its pipe is not read meanwhile, which lets it wait when the pipe is full."""
    site = Site("stdout: {processor: main}", "record, wait: {delay: 5}").start()
    pipe = site.process.runs[0].stdout
    site.process.stdout.data_received(b"1\n2\n")
    assert (site.lines, pipe.is_paused) == (["1"], True)
    site.clock.advance(5)
    assert (site.lines, pipe.is_paused) == (["1", "2"], False)


def test_a_line_that_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the stream and the pipeline; the next line comes."""
    site = Site("stdout: {processor: main}", "record, fail").start()
    site.process.stdout.data_received(b"1\n2\n")
    assert site.lines == ["1", "2"]
    assert "process.worker.stdout: a line failed: ValueError" in messages(caplog, logging.ERROR)[0]


def test_an_own_protocol_hears_the_bytes() -> None:
    """It has the name and the options of its stream, and gets what comes as it comes."""
    site = Site(f"stdout: {{protocol: {__name__}.Raw, delimiter: x}}").start()
    raw = resource(site.environment, "process.worker.stdout")
    raw.data_received(b"1\n2")
    assert isinstance(raw, Raw)
    assert (raw.heard, raw.name, raw.options.delimiter) == ([b"1\n2"], "process.worker.stdout", "x")
    assert raw.process is site.process


def test_errors_can_go_where_the_output_goes() -> None:
    """With RedirectToStdout there is one stream, which both resources are."""
    site = Site("stderr: {protocol: piped.providers.process_provider.RedirectToStdout}").start()
    assert site.process.runs[0].stderr is None
    assert resource(site.environment, "process.worker.stderr") is resource(site.environment, "process.worker.stdout")


# Input


def test_text_and_bytes_can_be_written_to_it() -> None:
    """Text is written as UTF-8; the input can be ended."""
    site = Site()
    with pytest.raises(PipedError, match=r"process\.worker has not been started"):
        site.process.stdin.write("early")
    site.start()
    stdin = resource(site.environment, "process.worker.stdin")
    stdin.write("smör\n")
    stdin.write(b"\xff")
    stdin.close()
    pipe = site.process.runs[0].stdin
    assert (pipe.written, pipe.is_ended) == (["smör\n".encode(), b"\xff"], True)


def test_the_input_can_be_echoed() -> None:
    """EchoInput gives what is written also to what hears the output."""
    protocol = "stdin: {protocol: piped.providers.process_streams.EchoInput}"
    site = Site(f"stdout: {{processor: main}}, {protocol}").start()
    assert site.process.stdin.write("hello\n").called
    assert (site.lines, site.process.runs[0].stdin.written) == (["hello"], [b"hello\n"])


def test_who_echoes_more_than_is_processed_waits() -> None:
    """Until the lines have been taken; who does not wait is refused in the end."""
    protocol = "stdin: {protocol: piped.providers.process_streams.EchoInput}"
    site = Site(f"stdout: {{processor: main, max_length: 100_000_000}}, {protocol}", "record, wait: {delay: 5}").start()
    rooms = [site.process.stdin.write(f"{number}\n") for number in (1, 2)]
    assert [room.called for room in rooms] == [True, False]
    with pytest.raises(PipedError, match="bytes wait to be processed"):
        site.process.stdin.write("x" * MOST)
    site.clock.advance(5)
    assert (rooms[1].called, site.lines) == (True, ["1", "2"])
    assert site.process.stdin.write("x" * MOST).called


# Starting


@pytest.mark.parametrize(
    ("options", "is_needed", "runs"),
    [
        ("", False, 1),
        ("spawn_consumerless: false", False, 0),
        ("spawn_consumerless: false", True, 1),
        ("spawn: false", True, 0),
    ],
)
def test_when_it_is_started(options: str, is_needed: bool, runs: int) -> None:
    """With the process; or only for those who need it; or never by itself."""
    site = Site(options)
    if is_needed:
        site.needs("process.worker.stdin")
    site.start()
    assert len(site.process.runs) == runs


@pytest.mark.parametrize("is_needed", [False, True])
def test_a_trace_starts_only_what_is_needed(is_needed: bool) -> None:
    """While all sources are paused, as `piped trace` has it, a command that only gives lines is not started."""
    site = Site()
    if is_needed:
        site.needs("process.worker.stdin")
    for source in site.environment.sources:
        source.pause()
    site.start()
    assert bool(site.process.runs) is is_needed


def test_who_needs_it_later_starts_it() -> None:
    """`spawn_consumerless: false` starts it for the first one that comes while we run."""
    site = Site("spawn_consumerless: false").start()
    assert site.needs("process.worker.stdin").is_ready
    assert site.needs("process.worker").is_ready
    assert len(site.process.runs) == 1


def test_spawn_starts_it() -> None:
    """With `spawn: false` the resource is there all the time, the streams while it runs; one run at a time."""
    site = Site("spawn: false")
    process, stdin = site.needs("process.worker"), site.needs("process.worker.stdin")
    site.start()
    site.needs("process.worker.stdout")
    assert (process.is_ready, stdin.is_ready, site.process.runs) == (True, False, [])
    for run in (1, 2):
        process.get_resource().spawn()
        process.get_resource().spawn()
        assert (len(site.process.runs), stdin.is_ready) == (run, True)
        site.process.runs[-1].exit(0)
        assert (process.is_ready, stdin.is_ready) == (True, False)


def test_spawn_counts_while_the_end_is_awaited() -> None:
    """Who hears of the end and wants another run at once gets it as soon as nobody of the former one is left."""
    site = Site("spawn: false")
    site.process.cleaning = Deferred()
    site.start()
    site.process.spawn()
    site.process.runs[0].exit(0)
    site.process.spawn()
    assert len(site.process.runs) == 1
    site.process.cleaning.callback(None)
    assert len(site.process.runs) == 2


def test_what_is_not_enabled_is_not_there() -> None:
    """Neither a process nor its resources."""
    text = f"processes: {{worker: {{executable: x, protocol: {PROTOCOL}, enabled: false}}}}"
    environment = assembled(text)
    assert "process.worker" not in environment.resource_manager
    assert "process.worker" not in environment.offered


def test_what_cannot_be_started_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """In the log, and to who needs it; it is tried again only if it is to be."""
    site = Site("restart: true, restart_wait: 10", executable="missing")
    needed = site.needs("process.worker")
    site.start()
    why = "cannot be started: No such file or directory: missing"
    assert messages(caplog, logging.ERROR) == [f"process.worker {why}"]
    assert f"process.worker ({why})" in str(needed.manager.waiting())
    assert needed.manager.is_ready(needed) is False
    site.clock.advance(7)
    assert len(messages(caplog, logging.ERROR)) == 1
    site.clock.advance(6)
    assert len(messages(caplog, logging.ERROR)) == 2


# Ending and restarting


def test_its_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """How it ended and how long it ran: as a warning, unless it went well."""
    caplog.set_level(logging.INFO)
    for code, level, told in [
        (0, 20, "ended with code 0"),
        (3, 30, "ended with code 3"),
        (-9, 30, "was killed by SIG"),
    ]:
        site = Site().start()
        site.clock.advance(2.5)
        caplog.clear()
        site.process.runs[0].exit(code)
        [record] = caplog.records
        assert record.levelno == level
        assert record.getMessage().startswith(f"process.worker {told}")
        assert record.getMessage().endswith("after 2.5 s")


def test_it_is_not_restarted_unless_it_is_to_be() -> None:
    """By default one run is all."""
    site = Site().start()
    site.process.runs[0].exit(1)
    site.clock.advance(1000)
    assert len(site.process.runs) == 1


def test_it_is_restarted_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """The first time after about `restart_wait`, then after twice as long; and who needs it gets it again."""
    caplog.set_level(logging.INFO)
    site = Site("restart: true, restart_wait: 8").start()
    needed = site.needs("process.worker.stdin")
    for wait in (8, 16, 32):
        runs = len(site.process.runs)
        site.process.runs[-1].exit(0)
        site.clock.advance(wait * 0.7)
        assert (len(site.process.runs), needed.is_ready) == (runs, False)
        site.clock.advance(wait * 0.6)
        assert (len(site.process.runs), needed.is_ready) == (runs + 1, True)
    assert sum("process.worker is started again in " in each for each in messages(caplog)) == 3
    site.process.stdin.write("to the last")
    assert site.process.runs[-1].stdin.written == [b"to the last"]


def test_a_run_that_went_well_is_followed_soon() -> None:
    """After a minute that it has run, the first wait is the next one."""
    site = Site("restart: true, restart_wait: 8").start()
    for _ in range(3):
        site.clock.advance(60)
        site.process.runs[-1].exit(1)
        runs = len(site.process.runs)
        site.clock.advance(11)
        assert len(site.process.runs) == runs + 1


def test_the_next_run_waits_for_the_end_of_the_former() -> None:
    """Those that it has left behind are ended first, and the last of its output is processed."""
    site = Site("restart: true, restart_wait: 1")
    site.process.cleaning = Deferred()
    site.start()
    needed = site.needs("process.worker.stdin")
    site.process.runs[0].exit(0)
    site.clock.advance(100)
    assert (len(site.process.runs), needed.is_ready) == (1, False)
    site.process.cleaning.callback(None)
    site.clock.advance(2)
    assert len(site.process.runs) == 2


# Stopping


def test_a_stop_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked to end and waited for; how it ended is no warning then."""
    caplog.set_level(logging.INFO)
    site = Site("restart: true")
    site.process.cleaning = Deferred()
    site.start()
    needed = site.needs("process.worker.stdin")
    stopping = site.environment.application.stopService()
    assert (stopping.called, needed.is_ready) == (False, False)
    site.process.cleaning.callback(None)
    assert stopping.called
    assert messages(caplog)[-1] == "process.worker was killed by SIGTERM when it was asked to end"
    assert messages(caplog, logging.WARNING) == []
    site.clock.advance(1000)
    assert len(site.process.runs) == 1


def test_a_stop_between_two_runs() -> None:
    """There is nothing to end, and nothing follows."""
    site = Site("restart: true").start()
    site.process.runs[0].exit(1)
    assert site.environment.application.stopService().called
    site.clock.advance(1000)
    assert len(site.process.runs) == 1
    assert not site.clock.getDelayedCalls()


def test_nothing_is_started_while_the_process_drains(caplog: pytest.LogCaptureFixture) -> None:
    """What ends after the stop has begun, or is about to be started again, stays away."""
    site = Site("restart: true").start()
    site.process.runs[0].exit(1)
    drain(site.environment.sources, 20, site.clock)
    site.clock.advance(10)
    assert len(site.process.runs) == 1
    other = Site("restart: true").start()
    caplog.set_level(logging.INFO)
    drain(other.environment.sources, 20, other.clock)
    other.process.runs[0].exit(1)
    other.clock.advance(10)
    assert len(other.process.runs) == 1
    assert "started again" not in caplog.text


def test_the_deadline_of_a_stop_kills_it() -> None:
    """Who does not wait any longer leaves nothing behind."""
    site = Site()
    site.process.cleaning = Deferred()
    site.start()
    stopping = site.environment.application.stopService()
    ends: list[Any] = []
    stopping.addBoth(ends.append)
    assert not site.process.runs[0].is_killed
    stopping.cancel()
    assert site.process.runs[0].is_killed
    assert len(ends) == 1


def test_what_it_says_while_it_is_ended_is_not_processed(caplog: pytest.LogCaptureFixture) -> None:
    """It can write to its end, as nobody lets it wait any more; it is logged at level debug."""
    caplog.set_level(logging.DEBUG)
    site = Site("stdout: {processor: main}", "record, wait: {delay: 5}")
    site.process.cleaning = Deferred()
    site.start()
    site.process.stdout.data_received(b"1\n2\n")
    site.environment.application.stopService()
    assert not site.process.runs[0].stdout.is_paused
    site.process.stdout.data_received(b"bye\n")
    assert site.lines == ["1"]
    assert "process.worker.stdout: bye" in messages(caplog, logging.DEBUG)
    assert "process.worker.stdout: 1 lines were not processed any more" in messages(caplog, logging.WARNING)


def test_it_can_be_started_anew() -> None:
    """A service that was stopped and is started again runs its command again, and hears it."""
    site = Site("stdout: {processor: main}").start()
    drain(site.environment.sources, 20, site.clock)
    site.environment.application.stopService()
    site.start()
    assert len(site.process.runs) == 2
    site.process.stdout.data_received(b"again\n")
    assert site.lines == ["again"]


# Mistakes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("stdout: {protocol: piped.providers.process_provider.RedirectToStdout}", "is no OutputProtocol"),
        ("stdout: {protocol: builtins.dict}", "builtins.dict is no OutputProtocol"),
        ("stdin: {protocol: builtins.dict}", "builtins.dict is no InputProtocol"),
        ("protocol: builtins.dict", "builtins.dict is no ProcessProtocol"),
        (
            "stderr: {processor: main, protocol: piped.providers.process_provider.RedirectToStdout}",
            "with RedirectToStdout no line comes to the processor",
        ),
        ("stdout: {delimiter: ''}", "option 'delimiter' of processes.worker.stdout must be text"),
        ("restart_wait: -1", "must be a number of at least 0"),
        ("stdout: {procesor: main}", "did you mean 'processor'?"),
    ],
)
def test_mistakes_are_told_at_their_place(options: str, told: str) -> None:
    """Before anything starts, with file, line and column."""
    text = f"processes:\n  worker: {{executable: x, {options}}}\npipelines: {{main: [record]}}\n"
    record, _ = recorder()
    with pytest.raises(ConfigurationError) as it:
        assembled(text, record)
    [problem] = it.value.problems
    assert told in str(problem)
    assert (problem.where.file, problem.where.line) == ("site.yml", 2)
    assert problem.where.column > len("  worker: {") or told.startswith("with")
