"""Nothing that a broker has confirmed is lost, whatever fails: one round of each kind; bench/faults makes many."""

import pytest
from bench.faults.kinds import KINDS, piped_killed
from bench.faults.scene import Scene
from servers import rabbitmq

#: What takes from the service what it has not acknowledged.
HITS = {"broker killed", "piped killed", "connection closed", "network cut", "network held", "channel error"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """One that may be killed."""
    if not rabbitmq.is_installed():
        pytest.skip("RABBITMQ IS NOT INSTALLED (apt install rabbitmq-server): no fault of it is tested")
    with rabbitmq.RabbitMQ(tmp_path_factory.mktemp("faults")) as broker:
        yield broker


@pytest.fixture(scope="module")
def scene(broker, tmp_path_factory):
    """A publisher and a service on it, and what the service has while it is idle."""
    with Scene(broker, tmp_path_factory.mktemp("scene"), forwards=True) as scene:
        scene.begin()
        scene.drain()
        assert scene.left_over() == ""
        yield scene


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_confirmed_is_processed_whatever_fails(kind, scene):
    """After a fault under load nothing is lost, what comes again is marked, consuming goes on, nothing is left over."""
    idle, before = scene.census(), scene.tally().duplicated
    scene.start_publisher()
    scene.be_busy()
    KINDS[kind](scene)
    scene.drain()
    tally = scene.tally()
    assert (tally.lost, tally.unmarked) == ((), 0)
    # Otherwise nothing was recorded and not acknowledged yet, and the fault has hit nothing that could be lost.
    assert kind not in HITS or tally.duplicated > before
    assert scene.left_over() == ""
    scene.until(lambda: all(map(int.__le__, scene.census(), idle)), f"it had {idle}, and has more", timeout=15)


def test_the_service_ends_well_after_all_that(scene):
    """What it has published is complete too, no delivery has failed for want of a dependency, and the stop is clean."""
    assert scene.confirmed - scene.forwarded() == set()
    assert "NotReadyError" not in scene.log
    assert scene.stop_service() == 0


def test_the_count_notices_what_is_lost(broker, tmp_path):
    """Where the broker forgets what it has sent, a killed process loses messages, and that is what is counted."""
    with Scene(broker, tmp_path, acknowledging="no_ack: true") as careless:
        careless.start_service()
        careless.start_publisher()
        careless.be_busy()
        piped_killed(careless)
        careless.drain(patience=3)
        assert careless.tally().lost
