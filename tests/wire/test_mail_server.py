"""SMTP servers of Piped, and the programs of others that send mails."""

from __future__ import annotations

import contextlib
import json
import smtplib
import socket
import ssl
import subprocess
from email.message import EmailMessage

import pytest
from commands import EXAMPLES, Running, fetch, piped, wait_until
from mail_servers import free_port, greets, postfix
from web_servers import certificates

SITE = """\
smtp:
  open:
    listen: tcp:0:interface=127.0.0.1
    processor: keep
    validate_from: "protocol, helo, origin: True"
    validate_to: "protocol, user: str(user.dest).endswith('@example.org')"
  guarded:
    listen: [tcp:0:interface=127.0.0.1, 'ssl:0:interface=127.0.0.1:privateKey=localhost.pem:certKey=localhost.pem']
    processor: keep
    tls: {private_key: localhost.pem, certificate: localhost.pem}
    checker:
      name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
      arguments: {ada: secret}
    validate_from: "protocol, helo, origin: str(origin) == protocol.avatar_id + '@example.org'"
    validate_to: "protocol, user: True"
pipelines:
  keep:
    - parse-email-message
    - eval-lambda:
        lambda: "baton: [baton['from_addr'], baton['to_addr'], baton.get('avatar_id'), baton['mail']['text']]"
        output_path: line
    - encode-json: {input_path: line}
    - append-to-file: {file_path: mails.txt, input_path: line}
"""


@pytest.fixture
def site(tmp_path):
    certificates(tmp_path, "localhost")
    (tmp_path / "site.yaml").write_text(SITE)
    with Running("site.yaml", cwd=tmp_path) as running:
        running.folder = tmp_path
        lines = [line for line in running.lines if "listens on" in line]
        running.plain, running.starttls, running.tls = (int(line.rsplit(":", 1)[1]) for line in lines)
        yield running


def mails(site):
    return [json.loads(line) for line in (site.folder / "mails.txt").read_text().splitlines()]


