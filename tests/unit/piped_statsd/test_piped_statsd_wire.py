"""Tests of the wire format of statsd."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped_statsd.wire import MOST_WAITING, PACKET, Outbox, line


def taken(outbox: Outbox) -> list[bytes]:
    return [*iter(outbox.take, b"")]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("orders", 1, "c"), b"orders:1|c"),
        (("orders", -2, "c"), b"orders:-2|c"),
        (("left", 2.5, "g"), b"left:2.5|g"),
        (("size", 10, "h"), b"size:10|h"),
        (("took", 320.25, "ms"), b"took:320.25|ms"),
        (("users", "ada", "s"), b"users:ada|s"),
        (("orders", 1, "c", ["shop:oslo", "new"]), b"orders:1|c|#shop:oslo,new"),
        (("orders", 1, "c", [], 0.25), b"orders:1|c|@0.25"),
        (("orders", 1, "c", ["new"], 0.5), b"orders:1|c|@0.5|#new"),
        (("orders", 1, "c", "shop:oslo"), b"orders:1|c|#shop:oslo"),
        (("is_open", True, "g"), b"is_open:1|g"),
        (("price", Decimal("9.50"), "g"), b"price:9.50|g"),
        (("\udcff", "\udcff", "s", ["\udcff"]), b"?:?|s|#?"),
    ],
)
def test_a_metric_is_a_line(arguments, sent):
    """As the servers read it: name, value, kind, and if wanted the rate and the tags."""
    assert line(*arguments) == sent


def test_a_negative_gauge_is_not_taken_for_a_difference():
    """A sign would add to the gauge: it is set to 0 before."""
    assert line("left", -3, "g", ["a"]) == b"left:0|g|#a\nleft:-3|g|#a"


@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_no_text_becomes_a_second_metric(name, value, tags):
    """Whatever a user sends, the line has the parts that it should have, and is one line."""
    sent = line(name, value, "s", tags).decode(errors="surrogatepass")
    assert "\n" not in sent
    metric, kind, written = sent.split("|")
    assert (metric.count(":"), kind) == (1, "s")
    assert written.startswith("#")
    assert written.count(",") == len(tags) - 1


@given(st.lists(st.integers(1, PACKET).map(lambda length: b"x" * length), max_size=60))
def test_packets_hold_all_lines_in_order_and_fit_the_network(lines):
    """No line is cut or lost, and no packet is longer than what goes through in one piece."""
    outbox = Outbox()
    for each in lines:
        outbox.add(each)
    packets = taken(outbox)
    assert outbox.dropped == 0 or sum(map(len, lines)) > MOST_WAITING - PACKET
    assert [part for packet in packets for part in packet.split(b"\n")] == lines[: len(lines) - outbox.dropped or None]
    assert all(len(packet) <= PACKET for packet in packets)
    assert all(len(one) + 1 + len(two.split(b"\n")[0]) > PACKET for one, two in pairwise(packets))
    assert taken(outbox) == []


def test_what_waits_is_bounded():
    """When it cannot be sent, the newest are dropped and counted; so is what no packet could hold."""
    outbox = Outbox()
    for _ in range(MOST_WAITING):
        outbox.add(b"x" * 99)
    kept = sum(packet.count(b"\n") + 1 for packet in taken(outbox))
    assert kept == MOST_WAITING // 100
    assert outbox.dropped == MOST_WAITING - kept
    outbox.add(b"x" * (PACKET + 1))
    assert taken(outbox) == []
    assert outbox.dropped == MOST_WAITING - kept + 1


def test_it_is_full_when_a_packet_is():
    """From then on nothing is won by waiting; what is left begins the next one."""
    outbox = Outbox()
    outbox.add(b"x" * (PACKET - 2))
    outbox.add(b"x")
    assert not outbox.is_full
    outbox.add(b"y")
    assert outbox.is_full
    assert len(outbox.take()) == PACKET
    assert outbox.size == 2
    assert not outbox.is_full
    assert outbox.take() == b"y"
    assert (outbox.take(), outbox.size) == (b"", 0)
