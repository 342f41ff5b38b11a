"""OpenSSH's client, as a person, a script or a pipe uses it."""

import os
import pty
import re
import select
import subprocess
import termios
import time

#: What a terminal is told besides text: colours, movements of the cursor, modes.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def make_key(folder, kind="ed25519", name=None):
    """A new key of a user; the public half stands beside it."""
    file = folder / (name or f"id_{kind}")
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file], check=True)
    return file


class Client:
    """A user at a manhole that listens.

    A password is asked for by a program, as ssh reads none from a pipe.
    """

    def __init__(self, running, folder, user="ada", key=None, password=None):
        address = running.wait_for("listens on ssh://").split("ssh://")[1].strip()
        port = address.rsplit(":", 1)[1]
        self.known = folder / "known_hosts"
        options = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": self.known,
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "NumberOfPasswordPrompts": 1,
            "LogLevel": "ERROR",
            "PreferredAuthentications": "password" if password else "publickey",
        }
        self.command = ["ssh", "-F", "/dev/null", "-p", port]
        for name, value in options.items():
            self.command += ["-o", f"{name}={value}"]
        if key is not None:
            self.command += ["-i", key]
        self.target = f"{user}@127.0.0.1"
        self.environ = os.environ | {"TERM": "xterm"}
        if password:
            asking = folder / "asking"
            asking.write_text(f"#!/bin/sh\nprintf '%s\\n' '{password}'\n")
            asking.chmod(0o700)
            self.environ |= {"SSH_ASKPASS": str(asking), "SSH_ASKPASS_REQUIRE": "force"}

    def run(self, *words, options=(), input="", timeout=60):
        """What `ssh host words` does, with `returncode`, `stdout` and `stderr`."""
        command = [*self.command, *options, self.target, *words]
        return subprocess.run(command, input=input, env=self.environ, capture_output=True, text=True, timeout=timeout)

    def terminal(self):
        return Terminal([*self.command, "-tt", self.target], self.environ)


class Terminal:
    """`ssh` on a pseudo-terminal; as a context it is killed at the end if it still runs."""

    def __init__(self, command, environ):
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        self.screen, self._written, self._seen = "", b"", 0

    def type(self, text):
        os.write(self.ours, text.encode())

    def enter(self, text):
        """Type a line, once the prompt is there."""
        self.wait_for(">>> ")
        self.type(text + "\r")

    def wait_for(self, text, timeout=30):
        """Read until a text stands on the screen, behind what was waited for last."""
        deadline = time.monotonic() + timeout
        while (found := self.screen.find(text, self._seen)) < 0:
            assert self._read(0.5) or time.monotonic() < deadline, f"{text!r} never came:\n{self.screen[-5000:]}"
        self._seen = found + len(text)

    def resize(self, rows, columns):
        termios.tcsetwinsize(self.ours, (rows, columns))

    def _read(self, seconds):
        if not select.select([self.ours], [], [], seconds)[0]:
            return False
        try:
            self._written += os.read(self.ours, 65536)
        except OSError:  # the client has ended
            return False
        self.screen = ESCAPES.sub("", self._written.decode(errors="replace"))
        return True

    def ended(self, timeout=30):
        """The exit code; reads what is written until then."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.wait(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
