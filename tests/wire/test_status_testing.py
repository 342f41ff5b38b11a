"""Status tests in a real process: over HTTP, as in Piped 0.7, and when it is stopped."""

import http.client
import signal
import textwrap

import pytest
from commands import EXAMPLES, Running

EXAMPLE = EXAMPLES / "status_tests.yaml"
ANY_PORT = ("-O", "web.site.port:0")


@pytest.fixture
def file(tmp_path):
    """Writes a file into the run directory."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def test_a_site_tells_that_its_tests_pass(tmp_path):
    """The example runs its tests when its port is open, and when somebody asks, who gets 200 and a report."""
    with Running(EXAMPLE, *ANY_PORT, cwd=tmp_path) as site:
        assert "2 passed" in site.wait_for("status tests site:")
        answer = site.get("/status")
        assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
        assert (answer.json()["is_successful"], answer.json()["counts"]["success"]) == (True, 2)
        assert site.stop() == 0


def test_a_site_tells_that_its_tests_fail(tmp_path):
    """Whoever asks gets 503; the report and the log have the place and what was there instead."""
    with Running(EXAMPLE, *ANY_PORT, "-O", "status_tests.site.arguments.path:/nowhere", cwd=tmp_path) as site:
        site.wait_for("status tests site: 2 tests")
        told = site.wait_for("status test greeting_checks.Greeting.statustest_greets_by_name: ")
        assert "greeting_checks.py:19: AssertionError: 404 != 200" in told
        answer = site.get("/status")
        assert answer.code == 503
        failure = answer.json()["results"][0]["failure"]
        assert failure.endswith("AssertionError: 404 != 200")
        assert "twisted" not in failure


CHECKS = """
    import asyncio

    from piped.plugins.status_testing import processors, statustest
    from twisted.internet.defer import inlineCallbacks
    from twisted.internet.task import deferLater
    from twisted.web.client import Agent, readBody


    class Check(processors.StatusTestProcessor):
        name = "check"

        def configure(self, runtime_environment):
            self.environment = runtime_environment
            self.dependencies = runtime_environment.create_dependency_map(self, greet="pipeline.greet")

        def get_namespace(self, baton):
            return self.dependencies

        class Site(statustest.StatusTestCase):
            timeout = 30

            def setUp(self, greet):
                self.greet = greet

            async def statustest_the_pipeline(self):
                await asyncio.sleep(0.01)
                self.assertEqual(await self.greet({}), [{"content": "HELLO"}])

            @inlineCallbacks
            def statustest_the_page(self):
                [site] = self.runtime_environment.listeners.members
                reactor = self.runtime_environment.reactor
                yield deferLater(reactor, 0.01)
                response = yield Agent(reactor).request(b"GET", site.address.encode())
                self.assertEqual((yield readBody(response)), b"HELLO")

            async def statustest_the_port(self):
                [site] = self.runtime_environment.listeners.members
                _, writer = await asyncio.open_connection("127.0.0.1", site.port.getHost().port)
                writer.close()
"""
SITE = """
    plugins: {bundles: {mine: [checks]}}
    web: {site: {port: 0, routing: {__config__: {processor: page}}}}
    system-events: {startup: {tests: tests}}
    pipelines:
      greet: [set-value: {path: content, value: HELLO}]
      page: [{inline-pipeline: greet}, write-web-response]
      tests:
        - create-statustest-reporter
        - check
        - wait-for-statustest-reporter: {done: true}
        - shutdown
"""


def test_a_configuration_of_piped_0_7_tests_itself_and_ends(file, tmp_path):
    """Server and tests share a process: they ask its own port, wait in every manner, and stop it when they are done."""
    file("checks.py", CHECKS)
    with Running(file("site.yaml", SITE), cwd=tmp_path) as site:
        assert site.ended() == 0
        shown = site.process.stdout.read()
    assert "\nPASSED: 3 tests in " in shown
    assert shown.endswith(": 3 passed\n")
    assert shown.startswith("checks\n  Check.Site\n    statustest_the_pipeline ...")


def test_a_stop_cancels_what_runs(file, tmp_path):
    """A test that waits is cancelled and torn down; the process ends without waiting for its limit of time."""
    file(
        "slow_checks.py",
        """
        import asyncio

        from piped_status_testing.statustest import StatusTestCase

        class Slow(StatusTestCase):
            async def statustest_waits(self):
                print("waiting", flush=True)
                self.runtime_environment.ask_for_stop()
                await asyncio.sleep(1000)

            async def tearDown(self):
                await asyncio.sleep(0.01)
                print("torn down", flush=True)
        """,
    )
    configuration = file("site.yaml", "status_tests: {slow: {cases: [slow_checks], timeout: 1000}}")
    with Running(configuration, cwd=tmp_path, ready="stopped") as site:
        assert site.ended() == 0
        assert site.process.stdout.read() == "waiting\ntorn down\n"
        assert "status test slow_checks" not in site.log


def test_a_stop_by_a_signal_cancels_what_runs(file, tmp_path):
    """In the middle of a test that others wait for over HTTP: they are let go."""
    file(
        "slow_checks.py",
        """
        from twisted.internet.defer import Deferred
        from piped_status_testing.statustest import StatusTestCase

        class Slow(StatusTestCase):
            timeout = 1000

            def setUp(self):
                self.runtime_environment.reactor.callLater(0, print, "begun", flush=True)

            def statustest_waits(self):
                return Deferred()
        """,
    )
    text = EXAMPLE.read_text().replace("greeting_checks", "slow_checks").replace("interval: 60", "at: never")
    with Running(file("site.yaml", text), *ANY_PORT, "--drain", "0.1", cwd=tmp_path) as running:
        connection = http.client.HTTPConnection(running.url("").removeprefix("http://"), timeout=30)
        connection.request("GET", "/status")
        assert running.process.stdout.readline() == "begun\n"
        assert running.stop(signal.SIGTERM) in (0, 1)
        connection.close()
