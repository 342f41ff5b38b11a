"""ZeroMQ: sockets as sources of batons, and steps that send."""

from piped.catalog.houses import House

HOUSE = House(extra="zmq", sections=("zmq",), needs=("zmq",))
