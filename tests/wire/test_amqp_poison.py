"""A message that fails every time: tried again ever later, kept or sent to the dead letters, and costing nothing."""

import os
from pathlib import Path

import pytest
from commands import Running
from test_amqp_consumer import CONSUMES, site
from test_amqp_consumer import broker as broker  # the fixture

WORK = """
work:
  - log: {message: trying}
  - eval-lambda: {lambda: "body: int(body)", input_path: body}
"""


def cpu_seconds(running):
    """How much CPU a process has used."""
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_poison_is_tried_again_and_then_a_dead_letter(broker, tmp_path, kind):
    """After its redeliveries a poisonous message is a dead letter that tells why, and the others were processed."""
    consumers = f"""
    jobs:
      processor: work
      queue: {{queue: jobs, durable: true, type: {kind}}}
      max_redeliveries: 3
      redelivery_delay: 0.2
      dead_letter: {{routing_key: dead}}
    """
    broker.channel.queue_declare("dead", durable=True)
    with Running(site(broker, tmp_path, consumers, WORK), cwd=tmp_path, ready=CONSUMES) as running:
        broker.publish(b"poison", message_id="7", headers={"mine": 1}, delivery_mode=2)
        broker.publish(b"1", b"2")
        _, properties, body = broker.get("dead")
        # Four tries of the poisonous one, and one of each other.
        assert sum("trying" in line for line in running.lines) == 6
        assert running.stop() == 0  # in order, or a dead letter that was not acknowledged here as yet comes again
    told = properties.headers
    assert (body, properties.message_id, told["mine"]) == (b"poison", "7", 1)
    assert (told["x-piped-reason"], told["x-piped-exception"]) == ("failed", "builtins.ValueError")
    assert (told["x-piped-pipeline"], told["x-piped-queue"], told["x-piped-deliveries"]) == ("work", "jobs", 4)
    assert told["x-piped-step"].startswith("eval-lambda-1 (")
    assert "int(body)" in told["x-piped-traceback"]
    assert broker.depth() == (0, 0)


def test_poison_burns_no_cpu(broker, tmp_path):
    """While messages that fail for ever wait for their next tries, the process does as good as nothing."""
    consumers = """
    jobs:
      processor: work
      queue: {queue: jobs, durable: true}
      redelivery_delay: 0.5
      log_processor_exceptions: null
    """
    with Running(site(broker, tmp_path, consumers, WORK), cwd=tmp_path, ready=CONSUMES) as running:
        before = cpu_seconds(running)
        broker.publish(*[b"poison"] * 20)
        broker.until(lambda: sum("trying" in line for line in running.lines) >= 60)
        # Sixty tries: those of a loop that spins would be thousands.
        assert sum("trying" in line for line in running.lines) < 90
        assert cpu_seconds(running) - before < 1


def test_poison_without_a_place_to_go_pauses_consuming(broker, tmp_path):
    """Without a place for dead letters nothing is dropped: consuming pauses, and what is in the queue stays there."""
    consumers = """
    jobs:
      processor: work
      queue: {queue: jobs, durable: true}
      max_redeliveries: 1
      redelivery_delay: 0.1
    """
    with Running(site(broker, tmp_path, consumers, WORK), cwd=tmp_path, ready=CONSUMES) as running:
        broker.publish(b"poison")
        running.wait_for("has paused: a message has failed after 2 tries")
        broker.until(lambda: broker.depth() == (1, 0))
        broker.publish(b"1")
        assert broker.depth() == (2, 0)
