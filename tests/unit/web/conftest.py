"""What runs once with each of the two channels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_stage import Served


@pytest.fixture(params=["twisted", "fast"])
def each_channel(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets a test have its clients served by Twisted's channel, and then by the fast one."""
    Served.by = request.param
    yield
    Served.by = "twisted"
