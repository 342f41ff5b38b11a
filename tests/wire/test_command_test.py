"""`piped test`: cases and status tests, in a process with a real reactor."""

import re
import signal
import subprocess
from xml.etree import ElementTree

import pytest
from commands import EXAMPLES, PIPED, piped

SITE = """\
contexts: {users: {ada: 1}}
web: {site: {port: 1, routing: {__config__: {processor: hello}}}}
pipelines:
  hello:
    - fetch-context: {context: users}
    - log: {message: saying hello}
  sleepy:
    - exec-code:
        namespace: {asyncio: asyncio}
        output_path: slept
        code: |
          await asyncio.sleep(0.01)
          return True
    - wait: {delay: 3600}
tests:
  - name: hello knows ada
    pipeline: hello
    result: {users: {ada: 1}}
"""
FAILING = """\
  - name: hello knows bob
    pipeline: hello
    contains:
      users:
        bob: 2
"""
STATUS = """\
from piped_status_testing.statustest import StatusTestCase
class Front(StatusTestCase):
    def statustest_the_port_is_open(self):
        [listener] = self.runtime_environment.listeners.members
        self.assertTrue(listener.port)
    def statustest_always_fails(self):
        self.assertEqual(1, 2)
    def statustest_not_today(self):
        self.skipTest("not today")
"""
LIVE = """\
status_tests: {smoke: {cases: [front_checks], at: never}, other: {cases: [front_checks.Front]}}
web: {site: {port: 0, routing: {__config__: {processor: hello}}}}
pipelines: {hello: [passthrough]}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    return tmp_path


def write(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def lines(done):
    """What was shown, without the times."""
    return [re.sub(r"\d+ ms$", "T", line) for line in done.stdout.splitlines()]


def test_a_configuration_that_passes_is_one_line_a_case(folder):
    """No port is opened (that of the site could not be), and nothing is logged."""
    done = piped("test", "site.yaml", cwd=folder)
    assert (lines(done), done.stderr) == (["✓ hello knows ada  T", "1 test: 1 passed"], "")
    assert done.returncode == 0


def test_a_failing_case_shows_the_difference_and_its_log(folder):
    """With the line of the expectation; the others run all the same, and the exit code is 1."""
    write(folder, site__yaml=SITE.replace("tests:\n", f"tests:\n{FAILING}"))
    done = piped("test", "site.yaml", cwd=folder)
    assert done.returncode == 1
    failed, difference, results, steps, heading, log, passed, again, summary = lines(done)
    assert failed == "✗ hello knows bob  T"
    assert difference == "    site.yaml:20:9: result.users.bob is missing, expected 2 – there is: ada"
    assert results == "    its results: [{'users': {'ada': 1}}]"
    assert steps == "    its steps: fetch-context-1, log-1"
    assert heading == "    what was logged:"
    assert log.endswith("saying hello")
    assert passed == "✓ hello knows ada  T"
    assert (again, summary) == ("✗ site.yaml:16:11: hello knows bob", "2 tests: 1 passed, 1 failed")


def test_not_all_that_differs_is_shown(folder):
    """A screen is enough to see what is wrong."""
    names = ", ".join(f"x{number}: 1" for number in range(50))
    wrong = f"  - {{name: many, pipeline: hello, contains: {{users: {{{names}}}}}}}\n"
    write(folder, site__yaml=SITE + wrong)
    shown = lines(piped("test", "site.yaml", "--only", "many", cwd=folder))
    assert "    … and 30 differences more" in shown
    assert len(shown) < 30


def test_the_log_of_passing_cases_is_shown_when_asked_for(folder):
    """-v shows everything."""
    assert "saying hello" in piped("test", "site.yaml", "-v", cwd=folder).stdout


def test_steps_may_wait_for_asyncio_and_for_hours(folder):
    """The loop runs for asyncio, and Piped's own waits go by the time of the case."""
    case = "  - {name: sleepy, pipeline: sleepy, advance: 3600, result: {slept: true}}\n"
    write(folder, site__yaml=SITE + case)
    assert piped("test", "site.yaml", cwd=folder).returncode == 0


