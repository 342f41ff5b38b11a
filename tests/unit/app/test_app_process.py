"""A process that starts, waits and stops, on a clock that stands still until it is moved."""

import logging
from dataclasses import dataclass

import pytest
from twisted.application.service import Service
from twisted.internet import defer
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.task import Clock

from piped import ConfigurationError, Problem, provider
from piped.app.process import Process, environment_of
from piped.config.gathering import gather_text
from piped.runtime.assembly import check


class StandingReactor(Clock):
    """As much of a reactor as a Process uses; it runs until it is stopped."""

    def __init__(self):
        super().__init__()
        self.is_running = True

    def stop(self):
        if not self.is_running:
            raise ReactorNotRunning("Can't stop reactor that isn't running.")
        self.is_running = False


def test_the_standing_reactor_is_no_more_forgiving_than_a_real_one():
    """A reactor cannot be stopped twice: these tests would not see it if theirs could."""
    real, standing = AsyncioSelectorReactor(), StandingReactor()
    standing.stop()
    for reactor in (real, standing):
        with pytest.raises(ReactorNotRunning):
            reactor.stop()


class Endpoint:
    """Where a listener of these tests listens: it opens, or fails with an error."""

    def __init__(self, told, error=None):
        self.told, self.error = told, error

    def listen(self, factory):
        self.told.append("port opened")
        return defer.fail(self.error) if self.error else defer.succeed(self)

    def getHost(self):
        return "here"

    def stopListening(self):
        self.told.append("port closed")


class Stopping(Service):
    """A service that takes its time to stop."""

    def __init__(self, told):
        self.told, self.stopped = told, Deferred()

    def startService(self):
        super().startService()
        self.told.append("service started")

    def stopService(self):
        super().stopService()
        self.told.append("service stopped")
        return self.stopped


@dataclass
class Options:
    """What the provider of these tests does.

    Args:
        fails: in configure.
        refuses: what is configured.
        port_is_in_use: so that it cannot be opened.
        stops: the process, while it starts.
    """

    fails: bool = False
    refuses: bool = False
    port_is_in_use: bool = False
    stops: bool = False


class Started:
    """A process with a provider of its own; `told` is what happened in which order."""

    def __init__(self, text="{}", deadline=20.0, is_debugging=False):
        self.told = told = []
        started = self
        self.service = Stopping(told)

        @provider("mine", Options)
        class Provider:
            """Offers `mine.thing`, which is not there at first, and a port."""

            offers = staticmethod(lambda options: ["mine.thing", "mine.other"])
            prefixes = ("mine.",)

            def configure(self, environment):
                options = environment.get_options(self)
                if options.fails:
                    raise LookupError("it is not here")
                if options.refuses:
                    node = environment.configuration_manager.node("mine")
                    problems = [Problem("mine is very wrong", node.where), Problem("mine is wrong", node.key_where)]
                    raise ConfigurationError(problems=problems)
                for path in ("mine.thing", "mine.other"):
                    environment.resource_manager.register(path, self)
                started.service.setServiceParent(environment.application)
                error = CannotListenError("", 80, OSError(98, "Address already in use"))
                endpoint = Endpoint(told, error if options.port_is_in_use else None)
                environment.add_listener(
                    "mine", "mine", endpoint, None, environment.configuration_manager.where("mine")
                )
                environment.before_stop += lambda: told.append("shutdown told")
                if options.stops:
                    environment.after_start += environment.ask_for_stop

            def add_consumer(self, dependency):
                started.resources[dependency.provider] = dependency

        self.resources = {}
        self.reactor = StandingReactor()
        assembly = check(gather_text(text, "site.yaml", environ={}), {}, [Provider])
        assert assembly.errors == []
        self.environment = environment_of(assembly, self.reactor, is_debugging)
        self.process = Process(
            assembly, self.environment, deadline=deadline, after_start=lambda: told.append("after start")
        )
        self.start = self.process.start()

    def stop(self):
        stopping = self.process.stop()
        self.service.stopped.callback(None)
        return stopping


@pytest.fixture
def log(caplog):
    """The lines of the log, as a function that gives those that are new."""
    caplog.set_level(logging.INFO, logger="piped")

    def new_lines():
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return lines

    return new_lines


WAITING = """\
mine: {}
pipelines:
  first: [{eval-lambda: {lambda: "b: b", dependencies: {thing: mine.thing}}}]
  second: [{eval-lambda: {lambda: "b: b", dependencies: {other: mine.other}}}]
ticks: {interval: {a: {interval: 1, processor: first}, b: {interval: 1, processor: second}}}
"""


def test_a_start_ends_with_the_ports_and_the_line_that_says_ready(log):
    """Ports open after the services; the log says where, and that all is ready; who waits for the start is told."""
    started = Started("mine: {}")
    assert started.told == ["service started", "port opened", "after start"]
    assert log() == ["mine listens on mine:here", "ready"]
    assert started.reactor.is_running


def test_what_is_being_waited_for_is_told_but_not_at_once(log):
    """A start that takes a moment says nothing; one that takes long names who waits, and for what."""
    started = Started(WAITING)
    assert log() == ["mine listens on mine:here"]
    started.reactor.advance(1.9)
    assert log() == []
    started.reactor.advance(0.1)
    assert log() == ["ticks.interval.a waits for mine.thing; ticks.interval.b waits for mine.other"]


