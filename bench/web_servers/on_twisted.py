"""What is measured, with nothing but twisted.web: on epoll, or on uvloop with a second argument `uvloop`."""

import json
import sys

if sys.argv[2:] == ["uvloop"]:
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())
else:
    from twisted.internet import epollreactor

    epollreactor.install()

from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import File

EVENT = b"data: ~ 4,711 orders were paid in the last second, 17 of them from abroad.\n\n"
followers: set[Request] = set()


class Hello(Resource):
    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return b"Hello from a pipeline."


class Echo(Resource):
    def render_POST(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        return json.dumps(json.load(request.content)).encode()


class Events(Resource):
    def render_GET(self, request: Request) -> object:
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-store")
        followers.add(request)
        request.notifyFinish().addErrback(lambda failure: followers.discard(request))
        return NOT_DONE_YET


def send() -> None:
    for request in followers:
        request.write(EVENT)


class Quiet(Site):
    def log(self, request: Request) -> None:
        pass


root = Resource()
root.putChild(b"", Hello())
root.putChild(b"echo", Echo())
root.putChild(b"events", Events())
root.putChild(b"files", File("."))
LoopingCall(send).start(0.1)
reactor.listenTCP(int(sys.argv[1]), Quiet(root), interface="127.0.0.1")
reactor.run()