def swaks(port, *options, code=0):
    """What swaks says; it ends with the code of what failed, if something did."""
    command = ["swaks", "--server", f"127.0.0.1:{port}", "--body", "hello", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


ADDRESSES = ("--from", "ada@example.org", "--to", "bob@example.org")


def test_swaks_delivers(site):
    """A mail of swaks is processed before it says that it was taken; one for somebody else is refused."""
    swaks(site.plain, *ADDRESSES)
    assert [mail[:3] for mail in mails(site)] == [["ada@example.org", "bob@example.org", None]]
    assert "<** 550" in swaks(site.plain, "--from", "a@b.c", "--to", "a@b.c", code=24)


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
@pytest.mark.parametrize("way", ["STARTTLS", "TLS"])
def test_swaks_logs_in(site, mechanism, way):
    """A login works over STARTTLS and over TLS from the first byte; not without, nor with a wrong password."""
    port, tls = (site.starttls, "--tls") if way == "STARTTLS" else (site.tls, "--tlsc")
    login = (tls, "--auth", mechanism, "--auth-user", "ada", "--auth-password")
    swaks(port, *ADDRESSES, *login, "secret")
    assert mails(site)[0][:3] == ["ada@example.org", "bob@example.org", "ada"]
    assert "<~* 535" in swaks(port, *ADDRESSES, *login, "wrong", code=28)
    assert "<~* 550" in swaks(port, "--from", "eve@example.org", "--to", "b@c.d", *login, "secret", code=23)
    assert "<~* 550" in swaks(port, *ADDRESSES, tls, code=23)
    assert "secret" not in site.log


def test_nobody_logs_in_in_the_clear(site):
    """Without TLS there is no login: AUTH is not offered, and is 530 for who tries."""
    with smtplib.SMTP("127.0.0.1", site.starttls, timeout=30) as client:
        client.ehlo()
        assert (client.has_extn("starttls"), client.has_extn("auth")) == (True, False)
        assert client.docmd("AUTH", "PLAIN AGFkYQBzZWNyZXQ=")[0] == 530


def test_what_comes_ahead_of_tls_is_forgotten(site):
    """Commands that somebody puts between STARTTLS and the handshake are never carried out."""
    context = ssl.create_default_context(cafile=site.folder / "localhost-ca.pem")
    with socket.create_connection(("127.0.0.1", site.starttls), 30) as connection:
        connection.recv(1000)
        connection.sendall(b"STARTTLS\r\nEHLO evil\r\nNOOP\r\n")
        assert connection.recv(1000) == b"220 2.0.0 begin\r\n"
        with context.wrap_socket(connection, server_hostname="localhost") as secure:
            secure.sendall(b"RSET\r\n")
            assert secure.recv(1000) == b"250 2.0.0 fine\r\n"


def test_smtplib_delivers_a_large_mail(site):
    """A mail with a file of several megabytes comes through as it was, and memory is given back."""
    message = EmailMessage()
    message.set_content("see the file\n")
    message.add_attachment(bytes(range(256)) * 20_000, maintype="application", subtype="octet-stream")
    with smtplib.SMTP("127.0.0.1", site.plain, timeout=60) as client:
        refused = client.send_message(message, "ada@example.org", ["bob@example.org", "eve@example.com"])
        assert list(refused) == ["eve@example.com"]
        with pytest.raises(smtplib.SMTPSenderRefused) as error:
            client.sendmail("ada@example.org", ["bob@example.org"], b"x" * 26_300_000)
        assert error.value.smtp_code == 552
    assert [mail[3] for mail in mails(site)] == ["see the file\n"]


def test_smtp_source_finds_nothing_wrong(site):
    """Two thousand mails over twenty connections are taken, each once."""
    options = ["-s", "20", "-m", "2000", "-l", "5000", "-f", "ada@example.org", "-t", "bob@example.org"]
    subprocess.run(["smtp-source", *options, f"127.0.0.1:{site.plain}"], check=True, timeout=120)
    assert len(mails(site)) == 2000


def test_who_is_being_served_is_served_to_the_end(tmp_path):
    """At a stop a mail that is being processed is taken, and an idle client is told to come again."""
    (tmp_path / "site.yaml").write_text("""\
smtp:
  in:
    listen: 0
    processor: wait a while
    validate_from: "protocol, helo, origin: True"
    validate_to: "protocol, user: True"
pipelines:
  wait a while:
    - log: {message: a mail is here}
    - wait: {delay: 1}
""")
    with Running("site.yaml", cwd=tmp_path) as site:
        port = int(site.wait_for("listens on").rsplit(":", 1)[1])
        with (
            socket.create_connection(("127.0.0.1", port), 30) as idle,
            socket.create_connection(("127.0.0.1", port), 30) as busy,
        ):
            busy.sendall(b"EHLO me\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\nDATA\r\nSubject: x\r\n.\r\n")
            site.wait_for("a mail is here")
            assert site.stop() == 0
            assert rest_of(busy)[-2:] == [b"250 2.0.0 the mail was taken", b"421 4.3.2 shutting down, try again later"]
            assert rest_of(idle)[-1] == b"421 4.3.2 shutting down, try again later"


def rest_of(connection):
    return b"".join(iter(lambda: connection.recv(65536), b"")).splitlines()


def test_a_postfix_tries_again(tmp_path):
    """A mail that a pipeline could not process is sent again by a real server, until it could."""
    (tmp_path / "site.yaml").write_text("""\
smtp:
  in:
    listen: 0
    processor: take
    validate_from: "protocol, helo, origin: True"
    validate_to: "protocol, user: True"
contexts:
  tries: []
pipelines:
  take:
    - fetch-context: {context: tries}
    - exec-code:
        code: |
          input.append(1)
          if len(input) < 3:
              raise ValueError('not yet')
        input_path: tries
        output_path: null
    - parse-email-message
    - log: {message_path: mail.subject}
""")
    with Running("site.yaml", cwd=tmp_path) as site:
        port = int(site.wait_for("listens on").rsplit(":", 1)[1])
        with postfix(port) as server:
            command = ["swaks", "--server", f"127.0.0.1:{server.port}", "--header", "Subject: come through"]
            subprocess.run([*command, *ADDRESSES], check=True, capture_output=True, timeout=60)
            site.wait_for("come through", timeout=60)
            wait_until(lambda: "status=sent" in server.log)
            assert server.log.count("451 4.3.0") >= 2


@pytest.mark.parametrize(
    ("options", "place", "told"),
    [
        ("checker: no.such.Checker", ":7:14:", "cannot import 'no.such.Checker'"),
        ("checker: os.path.join", ":7:14:", "os.path.join cannot be made with these arguments"),
        ("tls: {private_key: none.pem, certificate: none.pem}", ":7:24:", "none.pem: no such file"),
        ("tls: {private_key: site.yaml, certificate: site.yaml}", ":7:24:", "are no key with its certificate"),
        ("listen: ssl:1:privateKey=none.pem", ":7:13:", "cannot read none.pem"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path, options, place, told):
    """What a server cannot be made with is a problem of the configuration, before anything is opened."""
    lines = ["smtp:", "  in:", "    listen: 0", "    processor: take", "pipelines:", "  take: [passthrough]"]
    if options.startswith("listen"):
        lines[2] = "    host: here"
    (tmp_path / "site.yaml").write_text("\n".join([*lines[4:], *lines[:2], *lines[2:4], f"    {options}", ""]))
    done = piped("check", "site.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert f"site.yaml{place}" in done.stderr + done.stdout, done.stderr
    assert told in (done.stderr + done.stdout).replace(f"{tmp_path}/", "")


def test_a_port_in_use_is_told_with_its_place(site, tmp_path):
    """A port that somebody else has is told where it is written."""
    (tmp_path / "other.yaml").write_text(SITE.replace("tcp:0:interface=127.0.0.1\n", f"{site.plain}\n"))
    done = piped("run", "other.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert f"other.yaml:3:13: smtp.open cannot listen on port {site.plain}" in done.stderr


def test_binary_junk_is_answered_or_cut(site):
    """A server that was sent anything at all goes on serving."""
    for junk in (
        b"\0" * 100_000,
        b"\x16\x03\x01\x02\x00" * 1000,
        b"GET / HTTP/1.1\r\n\r\n" * 50,
        b"DATA\r\n.\r\n" * 50,
    ):
        for port in (site.plain, site.tls):
            # Who is cut before he has said everything cannot go on.
            with socket.create_connection(("127.0.0.1", port), 30) as connection, contextlib.suppress(OSError):
                connection.sendall(junk)
                connection.shutdown(socket.SHUT_WR)
                rest_of(connection)
    assert greets(site.plain)
    assert "Traceback" not in site.log


def test_the_example_takes_and_sends_mails(tmp_path, monkeypatch):
    """The example does what its first lines say."""
    port, smtp_port = free_port(), free_port()
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setenv("SMTP_PORT", str(smtp_port))
    (tmp_path / "file.txt").write_text("in the file")
    with Running(EXAMPLES / "mail.yaml", cwd=tmp_path):
        url = f"http://127.0.0.1:{port}"
        assert fetch(f"{url}/?name=Ada").body == "The server says: 250 2.0.0 the mail was taken\n"
        to = ("--from", "ada@example.org", "--to", "desk@example.org")
        swaks(smtp_port, *to, "--header", "Subject: a file", "--attach", f"@{tmp_path}/file.txt")
        assert "<** 554 5.7.1 desk@example.org: no lotteries" in swaks(
            smtp_port, *to, "--header", "Subject: lottery", code=26
        )
        swaks(smtp_port, "--from", "ada@example.org", "--to", "other@example.com", code=24)
        mails = fetch(f"{url}/mails").json()
    assert [(mail["subject"], mail["files"]) for mail in mails] == [("Ada", []), ("a file", ["file.txt"])]
    assert mails[0]["text"] == "Dear Ada,\n\nwelcome.\n"
