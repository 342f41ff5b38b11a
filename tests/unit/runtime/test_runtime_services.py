"""PipedService, PipedDependencyService: what runs while the process does, or while its dependencies are ready."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.logger import capturedLogs, formatEvent

from piped.resources.dependency import Dependency
from piped.resources.wiring import DependencyManager
from piped.runtime.services import PipedDependencyService, PipedService, Services


class Recording(PipedService):
    """Notes what happens to it; runs until told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.running_until: list[Deferred[Any]] = []

    async def run(self) -> None:
        self.told.append("run")
        self.running_until.append(Deferred())
        try:
            await self.cancellable(self.running_until[-1])
        except CancelledError:
            self.told.append("cancelled")
            raise
        self.told.append("ended")


class Dependent(PipedDependencyService):
    """The same for what runs with dependencies; `cleaning` holds up its end after it was cancelled."""

    cleaning: Deferred[Any] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.running_until: list[Deferred[Any]] = []

    @inlineCallbacks
    def run_with_dependencies(self) -> Any:
        self.told.append("run")
        self.running_until.append(Deferred())
        try:
            yield self.running_until[-1]
        except CancelledError:
            self.told.append("cancelled")
            if self.cleaning is not None:
                yield self.cleaning
                self.told.append("cleaned up")
            raise
        self.told.append("ended")


