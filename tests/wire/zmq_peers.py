"""A program that speaks ZeroMQ with nothing but pyzmq, to be run in a process of its own.

    python zmq_peers.py push ADDRESS COUNT       pushes numbers
    python zmq_peers.py pull ADDRESS COUNT       waits for a line, then pulls messages; says what came
    python zmq_peers.py ask ADDRESS TEXT …       asks with a REQ, one after the other; says what it is told
    python zmq_peers.py deal ADDRESS COUNT       sends numbers with a DEALER; says what comes back
    python zmq_peers.py publish ADDRESS COUNT    publishes numbers once somebody has subscribed; binds
    python zmq_peers.py subscribe ADDRESS COUNT  says what is published

Each says "ready" first, "done" at the end, and stays until its input ends: what has been sent is then on its way.
"""

import sys

import zmq

HIGH_WATER = 100
context = zmq.Context()
#: A socket that nobody holds would be closed before its time.
sockets = []


def made(kind, address, *, binds=False):
    socket = context.socket(kind)
    sockets.append(socket)
    socket.set_hwm(HIGH_WATER)
    (socket.bind if binds else socket.connect)(address)
    return socket


def say(words):
    print(words, flush=True)


def push(address, count):
    socket = made(zmq.PUSH, address)
    say("ready")
    for number in range(int(count)):
        socket.send(b"%d" % number)


def pull(address, count):
    socket = made(zmq.PULL, address)
    say("ready")
    sys.stdin.readline()
    say([int(socket.recv()) for _ in range(int(count))])


def ask(address, *texts):
    socket = made(zmq.REQ, address)
    say("ready")
    for text in texts:
        socket.send_string(text)
        say(socket.recv_string())


def deal(address, count):
    socket = made(zmq.DEALER, address)
    say("ready")
    for number in range(int(count)):
        socket.send(b"%d" % number)
    say([int(socket.recv()) for _ in range(int(count))])


def publish(address, count):
    socket = made(zmq.XPUB, address, binds=True)
    say("ready")
    socket.recv()
    for number in range(int(count)):
        socket.send(b"%d" % number)


def subscribe(address, count):
    socket = made(zmq.SUB, address)
    socket.subscribe(b"")
    say("ready")
    say([int(socket.recv()) for _ in range(int(count))])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    say("done")
    sys.stdin.read()
