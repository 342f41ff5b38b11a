"""The RabbitMQ of the tests is one's own: frozen, looked into, and gone with whoever has started it."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import wait_until
from servers import rabbitmq
from servers.ports import free_ports, opens

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not rabbitmq.is_installed(), reason="RABBITMQ IS NOT INSTALLED (apt install rabbitmq-server)")
def test_a_broker_does_not_outlive_whoever_has_started_it(tmp_path):
    """Also when that is killed, and could end nothing."""
    [port] = free_ports(1)
    starter = (
        "import time, sys; from pathlib import Path; from servers.rabbitmq import RabbitMQ\n"
        "RabbitMQ(Path(sys.argv[1]), int(sys.argv[2])).start(); print('started', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", starter, tmp_path / "broker", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"started\n"
            assert opens(port)
        finally:
            process.kill()
    wait_until(lambda: not opens(port))


def test_a_frozen_broker_is_there_and_answers_when_it_is_thawed(rabbitmq):
    """While it is frozen connections are made, for the system makes them, and nobody speaks."""
    rabbitmq.freeze()
    try:
        assert opens(rabbitmq.port)
        assert not rabbitmq.is_ready()
    finally:
        rabbitmq.thaw()
    wait_until(rabbitmq.is_ready)


def test_a_virtual_host_is_new_and_the_management_says_what_is_wrong(rabbitmq):
    """Each test has a virtual host of its own; a refused request is an error with its reason."""
    vhost = rabbitmq.vhost()
    assert vhost != rabbitmq.vhost()
    assert vhost in rabbitmq.ctl("list_vhosts")
    assert rabbitmq.api("GET", f"queues/{vhost}") == []
    with pytest.raises(RuntimeError, match="404"):
        rabbitmq.api("GET", "queues/nowhere")
