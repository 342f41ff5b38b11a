"""Publishes numbered messages with confirms, and writes down which of them the broker has taken.

    python -m bench.faults.publisher --port 5672 --vhost / --record FILE --first 1 --rate 400 QUEUE ...

Plain pika, without Piped, so that what is counted does not depend on what is tested. A number is published once: one
that is not confirmed is given up, and never said to have been taken. The queues take turns. It connects again until it
is told to end (SIGTERM), and then waits for what is on its way.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from typing import Any

import pika

INTERVAL = 0.02
ON_THE_WAY = 200
PATIENCE = 10.0


class Publisher:
    """One process that publishes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.number = options.first
        self.record = os.open(options.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.channel: Any = None
        self.tag = 0
        #: The moment until which everything was published that was due.
        self.until = time.monotonic()
        #: Numbers by their delivery tags.
        self.waiting: dict[int, int] = {}
        #: Numbers that no queue has got; the broker confirms them all the same.
        self.returned: set[int] = set()
        self.ending_at: float | None = None
        self.is_over = False
        self.starter = os.getppid()

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        while not self.is_over:
            # Without heartbeats, for which a broker that holds a blocked publisher would not be to blame.
            parameters = pika.ConnectionParameters(
                "127.0.0.1", self.options.port, self.options.vhost, heartbeat=0, socket_timeout=2, stack_timeout=4
            )
            connection = pika.SelectConnection(
                parameters,
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
                on_open_error_callback=lambda connection, _: connection.ioloop.stop(),
                on_close_callback=lambda connection, _: connection.ioloop.stop(),
            )
            connection.ioloop.call_later(INTERVAL, lambda c=connection: self._turn(c))
            connection.ioloop.start()
            self.channel, self.tag = None, 0
            self.waiting.clear()
            self.is_over = self.is_over or self.ending_at is not None
            time.sleep(0.05)

    def _end(self, *_: object) -> None:
        self.ending_at = time.monotonic() + PATIENCE

    def _opened(self, channel: Any) -> None:
        channel.add_on_return_callback(lambda _channel, _method, properties, _body: self._came_back(properties))
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._may_publish(channel))

    def _may_publish(self, channel: Any) -> None:
        self.channel = channel

    def _came_back(self, properties: Any) -> None:
        self.returned.add(int(properties.message_id))

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        tags = [tag for tag in self.waiting if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        numbers = [self.waiting.pop(tag) for tag in tags]
        if isinstance(method, pika.spec.Basic.Ack):
            taken = "".join(f"{number}\n" for number in numbers if number not in self.returned)
            os.write(self.record, taken.encode())

    def _turn(self, connection: Any) -> None:
        due = int(self.options.rate * (time.monotonic() - self.until))
        self.until += due / self.options.rate
        if os.getppid() != self.starter and self.ending_at is None:
            self._end()  # whoever has started it is gone, and nobody else would end it
        if self.ending_at is not None:
            if not self.waiting or time.monotonic() > self.ending_at:
                self.is_over = True
                if connection.is_open:
                    connection.close()
                else:
                    connection.ioloop.stop()
                return
        elif self.channel is not None and self.channel.is_open:
            for _ in range(min(due, ON_THE_WAY - len(self.waiting))):
                self._publish()
        connection.ioloop.call_later(INTERVAL, lambda: self._turn(connection))

    def _publish(self) -> None:
        number, self.number = self.number, self.number + 1
        queue = self.options.queues[number % len(self.options.queues)]
        properties = pika.BasicProperties(delivery_mode=2, message_id=str(number))
        self.tag += 1
        self.waiting[self.tag] = number
        self.channel.basic_publish("", queue, f"{number:012}".encode(), properties, mandatory=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--vhost", default="/")
    parser.add_argument("--record", required=True)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--rate", type=float, default=400)
    parser.add_argument("queues", nargs="+", metavar="QUEUE")
    Publisher(parser.parse_args()).run()


if __name__ == "__main__":
    main()
