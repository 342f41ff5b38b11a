"""Makes it happen: batons walk, services start, Deferreds and asyncio meet."""
