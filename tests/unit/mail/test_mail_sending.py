"""Tests of giving mails to a server: tries, further tries, and connections that are kept."""

from __future__ import annotations

from email.message import EmailMessage
from io import StringIO
from typing import Any

import pytest
from mail_stage import Wire
from post_stage import Post, Says, per_recipient, server
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock

from piped import ConfigurationError
from piped.mail.client import Client
from piped.mail.errors import (
    AUTHDeclinedError,
    AUTHRequiredError,
    SMTPConnectError,
    SMTPDeliveryError,
    SMTPProtocolError,
    SMTPTimeoutError,
    TLSRequiredError,
)
from piped.mail.relay_options import Relay
from piped.mail.sending import Sent
from piped.mail.turns import begin


def test_a_mail_is_sent() -> None:
    """A mail is introduced, named and sent with its dots doubled; the result says what the server said."""
    post = Post(server("SIZE 1000", "8BITMIME", "PIPELINING"))
    assert post.send() == Sent(["bob@x.org"], {}, "250 taken", 1)
    assert post.heard[0] == [
        b"EHLO me",
        b"MAIL FROM:<ada@x.org> SIZE=22",
        b"RCPT TO:<bob@x.org>",
        b"DATA",
        b"Subject: x",
        b"",
        b"..y",
        b".",
    ]


def test_a_connection_is_kept_for_the_next_mail() -> None:
    """Further mails go over the same connection, which is closed when none came for a while."""
    post = Post(server(), idle_time=30)
    for _ in range(3):
        assert post.send().accepted == ["bob@x.org"]
        post.run(29)
    assert len(post.wires) == 1
    assert not post.wires[0].is_closed
    post.run(2)
    assert post.heard[0][-1] == b"QUIT"
    assert post.clock.getDelayedCalls() == []


def test_a_kept_connection_that_is_lost_costs_no_try() -> None:
    """When a server has closed what was kept, the mail goes over a new connection at once."""
    post = Post(server(), server(), retries=0)
    post.send()
    post.wires[0].end()
    assert post.send().tries == 1
    inner, mails = server(), []

    def forgetful(line: bytes) -> bytes | None:
        mails.extend([line] if line.startswith(b"MAIL") else [])
        return None if len(mails) == 2 else inner(line)

    post = Post(forgetful, server(), retries=0)
    post.send()
    assert post.send().tries == 1
    assert len(post.wires) == 2


def test_connections_end_with_the_process() -> None:
    """What is kept is closed at the stop; without `idle_time`, after each mail."""
    post = Post(server(), server())
    post.send()
    post.sender.stopService()
    post.run()
    post.send()  # that was still running
    post.run()
    assert [heard[-1] for heard in post.heard] == [b"QUIT", b"QUIT"]
    assert post.clock.getDelayedCalls() == []
    post = Post(server(), server(), idle_time=0)
    for number in range(2):
        post.send()
        post.run()
        assert post.heard[number][-1] == b"QUIT"


def test_a_mail_that_nobody_gets_leaves_no_trace() -> None:
    """After a mail that was refused for all the connection is ready for the next one."""
    post = Post(per_recipient(c=b"550 unknown\r\n"))
    with pytest.raises(SMTPDeliveryError, match=r"c@x\.org: 550 unknown"):
        post.send("c@x.org")
    assert post.heard[0][-1] == b"RSET"
    assert post.send().accepted == ["bob@x.org"]
    assert len(post.wires) == 1


def test_nobody_between_speaks_for_the_server() -> None:
    """What came with the answer to STARTTLS, and what nobody has asked for, is not believed."""
    login = {"username": "ada", "password": "secret"}
    post = Post(server("STARTTLS", STARTTLS=b"220 go\r\n250-x\r\n250-AUTH PLAIN\r\n"), **login)
    with pytest.raises(AUTHRequiredError):
        post.send()
    post = Post(server(END=b"250 taken\r\n250 taken\r\n"), server())
    assert post.send() == post.send()
    assert len(post.wires) == 2


def test_connections_are_bounded() -> None:
    """No more mails are on their way than there may be connections; the others wait for their turn."""
    silent = server(MAIL=b"")
    post = Post(silent, silent, server(), max_connections=2, retries=0, timeout=10)
    turns = [begin(post.sender.send(post.mail())) for _ in range(3)]
    post.run()
    assert len(post.wires) == 2
    post.run(10)
    assert isinstance(turns[0].exception(), SMTPTimeoutError)
    assert isinstance(turns[1].exception(), SMTPTimeoutError)
    assert turns[2].result().accepted == ["bob@x.org"]


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectError(),
        server(HELLO=b"421 too busy\r\n"),
        server(EHLO=None),
        server(MAIL=b"451 not now\r\n"),
        server(RCPT=b"450 not now\r\n"),
        server(DATA=b"451 not now\r\n"),
        server(END=b"452 full\r\n"),
        server(END=None),
    ],
)
def test_what_may_pass_is_tried_again(trouble: Any) -> None:
    """After 4xx and lost connections a mail is sent again, later each time."""
    post = Post(trouble, server(), idle_time=0)
    turn = post.send()
    post.run(0.49)
    assert not turn.done()
    post.run(0.01)
    assert turn.result() == Sent(["bob@x.org"], {}, "250 taken", 2)