def test_a_change_is_told_soon_and_the_same_ever_more_rarely(log):
    """Who looks at the log knows what is missing now, and the log does not fill with it."""
    started = Started(WAITING)
    for _ in range(30):
        started.reactor.advance(2)
    assert len(log()) == 1 + 3  # at 2, 12 and 32 seconds
    started.resources["mine.thing"].on_resource_ready("a thing")
    started.reactor.advance(2)
    assert log() == ["ticks.interval.b waits for mine.other"]
    started.resources["mine.other"].on_resource_ready("another")
    started.reactor.advance(2)
    assert log() == ["ready: nothing is being waited for any more"]
    started.reactor.advance(600)
    assert log() == []


def test_what_was_never_told_to_be_missing_is_not_told_to_be_there(log):
    """A start that waits for less than two seconds ends like one that waits for nothing."""
    started = Started(WAITING)
    for resource in started.resources.values():
        resource.on_resource_ready("a thing")
    started.reactor.advance(2)
    assert log()[1:] == ["ready"]


def test_a_configuration_that_providers_refuse_ends_with_78(log):
    """What only shows when providers are configured is told line by line, and nothing is started."""
    started = Started("\nmine: {refuses: true}")
    assert log() == ["site.yaml:2:1: mine is wrong", "site.yaml:2:7: mine is very wrong"]
    assert started.process.exit_code == 78
    assert started.told == []
    started.reactor.advance(0)
    assert not started.reactor.is_running


def test_a_port_in_use_ends_with_1_and_is_told_at_its_place(log):
    """The line names the place of the configuration; nobody is told that the start succeeded."""
    started = Started("\nmine: {port_is_in_use: true}")
    assert log() == [
        "site.yaml:2:7: mine cannot listen on port 80: address already in use – "
        "stop what is listening there, or choose another port"
    ]
    assert started.process.exit_code == 1
    assert "after start" not in started.told
    started.reactor.advance(0)
    assert not started.reactor.is_running


def test_a_provider_that_fails_while_starting_ends_with_1(log, caplog):
    """The failure is logged once, with its traceback, and the process stops."""
    started = Started("mine: {fails: true}")
    [record] = caplog.records
    assert (
        record.getMessage()
        == "the start failed: LookupError: it is not here (while configuring Provider (site.yaml:1:1))"
    )
    assert isinstance(record.exc_info[1], LookupError)
    assert started.process.exit_code == 1
    started.reactor.advance(0)
    assert not started.reactor.is_running


def test_a_stop_that_is_asked_for_while_starting_opens_no_port(log):
    """A configuration that stops itself at its startup event ends with 0."""
    started = Started("mine: {stops: true}")
    assert "port opened" not in started.told
    assert log() == []
    started.reactor.advance(0)
    assert not started.reactor.is_running
    assert started.process.exit_code == 0


def test_a_stop_goes_from_outside_to_inside(log):
    """Ports are closed, then the shutdown is told, then the services stop; the log says so at last."""
    started = Started("mine: {}")
    started.told.clear()
    stopping = started.stop()
    assert stopping.called
    assert started.told == ["port closed", "shutdown told", "service stopped"]
    assert log()[-1] == "stopped"
    assert started.process.exit_code == 0


def test_a_stop_waits_for_a_service_no_longer_than_the_deadline(log):
    """A service that hangs is told, and does not hang the process."""
    started = Started("mine: {}", deadline=5.0)
    log()
    stopping = started.process.stop()
    started.reactor.advance(4.9)
    assert not stopping.called
    started.reactor.advance(0.1)
    assert stopping.called
    assert log() == ["stopping the services did not end in time", "stopped"]


def test_what_is_still_running_at_the_deadline_makes_the_exit_code_1(log):
    """A baton that was cut short is told with its source."""
    text = "mine: {}\npipelines: {a: [{wait: {delay: 100}}]}\nticks: {interval: {t: {interval: 1, processor: a}}}"
    started = Started(text, deadline=5.0)
    started.reactor.advance(1)
    log()
    stopping = started.stop()
    started.reactor.advance(4.9)
    assert not stopping.called
    started.reactor.advance(0.1)
    assert stopping.called
    assert started.process.exit_code == 1
    assert "cut short at the deadline: ticks.interval.t" in log()


def test_no_look_at_what_is_missing_outlives_the_stop():
    """Nothing of the process is left in the reactor."""
    started = Started(WAITING)
    started.stop()
    assert started.reactor.getDelayedCalls() == []


def test_whoever_asks_for_the_stop_first_stops_the_reactor(log):
    """A signal after a `shutdown` step, or two such steps, stop it once, after the one who asks has gone on."""
    started = Started("mine: {}")
    started.environment.ask_for_stop()
    started.process.signalled("SIGTERM")
    assert started.reactor.is_running
    started.reactor.advance(0)
    assert not started.reactor.is_running
    assert "SIGTERM: stopping, what is running has 20 s to end" in log()


def test_d_debugs_deferreds():
    """-D is for the whole process: Deferreds remember where they were made, and components can ask."""
    assert not Started("mine: {}").environment.is_debugging
    try:
        assert Started("mine: {}", is_debugging=True).environment.is_debugging
        assert defer.getDebugging()
    finally:
        defer.setDebugging(False)
