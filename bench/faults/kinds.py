"""The kinds of faults: each makes one, waits until it is over, and gives the seconds until consuming went on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from bench.faults.scene import QUEUES, SETTLING, Scene

#: How long the processors' dependency is away.
DARK = 5.0


def broker_killed(scene: Scene) -> float:
    """The broker is killed with -9, and started again; counted from when it speaks AMQP."""
    scene.broker.kill()
    speaks: list[float] = []

    def look() -> None:
        while not scene.broker.is_ready():
            time.sleep(0.01)
        speaks.append(time.time())

    looking = threading.Thread(target=look)
    started = time.time()
    looking.start()
    scene.broker.start()
    looking.join()
    return scene.goes_on(started, on_new_channels=True) - (speaks[0] - started)


def piped_killed(scene: Scene) -> float:
    """Piped is killed with -9, and started again; counted from when its process is started."""
    scene.kill_service()
    started = time.time()
    scene.start_service()
    return scene.goes_on(started, on_new_channels=True)


def connection_closed(scene: Scene) -> float:
    """The connection of Piped is closed by the management of the broker."""
    [name] = scene.until(lambda: consuming(scene), "the connection is not listed")
    closed = time.time()
    scene.broker.api("DELETE", f"connections/{quote(name)}")
    return scene.goes_on(closed, on_new_channels=True)


def network_cut(scene: Scene) -> float:
    """The network resets the connection."""
    cut = time.time()
    scene.proxy.cut()
    return scene.goes_on(cut, on_new_channels=True)


def network_held_briefly(scene: Scene) -> float:
    """The network holds everything for a second; nothing is lost by it, the connection included."""
    scene.proxy.hold()
    time.sleep(1)
    over = time.time()
    scene.proxy.go_on()
    return scene.goes_on(over, on_new_channels=False)


def network_held(scene: Scene) -> float:
    """The network holds everything until the broker has given the connection up, and then goes on."""
    before = scene.until(lambda: consuming(scene), "the connection is not listed")
    scene.proxy.hold()
    scene.until(lambda: not set(consuming(scene)) & set(before), "the broker has not missed a heartbeat")
    over = time.time()
    scene.proxy.go_on()
    return scene.goes_on(over, on_new_channels=True)


def channel_error(scene: Scene) -> float:
    """A step does on the consumer's channel what the broker closes it for."""
    broken = time.time()
    for queue in QUEUES:
        body = {"properties": {}, "routing_key": queue, "payload": "break the channel", "payload_encoding": "string"}
        scene.broker.api("POST", f"exchanges/{scene.vhost}/amq.default/publish", body)
    return scene.goes_on(broken, on_new_channels=True)


def queue_deleted(scene: Scene) -> float:
    """The queues are deleted when they are empty, for what is in one then is lost; Piped declares them again.

    Nobody else does, as a broker of this age tells the consumers of a quorum queue nothing if it comes back too soon.
    """
    scene.drain()
    deleted = time.time()
    with scene.connect() as connection:
        for queue in QUEUES:
            connection.channel().queue_delete(queue)
    scene.start_publisher()
    pause = scene.goes_on(deleted, on_new_channels=False)
    time.sleep(max(0.0, deleted + pause + SETTLING - time.time()))
    return pause


def memory_alarm(scene: Scene) -> float:
    """The broker has no memory, and takes no messages from anybody, until it has."""
    scene.broker.ctl("set_vm_memory_high_watermark", "0.00001")
    scene.until(lambda: any(each["state"] == "blocked" for each in scene.connections()), "nobody is blocked")
    time.sleep(1)
    over = time.time()
    scene.broker.ctl("set_vm_memory_high_watermark", "absolute", "1GB")
    return scene.goes_on(over, on_new_channels=False)


def dependency_lost(scene: Scene) -> float:
    """What the pipelines stand on is away for 5 s."""
    before, dark = scene.failures(), time.time()
    scene.put_out_the_light()
    time.sleep(DARK)
    over = time.time()
    scene.light()
    pause = scene.goes_on(over, on_new_channels=False)
    last = max((line.came for line in scene.processed if dark < line.came < over), default=dark)
    scene.note("consuming stopped after {:.0f} ms", (last - dark) * 1000)
    scene.note("{} deliveries failed", scene.failures() - before)
    return pause


def consuming(scene: Scene) -> list[Any]:
    """The names of the connections of Piped: those that come through the proxy."""
    return [each["name"] for each in scene.connections() if each["client_properties"].get("product") == "Piped"]


KINDS: dict[str, Callable[[Scene], float]] = {
    "broker killed": broker_killed,
    "piped killed": piped_killed,
    "connection closed": connection_closed,
    "network cut": network_cut,
    "network held 1 s": network_held_briefly,
    "network held": network_held,
    "channel error": channel_error,
    "queue deleted": queue_deleted,
    "memory alarm": memory_alarm,
    "dependency lost": dependency_lost,
}
