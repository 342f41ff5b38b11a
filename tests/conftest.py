"""Every test that needs a reactor gets asyncio's; it must be there before anything imports it."""

import asyncio

from hypothesis import settings
from twisted.internet import asyncioreactor

asyncioreactor.install(asyncio.new_event_loop())
# A test must not fail because the machine is busy.
settings.register_profile("piped", deadline=None)
settings.load_profile("piped")
