"""Tests of what is an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped_zmq.addresses import fault_of


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:5555", "tcp://[::1]:5555", "tcp://eth0:5555", "ipc:///run/jobs", "ipc://@name", "inproc://a b"],
)
def test_what_sockets_bind_and_connect_to_is_accepted(address: str):
    """Names and numbers of hosts, paths, names within the process."""
    assert fault_of(address, is_bound=True) == fault_of(address, is_bound=False) == ""


@pytest.mark.parametrize("address", ["tcp://*:5555", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://*:*"])
def test_only_what_is_bound_may_be_any_host_or_port(address: str):
    """A star stands for all interfaces, or for a port that is free; nobody can connect to that."""
    assert fault_of(address, is_bound=True) == ""
    assert fault_of(address, is_bound=False) == "it needs a host and a port"


def test_one_may_say_where_a_connection_comes_from():
    """The source address stands before the other one."""
    assert fault_of("tcp://192.168.1.17:*;192.168.1.1:5555", is_bound=False) == ""


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("jobs", "it needs a transport and a place"),
        ("tcp://", "it needs a transport and a place"),
        ("tcp://127.0.0.1", "it needs a host and a port"),
        ("tcp://:5555", "it needs a host and a port"),
        ("tcp://a:b:c", "it needs a host and a port"),
        ("tcp://a:65536", "the highest port is 65535"),
        ("ipc://" + "é" * 54, "no socket has a path above 107 bytes"),
        ("inproc://" + "a" * 257, "no name is above 256 characters"),
        ("http://a:80", "there is no transport 'http'"),
        ("norm://a:80", "this ZeroMQ was built without norm"),
        ("ipc://a\0b", "it holds a zero byte"),
    ],
)
def test_what_is_no_address_is_told(address: str, fault: str):
    """Each in a few words."""
    assert fault_of(address, is_bound=True) == fault


@given(st.text(max_size=80), st.booleans())
def test_any_text_gets_an_answer(address: str, is_bound: bool):
    """Nothing that can be written breaks the check."""
    assert isinstance(fault_of(address, is_bound), str)
