"""Who plays in a fault: a publisher, a network, and `piped run` on the queues of one virtual host of a broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

import pika
from bench.faults.tally import Line, Tally, lines, numbers, pause_after
from servers.proxy import Proxy
from servers.rabbitmq import RabbitMQ

ROOT = Path(__file__).parents[2]
#: Before a fault at least so many deliveries are in progress, some of them recorded and not acknowledged yet.
BUSY = 36
#: A broker of this age loses a quorum queue that it was told of less than a second before it is killed.
SETTLING = 3.0
CONFIGURATION = """\
plugins: {{bundles: {{faults: [bench.faults.recording]}}}}
lamp: {{file: {folder}/lamp, census: {folder}/census}}
amqp:
  connections:
    main:
      servers: {endpoint}
      parameters: {{virtual_host: {vhost}, heartbeat: 2}}
      basic_consumers:
        classic:
          processor: take
          queue: {{queue: classic, durable: true}}
          {acknowledging}
        quorum:
          processor: take
          queue: {{queue: quorum, durable: true, arguments: {{x-queue-type: quorum}}}}
          {acknowledging}
pipelines:
  take:
    - receive-number
    - wait: {{delay: 0.1}}
{forward}    - record-number: {{file: {folder}/processed}}
    - wait: {{delay: 0.1}}
