"""The manhole: a Python prompt inside the running process, over SSH."""

from piped.catalog.houses import House

HOUSE = House(extra="manhole", sections=("manholes",), needs=("twisted.conch",))
