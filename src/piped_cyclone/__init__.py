"""Cyclone: applications of request handlers in Tornado's manner."""

from piped.catalog.houses import House

HOUSE = House(extra="cyclone", sections=("cyclone",), needs=("tornado",))
