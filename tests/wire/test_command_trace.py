"""`piped trace`: the way of one baton, in a process with a real reactor."""

import json
import re
import signal
import subprocess

import pytest
from commands import PIPED, piped

SITE = """\
web: {site: {port: 0, routing: {__config__: {processor: outer}}}}
ticks: {interval: {often: {interval: 0.01, processor: shout}}}
contexts: {users: {ada: 1}}
pipelines:
  outer:
    - set-value: {path: a, value: 1}
    - run-pipeline: {pipeline: inner}
    - eval-lambda: {output_path: b, lambda: "baton: baton['a'] + 1"}
  inner:
    - wait: {delay: "${DELAY:-0.05}"}
    - fetch-context: {context: users, output_path: users}
  failing:
    - set-value: {path: a, value: 1}
    - run-pipeline: {pipeline: broken}
  broken:
    - exec-code:
        code: |
          raise LookupError('it is not here')
  shout:
    - log: {message: a tick came}
    - wait: {delay: 0.2}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    return tmp_path


def test_the_way_of_a_baton_is_shown_with_times(folder):
    """Each step with its time and place, those of a pipeline that was run below it, and at last the results."""
    done = piped("trace", "site.yaml", "outer", "--baton", '{"x": "ä"}', cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    *way, result = done.stdout.splitlines()
    assert [re.sub(r"\d+\.\d\d ms", "T", line) for line in way] == [
        "outer  T",
        "  set-value-1  T  site.yaml:6:7",
        "  run-pipeline-1  T  site.yaml:7:7",
        "    inner  T",
        "      wait-1  T  site.yaml:10:7",
        "      fetch-context-1  T  site.yaml:11:7",
        "  eval-lambda-1  T  site.yaml:8:7",
    ]
    waited = float(re.search(r"wait-1  (\S+) ms", done.stdout)[1])
    assert 50 <= waited < 5000
    number, told = result.split(": ", 1)
    assert number == "result 1"
    assert json.loads(told) == {"x": "ä", "a": 1, "users": {"ada": 1}, "b": 2}


def test_a_failure_is_shown_where_it_happened(folder):
    """The failing step, the steps that failed because of it, and the traceback in the code of the configuration."""
    done = piped("trace", "site.yaml", "failing", cwd=folder)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[2].endswith("site.yaml:14:7  failed")
    assert lines[4].endswith("site.yaml:16:7  LookupError: it is not here")
    assert lines[5].startswith("failed: LookupError: it is not here (in pipeline broken, step exec-code-1")
    assert 'site.yaml", line 18' in done.stderr


def test_no_source_runs_and_no_port_opens(folder):
    """Other batons do not come while one is followed."""
    done = piped("trace", "site.yaml", "shout", cwd=folder)
    assert done.returncode == 0
    assert done.stderr.count("a tick came") == 1
    assert "listens" not in done.stderr


def test_the_baton_may_come_from_another_program(folder):
    """`--baton -` reads the standard input."""
    done = subprocess.run(
        [PIPED, "trace", "site.yaml", "inner", "--baton", "-"],
        cwd=folder,
        input='{"from": "stdin"}',
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert '"from": "stdin"' in done.stdout


def test_resources_are_waited_for_no_longer_than_asked(folder):
    """--wait: what is missing is named, and the exit code is 1."""
    (folder / "never_bundle.py").write_text(
        "from piped import provider\n"
        "@provider('never')\n"
        "class Never:\n"
        "    def configure(self, runtime_environment):\n"
        "        runtime_environment.resource_manager.register('never.thing', self)\n"
        "    def add_consumer(self, dependency): pass\n"
    )
    (folder / "never.yaml").write_text(
        "plugins: {bundles: {mine: [never_bundle]}}\n"
        "never: {}\n"
        "pipelines: {p: [{eval-lambda: {lambda: 'b: b', dependencies: {thing: never.thing}}}]}\n"
    )
    done = piped("trace", "never.yaml", "p", "--wait", "0.1", cwd=folder)
    assert done.returncode == 1
    assert "pipeline.p was not ready within 0.1 s" in done.stderr
    assert "never.thing" in done.stderr


def test_a_trace_can_be_interrupted(folder):
    """Ctrl-C cancels the baton; the way that it went so far is shown."""
    with subprocess.Popen(
        [PIPED, "trace", "site.yaml", "inner", "-O", "pipelines.inner.0:{log: {message: on its way}}"]
        + ["-O", "pipelines.inner.1:{wait: {delay: 60}}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "on its way" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "wait-1" in told
    assert "CancelledError" in told


def test_a_configuration_that_cannot_run_is_not_traced(folder):
    """Exit code 78, as from `check`."""
    (folder / "site.yaml").write_text(SITE.replace("users, output", "user, output"))
    done = piped("trace", "site.yaml", "outer", cwd=folder)
    assert done.returncode == 78
    assert "there is no 'context.user' – did you mean 'users'?" in done.stderr