def test_a_file_of_tests_beside_is_read_too(folder):
    """It includes the configuration, stands alone as well, and its cases may use pipelines of its own."""
    tests = "includes: [site.yaml]\npipelines: {fake: [passthrough]}\ntests:\n"
    write(folder, site_tests__yaml=tests + "  - {name: beside, pipeline: fake, result: {}}\n" + FAILING)
    done = piped("test", "site.yaml", cwd=folder)
    assert [line for line in lines(done) if line[0] in "✓✗" and line.endswith("T")] == [
        "✓ hello knows ada  T",
        "✓ beside  T",
        "✗ hello knows bob  T",
    ]
    assert "    site_tests.yaml:9:9: result.users.bob is missing, expected 2 – there is: ada" in lines(done)
    assert lines(piped("test", "site_tests.yaml", "--only", "beside", cwd=folder)) == [
        "✓ beside  T",
        "1 test: 1 passed",
    ]


def test_a_file_beside_without_tests_repeats_none(folder):
    """Cases that it only includes are played once."""
    write(folder, site_tests__yaml="includes: [site.yaml]\n")
    assert lines(piped("test", "site.yaml", cwd=folder))[-1] == "1 test: 1 passed"


@pytest.mark.parametrize(
    ("only", "names"), [("ADA", ["ada"]), ("hello*", ["ada", "bob"]), ("*bob", ["bob"]), ("knows", ["ada", "bob"])]
)
def test_only_some_cases_are_played(folder, only, names):
    """By a part of the name in any case, or by a pattern."""
    write(folder, site__yaml=SITE + FAILING)
    done = piped("test", "site.yaml", "--only", only, cwd=folder)
    assert [line.split()[3] for line in lines(done) if line[0] in "✓✗" and line.endswith("T")] == names


