"""Mails that pipelines send: to a Postfix, to servers that die, and to servers that nobody should trust."""

from __future__ import annotations

import pytest
from commands import Running, wait_until
from mail_servers import Scripted, free_port, postfix
from web_servers import certificates

#: Sends a mail at the start, and logs what became of it.
SENDING = """\
system-events:
  startup: {{send: send}}
pipelines:
  send:
    - set-values: {{mapping: {{text: "first line\\n.\\nlast line\\n", n: 1}}}}
    - create-email-message:
        headers: {{From: "Åda <ada@x.org>", To: bob@x.org, Subject: Blåbær}}
        payload_path: text
    - send-email:
        from: ada@x.org
        to: [bob@x.org, carl@x.org]
        output_path: sent
        configuration: {{{configuration}}}
    - eval-lambda: {{lambda: "sent: 'sent %s %s %s' % (sent.accepted, sent.refused, sent.tries)", input_path: sent}}
    - log: {{message_path: sent}}
"""
INBOX = """\
smtp:
  inbox:
    listen: {port}
    processor: take
    validate_from: "protocol, helo, origin: True"
    validate_to: "protocol, user: True"
    {more}
pipelines:
  take:
    - parse-email-message
    - eval-lambda:
        lambda: "b: 'got %s %s %s %r' % (b['from_addr'], b['to_addr'], b['mail']['subject'], b['mail']['text'])"
        output_path: told
    - log: {{message_path: told}}
"""


def running(tmp_path, name, text):
    (tmp_path / f"{name}.yaml").write_text(text)
    return Running(f"{name}.yaml", cwd=tmp_path)


def sending(tmp_path, **configuration):
    written = ", ".join(f"{key}: {value}" for key, value in configuration.items())
    return running(tmp_path, "sending", SENDING.format(configuration=written))


def test_a_mail_goes_through_a_postfix(tmp_path):
    """A mail that a pipeline sends goes through a real server to another Piped, and is there what it was."""
    port = free_port()
    with (
        running(tmp_path, "inbox", INBOX.format(port=port, more="")) as inbox,
        postfix(port) as server,
        sending(tmp_path, host="127.0.0.1", port=server.port) as sender,
    ):
        assert "sent ['bob@x.org', 'carl@x.org'] {} 1" in sender.wait_for("sent [")
        for whom in ("bob", "carl"):
            told = inbox.wait_for(f"got ada@x.org {whom}@x.org", timeout=60)
            assert "Blåbær 'first line\\n.\\nlast line\\n'" in told


def test_a_server_that_is_killed_gets_the_mail_later(tmp_path):
    """While a Postfix is dead its mail waits; once it is back, and its queue too, the mail comes through."""
    port = free_port()
    with postfix(port) as server:
        server.kill()
        retries = {"retries": 100, "wait": 0.2, "max_wait": 0.5}
        with sending(tmp_path, host="127.0.0.1", port=server.port, **retries) as sender:
            sender.wait_for("once more in")
            server.start()
            sender.wait_for("sent ['bob@x.org', 'carl@x.org'] {}", timeout=60)
        server.kill()  # the mail is in its queue, and nobody takes it yet
        with running(tmp_path, "inbox", INBOX.format(port=port, more="")) as inbox:
            server.start()
            inbox.wait_for("got ada@x.org bob@x.org", timeout=60)
            wait_until(lambda: "status=sent" in server.log)


def test_a_server_that_dies_in_the_middle_is_tried_again(tmp_path):
    """When a connection is lost within a mail it is sent again as a whole."""
    data = []

    def answer(number, line):
        if line.startswith(b"EHLO"):
            return b"250 here\r\n"
        if line == b"DATA":
            data.append(number)
            return b"354 go on\r\n"
        if number in data and line != b".":
            return None if number == 1 and line == b"first line" else b""
        return b"220 here\r\n" if not line else b"250 fine\r\n"

    server = Scripted(answer)
    try:
        with sending(tmp_path, host="127.0.0.1", port=server.port, wait=0.1) as sender:
            assert "2" in sender.wait_for("sent ['bob@x.org', 'carl@x.org'] {}").split("{}")[1]
            assert "the connection was lost" in sender.log
    finally:
        server.close()
    assert data == [1, 2]


@pytest.mark.parametrize("way", ["STARTTLS", "use_ssl"])
def test_certificates_are_checked(tmp_path, way):
    """A mail with a password goes over TLS to a server whose certificate is right, and to no other."""
    ca_file, _ = certificates(tmp_path, "localhost")
    tls = "tls: {private_key: localhost.pem, certificate: localhost.pem}"
    checker = "checker: {name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse, arguments: {ada: s3cret}}"
    listen = "'ssl:0:interface=127.0.0.1:privateKey=localhost.pem:certKey=localhost.pem'" if way == "use_ssl" else 0
    with running(tmp_path, "inbox", INBOX.format(port=listen, more=f"{tls}\n    {checker}")) as inbox:
        port = int(inbox.wait_for("listens on").rsplit(":", 1)[1])
        login = {"port": port, "username": "ada", "password": "s3cret", "use_ssl": str(way == "use_ssl").lower()}
        with sending(tmp_path, host="localhost", **login, ca_file=ca_file) as sender:
            sender.wait_for("sent ['bob@x.org', 'carl@x.org'] {} 1")
            inbox.wait_for("ada logged in")
        for wrong in ({"host": "localhost"}, {"host": "127.0.0.1", "ca_file": ca_file}):
            with sending(tmp_path, **login, **wrong) as sender:
                sender.wait_for("SMTPTLSError")
                assert "once more" not in sender.log
                assert "s3cret" not in sender.log
        login["password"] = "wrong"
        with sending(tmp_path, host="localhost", **login, ca_file=ca_file) as sender:
            sender.wait_for("AUTHDeclinedError: 535")
