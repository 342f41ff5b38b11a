"""The command `piped` as a person starts it: in a process of its own."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

PIPED = Path(sys.executable).with_name("piped")
EXAMPLES = Path(__file__).parents[2] / "examples"


def piped(*arguments, cwd, timeout=60):
    """A finished call of `piped`, with `returncode`, `stdout` and `stderr` as text."""
    command = [PIPED, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


class Running:
    """`piped run` in the background; as a context it is killed at the end if it still runs."""

    def __init__(self, *arguments, cwd, ready="ready"):
        self.process = subprocess.Popen(
            [PIPED, "run", *map(str, arguments)], cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(ready)

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def log(self):
        return "\n".join(self.lines)

    def wait_for(self, text, timeout=30):
        """The first line of the log that holds a text."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"{text!r} never came:\n{self.log}")
                self._changed.wait(min(left, 0.2))

    def url(self, path="/"):
        """The address of a path on the first site that listens."""
        return self.wait_for("listens on").split("listens on ")[1].strip().rstrip('"}') + path

    def get(self, path="/", **options):
        return fetch(self.url(path), **options)

    def stop(self, number=signal.SIGTERM, timeout=30):
        """Send a signal; gives the exit code."""
        self.process.send_signal(number)
        return self.ended(timeout)

    def ended(self, timeout=30):
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        self.process.stdout.close()
        self.process.stderr.close()


def wait_until(happened, timeout=30):
    """Wait for what tells nobody that it has happened: files, processes and sessions of somebody else."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)


class Answer:
    """An HTTP response: `code`, `headers`, `body` as text."""

    def __init__(self, response):
        self.code, self.headers, self.body = response.status, response.headers, response.read().decode()

    def json(self):
        return json.loads(self.body)


def fetch(url, data=None, method=None, headers=None):
    """What a server on loopback answers, whatever its status."""
    body = data.encode() if isinstance(data, str) else data
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error)
