"""Pipelines of other processes: a pool shares the work, and what a process leaves undone another one does."""

import os
import signal
import subprocess
import textwrap
import time

from commands import PIPED, Running, piped

STEPS = """
import os
from pathlib import Path

from twisted.internet.defer import Deferred

from piped import Rejected, processor


@processor("work")
def work(baton):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    if baton == "refuse":
        raise Rejected("not that")
    if baton == "slow" and len(Path("pids").read_text().split()) == 1:
        return Deferred()  # until the process is killed
    return {"done": baton}
"""


def write(rabbitmq, tmp_path):
    """A server and a client on a virtual host of their own."""
    connections = f"""
        plugins: {{bundles: {{own: [working]}}}}
        amqp:
          connections:
            main:
              servers: {rabbitmq.endpoint}
              parameters: {{virtual_host: {rabbitmq.vhost()}}}
    """
    (tmp_path / "working.py").write_text(STEPS)
    (tmp_path / "server.yaml").write_text(
        textwrap.dedent(f"""{connections}
          remote_pipelines: {{jobs: }}
        pipelines: {{jobs: [work]}}
        """)
    )
    (tmp_path / "client.yaml").write_text(
        textwrap.dedent(f"""{connections}
        pipelines: {{ask: [run-pipeline-remotely: {{pipeline: jobs}}]}}
        """)
    )


def pids(tmp_path):
    file = tmp_path / "pids"
    return file.read_text().split() if file.exists() else []


def test_what_a_killed_process_leaves_undone_another_one_does(rabbitmq, tmp_path):
    """The caller gets its answer, later."""
    write(rabbitmq, tmp_path)
    taking = "consumes from the queue"
    with (
        Running("server.yaml", cwd=tmp_path, ready=taking),
        Running("server.yaml", cwd=tmp_path, ready=taking),
        subprocess.Popen(
            [PIPED, "trace", "client.yaml", "ask", "--baton", '"slow"'], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as asking,
    ):
        deadline = time.monotonic() + 30
        while not pids(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(int(pids(tmp_path)[0]), signal.SIGKILL)
        told, _ = asking.communicate(timeout=30)
    assert '{"done": "slow"}' in told
    assert len(set(pids(tmp_path))) == 2


def test_a_failure_comes_back_to_the_caller(rabbitmq, tmp_path):
    """With its class and its text; a pipeline that nobody offers is told as well."""
    write(rabbitmq, tmp_path)
    nobody = piped("trace", "client.yaml", "ask", cwd=tmp_path)
    assert "UnroutableError: no queue takes a message" in nobody.stdout + nobody.stderr
    with Running("server.yaml", cwd=tmp_path, ready="consumes from the queue"):
        refused = piped("trace", "client.yaml", "ask", "--baton", '"refuse"', cwd=tmp_path)
    assert refused.returncode == 1
    assert "Rejected: not that" in refused.stdout
