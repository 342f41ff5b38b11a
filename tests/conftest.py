"""Every test that needs a reactor gets asyncio's; it must be there before anything imports it."""

import asyncio

from twisted.internet import asyncioreactor

asyncioreactor.install(asyncio.new_event_loop())
