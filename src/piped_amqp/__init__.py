"""AMQP: queues of a RabbitMQ as sources of batons, publishing with confirms, calls over queues."""

from piped.catalog.houses import House

HOUSE = House(extra="amqp", sections=("amqp",), needs=("pika",))
