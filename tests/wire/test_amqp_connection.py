"""Connections to a real RabbitMQ: refused, blocked, cut, frozen and encrypted ones, and what the log says of them."""

import json
import shutil
import time

import pytest
from commands import Running, wait_until
from servers.ports import free_ports
from servers.proxy import Proxy
from servers.rabbitmq import RabbitMQ
from web_servers import certificates


@pytest.fixture
def vhost(rabbitmq):
    return rabbitmq.vhost()


def running(folder, servers, ready, **options):
    """A process with one connection, which is written in line 2 of site.yml."""
    options = {"servers": servers, "reconnect_interval": 0.2, **options}
    connection = json.dumps(options)
    (folder / "site.yml").write_text(f'amqp: {{connections: {{\n"main": {connection}\n}}}}\n')
    return Running("site.yml", cwd=folder, ready=ready)


def connections(rabbitmq, vhost):
    """What the broker knows of the connections to a virtual host."""
    return [
        each for each in rabbitmq.api("GET", "connections") if each["vhost"] == vhost and "client_properties" in each
    ]


def test_the_broker_knows_who_is_connected(rabbitmq, vhost, tmp_path):
    """In the broker's list stands the process with its connection; when it has stopped it is gone."""
    with running(tmp_path, rabbitmq.endpoint, "is connected", parameters={"virtual_host": vhost}) as process:
        wait_until(lambda: connections(rabbitmq, vhost))
        (known,) = connections(rabbitmq, vhost)
        assert known["client_properties"]["product"] == "Piped"
        assert known["client_properties"]["connection_name"].startswith(
            f"amqp.connection.main of process {process.process.pid} on "
        )
        assert process.stop() == 0
    wait_until(lambda: not connections(rabbitmq, vhost))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"username": "guest", "password": "sekrit-word"}, "the broker refuses the login as 'guest'"),
        ({"virtual_host": "nope"}, "the broker says 'NOT_ALLOWED - vhost nope not found' (530)"),
    ],
)
def test_a_refused_connection_says_why_and_goes_on(rabbitmq, tmp_path, parameters, told):
    """The service starts; the log says once what the broker said, and where to mend it."""
    with running(tmp_path, rabbitmq.endpoint, told, parameters=parameters) as process:
        line = process.wait_for(told)
        assert "amqp.connection.main (site.yml:2:1) waits for" in line
        assert "it is tried until it works – check" in line
        time.sleep(1.5)  # some more tries, of which nothing is told
        assert process.log.count(told) == 1
        assert "sekrit-word" not in process.log
        assert process.stop() == 0


def test_the_next_server_is_taken_where_one_is_not_there(rabbitmq, vhost, tmp_path):
    """Of several servers those that are there are used, whatever is wrong with the others."""
    (nobody,) = free_ports(1)
    servers = [f"tcp:127.0.0.1:{nobody}", "tcp:no-such-host.invalid:5672", rabbitmq.endpoint]
    with running(tmp_path, servers, "is connected", parameters={"virtual_host": vhost}) as process:
        assert f"waits for tcp:127.0.0.1:{nobody}: connection refused" in process.log
        assert "waits for tcp:no-such-host.invalid:5672: there is no such host" in process.log
        assert process.stop() == 0


def test_a_connection_that_is_closed_by_the_broker_is_made_anew(rabbitmq, vhost, tmp_path):
    """Whoever closes a connection in the management sees another one within a moment, and the log has his reason."""
    with running(tmp_path, rabbitmq.endpoint, "is connected", parameters={"virtual_host": vhost}) as process:
        wait_until(lambda: connections(rabbitmq, vhost))
        (known,) = connections(rabbitmq, vhost)
        rabbitmq.api("DELETE", f"connections/{known['name'].replace(' ', '%20').replace('>', '%3E')}")
        assert "CONNECTION_FORCED" in process.wait_for("has lost")
        wait_until(lambda: process.log.count("is connected") == 2, timeout=10)
        assert process.stop() == 0


def test_a_blocked_connection_is_reported(rabbitmq, vhost, tmp_path):
    """While the broker has too little memory the log says that it takes no messages, and then that it does."""
    text = f"""
amqp:
    connections:
        main: {{servers: "{rabbitmq.endpoint}", parameters: {{virtual_host: {vhost}}}}}
ticks:
    interval:
        often: {{interval: 0.2, processor: publish}}
pipelines:
    publish:
        - set-value: {{path: body, value: anything}}
        - publish-amqp-message: {{routing_key: nowhere, mandatory: false}}
"""
    (tmp_path / "site.yml").write_text(text)
    with Running("site.yml", cwd=tmp_path, ready="is connected") as process:
        rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            assert "low on memory" in process.wait_for("amqp.connection.main is blocked by the broker")
        finally:
            rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1GB")
        process.wait_for("amqp.connection.main is unblocked: the broker takes messages again")
        assert process.stop() == 0


def test_a_network_that_passes_on_nothing_is_noticed(rabbitmq, vhost, tmp_path):
    """A broker whose heartbeat does not come is left; once it can be reached the connection is there again."""
    with Proxy(rabbitmq.port) as network:
        parameters = {"virtual_host": vhost, "heartbeat": 1}
        with running(tmp_path, network.endpoint, "is connected", parameters=parameters, connect_timeout=1) as process:
            network.hold()
            process.wait_for("nothing came from the broker, not even its heartbeat of 1 s")
            process.wait_for("did not finish the greeting and the login within 1 s")
            network.go_on()
            wait_until(lambda: process.log.count("is connected") == 2)
            assert process.stop() == 0


def test_a_frozen_network_does_not_hold_up_the_stop(rabbitmq, vhost, tmp_path):
    """A goodbye that nobody answers is waited for no longer than `close_timeout`."""
    with Proxy(rabbitmq.port) as network:
        parameters = {"virtual_host": vhost}
        with running(tmp_path, network.endpoint, "is connected", parameters=parameters, close_timeout=0.5) as process:
            network.hold()
            began = time.monotonic()
            assert process.stop() == 0
            assert time.monotonic() - began < 8


def test_what_is_no_broker_is_told(tmp_path, rabbitmq):
    """A port at which something else answers is waited for no longer than `connect_timeout`, and said to be none."""
    servers = f"tcp:127.0.0.1:{rabbitmq.management}"
    with running(tmp_path, servers, "is it the port of an AMQP broker?", connect_timeout=0.5) as process:
        assert process.stop() == 0


def test_a_connection_may_be_encrypted(tmp_path):
    """A `tls:` endpoint takes a broker whose certificate it trusts; another one is refused with that reason."""
    authority, _ = certificates(tmp_path, "localhost")
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(authority, trusted)
    both = tmp_path / "localhost.pem"
    with RabbitMQ(tmp_path / "rabbitmq", tls=(both, both)) as broker:
        server = f"tls:localhost:{broker.tls_port}"
        with running(tmp_path, f"{server}:trustRoots={trusted}", "is connected") as process:
            wait_until(lambda: connections(broker, "/"))
            assert connections(broker, "/")[0]["ssl"] is True
            assert process.stop() == 0
        with running(tmp_path, server, "TLS has failed: certificate verify failed") as process:
            assert process.stop() == 0
        with running(tmp_path, f"tcp:127.0.0.1:{broker.tls_port}", "is it the port of an AMQP broker?") as process:
            assert process.stop() == 0
