"""How long is waited between tries."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from piped.runtime.backoff import Backoff


def test_the_waits_grow_up_to_a_minute() -> None:
    """What keeps failing is tried ever more rarely, but never less than once in a minute."""
    backoff = Backoff(1, chance=lambda: 0.5)
    assert [backoff.next(0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 48, 48]
    assert Backoff(48, chance=lambda: 1).next() == 60


def test_what_went_well_for_a_minute_is_tried_again_soon() -> None:
    """The first wait comes again after a run that lasted."""
    backoff = Backoff(1, chance=lambda: 0.5)
    assert [backoff.next(lasted) for lasted in (0, 59.9, 60, 0)] == [1, 2, 1, 2]


def test_a_long_first_wait_is_kept() -> None:
    """Who wants to wait for five minutes does so each time."""
    backoff = Backoff(300, chance=lambda: 0.5)
    assert [backoff.next(0) for _ in range(3)] == [300, 300, 300]


def test_no_wait_is_for_the_first_time_only() -> None:
    """`restart_wait: 0` tries at once, but does not keep a processor busy with trying."""
    backoff = Backoff(0, chance=lambda: 0.5)
    assert [backoff.next(0) for _ in range(4)] == [0, 0.1, 0.2, 0.4]


def test_the_longest_wait_can_be_given() -> None:
    """A connection that is to be back soon is tried once a second or more often, chance included."""
    backoff = Backoff(0.5, longest=1, chance=lambda: 1)
    assert [backoff.next() for _ in range(4)] == [0.625, 1, 1, 1]
    assert backoff.most() == 1


def test_what_works_is_tried_soon_when_it_is_lost() -> None:
    """The first wait comes again after a success, however many failures there were before."""
    backoff = Backoff(1, chance=lambda: 0.5)
    assert [backoff.next(), backoff.next()] == [1, 2]
    backoff.reset()
    assert backoff.next() == 1


@settings(deadline=None)
@given(st.floats(0.001, 100), st.integers(1, 30))
def test_those_that_fail_together_do_not_come_back_together(first: float, tries: int) -> None:
    """Each wait may be a quarter shorter or longer, by chance."""
    least, middle, most = (Backoff(first, chance=lambda chance=chance: chance) for chance in (0, 0.5, 1))
    for _ in range(tries):
        wait = middle.next(0)
        assert abs(least.next(0) - 0.75 * wait) < 1e-9
        assert abs(most.next(0) - 1.25 * wait) < 1e-9
    assert len({Backoff(first).next(0) for _ in range(10)}) > 1
