"""Tests of `piped_amqp.parameters`: how to speak with a broker, and what is said of mistakes."""

from __future__ import annotations

import pytest
from pika.credentials import ExternalCredentials

from piped.config.gathering import gather_text
from piped.spec.checking import Checker
from piped_amqp.parameters import Parameters, PikaParameters


def checked(text, environ=()):
    """The parameters of a text, and what is wrong with it."""
    checker = Checker(dict(environ))
    node = gather_text(f"parameters:\n{text}", "site.yml", environ={}).root.value["parameters"]
    return checker.value(PikaParameters, node, owner="parameters"), [str(problem) for problem in checker.problems]


def test_without_any_they_are_sensible():
    """A sign of life every few seconds, the login of a fresh RabbitMQ, and who it is that connects."""
    parameters, problems = checked("    {}")
    pika = parameters.for_pika("amqp.connection.main")
    assert problems == []
    assert (pika.heartbeat, pika.virtual_host, pika.blocked_connection_timeout) == (10, "/", None)
    assert (pika.credentials.username, pika.credentials.password) == ("guest", "guest")
    assert pika.client_properties["product"] == "Piped"
    assert pika.client_properties["connection_name"].startswith("amqp.connection.main of process ")


def test_all_of_pikas_are_taken_by_their_names():
    """What is written reaches pika."""
    text = """
        username: ada
        password: ${PASSWORD}
        virtual_host: orders
        heartbeat: 30
        blocked_connection_timeout: 60
        channel_max: 100
        frame_max: 8192
        client_properties: {connection_name: mine, team: blue}
        locale: de_DE
    """
    parameters, problems = checked(text, {"PASSWORD": "sekrit"})
    pika = parameters.for_pika("x")
    assert problems == []
    assert (pika.credentials.username, pika.credentials.password) == ("ada", "sekrit")
    assert (pika.virtual_host, pika.heartbeat, pika.blocked_connection_timeout) == ("orders", 30, 60)
    assert (pika.channel_max, pika.frame_max, pika.locale) == (100, 8192, "de_DE")
    assert (pika.client_properties["connection_name"], pika.client_properties["team"]) == ("mine", "blue")
    assert "sekrit" not in repr(parameters)


@pytest.mark.parametrize(
    ("credentials", "user"),
    [("{username: ada, password: pw}", "ada"), ("external", "the owner of the certificate")],
)
def test_credentials_may_be_one_value(credentials, user):
    """A mapping of both, or the certificate of the connection."""
    parameters, problems = checked(f"    credentials: {credentials}")
    assert (problems, parameters.user) == ([], user)
    made = parameters.for_pika("x").credentials
    assert isinstance(made, ExternalCredentials) == (credentials == "external")
    assert "pw" not in repr(parameters)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hartbeat: 3", "site.yml:2:5: parameters has no option 'hartbeat' – did you mean 'heartbeat'?"),
        ("host: rabbit", "site.yml:2:5: the parameter 'host' of pika means nothing here – write them in `servers`"),
        ("port: 5672", "means nothing here – write them in `servers`: tcp:localhost:5672"),
        ("ssl_options: {}", "means nothing here – write tls:host:5671 in `servers`"),
        ("connection_attempts: 3", "use `reconnect_interval`"),
        ("socket_timeout: 3", "use `connect_timeout`"),
        ("heartbeat: -1", "option 'heartbeat' of parameters must be"),
        ("heartbeat: soon", "option 'heartbeat' of parameters must be"),
        ("client_properties: {weight: 1.5}", "option 'weight' of parameters.client_properties must be text, a whole"),
        ("frame_max: 5", "option 'frame_max' of parameters must be"),
        ("username: ada", "a password is missing – write both"),
        ("password: pw", "a username is missing – write both"),
        ("{username: a, password: b, credentials: external}", "credentials are written twice"),
        ("- 1", "parameters must be"),
    ],
)
def test_mistakes_are_told_with_their_place(text, problem):
    """An unknown parameter, one that is decided elsewhere, and what does not fit: each with what to do."""
    parameters, problems = checked(f"    {text}")
    assert parameters is None
    assert len(problems) == 1
    assert problem in problems[0]
    assert problems[0].startswith("site.yml:")


def test_every_mistake_is_told_at_once():
    """A parameter that is decided elsewhere hides no other mistake."""
    _, problems = checked("    {host: x, hartbeat: 3}")
    assert len(problems) == 2


def test_without_a_login_it_is_the_guest():
    """Messages call whoever logs in by the name that the broker sees."""
    assert (Parameters().user, Parameters(username="ada", password="pw").user) == ("guest", "ada")
