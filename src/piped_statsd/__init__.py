"""Metrics: statsd clients, and what the process measures of itself."""

from piped.catalog.houses import House

HOUSE = House(extra="metrics", sections=("statsd", "metrics"), needs=("psutil",))
