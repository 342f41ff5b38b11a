"""What the reactor of `piped run` owes to every protocol, over the wire."""

import subprocess
import sys

import pytest

#: Clients that send something and reset the connection, and a protocol that reads, and answers with so many bytes.
PROGRAM = """\
import socket, struct, sys
from piped.app import reactors

reactor = reactors.install(sys.argv[1])
from twisted.internet.protocol import Factory, Protocol

CLIENTS, answer = 200, bytes(int(sys.argv[2]))
lost = []

class Reader(Protocol):
    def dataReceived(self, data):
        self.transport.write(answer)

    def connectionLost(self, reason):
        lost.append(reason)
        if len(lost) == CLIENTS:
            reactor.stop()

port = reactor.listenTCP(0, Factory.forProtocol(Reader), interface="127.0.0.1").getHost().port

def leave(number):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(bytes(number * 1000 + 1))
    if number + 1 < CLIENTS:
        reactor.callFromThread(reactor.callInThread, leave, number + 1)

reactor.callInThread(leave, 0)
reactor.callLater(30, reactor.stop)
reactor.run()
print(len(lost))
"""


@pytest.mark.parametrize("reactor", ["uvloop", "asyncio", "epoll"])
@pytest.mark.parametrize("answer", [0, 10])
def test_every_protocol_hears_that_its_client_has_reset_the_connection(reactor, answer):
    """A connection that was reset behind data that were still to be read is lost at once, not when somebody writes."""
    command = [sys.executable, "-c", PROGRAM, reactor, str(answer)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout.strip(), result.stderr) == ("200", "")
