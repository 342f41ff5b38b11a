"""What is measured, with Klein."""

import json
import sys
from typing import Any

from klein import Klein
from twisted.internet import reactor
from twisted.web.server import Site
from twisted.web.static import File


class Quiet(Site):
    def log(self, request: Any) -> None:
        pass


app = Klein()


@app.route("/")
def hello(request: Any) -> str:
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    return "Hello from a pipeline."


@app.route("/echo", methods=["POST"])
def echo(request: Any) -> str:
    request.setHeader("Content-Type", "application/json")
    return json.dumps(json.load(request.content))


@app.route("/files", branch=True)
def files(request: Any) -> File:
    return File(".")


reactor.listenTCP(int(sys.argv[1]), Quiet(app.resource()), interface="127.0.0.1")
reactor.run()