def test_what_cannot_be_tested_is_told(folder):
    """A wrong name is a wrong command line, no tests at all have an exit code of their own."""
    done = piped("test", "site.yaml", "--only", "hello knows adda", cwd=folder)
    assert done.returncode == 2
    assert "there is no test 'hello knows adda' – did you mean 'hello knows ada'?" in done.stderr
    write(folder, none__yaml="pipelines: {p: [passthrough]}\n")
    done = piped("test", "none.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (5, "none.yaml: there is nothing to test\n")


def test_mistakes_are_told_together_and_nothing_is_played(folder):
    """Those of the pipelines and those of the cases; `piped check` tells the same."""
    write(
        folder, bad__yaml=SITE.replace("fetch-context", "fetch-contxt") + "  - {name: x, pipeline: helo, result: 1}\n"
    )
    for verb in ("test", "check"):
        done = piped(verb, "bad.yaml", cwd=folder)
        assert done.returncode == 78
        assert "bad.yaml:5:7: unknown processor 'fetch-contxt'" in done.stderr
        assert "bad.yaml:19:25: there is no pipeline 'helo' – did you mean 'hello'?" in done.stderr
        assert "✓" not in done.stdout


def test_programs_read_the_results_as_xml(folder):
    """--junit FILE, in the form that they know."""
    write(folder, site__yaml=SITE + FAILING)
    assert piped("test", "site.yaml", "--junit", "results.xml", cwd=folder).returncode == 1
    [suite] = ElementTree.parse(folder / "results.xml").getroot()
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("site.yaml", "2", "1")


def test_results_that_cannot_be_written_are_told(folder):
    """The tests have run all the same."""
    done = piped("test", "site.yaml", "--junit", "nowhere/results.xml", cwd=folder)
    assert done.returncode == 1
    assert lines(done)[-1] == "1 test: 1 passed"
    assert "cannot write nowhere/results.xml: No such file or directory" in done.stderr


def test_a_test_can_be_interrupted(folder):
    """Ctrl-C ends the case that is played, and the exit code is 1."""
    case = "  - {name: hang, pipeline: sleepy, timeout: 600, result: {}}\n"
    write(folder, site__yaml=SITE + case)
    command = [PIPED, "test", "site.yaml"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PYTHONUNBUFFERED": "1"}
    ) as process:
        assert "hello knows ada" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 test: 1 passed" in told
    assert "stopped before the end" in error


def test_cases_that_never_wait_can_be_interrupted(folder):
    """Between two of them: the others are not played."""
    step = "\n    - eval-lambda: {output_path: null, lambda: \"baton: __import__('time').sleep(0.05)\"}\ntests:\n"
    cases = "".join(f"  - {{name: nap {number}, pipeline: nap, result: {{}}}}\n" for number in range(400))
    write(folder, site__yaml=f"pipelines:\n  nap:{step}{cases}")
    command = [PIPED, "test", "site.yaml"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PYTHONUNBUFFERED": "1"}
    ) as process:
        assert "nap 0" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped before the end" in error
    assert "nap 399" not in told


@pytest.mark.parametrize("name", ["tested.yaml", "quickstart.yaml"])
def test_the_examples_pass_their_tests(name, tmp_path):
    """As their comments say."""
    assert piped("test", EXAMPLES / name, cwd=tmp_path).returncode == 0


def test_status_tests_run_in_the_started_service(folder):
    """Each suite once, with ports open; then it is stopped, and a failure is one of the whole."""
    write(folder, live__yaml=LIVE, front_checks__py=STATUS)
    done = piped("test", "live.yaml", "--only", "smoke", cwd=folder)
    assert done.returncode == 1
    shown = lines(done)
    assert shown[0] == "starting the service for its status tests"
    assert "✓ front_checks.Front.statustest_the_port_is_open  T" in shown
    assert "✗ front_checks.Front.statustest_always_fails  T" in shown
    assert "– front_checks.Front.statustest_not_today (skipped)  T" in shown
    assert any("front_checks.py:7: AssertionError: 1 != 2" in line for line in shown)
    assert shown[-1] == "3 tests: 1 passed, 1 failed, 1 skipped"
    assert done.stderr.splitlines()[-1].endswith("stopped")


def test_status_tests_come_after_the_cases_and_can_be_left_out(folder):
    """--no-live starts nothing."""
    case = "tests: [{name: hello, pipeline: hello, result: {}}]\n"
    write(folder, live__yaml=LIVE + case, front_checks__py=STATUS)
    assert lines(piped("test", "live.yaml", "--no-live", cwd=folder)) == ["✓ hello  T", "1 test: 1 passed"]
    shown = lines(piped("test", "live.yaml", cwd=folder))
    assert shown[0] == "✓ hello  T"
    assert shown[-1] == "7 tests: 3 passed, 2 failed, 2 skipped"


def test_a_service_that_cannot_start_has_no_status_tests(folder):
    """Its exit code is that of `piped run`."""
    write(folder, live__yaml=LIVE.replace("port: 0", "port: 'tcp:0:interface=192.0.2.1'"), front_checks__py=STATUS)
    done = piped("test", "live.yaml", cwd=folder)
    assert done.returncode == 1
    assert "web.site cannot listen" in done.stderr
    assert "front_checks" not in done.stdout


OLD = """\
system-events: {startup: {begin: testing}}
plugins: {bundles: {mine: [old_checks]}}
pipelines:
  testing:
    - create-statustest-reporter
    - old-checks
    - wait-for-statustest-reporter: {done: true}
    - shutdown
"""
OLD_CHECKS = """\
from piped.plugins.status_testing import processors, statustest
class Checks(processors.StatusTestProcessor):
    name = "old-checks"
    class TestIt(statustest.StatusTestCase):
        def statustest_it(self):
            self.assertEqual(1, 1)
"""


@pytest.mark.parametrize(("checks", "exit_code"), [(OLD_CHECKS, 0), (OLD_CHECKS.replace("1, 1", "1, 2"), 1)])
def test_a_configuration_of_piped_0_7_tests_itself(folder, checks, exit_code):
    """It runs its tests when it starts, and calls `shutdown`: the exit code tells of them."""
    write(folder, old__yaml=OLD, old_checks__py=checks)
    done = piped("test", "old.yaml", cwd=folder)
    assert done.returncode == exit_code, done.stderr
    assert lines(done)[-1] == ("1 test: 1 passed" if exit_code == 0 else "1 test: 1 failed")


def test_a_configuration_of_piped_0_7_that_breaks_off_has_failed(folder):
    """Where its tests never come to `shutdown`, nobody waits for them for ever."""
    broken = OLD.replace("    - old-checks\n", "    - raise-exception: {type: LookupError, args: no tests today}\n")
    write(folder, old__yaml=broken, old_checks__py=OLD_CHECKS)
    done = piped("test", "old.yaml", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "pipeline testing" in done.stdout
    assert "it failed and so did not shut the process down: LookupError: no tests today" in done.stdout
