"""Every benchmark, one after another: `python bench/run.py`, or `make bench`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    for name in (
        "engine.py",
        "processors.py",
        "lines.py",
        "web.py",
        "web_peers.py",
        "spread.py",
        "mail.py",
        "amqp.py",
        "zeromq.py",
        "database.py",
        "cyclone.py",
        "checking.py",
        "starting.py",
    ):
        print(f"\n== {name[:-3]}", flush=True)
        subprocess.run([sys.executable, HERE / name], check=True)


if __name__ == "__main__":
    main()
