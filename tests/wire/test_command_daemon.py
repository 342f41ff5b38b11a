"""`piped run --daemon`: a service in the background."""

import os
import signal
import time

import pytest
from commands import fetch, piped

SITE = """\
web: {site: {port: 0, routing: {__config__: {processor: hello}}}}
pipelines: {hello: [{write-web-response: {fallback_content: hello}}]}
"""
LOG = """\
version: 1
formatters: {plain: {(): piped.runtime.logs.TextFormatter}}
handlers: {file: {class: logging.FileHandler, filename: site.log, formatter: plain}}
root: {level: INFO, handlers: [file]}
"""
START = ("run", "--daemon", "-l", "log.yaml", "site.yaml")


@pytest.fixture
def folder(tmp_path):
    """With a site, and at the end without the process that served it."""
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "log.yaml").write_text(LOG)
    yield tmp_path
    if (tmp_path / "site.pid").exists():
        os.kill(int((tmp_path / "site.pid").read_text()), signal.SIGKILL)


def stop(folder):
    """Ask the process for its end, and wait for it."""
    os.kill(int((folder / "site.pid").read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 20
    while (folder / "site.pid").exists():
        assert time.monotonic() < deadline, (folder / "site.log").read_text()
        time.sleep(0.02)  # a process that is nobody's child cannot be waited for


def test_a_service_in_the_background_serves_as_soon_as_the_command_returns(folder):
    """Exit code 0 means started: the port is open, the id of the process is in FILE's name with .pid."""
    done = piped(*START, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = (folder / "site.log").read_text()
    assert fetch(log.split("listens on ")[1].split()[0]).body == "hello"
    second = piped(*START, cwd=folder)
    assert second.returncode == 1
    assert f"site.pid: already running as process {(folder / 'site.pid').read_text().strip()}" in second.stderr
    stop(folder)
    assert (folder / "site.log").read_text().rstrip().endswith("stopped")


def test_a_service_that_cannot_start_tells_it_in_the_foreground(folder):
    """The exit code is that of the start, and nothing is left behind."""
    (folder / "site.yaml").write_text(SITE.replace("port: 0", "port: 'unix:/nowhere/socket'"))
    done = piped("run", "--daemon", "site.yaml", cwd=folder)
    assert done.returncode == 1
    assert "name a file for it with -l" in done.stderr
    assert "site.yaml:1:20: web.site cannot listen" in done.stderr
    assert not (folder / "site.pid").exists()


def test_the_foreground_ends_with_the_exit_code_of_the_start(folder):
    """A configuration that a provider refuses is 78 there, too."""
    (folder / "refusing_bundle.py").write_text(
        "from piped import ConfigurationError, provider\n"
        "@provider('refusing')\n"
        "class Refusing:\n"
        "    def configure(self, runtime_environment):\n"
        "        raise ConfigurationError('not like this')\n"
    )
    (folder / "site.yaml").write_text("plugins: {bundles: {mine: [refusing_bundle]}}\nrefusing: {}\n")
    assert piped(*START, cwd=folder).returncode == 78
    assert "site.yaml:2:1: not like this" in (folder / "site.log").read_text()


def test_a_configuration_that_cannot_run_never_goes_to_the_background(folder):
    """Exit code 78, with the mistakes."""
    (folder / "site.yaml").write_text(SITE.replace("hello}", "helo}", 1))
    done = piped(*START, cwd=folder)
    assert done.returncode == 78
    assert "did you mean 'hello'?" in done.stderr
