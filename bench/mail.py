"""What a mail costs beside bare twisted.mail and beside aiosmtpd, which parse it as well and do no more with it.

Needs smtp-source, which Debian has in the package postfix; without it this is left out. Times are CPU time of the
server process. Mails of 5 KB come over 20 connections, each of them as a connection of its own, and then many over one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from children import PIPED
from web_load import Server, serving

MAILS, ROUNDS, CONNECTIONS, SIZE = 1500, 5, 20, 5000

BARE = """\
import sys
from email import message_from_bytes, policy
from twisted.internet import epollreactor
epollreactor.install()
from twisted.internet import defer, reactor
from twisted.internet.protocol import Factory
from twisted.mail import smtp
from zope.interface import implementer

@implementer(smtp.IMessage)
class Message:
    def __init__(self):
        self.lines = []

    def lineReceived(self, line):
        self.lines.append(line)

    def eomReceived(self):
        message_from_bytes(b"\\n".join(self.lines), policy=policy.default)
        return defer.succeed(None)

    def connectionLost(self):
        self.lines = []

@implementer(smtp.IMessageDelivery)
class Delivery:
    def receivedHeader(self, helo, origin, recipients):
        return b"Received: from %s by here with ESMTP; %s" % (helo[0], smtp.rfc822date())

    def validateFrom(self, helo, origin):
        return origin

    def validateTo(self, user):
        return Message

class Mails(Factory):
    noisy = False

    def buildProtocol(self, addr):
        protocol = smtp.ESMTP()
        protocol.delivery, protocol.noisy, protocol.factory = Delivery(), False, self
        return protocol

reactor.listenTCP(int(sys.argv[1]), Mails(), interface="127.0.0.1", backlog=1024)
reactor.run()
"""
AIOSMTPD = """\
import asyncio, sys
from email import message_from_bytes, policy
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_DATA(self, server, session, envelope):
        message_from_bytes(envelope.content, policy=policy.default)
        return "250 OK"

async def main():
    make = lambda: SMTP(Handler(), enable_SMTPUTF8=True)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()

asyncio.run(main())
"""
SITE = """\
smtp:
  inbox:
    listen: 0
    processor: take
    validate_from: "protocol, helo, origin: True"
    validate_to: "protocol, user: True"
pipelines:
  take: [passthrough]
"""


def load(server: Server, *options: str) -> float:
    """Microseconds of CPU that a server needs for a mail."""
    before = server.cpu_seconds()
    command = ["smtp-source", *options, "-s", str(CONNECTIONS), "-m", str(MAILS), "-l", str(SIZE)]
    address = f"127.0.0.1:{server.port}"
    subprocess.run([*command, "-f", "ada@example.org", "-t", "bob@example.org", address], check=True)
    return (server.cpu_seconds() - before) / MAILS * 1e6


def main() -> None:
    if shutil.which("smtp-source") is None:
        print("left out, as smtp-source is not installed (apt install postfix)")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("bare.py", BARE), ("aio.py", AIOSMTPD), ("site.yaml", SITE)):
            Path(folder, name).write_text(text)
        ours = PIPED, "run", "-r", "epoll", "site.yaml", "-O", "smtp.inbox.listen:PORT"
        with (
            serving(sys.executable, "bare.py", "PORT", folder=folder) as bare,
            serving(sys.executable, "aio.py", "PORT", folder=folder) as aio,
            serving(*ours, folder=folder) as piped,
        ):
            measure("a connection for each mail", (), bare, aio, piped)
            measure("many mails on a connection", ("-d",), bare, aio, piped)


def measure(what: str, options: tuple[str, ...], *servers: Server) -> None:
    for server in servers:  # warm
        load(server, *options)
    rounds = [[load(server, *options) for server in servers] for _ in range(ROUNDS)]
    bare, aio, piped = (median(times) for times in zip(*rounds, strict=True))
    beside_bare = median(ours / theirs for theirs, _, ours in rounds)
    beside_aio = median(theirs / ours for _, theirs, ours in rounds)
    print(f"{what}: {piped:.0f} us CPU; bare twisted.mail {bare:.0f} us: x {beside_bare:.2f}  (bar: 1.15);")
    print(f"    {1e6 / piped:.0f} mails per CPU second; aiosmtpd {1e6 / aio:.0f}: x {beside_aio:.2f}  (bar: 1.3)")


if __name__ == "__main__":
    main()