def test_tries_have_an_end() -> None:
    """After the last retry the step fails with what the server said last; waits double."""
    post = Post(*[server(MAIL=b"451 not now\r\n")] * 3, idle_time=0)
    turn = post.send()
    post.run(0.5)
    post.run(0.99)
    assert len(post.wires) == 2
    post.run(0.01)
    error: Any = turn.exception()
    assert (type(error), error.code, error.resp) == (SMTPDeliveryError, 451, b"not now")


@pytest.mark.parametrize(
    ("refusal", "error", "code"),
    [
        (server(HELLO=b"554 go away\r\n"), SMTPConnectError, 554),
        (server(EHLO=b"502 what?\r\n"), SMTPConnectError, 502),
        (server(MAIL=b"550 not you\r\n"), SMTPDeliveryError, 550),
        (server(RCPT=b"550 not him\r\n"), SMTPDeliveryError, 550),
        (server(END=b"554 spam\r\n"), SMTPDeliveryError, 554),
        (server(MAIL=b"550 not you\r\n", RSET=None), SMTPDeliveryError, 550),
        (server(RCPT=b"550 not him\r\n", RSET=None), SMTPDeliveryError, 550),
        (server(DATA=b"554 not this\r\n", RSET=None), SMTPDeliveryError, 554),
        (server(HELLO=b"SSH-2.0-OpenSSH\r\n"), SMTPProtocolError, -1),
        (server(HELLO=b"2" * 70_000), SMTPProtocolError, -1),
    ],
)
def test_what_is_refused_for_good_fails_at_once(refusal: Says, error: type[Exception], code: int) -> None:
    """After 5xx, or where nobody speaks SMTP, nothing is tried again."""
    post = Post(refusal)
    with pytest.raises(error) as raised:
        post.send()
    assert raised.value.code == code  # type: ignore[attr-defined]  # each has one
    assert len(post.wires) == 1


def test_only_those_who_have_no_mail_yet_get_it_again() -> None:
    """Recipients that are refused for now are tried again alone; the result says who was refused for good."""
    post = Post(per_recipient(b=b"450 later\r\n", c=b"550 unknown\r\n"), per_recipient(), idle_time=0)
    turn = post.send("a@x.org", "b@x.org", "c@x.org")
    post.run(0.5)
    assert turn.result() == Sent(["a@x.org", "b@x.org"], {"c@x.org": "550 unknown"}, "250 taken", 2)
    assert [line for line in post.heard[1] if line.startswith(b"RCPT")] == [b"RCPT TO:<b@x.org>"]


def test_who_was_not_reached_at_the_end_is_told() -> None:
    """A mail that some have is sent, though others could not be reached in all tries."""
    post = Post(per_recipient(b=b"450 later\r\n"), ConnectError(), ConnectError(), idle_time=0)
    turn = post.send("a@x.org", "b@x.org")
    post.run(0.5)
    post.run(1)
    sent = turn.result()
    assert (sent.accepted, list(sent.refused), sent.tries) == (["a@x.org"], ["b@x.org"], 3)


def test_a_silent_server_is_given_up() -> None:
    """A server that does not answer within `timeout` is hung up on."""
    post = Post(server(MAIL=b""), retries=0, timeout=7)
    turn = post.send()
    post.run(6.9)
    assert not turn.done()
    post.run(0.1)
    assert isinstance(turn.exception(), SMTPTimeoutError)
    assert post.wires[0].is_over
    assert post.clock.getDelayedCalls() == []


def test_a_mail_can_be_stopped() -> None:
    """A step that is cancelled hangs up, and leaves room for the next mail."""
    post = Post(server(MAIL=b""), server(), max_connections=1)
    turn = post.send()
    turn.stop()
    assert turn.done()
    assert post.wires[0].is_over
    assert post.send().accepted == ["bob@x.org"]


