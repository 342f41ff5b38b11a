"""Steps of the configuration that is tested: they write down, outside of the process, what was delivered."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from piped import PipedService, Processor, RuntimeEnvironment, provider


@dataclass(frozen=True)
class LampOptions:
    """A resource that is there while a file is.

    Args:
        file: the file.
        census: where to write, again and again, what the process has: batons, files, delayed calls and tasks.
    """

    file: str = ""
    census: str = ""


@provider("lamp", LampOptions)
class Lamp(PipedService):
    """What the pipelines stand on: `lamp`, which goes out when its file is taken away."""

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("lamp")
        self.options = runtime_environment.get_options(self)
        self.reactor = runtime_environment.reactor
        self.dependencies: list[Any] = []
        self.is_lit = False
        self.starter = os.getppid()
        self.environment = runtime_environment
        self.looking = LoopingCall(self.look)
        self.counting = LoopingCall(self.count)
        runtime_environment.resource_manager.register("lamp", self)
        self.setServiceParent(runtime_environment.application)

    def add_consumer(self, dependency: Any) -> None:
        self.dependencies.append(dependency)
        if self.is_lit:
            dependency.on_resource_ready(self)

    def startService(self) -> None:
        super().startService()
        self.looking.start(0.01)
        self.counting.start(0.2)

    def stopService(self) -> Any:
        self.looking.stop()
        self.counting.stop()
        return super().stopService()

    def look(self) -> None:
        """Light the lamp, or put it out, as the file says."""
        is_lit = Path(self.options.file).exists()
        if is_lit != self.is_lit:
            self.is_lit = is_lit
            for dependency in self.dependencies:
                if is_lit:
                    dependency.on_resource_ready(self)
                else:
                    dependency.on_resource_lost("the lamp has gone out")

    def count(self) -> None:
        """Write down what the process has; or end it, if whoever has started it is gone."""
        if os.getppid() != self.starter:
            self.environment.ask_for_stop()
            return
        running = sum(source.running for source in self.environment.sources)
        files, calls, tasks = len(os.listdir("/proc/self/fd")), self.reactor.getDelayedCalls(), asyncio.all_tasks()
        new = Path(self.options.census + ".new")
        new.write_text(f"{running} {files} {len(calls)} {len(tasks)}")
        new.rename(self.options.census)


class Receive(Processor):
    """Note when a message came, which takes light."""

    name = "receive-number"

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.lamp = runtime_environment.dependency_manager.add_dependency(self, {"provider": "lamp"})
        self.channels: list[object] = []

    def process(self, baton: Any) -> Any:
        self.lamp.get_resource()
        channel = baton["channel"]
        if channel not in self.channels:
            self.channels.append(channel)
        baton["received"] = f"{time.time():.4f} {os.getpid()}.{self.channels.index(channel)}"
        if baton["body"] == b"break the channel" and not baton["method"].redelivered:
            # What is not there closes the channel that asks for it; this delivery comes again.
            return channel.queue_declare("no such queue", passive=True).addErrback(lambda _: baton)
        return baton


class Record(Processor):
    """Append a line to a file: number, queue, whether it was redelivered, and when it came to which channel.

    Args:
        file: the file.
    """

    name = "record-number"

    def __init__(self, file: str, **options: Any) -> None:
        super().__init__(**options)
        self.file = file
        self.descriptor = -1

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        # Each line is one write to the end of the file, and outlives the process that has made it.
        self.descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def process(self, baton: Any) -> Any:
        if baton["body"].isdigit():
            method = baton["method"]
            line = f"{int(baton['body'])} {method.routing_key} {int(method.redelivered)} {baton['received']}\n"
            os.write(self.descriptor, line.encode())
        return baton
