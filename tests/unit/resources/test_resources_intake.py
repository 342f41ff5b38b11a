"""Intake: whether a source may take the next baton, and what is running."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from piped.resources.intake import Intake, Refusal, Ticket


def test_a_source_takes_nothing_before_it_is_ready() -> None:
    """Nothing is taken while what it feeds is not ready."""
    intake = Intake(max_running=2)
    assert intake.admit() is Refusal.NOT_READY
    intake.is_ready = True
    assert intake.flipped() is True
    assert isinstance(intake.admit(), Ticket)


def test_no_more_than_so_many_are_running() -> None:
    """With as many as allowed being processed the source is full, until one is settled."""
    intake = Intake(max_running=2, is_ready=True)
    first, second = intake.admit(), intake.admit()
    assert first
    assert second
    assert (first.number, second.number) == (1, 2)
    assert intake.admit() is Refusal.FULL
    assert not intake.admit()
    intake.settle(first)
    assert intake.admit()


def test_unbounded_only_when_asked() -> None:
    """None takes as many as come; no bound would never take anything."""
    intake = Intake(max_running=None, is_ready=True)
    assert all(intake.admit() for _ in range(10_000))
    with pytest.raises(ValueError, match="never take"):
        Intake(max_running=0)


def test_settling_twice_is_an_error() -> None:
    """A baton that is settled twice is a programmer's error, and is counted once."""
    intake = Intake(max_running=2, is_ready=True)
    first = intake.admit()
    assert first
    assert intake.admit()
    intake.settle(first)
    with pytest.raises(RuntimeError, match="baton 1 was settled twice"):
        intake.settle(first)
    assert intake.running == 1


def test_a_drain_ends_with_the_last_baton() -> None:
    """A draining source takes nothing more, and is drained when all is settled; it may be opened again."""
    intake = Intake(max_running=2, is_ready=True)
    ticket = intake.admit()
    assert ticket
    intake.drain()
    assert (intake.admit(), intake.is_drained) == (Refusal.DRAINING, False)
    intake.settle(ticket)
    assert intake.is_drained
    intake.reopen()
    assert intake.is_open
    assert not intake.is_drained


def test_a_pause_ends_with_resume() -> None:
    """A paused source takes nothing and says so; what is running may be settled."""
    intake = Intake(max_running=2, is_ready=True)
    intake.is_paused = True
    assert (intake.admit(), intake.flipped()) == (Refusal.PAUSED, False)
    intake.is_paused = False
    assert intake.flipped() is True
    assert intake.flipped() is None


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens: counted right, never too many, and the flips tell whether it is open."""

    tickets = Bundle("tickets")

    @initialize(max_running=st.one_of(st.none(), st.integers(1, 3)), is_ready=st.booleans())
    def begin(self, max_running: int | None, is_ready: bool) -> None:
        self.intake = Intake(max_running, is_ready=is_ready)
        self.unsettled: set[Ticket] = set()
        self.told = is_ready

    @rule(target=tickets)
    def admit(self) -> Ticket | None:
        was_open = self.intake.is_open
        admission = self.intake.admit()
        assert bool(admission) is was_open
        if not isinstance(admission, Ticket):
            return None
        self.unsettled.add(admission)
        return admission

    @rule(ticket=consumes(tickets))
    def settle(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self.intake.settle(ticket)
            self.unsettled.remove(ticket)

    @rule(is_ready=st.booleans())
    def ready(self, is_ready: bool) -> None:
        self.intake.is_ready = is_ready

    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        self.intake.is_paused = is_paused

    @rule(is_draining=st.booleans())
    def drain(self, is_draining: bool) -> None:
        (self.intake.drain if is_draining else self.intake.reopen)()

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "intake"):
            return
        intake = self.intake
        assert intake.running == len(self.unsettled) <= intake.taken
        assert intake.max_running is None or intake.running <= intake.max_running
        assert intake.is_drained is (intake.is_draining and not self.unsettled)
        flip = intake.flipped()
        assert flip is None or flip is not self.told
        self.told = self.told if flip is None else flip
        assert self.told is intake.is_open
        blocked = not intake.is_ready or intake.is_paused or intake.is_draining
        assert intake.is_open is not (blocked or intake.running == intake.max_running)


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_history = AnyHistory.TestCase