def test_a_password_needs_tls() -> None:
    """A password is never sent without TLS, unless the configuration says that it may be."""
    login = {"username": "ada", "password": "secret"}
    with pytest.raises(TLSRequiredError):
        Post(server("AUTH PLAIN"), **login).send()
    post = Post(server("AUTH PLAIN"), **login, require_transport_security=False)
    post.send()
    assert post.heard[0][1] == b"AUTH PLAIN AGFkYQBzZWNyZXQ="
    post = Post(server("STARTTLS", "AUTH LOGIN", AUTH=b"334 x\r\n", YWRh=b"334 y\r\n", c2VjcmV0=b"235 in\r\n"), **login)
    post.send()
    assert post.heard[0][:6] == [b"EHLO me", b"STARTTLS", b"EHLO me", b"AUTH LOGIN", b"YWRh", b"c2VjcmV0"]
    assert post.wires[0].tls == ["tls"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_login_that_was_not_finished_is_none(mechanism: str) -> None:
    """A server that asks for more than a name and a password has let nobody in."""
    post = Post(server(f"AUTH {mechanism}", AUTH=b"334 more\r\n"), username="a", password="b", use_ssl=True)
    post.servers[0] = _asks_on(post.servers[0])
    with pytest.raises(AUTHDeclinedError):
        post.send()


@pytest.mark.parametrize(
    "odd", [server(DATA=b"250 ok\r\n"), server(END=b"354 go on\r\n"), server(MAIL=b"354 go on\r\n")]
)
def test_an_answer_that_is_out_of_place_takes_no_mail(odd: Says) -> None:
    """A mail has been sent when the server has taken it, and not when it says something good to something else."""
    with pytest.raises(SMTPDeliveryError):
        Post(odd).send()


def _asks_on(inner: Any) -> Says:
    return lambda line: b"334 more\r\n" if line in (b"YQ==", b"Yg==") else inner(line)


def test_each_try_sends_the_same_mail() -> None:
    """A file is sent whole at every try, and a message with the same id, so that a duplicate can be known."""
    message = EmailMessage()
    message["Subject"] = "x"
    for mail in (StringIO("Message-ID: <1>\n\nx\n"), message):
        post = Post(server(END=b"451 not now\r\n"), server(), idle_time=0)
        turn = post.send(message=mail)
        post.run(1)
        assert turn.result().tries == 2
        [first, second] = ([line for line in heard if line.startswith(b"Message-ID")] for heard in post.heard)
        assert first == second != []


def test_a_login_may_be_required_or_not() -> None:
    """A server that offers no login gets no mail, unless that is fine; one that refuses it gets none either."""
    login = {"username": "ada", "password": "secret", "require_transport_security": False}
    with pytest.raises(AUTHRequiredError):
        Post(server(), **login).send()
    assert Post(server(), **login, require_authentication=False).send().accepted
    with pytest.raises(AUTHDeclinedError) as raised:
        Post(server("AUTH PLAIN", AUTH=b"535 AGFkYQBzZWNyZXQ= is wrong\r\n"), **login).send()
    assert "AGFk" not in str(raised.value)
    assert "secret" not in repr(Relay(**login))


def test_old_servers_may_be_greeted_with_helo() -> None:
    """With `helo_fallback` a server that knows no EHLO is greeted with HELO."""
    post = Post(server(EHLO=b"500 what?\r\n"), helo_fallback=True)
    assert post.send().accepted
    assert post.heard[0][:2] == [b"EHLO me", b"HELO me"]


@pytest.mark.parametrize(
    "options",
    [{"username": "ada"}, {"password": "x"}, {"require_authentication": True}],
)
def test_what_does_not_go_together_is_told(options: dict[str, Any]) -> None:
    """A configuration that cannot log in is refused before anything is sent."""
    with pytest.raises(ConfigurationError):
        Relay(**options)


def test_addresses_beyond_ascii_need_a_server_that_knows_them() -> None:
    """An address with letters outside of ASCII is sent to servers with SMTPUTF8 only."""
    with pytest.raises(SMTPDeliveryError, match="SMTPUTF8"):
        Post(server()).send("øl@x.org")
    post = Post(server("SMTPUTF8", "8BITMIME"))
    assert post.send("øl@x.org").accepted == ["øl@x.org"]
    assert post.heard[0][1] == b"MAIL FROM:<ada@x.org> SMTPUTF8"


def test_a_server_that_stops_listening_is_not_sent_the_rest() -> None:
    """When a server refuses a mail before it has heard all of it, the connection is not used again."""
    clock = Clock()
    client = Client(clock, 10)
    wire = Wire(client)
    wire.registerProducer = lambda producer, _: producer.resumeProducing()  # type: ignore[method-assign]  # a slow one
    client.dataReceived(b"220 here\r\n")
    assert begin(client.answer()).result().code == 220
    turn = begin(client.send(b"x" * 200_000 + b"\r\n.\r\n"))
    assert not turn.done()
    client.dataReceived(b"552 too big\r\n")
    assert turn.result().code == 552
    assert (client.is_lost, wire.is_over, len(wire.written)) == (True, True, 64 * 1024)
