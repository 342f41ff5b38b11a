"""Runs amqp_work_queue.yaml with two workers on a RabbitMQ of its own, and tells what happens: `make demo-amqp`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path
from typing import Self

from servers.ports import free_ports
from servers.rabbitmq import RabbitMQ, is_installed

EXAMPLE = Path(__file__).with_name("amqp_work_queue.yaml")
#: What the workers say that a reader of the demonstration wants to know, and how it is told.
TOLD = (
    (re.compile(r"consumes from the queue 'jobs'$"), "is ready, and consumes from the queue"),
    (re.compile(r"worker \d: (.* = .*)$"), r"has done a job: \1"),
    (re.compile(r"failed with a message: (\w+: .*?) \(.*it is tried again in (.*)$"), r"failed: \1. Again in \2"),
    (re.compile(r"failed with a message: (\w+: .*?) \(.*it goes to the dead letters"), r"failed for the last time: \1"),
    (re.compile(r"(put aside after .*)$"), r"\1"),
    (re.compile(r"SIG\w+: stopping, what is running"), "stops when its jobs are done"),
)


class Worker:
    """One process of the example, whose log is told in plain words."""

    def __init__(self, name: str, broker: RabbitMQ) -> None:
        self.name = name
        [self.port] = free_ports(1)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "piped", "run", EXAMPLE],
            env=os.environ | {"AMQP": broker.endpoint, "PORT": str(self.port), "WORKER": name},
            stderr=subprocess.PIPE,
            text=True,
            # ctrl-C is for the demonstration, which ends its workers itself.
            start_new_session=True,
        )
        #: What was told of it.
        self.said: list[str] = []
        #: The end of its log, for when it ends by itself.
        self.log: deque[str] = deque(maxlen=20)
        self._telling = threading.Thread(target=self._tell, daemon=True)
        self._telling.start()

    def _tell(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            for pattern, words in TOLD:
                if found := pattern.search(line.rstrip()):
                    self.said.append(found.expand(words))
                    print(f"  worker {self.name} {self.said[-1]}", flush=True)
        if code := self.process.wait():
            print(f"  worker {self.name} has ended, with the exit code {code}", flush=True)

    def post(self, job: object) -> None:
        """Give it a job for the queue, as any program would over HTTP."""
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", json.dumps(job).encode(), timeout=30).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
        self._telling.join(5)


def until(workers: tuple[Worker, ...], text: str, count: int = 1) -> None:
    """Wait until workers have said something so often, all together."""
    deadline = time.monotonic() + 60
    while sum(text in line for worker in workers for line in worker.said) < count:
        ended = [worker for worker in workers if worker.process.poll() is not None]
        if ended or time.monotonic() > deadline:
            log = "".join(line for worker in ended or workers for line in worker.log)
            raise SystemExit(f"{log}It did not come to {text!r}: the end of the log is above.")
        time.sleep(0.05)


def main() -> None:
    if not is_installed():
        raise SystemExit("This needs RabbitMQ: apt install rabbitmq-server")
    # A SIGTERM, and a terminal that is closed, end it as ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="demo-amqp-") as folder:
        print("Starting a RabbitMQ of its own, which takes about 7 s ...", flush=True)
        try:
            with RabbitMQ(Path(folder)) as broker:
                show(broker)
        except KeyboardInterrupt:
            print("\nEverything is ended.")


def show(broker: RabbitMQ) -> None:
    print(f"It speaks AMQP on {broker.endpoint}; http://127.0.0.1:{broker.management} shows it (guest, guest).")
    print("Starting two workers, which are two processes of examples/amqp_work_queue.yaml ...", flush=True)
    with Worker("1", broker) as first, Worker("2", broker) as second:
        workers = (first, second)
        until(workers, "is ready", 2)
        print("Posting eight jobs to worker 1, which puts them into the queue; both take from it.", flush=True)
        for number in range(1, 9):
            first.post({"divide": number * 12, "by": 4})
        until(workers, "has done a job", 8)
        print("Posting one that can never be done: it is tried four times, waiting longer each time, and put aside.")
        first.post({"divide": 1, "by": 0})
        until(workers, "put aside")
        print(
            f"""
That was all. The workers go on until you press ctrl-C; in another terminal you may try
    curl -i -d '{{"divide": 84, "by": 2}}' http://127.0.0.1:{first.port}/
    curl -i -d '{{"divide": 84, "by": 0}}' http://127.0.0.1:{second.port}/
    kill -9 {second.process.pid}        # worker 2; worker 1 does what it had not finished""",
            flush=True,
        )
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
