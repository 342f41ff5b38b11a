"""Tests of what may be written in the sections of Perspective Broker."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from spread_stage import Reactor, assembled

from piped import ConfigurationError, Problem
from piped.config.gathering import gather_text
from piped.runtime.assembly import check

PIPELINES = "\npipelines: {main: [passthrough]}\n"


def problems(text: str) -> list[str]:
    assembly = check(gather_text(textwrap.dedent(text) + PIPELINES, "site.yml", environ={}), {})
    return [str(problem) for problem in assembly.problems]


def told_at_start(text: str) -> list[Problem]:
    with pytest.raises(ConfigurationError) as raised:
        assembled(textwrap.dedent(text) + PIPELINES, Reactor())
    return list(raised.value.problems)


def test_the_seed_configuration_is_accepted() -> None:
    """Every documented key works as it is written there; `None` is a text."""
    assert not problems("""\
        pb:
            servers:
                named_server:
                    listen: tcp:8789
                    processor: main
                    wait_for_processor: False # this is the default
                    default_callback: None
                    checker:
                        name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
                        arguments:
                            username: password
            clients:
                named_client:
                    endpoint: tcp:host=localhost:port=8789
                    username: a_username
                    password: a_password
        """)


@pytest.mark.parametrize("listen", ["8789", "[8789, tcp:8790]", "['8789']", "unix:/tmp/pb.sock"])
def test_one_or_many_places_to_listen_are_accepted(listen: str) -> None:
    """A port, an endpoint, or a list of both."""
    assert not problems(f"pb: {{servers: {{main: {{listen: {listen}, processor: main}}}}}}")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("listen: tpc:8789, processor: main", "site.yml:1:31: 'tpc:8789' is no endpoint: Unknown endpoint type: 'tpc'"),
        ("listen: [8789, 70000], processor: main", "site.yml:1:38: 70000 is no port: the highest is 65535"),
        ("listen: [], processor: main", "site.yml:1:31: what stands behind listen must be at least one place"),
        (
            "listen: ssl:1:privateKey=/no.pem, processor: main",
            "'ssl:1:privateKey=/no.pem' is no endpoint",
        ),
        ("listen: 1", "pb.servers.main needs the option 'processor'"),
        ("listen: 1, processor: mian", "site.yml:1:45: there is no 'mian' – did you mean 'main'?"),
        ("listen: 1, processor: main, chekcer: {}", "did you mean 'checker'?"),
        ("listen: 1, processor: main, checker: {name: twisted.cred.Nobody}", "site.yml:1:67: "),
        ("listen: 1, processor: main, checker: {name: datetime.date}", "datetime.date is no checker"),
    ],
)
def test_mistakes_of_a_server_are_told_with_their_place(written: str, told: str) -> None:
    """Each is a Problem when the configuration is checked."""
    found = problems(f"pb: {{servers: {{main: {{{written}}}}}}}")
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("endpoint: 'tcp:host'", "site.yml:1:33: 'tcp:host' is no endpoint to connect to: it has not the parts"),
        ("endpoint: 'tcp:host:70000'", "the highest port is 65535"),
        ("endpoint: 'tcp:host=h:port=70000'", "the highest port is 65535"),
        ("endpoint: 'tls:h:1:trustRoots=/nowhere'", "cannot read /nowhere: no such file or directory"),
        ("endpoint: 'tcpp:h:1'", "Unknown endpoint type: 'tcpp'"),
        ("endpoint: 'tls:h:1:trustRoots=/nowhere'", "'tls:h:1:trustRoots=/nowhere' is no endpoint to connect to"),
        ("endpoint: 'tcp:h:1', username: ada", "a username needs a password"),
        ("{}", "needs the option 'endpoint'"),
    ],
)
def test_mistakes_of_a_client_are_told_with_their_place(written: str, told: str) -> None:
    """The same holds for clients."""
    found = problems(f"pb: {{clients: {{main: {{{written.strip('{}')}}}}}}}")
    assert any(told in problem for problem in found), found


def test_endpoints_with_tls_are_accepted() -> None:
    """A client may speak TLS, with the name of the server verified."""
    assert not problems("pb: {clients: {main: {endpoint: 'tls:pb.example.com:8789'}}}")


class Plain:
    """A checker that wants to see passwords."""

    from twisted.cred.credentials import IUsernamePassword

    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        """Nobody comes here."""


def server_with(checker: str, arguments: str = "{}") -> str:
    checker = f"{{name: {checker}, arguments: {arguments}}}"
    return f"pb: {{servers: {{main: {{listen: 0, processor: main, checker: {checker}}}}}}}"


def test_a_checker_that_can_never_say_yes_is_told() -> None:
    """A client of Perspective Broker sends no password, so that a checker of passwords is of no use."""
    [told] = problems(server_with(f"{__name__}.Plain"))
    assert "Plain cannot check what Perspective Broker sends – use one that accepts IUsernameHashedPassword" in told


def test_a_checker_that_cannot_be_made_is_told_at_the_start() -> None:
    """Arguments that it does not know are a Problem at its name."""
    [told] = told_at_start(server_with("twisted.cred.checkers.FilePasswordDB", "{flie: x}"))
    assert str(told.where) == "site.yml:1:67"
    assert "FilePasswordDB cannot be made" in told.what


def test_a_checker_may_find_out_late_what_it_can_check(tmp_path: Path) -> None:
    """One that says so when it is made is asked then: a file of hashed passwords is of no use."""
    arguments = f"{{filename: {tmp_path / 'users'}, hash: '!name builtins.len'}}"
    [told] = told_at_start(server_with("twisted.cred.checkers.FilePasswordDB", arguments))
    assert "cannot check what Perspective Broker sends" in told.what
