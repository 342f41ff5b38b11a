"""What a person waits for: the help, a check, and the open port of examples/quickstart.yaml."""

import socket
import subprocess
import tempfile
import time
from pathlib import Path

from children import PIPED, cpu_seconds

EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart.yaml"
SMALL = "pipelines:\n  hello:\n    - set-value: {path: content, value: hello}\n"


def seconds_to_open_port(folder: str) -> float:
    """From the start of the process to the first accepted connection, in wall-clock seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    with subprocess.Popen(
        [PIPED, "run", EXAMPLE, "-O", f"web.inbox.port:{port}"], cwd=folder, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while time.perf_counter() - started < 30:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    return time.perf_counter() - started
                except ConnectionRefusedError:
                    if process.poll() is not None:
                        raise SystemExit(f"piped run ended with {process.returncode}") from None
                    time.sleep(0.002)
            raise SystemExit("the port did not open within 30 s")
        finally:
            process.terminate()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder, "small.yaml")
        small.write_text(SMALL)
        print(f"piped --help:              {cpu_seconds('--help'):.2f} s CPU  (bar: 0.4)")
        print(f"piped check small.yaml:    {cpu_seconds('check', small):.2f} s CPU  (bar: 0.4)")
        print(f"piped check quickstart:    {cpu_seconds('check', EXAMPLE, folder=folder):.2f} s CPU")
        print(f"piped run to open port:    {min(seconds_to_open_port(folder) for _ in range(3)):.2f} s")


if __name__ == "__main__":
    main()
