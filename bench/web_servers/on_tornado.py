"""What is measured, with Tornado on uvloop."""

import asyncio
import sys

import uvloop
from tornado.escape import json_decode
from tornado.web import Application, RequestHandler, StaticFileHandler


class Hello(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write("Hello from a pipeline.")


class Echo(RequestHandler):
    def post(self) -> None:
        self.write(json_decode(self.request.body))


async def main() -> None:
    app = Application(
        [("/", Hello), ("/echo", Echo), ("/files/(.*)", StaticFileHandler, {"path": "."})],
        log_function=lambda handler: None,
    )
    app.listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


uvloop.run(main())