"""
FORWARD = '    - publish-amqp-message: {exchange: "", routing_key: out, body_path: body}\n'
QUEUES = {"classic": {}, "quorum": {"x-queue-type": "quorum"}}


class Scene:
    """A virtual host of a broker with a publisher and a service; as a context all of it is ended, but for the broker.

    Args:
        folder: an empty one of its own.
        rate: messages published in a second.
        forwards: the pipeline also publishes each message to the queue `out`.
        acknowledging: the options of the consumers that say when a message is acknowledged.
    """

    def __init__(
        self,
        broker: RabbitMQ,
        folder: Path,
        *,
        rate: float = 400,
        forwards: bool = False,
        acknowledging: str = "qos: {prefetch_count: 100}",
    ) -> None:
        self.broker, self.folder, self.rate, self.forwards = broker, folder, rate, forwards
        self.vhost = broker.vhost()
        self.proxy = Proxy(broker.port)
        self._service: subprocess.Popen[bytes] | None = None
        self._publisher: subprocess.Popen[bytes] | None = None
        #: What a kind of fault has measured besides, by how it is told.
        self.notes: dict[str, float] = {}
        self.declare()
        configuration = CONFIGURATION.format(
            folder=folder,
            endpoint=self.proxy.endpoint,
            vhost=self.vhost,
            forward=FORWARD if forwards else "",
            acknowledging=acknowledging,
        )
        (folder / "site.yaml").write_text(configuration)
        self.light()

    def declare(self) -> None:
        """Declare every queue, as the service does too."""
        with self.connect() as connection:
            channel = connection.channel()
            for name, arguments in QUEUES.items():
                channel.queue_declare(name, durable=True, arguments=arguments)
            channel.queue_declare("out", durable=True)

    def connect(self) -> pika.BlockingConnection:
        """A connection of the one who makes the faults, past the proxy."""
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.broker.port, self.vhost))

    def light(self) -> None:
        """Give the pipelines what they stand on."""
        (self.folder / "lamp").touch()

    def put_out_the_light(self) -> None:
        """Take that away from them."""
        (self.folder / "lamp").unlink()

    def start_service(self) -> None:
        self._census.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "piped", "run", self.folder / "site.yaml"],
                cwd=self.folder,
                stderr=log,
                stdout=log,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )

    def kill_service(self) -> None:
        """End it as `kill -9` does."""
        if self._service is not None:
            self._service.kill()
            self._service.wait()

    def stop_service(self) -> int:
        """Ask it to end; gives its exit code."""
        assert self._service is not None
        self._service.terminate()
        return self._service.wait(30)

    def start_publisher(self) -> None:
        """Publish, from where the last publisher has ended."""
        record = self.folder / "confirmed"
        # Those that were not confirmed were sent all the same, and are not used again.
        first = max([0, *numbers(record), *(line.number for line in self.processed)]) + 1000
        command = [sys.executable, "-m", "bench.faults.publisher", "--port", self.broker.port, "--vhost", self.vhost]
        command += ["--record", record, "--first", first, "--rate", self.rate, *QUEUES]
        with (self.folder / "publisher.log").open("ab") as log:
            self._publisher = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=log)

    def stop_publisher(self) -> None:
        """Publish no more; what is on its way is waited for."""
        if self._publisher is not None:
            self._publisher.send_signal(signal.SIGTERM)
            self._publisher.wait(30)
            self._publisher = None

    @property
    def processed(self) -> list[Line]:
        return lines(self.folder / "processed")

    @property
    def confirmed(self) -> set[int]:
        return numbers(self.folder / "confirmed")

    @property
    def log(self) -> str:
        """What the service has said."""
        return (self.folder / "log").read_text(errors="replace")

    def until(self, happened: Callable[[], Any], what: str, timeout: float = 60) -> Any:
        """Wait until something is true, and give it.

        Raises:
            TimeoutError: it is not; the text has the end of what the service has said.
            RuntimeError: the service has ended by itself.
        """
        deadline = time.monotonic() + timeout
        while not (result := happened()):
            if self._service is not None and self._service.poll() is not None:
                raise RuntimeError(f"the service has ended\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not in {timeout:g} s\n{self.log[-4000:]}")
            time.sleep(0.05)
        return result

    def goes_on(self, since: float, *, on_new_channels: bool) -> float:
        """Wait until messages of every queue have come after a moment; gives how long that took."""

        def pause() -> float | None:
            return pause_after(since, self.processed, on_new_channels=on_new_channels)

        return float(self.until(lambda: (found := pause()) is not None and [found], "consuming has not gone on")[0])

    def begin(self) -> None:
        """Publish and consume, until that is as it will be."""
        declared = time.monotonic()
        self.start_service()
        self.start_publisher()
        self.goes_on(0, on_new_channels=False)
        time.sleep(max(0.0, declared + SETTLING - time.monotonic()))

    def be_busy(self) -> int:
        """Wait until enough deliveries are in progress for a fault to hit some of them; gives how many there are."""
        return int(self.until(lambda: (running := self.running()) >= BUSY and running, "too little is in progress"))

    def running(self) -> int:
        """How many batons the service processes, as it has counted them last; 0 before it has."""
        return self.census()[0] if self._census.exists() else 0

    def drain(self, patience: float = 20) -> None:
        """Publish no more, and wait until everything that was confirmed is processed, or nothing comes any more.

        Args:
            patience: nothing comes any more if nothing has for so many seconds.
        """
        self.stop_publisher()
        still_since, count = time.monotonic(), -1
        while self.confirmed - {line.number for line in self.processed} and time.monotonic() - still_since < patience:
            if len(self.processed) != count:
                still_since, count = time.monotonic(), len(self.processed)
            time.sleep(0.2)

    def note(self, text: str, measured: float) -> None:
        """Keep a figure for the table; of those with the same text the largest."""
        self.notes[text] = max(measured, self.notes.get(text, measured))

    def tally(self) -> Tally:
        return Tally.of(self.confirmed, self.processed)

    def forwarded(self) -> set[int]:
        """The numbers that the pipeline has published; they are taken from their queue."""
        with self.connect() as connection:
            messages = connection.channel().consume("out", auto_ack=True, inactivity_timeout=1)
            bodies = [body for _, _, body in takewhile(lambda message: message[0] is not None, messages)]
            return {int(body) for body in bodies if body and body.isdigit()}

    def failures(self) -> int:
        """How many deliveries the pipeline has failed for."""
        return self.log.count("Traceback")

    def connections(self) -> list[Any]:
        """What the broker knows of the connections of this virtual host that are open."""
        found = self.broker.api("GET", f"vhosts/{self.vhost}/connections")
        return [each for each in found if each.get("state") in ("running", "blocked", "blocking", "flow")]

    def left_over(self) -> str:
        """What the service has besides one connection and its channels, once it is idle; '' for nothing."""
        wanted = (1, len(QUEUES) + self.forwards, 0)

        def found() -> tuple[int, int, int]:
            connections = self.connections()
            return len(connections), sum(each["channels"] for each in connections), self.running()

        try:
            self.until(lambda: found() == wanted, "connections, channels and batons", timeout=15)
        except TimeoutError:
            return "{} connections, {} channels, {} batons".format(*found())
        return ""

    def census(self) -> tuple[int, ...]:
        """Batons, open files, delayed calls and asyncio tasks of the service, as it has counted them last."""
        return tuple(map(int, self._census.read_text().split()))

    @property
    def _census(self) -> Path:
        return self.folder / "census"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._publisher is not None:
            self._publisher.kill()
            self._publisher.wait()
        self.kill_service()
        self.proxy.close()
        if self.broker.is_running:
            self.broker.api("DELETE", f"vhosts/{self.vhost}")
