"""Tests of logins."""

from __future__ import annotations

from typing import Any

import pytest
from spread_stage import Link, Server, bare_client, name_of, now
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.credentials import Anonymous, IUsernameHashedPassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.spread import pb

from piped.spread.login import MOST_TRIES

WHO = "main: [callback-deferred: {result_path: avatar_id}]"
IN_MEMORY = "twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse"
OPTIONS = f"processor: main, checker: {{name: {IN_MEMORY}, arguments: {{ada: enchantress, bob: grün}}}}"


def server(checker: str = "") -> Server:
    return Server(WHO, f"processor: main, checker: {{name: {__name__}.{checker}}}" if checker else OPTIONS)


def log_in(server: Server, name: bytes | None, password: bytes = b"", factory: Any = None) -> Any:
    """The perspective, or the Failure, of a login with a bare client."""
    factory = factory or server.connect()
    told: list[Any] = []
    credentials = Anonymous() if name is None else UsernamePassword(name, password)
    factory.login(credentials).addBoth(told.append)
    server.pump()
    return told[0] if told else None


@pytest.mark.parametrize(("name", "password"), [("ada", "enchantress"), ("bob", "grün")])
def test_what_is_written_in_the_configuration_logs_in(name: str, password: str) -> None:
    """Names and passwords are what is written, in letters of any kind; the pipeline gets the name as text."""
    one = server()
    perspective = log_in(one, name.encode(), password.encode())
    assert one.ask(perspective, "anything") == name


def test_a_wrong_login_is_unauthorized_and_logged_without_the_password(caplog: Any) -> None:
    """The caller hears UnauthorizedLogin; the log has name and peer, and no secret."""
    for name, password in ((b"ada", b"wr0ng-word"), (b"eve", b"enchantress"), (b"", b"")):
        failure = log_in(server(), name, password)
        assert name_of(failure) == "twisted.cred.error.UnauthorizedLogin"
        assert failure.check(UnauthorizedLogin)
    assert "pb.server.main refuses the login of 'ada' from 192.0.2.1:4000" in caplog.text
    assert "wr0ng-word" not in caplog.text
    assert "enchantress" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_before_the_login_nothing_can_be_called() -> None:
    """The root object knows logins and nothing else."""
    failure = server().call("anything", 1)
    assert name_of(failure) == "twisted.spread.flavors.NoSuchMethod"
    assert failure.check(pb.NoSuchMethod)


def test_a_challenge_is_answered_once() -> None:
    """Nobody tries many passwords on one challenge."""
    one = server()
    _, challenger = one.call("login", b"ada")
    for _ in range(2):
        failure = one.ask(challenger, "respond", b"wrong", None)
    assert failure.value == "a challenge is answered once"


def test_who_fails_too_often_is_hung_up_on() -> None:
    """After so many tries the connection ends; another one may try again."""
    one = server()
    factory = one.connect()
    for _ in range(MOST_TRIES):
        assert log_in(one, b"ada", b"wrong", factory)
        assert not one.links[0].is_lost
    log_in(one, b"ada", b"enchantress", factory)
    assert one.links[0].is_lost
    assert one.ask(log_in(one, b"ada", b"enchantress"), "x") == "ada"


def test_who_fails_too_often_and_does_not_leave_is_cut() -> None:
    """A peer that holds on to a connection that is being closed does not take the place of others."""
    one = server()
    factory = one.connect()
    one.links[0].wires[0].is_held = True
    for _ in range(MOST_TRIES + 1):
        log_in(one, b"ada", b"wrong", factory)
    assert not one.links[0].is_lost
    one.advance(2)
    assert one.links[0].is_lost
    assert one.clock.getDelayedCalls() == []


def test_who_does_not_log_in_is_hung_up_on_in_time() -> None:
    """login_timeout is for the login; who has logged in stays."""
    one = server()
    one.connect()
    perspective = log_in(one, b"ada", b"enchantress")
    one.advance(30)
    assert [link.is_lost for link in one.links] == [True, False]
    assert one.ask(perspective, "x") == "ada"


def test_before_the_login_little_is_read() -> None:
    """Who may be anybody cannot fill the memory."""
    one = server()
    one.root().callRemote("login", b"x" * 100_000).addErrback(lambda _: None)
    one.pump()
    assert one.links[0].wires[0].is_cut
    perspective = log_in(one, b"ada", b"enchantress")
    assert one.ask(perspective, "x", b"x" * 600_000) == "ada"


class Later:
    """A checker that takes its time, and knows names as texts."""

    credentialInterfaces = (IUsernameHashedPassword,)
    waiting: Deferred[Any]

    def requestAvatarId(self, credentials: Any) -> Any:
        Later.waiting = Deferred()
        return Later.waiting.addCallback(lambda avatar: avatar if credentials.checkPassword("secret") else None)


def test_a_checker_may_take_its_time_and_give_any_avatar() -> None:
    """Deferreds of checkers are waited for, and what they give is the avatar_id."""
    one = server("Later")
    told: list[Any] = []
    one.connect().login(UsernamePassword(b"x", b"secret")).addBoth(told.append)
    one.pump()
    assert told == []
    Later.waiting.callback(17)
    one.pump()
    assert one.ask(told[0], "x") == 17


class Broken:
    """A checker that fails."""

    credentialInterfaces = (IUsernameHashedPassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        raise OSError("the directory is down at ldap://internal")


def test_a_checker_that_fails_lets_nobody_in_and_tells_only_the_log(caplog: Any) -> None:
    """The caller hears that he was refused; why is for who runs the server."""
    failure = log_in(server("Broken"), b"ada", b"x")
    assert (name_of(failure), failure.value) == ("twisted.cred.error.UnauthorizedLogin", "the login was refused")
    assert "cannot check the login of 'ada' from 192.0.2.1:4000: OSError: the directory is down" in caplog.text


class Anybody(AllowAnonymousAccess):
    """A checker that lets everybody in."""


def test_a_login_may_be_anonymous(caplog: Any) -> None:
    """A checker for it lets clients in without a name; others do not, which is no error of theirs."""
    one = server("Anybody")
    assert one.ask(log_in(one, None), "x") == ()
    assert name_of(log_in(server(), None)) == "twisted.cred.error.UnauthorizedLogin"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("args", [(), (1,), (None,), ([b"x"],), (b"a", b"b")], ids=repr)
def test_a_login_of_another_form_is_refused(args: Any) -> None:
    """What is no name is told, and harms nobody."""
    assert name_of(server().call("login", *args)) == "piped.spread.banana.Unreadable"


def test_a_login_that_is_under_way_ends_with_its_connection(caplog: Any) -> None:
    """A client that leaves while it is checked leaves nothing, and no error."""
    one = server("Later")
    factory = bare_client()
    link = Link(one.service.factory.buildProtocol(None), factory.buildProtocol(None))
    now(factory.getRootObject())
    factory.login(UsernamePassword(b"x", b"secret")).addErrback(lambda _: None)
    link.pump()
    link.break_off()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert not one.service.factory._brokers
