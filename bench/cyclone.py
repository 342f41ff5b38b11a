"""What a request costs in the section `cyclone` beside bare Tornado with the same handler, on the same loop.

Needs wrk; without it this is left out. Times are CPU time of the server process; nobody logs requests.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from children import PIPED
from web_load import ask, serving

ROUNDS, SECONDS = 7, 2

HANDLERS = """\
from tornado.web import RequestHandler

class Hello(RequestHandler):
    def get(self):
        self.write("hello world")

def silent(handler):
    pass
"""
BARE = """\
import asyncio, sys
import uvloop
from tornado.web import Application
from handlers import Hello, silent

async def main():
    Application([("/", Hello)], log_function=silent).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()

uvloop.run(main())
"""
SITE = """\
cyclone:
  site:
    application:
      handlers: [[/, handlers.Hello], [/pipeline, {provider: pipeline.hello}]]
      log_function: handlers.silent
pipelines:
  hello: [{eval-lambda: {input_path: handler, output_path: null, lambda: "handler: handler.finish('hello world')"}}]
"""


def main() -> None:
    if shutil.which("wrk") is None:
        print("left out, as wrk is not installed (apt install wrk)")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("handlers.py", HANDLERS), ("bare.py", BARE), ("site.yaml", SITE)):
            Path(folder, name).write_text(text)
        ours = PIPED, "run", "site.yaml", "-O", "cyclone.site.listen:PORT"
        with (
            serving(sys.executable, "bare.py", "PORT", folder=folder) as bare,
            serving(*ours, folder=folder) as piped,
        ):
            asked = [(bare, "/"), (piped, "/"), (piped, "/pipeline")]
            for server, path in asked:  # warm
                ask(server, path, 1)
            rounds = [[ask(server, path, SECONDS).cpu * 1e6 for server, path in asked] for _ in range(ROUNDS)]
    bare_cost, class_cost, pipeline_cost = (median(costs) for costs in zip(*rounds, strict=True))
    print(f"a class that says hello: {class_cost:.0f} us CPU; bare Tornado {bare_cost:.0f} us: ", end="")
    print(f"x {median(bare / ours for bare, ours, _ in rounds):.2f} of its rate")
    print(f"a pipeline that says hello: {pipeline_cost:.0f} us CPU: ", end="")
    print(f"x {median(bare / ours for bare, _, ours in rounds):.2f}")


if __name__ == "__main__":
    main()
