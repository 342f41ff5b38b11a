"""Tests of `piped_amqp.servers`: what may be written for a broker."""

from __future__ import annotations

import pytest
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock

from piped.config.gathering import gather_text
from piped.spec.checking import Checker
from piped_amqp.servers import Servers


def checked(text):
    """The servers of a text, and what is wrong with it."""
    checker = Checker({})
    node = gather_text(f"servers: {text}", "site.yml", environ={}).root.value["servers"]
    return checker.value(Servers, node, owner="servers"), [str(problem) for problem in checker.problems]


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("tcp:localhost:5672", ["tcp:localhost:5672"]),
        ("[tcp:host=a:port=5672, 'tls:b:5671']", ["tcp:host=a:port=5672", "tls:b:5671"]),
        ("unix:/run/amqp", ["unix:/run/amqp"]),
        ("memory://play", ["memory://play"]),
    ],
)
def test_endpoints_and_lists_of_them(text, servers):
    """One endpoint, or several; each can be connected to, and knows where it was written."""
    made, problems = checked(text)
    assert (problems, list(made)) == ([], servers)
    assert all(IStreamClientEndpoint.providedBy(each.endpoint(Clock())) for each in made if "tls" not in each)
    assert {each.where.line for each in made} == {1}


def test_a_broker_in_memory_is_one_for_each_name():
    """Two connections to the same name meet the same broker, others do not."""
    clock = Clock()
    made, _ = checked("[memory://a, memory://a, memory://b]")
    first, second, other = (each.endpoint(clock) for each in made)
    assert first._name == second._name != other._name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("localhost:5672", "'localhost:5672' is no endpoint to connect to – did you mean 'tcp:localhost:5672'?"),
        ("tpc:localhost:5672", "'tpc:localhost:5672' is no endpoint to connect to: "),
        ("tcp:localhost:99999", "the highest port is 65535"),
        ("tcp:localhost", "it has not the parts that such an endpoint needs"),
        ("memory://", "a broker in memory needs a name"),
        ("[]", "must be at least one server"),
        ("5672", "a server must be"),
        ("tls:host:5671:certificate=/no/such.pem", "cannot read /no/such.pem"),
    ],
)
def test_what_is_no_server_is_told(text, problem):
    """Each mistake has its place, and what to write."""
    made, problems = checked(text)
    assert made is None
    assert len(problems) == 1
    assert problem in problems[0]
    assert problems[0].startswith("site.yml:1:")


@pytest.mark.parametrize(
    "url",
    [
        "amqp://ada:sekrit@rabbit/orders",
        "amqps://ada:sekrit@rabbit:5671/orders",
        "rabbitmq://ada:sekrit@rabbit",
        "ada:sekrit@rabbit:5672",
        "tcp:ada:sekrit@rabbit:5672",
    ],
)
def test_a_url_is_told_how_to_write_it_without_its_password(url):
    """Whoever writes a URL is told what to write in its place; what may be secret is not repeated."""
    _, problems = checked(url)
    assert "not as a URL – write tcp:host:5672" in problems[0]
    assert "sekrit" not in problems[0]


def test_every_server_that_is_wrong_is_told():
    """One mistake hides no other."""
    made, problems = checked("[localhost:5672, tcp:localhost:5672, nonsense]")
    assert made is None
    assert len(problems) == 2
