"""Every kind of fault, again and again, and a table of what became of the messages.

    python -m bench.faults                        20 rounds of each kind: about 20 minutes
    python -m bench.faults --rounds 3 'broker killed' 'network cut'

A publisher (plain pika) publishes 400 numbered messages in a second to two durable queues, one classic and one quorum
queue, and writes down which of them the broker has confirmed. `piped run` consumes them, through a proxy, and its
pipeline writes each number to a file: half way through, so that at any time dozens of deliveries are in progress, some
before that and some after it. Then something fails. Lost is what was confirmed, and is not in the file.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.faults.kinds import KINDS
from bench.faults.scene import Scene
from bench.faults.tally import Tally
from servers.rabbitmq import RabbitMQ

HEAD = ("fault", "rounds", "running", "confirmed", "processed", "again", "unmarked", "lost", "median s", "worst s")
ROW = "{:18} {:>6} {:>7} {:>9} {:>9} {:>7} {:>8} {:>6} {:>9} {:>8}  {}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"some of: {', '.join(KINDS)}; all by default")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    # A SIGTERM ends it as ctrl-C does, with all that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows, lost = [ROW.format(*HEAD, "left over")], 0
    try:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            print("Starting RabbitMQ, which takes about 7 s ...", file=sys.stderr, flush=True)
            with RabbitMQ(Path(folder) / "broker") as broker:
                for kind in options.kinds or KINDS:
                    tally, row = play(broker, kind, options.rounds, Path(folder) / kind.replace(" ", "-"))
                    rows.append(row)
                    lost += len(tally.lost)
    finally:
        print("\n".join(rows), flush=True)
    if lost:
        raise SystemExit("messages that were confirmed have been lost")


def play(broker: RabbitMQ, kind: str, rounds: int, folder: Path) -> tuple[Tally, str]:
    """All rounds of one kind, one after another on the same queues."""
    folder.mkdir()
    pauses, running = [], []
    with Scene(broker, folder, forwards=kind == "memory alarm") as scene:
        scene.begin()
        for number in range(1, rounds + 1):
            running.append(scene.be_busy())
            pauses.append(KINDS[kind](scene))
            told = f"{running[-1]} in progress, {pauses[-1]:.2f} s"
            print(f"{kind}: round {number} of {rounds}, {told}", file=sys.stderr, flush=True)
            time.sleep(0.5)
        scene.drain()
        left, tally = scene.left_over(), scene.tally()
        if scene.forwards:
            scene.note("{} not published again", len(scene.confirmed - scene.forwarded()))
        print(f"{kind}: batons, files, delayed calls, tasks: {scene.census()}", file=sys.stderr, flush=True)
    notes = [text.format(measured) for text, measured in scene.notes.items()]
    times = (f"{median(pauses):.2f}", f"{max(pauses):.2f}")
    counts = (tally.confirmed, tally.processed, tally.duplicated, tally.unmarked, len(tally.lost))
    return tally, ROW.format(kind, rounds, min(running), *counts, *times, "; ".join([left or "nothing", *notes]))


if __name__ == "__main__":
    main()
