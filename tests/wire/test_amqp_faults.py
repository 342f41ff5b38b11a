"""Nothing that a broker has confirmed is lost, whatever fails: one round of each kind; bench/faults makes many."""

import time

import pytest
from bench.faults.kinds import KINDS
from bench.faults.scene import Scene
from servers import rabbitmq


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A broker that may be killed, with a publisher and a service on it, and what the service has while it is idle."""
    if not rabbitmq.is_installed():
        pytest.skip("RABBITMQ IS NOT INSTALLED (apt install rabbitmq-server): no fault of it is tested")
    folder = tmp_path_factory.mktemp("faults")
    (folder / "scene").mkdir()
    with rabbitmq.RabbitMQ(folder / "broker") as broker, Scene(broker, folder / "scene", forwards=True) as scene:
        scene.begin()
        scene.drain()
        assert scene.left_over() == ""
        yield scene


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_confirmed_is_processed_whatever_fails(kind, scene):
    """After a fault under load nothing is lost, what comes again is marked, consuming goes on, nothing is left over."""
    idle = scene.census()
    scene.start_publisher()
    scene.goes_on(time.time(), on_new_channels=False)
    KINDS[kind](scene)
    scene.drain()
    tally = scene.tally()
    assert (tally.lost, tally.unmarked) == ((), 0)
    assert scene.left_over() == ""
    scene.until(lambda: all(map(int.__le__, scene.census(), idle)), f"it had {idle}, and has more", timeout=15)


def test_the_service_ends_well_after_all_that(scene):
    """What it has published is complete too, no delivery has failed for want of a dependency, and the stop is clean."""
    assert scene.confirmed - scene.forwarded() == set()
    assert "NotReadyError" not in scene.log
    assert scene.stop_service() == 0
