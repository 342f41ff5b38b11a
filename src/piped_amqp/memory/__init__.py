"""A broker in memory, for development and tests: RabbitMQ's rules of settling, within one process, nothing kept."""

from piped_amqp.memory.endpoints import endpoint as endpoint
