"""How deliveries are settled: the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped_amqp.acking import Acking, Ending, Failed, Last, Settlement, decide

actings = st.builds(
    Acking,
    no_ack=st.booleans(),
    acks_processed=st.booleans(),
    failed=st.sampled_from(Failed),
    max_redeliveries=st.none() | st.integers(0, 5),
    last=st.sampled_from(Last),
)
tried = st.integers(0, 10)
AGAIN = {Settlement.RETRY, Settlement.GIVE_BACK, Settlement.PAUSE}


@pytest.mark.parametrize(
    ("acking", "ending", "redeliveries", "settlement"),
    [
        (Acking(), Ending.PROCESSED, 0, "ACK"),
        (Acking(acks_processed=False), Ending.PROCESSED, 0, "NOTHING"),
        (Acking(), Ending.FAILED, 1000, "RETRY"),
        (Acking(failed=Failed.ACK), Ending.FAILED, 0, "ACK"),
        (Acking(failed=Failed.BY_HAND), Ending.FAILED, 0, "NOTHING"),
        (Acking(max_redeliveries=2), Ending.FAILED, 1, "RETRY"),
        (Acking(max_redeliveries=2), Ending.FAILED, 2, "PAUSE"),
        (Acking(max_redeliveries=2, last=Last.REJECT), Ending.FAILED, 2, "REJECT"),
        (Acking(max_redeliveries=0, last=Last.DEAD_LETTER), Ending.FAILED, 0, "DEAD_LETTER"),
        (Acking(), Ending.REJECTED, 0, "REJECT"),
        (Acking(max_redeliveries=5, last=Last.DEAD_LETTER), Ending.REJECTED, 0, "DEAD_LETTER"),
        (Acking(failed=Failed.ACK), Ending.REJECTED, 0, "ACK"),
        (Acking(max_redeliveries=0, last=Last.REJECT), Ending.INTERRUPTED, 9, "GIVE_BACK"),
        (Acking(no_ack=True), Ending.FAILED, 0, "NOTHING"),
    ],
)
def test_each_ending_is_settled_as_the_options_say(acking, ending, redeliveries, settlement):
    """A delivery is settled as the table in the documentation says."""
    assert decide(acking, ending, redeliveries=redeliveries) is Settlement[settlement]


@given(actings, st.sampled_from(Ending), tried)
def test_what_is_settled_is_left_alone(acking, ending, redeliveries):
    """A delivery that the pipeline has settled by hand is not settled again, and nothing is with no_ack."""
    assert decide(acking, ending, redeliveries=redeliveries, is_settled=True) is Settlement.NOTHING
    no_ack = Acking(no_ack=True, failed=acking.failed, max_redeliveries=acking.max_redeliveries, last=acking.last)
    assert decide(no_ack, ending, redeliveries=redeliveries) is Settlement.NOTHING


@given(actings, tried)
def test_what_was_processed_is_never_delivered_again(acking, redeliveries):
    """A message whose pipeline has ended well is acknowledged, or left to the pipeline: it is never given back."""
    settlement = decide(acking, Ending.PROCESSED, redeliveries=redeliveries)
    assert settlement in (Settlement.ACK, Settlement.NOTHING)


@given(actings, tried)
def test_what_was_refused_for_good_is_never_tried_again(acking, redeliveries):
    """A message that was rejected by its pipeline is not given back, whatever the options are."""
    assert decide(acking, Ending.REJECTED, redeliveries=redeliveries) not in AGAIN


@given(actings, st.sampled_from([Ending.FAILED, Ending.INTERRUPTED]), tried)
def test_nothing_is_dropped_unless_somebody_said_so(acking, ending, redeliveries):
    """A failed message is only gone where the options say that such are acknowledged or rejected."""
    settlement = decide(acking, ending, redeliveries=redeliveries)
    if settlement is Settlement.REJECT:
        assert acking.last is Last.REJECT
    if settlement is Settlement.ACK:
        assert acking.failed is Failed.ACK
    if ending is Ending.INTERRUPTED and not acking.no_ack:
        assert settlement is Settlement.GIVE_BACK


@given(st.integers(0, 20), st.sampled_from(Last))
def test_poison_comes_to_an_end(most, last):
    """A message that fails every time is tried again as often as allowed, and then not any more."""
    acking, tries = Acking(max_redeliveries=most, last=last), 0
    while decide(acking, Ending.FAILED, redeliveries=tries) is Settlement.RETRY:
        tries += 1
    assert tries == most