def fired(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


class Wired:
    """A dependent service and the one thing it needs."""

    def __init__(self) -> None:
        self.manager = DependencyManager()
        self.service = Dependent()
        self.service.configure(SimpleNamespace(dependency_manager=self.manager))
        self.need: Dependency = self.manager.add_dependency(self.service, object())
        self.told = self.service.told

    def resolved(self) -> Wired:
        self.manager.resolve_initial_states()
        return self


@pytest.fixture
def wired() -> Wired:
    return Wired()


def test_a_service_is_enabled_and_knows_its_environment() -> None:
    """A service is enabled unless it says otherwise, and keeps what it was configured with."""
    service, environment = PipedService(), SimpleNamespace()
    service.configure(environment)
    assert service.is_enabled()
    assert service.runtime_environment is environment


def test_run_is_called_once_for_each_start() -> None:
    """Starting runs the service; starting what is running does nothing; after a stop it runs again."""
    service = Recording()
    assert service.told == []
    service.startService()
    service.startService()
    assert service.told == ["run"]
    assert service.running
    service.stopService()
    service.startService()
    assert service.told == ["run", "cancelled", "run"]


def test_run_that_has_ended_is_not_called_again() -> None:
    """A service whose work is done stays started, and stops without further ado."""
    service = Recording()
    service.startService()
    service.running_until[0].callback(None)
    assert service.told == ["run", "ended"]
    assert fired(service.stopService()) == [None]
    assert service.told == ["run", "ended"]


def test_stopping_what_is_not_running_does_nothing() -> None:
    """One may stop twice, or without having started."""
    service = Recording()
    assert fired(service.stopService()) == [None]
    service.startService()
    service.stopService()
    assert fired(service.stopService()) == [None]
    assert service.told == ["run", "cancelled"]


def test_cancellables_are_cancelled_on_stop() -> None:
    """Whoever waits for something cancellable gets CancelledError when the service stops; others pass through."""
    service, waited = PipedService(), Deferred[Any]()
    service.startService()
    assert service.cancellable(waited) is waited
    assert service.cancellable("no Deferred") == "no Deferred"
    outcome = fired(waited)
    service.stopService()
    assert outcome[0].type is CancelledError


def test_fired_deferreds_are_not_kept_alive() -> None:
    """What has fired can be forgotten, and its result is left alone."""
    service, waited = PipedService(), Deferred[Any]()
    service.cancellable(waited)
    outcome, reference = fired(waited), weakref.ref(waited)
    waited.callback("result")
    del waited
    gc.collect()
    assert outcome == ["result"]
    assert reference() is None


def test_children_start_and_stop_with_their_parent() -> None:
    """A stop reaches the children and what they have cancellable."""
    parent, child = PipedService(), Recording()
    child.setServiceParent(parent)
    parent.startService()
    assert child.told == ["run"]
    parent.stopService()
    assert child.told == ["run", "cancelled"]
    assert not child.running


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_stop_waits_for_children_and_for_run(order: tuple[int, int]) -> None:
    """The Deferred of a stop fires when the children have stopped and `run` has cleaned up after itself."""
    closing, cleaning = Deferred[Any](), Deferred[Any]()

    class Closing(Service):
        def stopService(self) -> Deferred[Any]:
            return closing

    class Cleaning(PipedService):
        async def run(self) -> None:
            try:
                await Deferred()
            finally:
                await cleaning

    service = Cleaning()
    Closing().setServiceParent(service)
    service.startService()
    stopped = fired(service.stopService())
    first, last = ((closing, cleaning)[each] for each in order)
    first.callback(None)
    assert stopped == []
    last.callback(None)
    assert stopped == [None]


def test_a_start_waits_for_the_end_of_the_last_run() -> None:
    """A service that is started while it is still ending runs again after that, never twice at a time."""
    cleaning, told = Deferred[Any](), []

    class Cleaning(PipedService):
        async def run(self) -> None:
            told.append("run")
            try:
                await Deferred()
            finally:
                await cleaning
                told.append("cleaned up")

    service = Cleaning()
    service.startService()
    service.stopService()
    service.startService()
    assert told == ["run"]
    cleaning.callback(None)
    assert told == ["run", "cleaned up", "run"]


def test_a_run_that_fails_is_logged() -> None:
    """The failure of a service is in the log with its name, and the service can be stopped."""

    class Failing(PipedService):
        def run(self) -> None:
            raise ValueError("no")

    service = Failing()
    with capturedLogs() as logged:
        service.startService()
    assert logged[0]["log_failure"].type is ValueError
    assert formatEvent(logged[0]) == "run of test_a_run_that_fails_is_logged.<locals>.Failing failed"
    assert fired(service.stopService()) == [None]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_service_that_cannot_be_stopped_is_told(is_late: bool) -> None:
    """It is in the log by its name, and the others are stopped all the same, the last one first."""
    stopped: list[str] = []
    later: Deferred[None] = Deferred()

    class Stubborn(Service):
        name = "stubborn"

        def stopService(self) -> Any:
            stopped.append("stubborn")
            if is_late:
                return later
            raise ValueError("no")

    class Willing(Service):
        def stopService(self) -> None:
            stopped.append("willing")

    services = Services()
    for service in (Willing(), Stubborn(), Willing()):
        service.setServiceParent(services)
    with capturedLogs() as logged:
        ended = fired(services.stopService())
        if is_late:
            assert ended == []
            later.errback(ValueError("no"))
    assert stopped == ["willing", "stubborn", "willing"]
    assert [(formatEvent(entry), entry["log_failure"].type) for entry in logged] == [
        ("stubborn could not be stopped", ValueError)
    ]
    assert ended == [None]


def test_being_cancelled_is_no_failure() -> None:
    """A stop that cancels leaves nothing in the log."""
    service = Recording()
    with capturedLogs() as logged:
        service.startService()
        service.stopService()
        gc.collect()
    assert [entry for entry in logged if "log_failure" in entry] == []


def test_a_service_may_stop_itself() -> None:
    """A service that stops itself while it runs is cancelled at its next wait."""
    told: list[str] = []

    class Stopping(PipedService):
        async def run(self) -> None:
            self.stopService()
            told.append("going on")
            await Deferred()
            told.append("never")

    service = Stopping()
    service.startService()
    assert told == ["going on"]
    assert not service.running


def test_a_service_under_a_plain_one_is_attached_as_usual() -> None:
    """Twisted's own services can hold ours."""
    parent, child = MultiService(), Recording()
    child.setServiceParent(parent)
    parent.startService()
    assert child.told == ["run"]


# With dependencies


def test_it_runs_when_started_and_ready(wired: Wired) -> None:
    """A dependent service runs once it is started and all it needs is ready, in either order."""
    wired.service.startService()
    assert wired.told == []
    wired.resolved()
    assert wired.told == ["run"]
    other = Wired().resolved()
    assert other.told == []
    other.service.startService()
    assert other.told == ["run"]


def test_it_runs_once(wired: Wired) -> None:
    """Neither a second start nor further news make it run twice; when it has ended, it stays so."""
    wired.resolved().service.startService()
    wired.service.startService()
    wired.manager.add_dependency(wired.service, object())
    wired.resolved()
    assert wired.told[-1] == "run"
    wired.service.running_until[-1].callback(None)
    assert wired.told[-2:] == ["run", "ended"]
    wired.service.startService()
    assert wired.told[-1] == "ended"


def test_a_start_amid_the_news_runs_it_once(wired: Wired) -> None:
    """A service that is started by the very news that make it ready runs once."""
    wired.need.on_ready += lambda _: wired.service.startService()
    wired.resolved()
    wired.need.fire_on_lost("gone")
    wired.service.stopService()
    del wired.told[:]
    wired.need.fire_on_ready()
    wired.service.running_until[-1].callback(None)
    assert wired.told == ["run", "ended"]


def test_a_lost_dependency_cancels_it_and_a_return_runs_it_again(wired: Wired) -> None:
    """It is cancelled with what it needs, and called again when that is back."""
    wired.resolved().service.startService()
    wired.need.fire_on_lost("gone")
    assert wired.told == ["run", "cancelled"]
    wired.need.fire_on_ready()
    assert wired.told == ["run", "cancelled", "run"]


def test_a_stop_cancels_it_for_good(wired: Wired) -> None:
    """What was stopped does not run when its dependencies come back, but when it is started again."""
    wired.resolved().service.startService()
    assert fired(wired.service.stopService()) == [None]
    assert wired.told == ["run", "cancelled"]
    wired.need.fire_on_lost("gone")
    wired.need.fire_on_ready()
    assert wired.told == ["run", "cancelled"]
    wired.service.startService()
    assert wired.told == ["run", "cancelled", "run"]


def test_it_never_runs_twice_at_a_time(wired: Wired) -> None:
    """While the last run cleans up after a loss, the next one waits; further losses do not disturb the cleaning."""
    wired.service.cleaning = Deferred()
    wired.resolved().service.startService()
    for _ in range(2):
        wired.need.fire_on_lost("gone")
        wired.need.fire_on_ready()
    assert wired.told == ["run", "cancelled"]
    wired.service.cleaning.callback(None)
    assert wired.told == ["run", "cancelled", "cleaned up", "run"]


def test_a_loss_while_cleaning_up_takes_back_the_next_run(wired: Wired) -> None:
    """What was due and is no longer wanted does not run."""
    wired.service.cleaning = Deferred()
    wired.resolved().service.startService()
    wired.need.fire_on_lost("gone")
    wired.need.fire_on_ready()
    wired.need.fire_on_lost("gone")
    wired.service.cleaning.callback(None)
    assert wired.told == ["run", "cancelled", "cleaned up"]
