"""Metrics of the process, sent to a statsd server."""

from piped.catalog.houses import House

HOUSE = House(extra="metrics", sections=("statsd", "metrics"), needs=("psutil",))
