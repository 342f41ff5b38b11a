"""No process of a test goes on after it."""

import pytest
from zookeeper_fakes import started


@pytest.fixture(autouse=True)
def _stopped():
    yield
    while started:
        started.pop().environment.application.stopService()
