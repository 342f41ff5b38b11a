"""The examples of AMQP do what they say, in as many processes as they say."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from commands import EXAMPLES, Running, wait_until
from servers import rabbitmq as rabbitmq_server


def running(name, cwd, rabbitmq=None, vhost="/", *, site=None):
    """An example in a process of its own, on a virtual host of its own; its site has a free port."""
    options = () if site is None else ("-O", f"web.{site}.port:0")
    if rabbitmq is not None:
        options += ("-O", f"amqp.connections.main.servers:{rabbitmq.endpoint}")
        options += ("-O", f"amqp.connections.main.parameters:{{virtual_host: {vhost}}}")
    return Running(EXAMPLES / name, *options, cwd=cwd)


def test_a_letter_goes_through_the_broker_in_memory(tmp_path):
    """The example for newcomers needs no broker: what is posted is consumed in the same process."""
    with running("amqp_memory.yaml", tmp_path, site="site") as example:
        wait_until(lambda: example.get("/", data="hello").code == 200)
        example.wait_for("a letter has come: hello")
        assert example.stop() == 0


def test_two_workers_share_the_jobs_and_put_the_bad_one_aside(rabbitmq, tmp_path, monkeypatch):
    """Every job is done once, both workers do some; one that always fails is tried four times, then it is put aside."""
    vhost = rabbitmq.vhost()
    with ExitStack() as workers:
        both = []
        for number in "12":
            monkeypatch.setenv("WORKER", number)
            both.append(workers.enter_context(running("amqp_work_queue.yaml", tmp_path, rabbitmq, vhost, site="door")))
        wait_until(lambda: all("consumes from the queue 'jobs'" in worker.log for worker in both))
        assert both[0].get(data=json.dumps({"divide": 1, "by": 0})).code == 202
        for number in range(40):
            assert both[number % 2].get(data=json.dumps({"divide": number * 6, "by": 3})).code == 202

        def done():
            return [line.split("worker ")[1] for worker in both for line in worker.lines if " / 3 = " in line]

        wait_until(lambda: len(done()) >= 40)
        assert sorted(line[3:] for line in done()) == sorted(f"{number * 6} / 3 = {number * 2}" for number in range(40))
        assert {line[0] for line in done()} == {"1", "2"}
        wait_until(lambda: any("put aside after 4 tries: division by zero" in worker.log for worker in both))
        assert [worker.stop() for worker in both] == [0, 0]


def test_a_site_asks_two_servers_in_other_processes(rabbitmq, tmp_path):
    """Sums are asked by a client of one's own, factors by a step; both servers take part, and one is enough."""
    vhost = rabbitmq.vhost()
    with ExitStack() as processes:
        site = processes.enter_context(running("amqp_rpc_client.yaml", tmp_path, rabbitmq, vhost, site="site"))
        servers = [
            processes.enter_context(running("amqp_rpc_server.yaml", tmp_path, rabbitmq, vhost)) for _ in range(2)
        ]
        wait_until(lambda: site.get("/sum?a=20&b=22").code == 200 and site.get("/factors?n=7").code == 200)
        assert site.get("/sum?a=20&b=22").body == "42\n"
        assert site.get("/factors?n=360").json() == [2, 2, 2, 3, 3, 5]
        servers.pop().process.kill()
        wait_until(lambda: site.get("/factors?n=97").code == 200)
        assert site.get("/factors?n=0").code == 500
        site.wait_for("0 is not between 1 and a thousand million")
        assert [process.stop() for process in (*servers, site)] == [0, 0]


@pytest.mark.skipif(not rabbitmq_server.is_installed(), reason="RABBITMQ IS NOT INSTALLED: no demonstration of it")
def test_the_demonstration_leaves_nothing_when_its_terminal_is_closed(tmp_path):
    """It ends its workers and its broker, as with ctrl-C, and takes its folder away."""
    command = [sys.executable, "-m", "examples.amqp_demo"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=EXAMPLES.parent, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert any("is ready, and consumes" in line for line in demo.stdout)
        finally:
            demo.send_signal(signal.SIGHUP)
        told = demo.stdout.read()
    assert demo.returncode == 0
    assert "Everything is ended." in told
    assert list(tmp_path.iterdir()) == []
