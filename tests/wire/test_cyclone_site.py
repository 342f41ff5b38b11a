"""Request handlers in Tornado's manner, over real sockets: what Tornado's documents show, pipelines, and the stop."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
from commands import Running, fetch, piped, wait_until
from web_servers import certificates
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_websocket

HANDLERS = """
import asyncio
from twisted.internet import defer, reactor, task
from tornado import gen, web, websocket
from piped import Rejected
from piped_cyclone.handlers import DebuggableHandler


def later(value, seconds=0.02):
    return task.deferLater(reactor, seconds, lambda: value)


class Upper(web.UIModule):
    def render(self, text):
        return text.upper()


class Reversed(web.OutputTransform):
    def transform_chunk(self, chunk, finishing):
        return chunk

    def transform_first_chunk(self, status_code, headers, chunk, finishing):
        headers["X-Transformed"] = "yes"
        return status_code, headers, chunk


class Hello(web.RequestHandler):
    configured = []

    @classmethod
    def configure(cls, runtime_environment):
        cls.configured.append(runtime_environment)

    def initialize(self, greeting="hello"):
        self.greeting = greeting

    def get(self, name="world"):
        self.write(f"{self.greeting} {name} {len(self.configured)}")


class Form(web.RequestHandler):
    def get(self):
        self.write({"name": self.get_argument("name"), "all": self.get_arguments("name")})

    def post(self):
        file = self.request.files["file"][0]
        self.write({"name": self.get_body_argument("name"), "file": file["filename"], "size": len(file["body"])})


class Visits(web.RequestHandler):
    def get(self):
        count = int(self.get_secure_cookie("count") or 0) + 1
        self.set_secure_cookie("count", str(count))
        self.write(str(count))


class Templated(web.RequestHandler):
    def get(self):
        self.render("page.html", items=["<a>", "b"], url=self.reverse_url("hello", "ada"))


class Awaited(web.RequestHandler):
    async def prepare(self):
        self.before = await later("prepared")

    async def get(self):
        await asyncio.sleep(0.01)
        self.write(f"{self.before} {await later('awaited')}")

    async def post(self):
        try:
            await defer.fail(ValueError("boom"))
        except ValueError as error:
            self.write(f"caught {error}")


class Yields(web.RequestHandler):
    @gen.coroutine
    def get(self):
        self.write((yield later("yielded")))


class Returned(web.RequestHandler):
    def get(self):
        return later("returned").addCallback(self.write)


class Stream(web.RequestHandler):
    async def get(self):
        self.set_header("Content-Type", "text/event-stream")
        for number in range(3):
            self.write(f"data: {number}\\n\\n")
            await self.flush()
            await later(None)


class Broken(web.RequestHandler):
    def get(self):
        raise web.HTTPError(int(self.get_argument("status")), "told to the log only")

    def write_error(self, status_code, **kwargs):
        self.write(f"<h1>sorry: {status_code}</h1>")


class Nothing(web.RequestHandler):
    def prepare(self):
        self.set_status(404)
        self.finish("nothing of that kind")


class Echo(websocket.WebSocketHandler):
    async def on_message(self, message):
        await self.write_message(await later(message), binary=isinstance(message, bytes))


@web.stream_request_body
class Upload(web.RequestHandler):
    def prepare(self):
        self.size = 0

    async def data_received(self, chunk):
        self.size += await later(len(chunk), 0)

    def put(self):
        self.write(str(self.size))


class Slow(web.RequestHandler):
    async def get(self):
        print("slow has begun", flush=True)
        try:
            await later(None, float(self.get_argument("seconds")))
        except asyncio.CancelledError:
            print("slow was cancelled", flush=True)
            raise
        self.write("slow has ended" * 1_000_000)


class Large(web.RequestHandler):
    def get(self):
        self.write(b"x" * 30_000_000)

    def on_finish(self):
        print("large is on its way", flush=True)


class Dependent(web.RequestHandler):
    async def get(self):
        found = self.settings["piped_dependencies"]
        [baton] = await found.double({"n": 21})
        self.write(f"{baton['n']} {found.names['first']} {'debug' in self.settings}")


class Provided(web.RequestHandler):
    def initialize(self, text="provided"):
        self.text = text

    def get(self, *args):
        self.set_status(202)
        self.write(f"{self.text} {args}")


class Provider:
    def configure(self, runtime_environment):
        for path in ("handlers.provided", "handlers.nothing", "handlers.junk"):
            runtime_environment.resource_manager.register(path, self)

    def add_consumer(self, dependency):
        if dependency.provider == "handlers.provided":
            dependency.on_resource_ready(Provided)
        elif dependency.provider == "handlers.junk":
            dependency.on_resource_ready("junk")


def application(handlers, **settings):
    return web.Application(handlers, **settings)


def refuse(baton):
    raise Rejected("no such thing here")


def fail(baton):
    raise KeyError("the pipeline has failed")


def missing(baton):
    raise web.HTTPError(410)


def begin_to_wait(baton):
    print("the pipeline waits", flush=True)
    waiting = later(baton, 600)
    return waiting.addErrback(lambda failure: (print("the pipeline was stopped", flush=True), failure)[1])
"""
SITE = """
plugins: {bundles: {handlers: [handlers]}}
cyclone:
  site:
    listen: [0, "unix:site.socket"]
    type: cyclone.web.Application
    max_body_size: 100000
    max_header_size: 4000
    application:
      handlers:
        - [/, handlers.Hello]
        - [/hello/(.*), handlers.Hello, {greeting: welcome}, hello]
        - pattern: /named/(?P<name>.*)
          handler: {class: handlers.Hello}
        - [/form, handlers.Form]
        - [/visits, handlers.Visits]
        - [/page, handlers.Templated]
        - [/awaited, handlers.Awaited]
        - [/yields, handlers.Yields]
        - [/returned, handlers.Returned]
        - [/stream, handlers.Stream]
        - [/upload, handlers.Upload]
        - [/broken, handlers.Broken]
        - [/echo, handlers.Echo]
        - [/dependent, handlers.Dependent]
        - [/old/(.*), cyclone.web.RedirectHandler, {url: "/hello/{0}"}]
        - [/provided/(.*), {provider: handlers.provided}, {text: configured}]
        - [/nothing, {provider: handlers.nothing}]
        - [/junk, {provider: handlers.junk}]
        - [/pipe/(.*), {provider: pipeline.answer}]
        - [/pipes/(?P<name>.*), {provider: pipeline.answer}]
        - [/refuse, {provider: pipeline.refuse}]
        - [/fail, {provider: pipeline.fail}]
        - [/gone, {provider: pipeline.gone}]
        - [/forgets, {provider: pipeline.forgets}]
        - [/waits, {provider: pipeline.waits}]
        - [/unready, {provider: pipeline.unready}]
      cookie_secret: a secret of the tests
      template_path: !filepath templates
      static_path: files
      ui_modules: {Upper: handlers.Upper}
      transforms: [handlers.Reversed]
      default_handler_class: handlers.Nothing
      websocket_max_message_size: 1000
      debug: true
      piped_dependencies: {double: pipeline.double, names: context.names}
contexts: {names: {first: ada}}
pipelines:
  double: [{eval-lambda: {input_path: n, output_path: n, lambda: "n: 2 * n"}}]
  answer:
    - exec-code:
        code: |
          handler = baton["handler"]
          handler.set_status(201)
          handler.finish({"method": handler.request.method, "args": baton["args"], "kwargs": baton["kwargs"]})
  refuse: [{exec-code: {code: "import handlers; handlers.refuse(baton)"}}]
  fail: [{exec-code: {code: "import handlers; handlers.fail(baton)"}}]
  gone: [{exec-code: {code: "import handlers; handlers.missing(baton)"}}]
  forgets: [{eval-lambda: {input_path: handler, output_path: null, lambda: "handler: handler.write('half')"}}]
  waits: [{exec-code: {code: "import handlers; return handlers.begin_to_wait(baton)"}}]
  unready: [{eval-lambda: {input_path: "", dependencies: {no: handlers.nothing}, lambda: "baton: baton"}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cyclone")
    (folder / "handlers.py").write_text(HANDLERS)
    (folder / "site.yaml").write_text(SITE)
    (folder / "templates").mkdir()
    (folder / "templates" / "page.html").write_text(
        "<p>{% for item in items %}{% module Upper(escape(item)) %}{% end %}</p>{{ url }} {{ static_url('a.txt') }}"
    )
    (folder / "files").mkdir()
    (folder / "files" / "a.txt").write_text("a file")
    return folder


@pytest.fixture(scope="module")
def site(folder):
    # Not "ready": a resource that one of its handlers needs is never there.
    with Running("site.yaml", cwd=folder, ready="http+unix:") as running:
        yield running


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# What is documented by Tornado:


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", "hello world 1"),
        ("/hello/ada", "welcome ada 1"),
        ("/named/ada", "hello ada 1"),
        ("/form?name=a&name=b", '{"name": "b", "all": ["a", "b"]}'),
        ("/awaited", "prepared awaited"),
        ("/yields", "yielded"),
        ("/returned", "returned"),
        ("/stream", "data: 0\n\ndata: 1\n\ndata: 2\n\n"),
        ("/old/ada", "welcome ada 1"),
        ("/static/a.txt", "a file"),
        ("/dependent", "42 ada False"),
    ],
)
def test_a_handler_answers(site, path, body):
    """Handlers of every kind answer: plain ones, coroutines, those that await or return Deferreds, and Tornado's."""
    assert curl("-L", site.url(path)) == body


def test_a_socket_of_the_file_system_is_served_too(site, folder):
    """A list of places to listen is one site at all of them."""
    assert curl("--unix-socket", str(folder / "site.socket"), "http://site/") == "hello world 1"


def test_a_failed_deferred_is_an_exception(site):
    """What a Deferred fails with is raised where a handler awaits it."""
    assert curl("-X", "POST", site.url("/awaited")) == "caught boom"


def test_a_template_is_rendered(site):
    """UI modules, names of handlers and static files are known in a template."""
    page = curl(site.url("/page"))
    assert re.fullmatch(r"<p>&LT;A&GT;B</p>/hello/ada /static/a\.txt\?v=[0-9a-f]+\s*", page)


def test_forms_and_files_are_uploaded(site, folder):
    """The fields and the files of a form arrive."""
    answer = json.loads(curl("-F", "name=ada", "-F", f"file=@{folder}/files/a.txt", site.url("/form")))
    assert answer == {"name": "ada", "file": "a.txt", "size": 6}


def test_a_body_is_streamed(site):
    """A handler takes a body in parts as they come, and may wait in between."""
    assert site.get("/upload", data=b"x" * 100_000, method="PUT").body == "100000"
    assert site.get("/upload", method="PUT").body == "0"


def test_a_cookie_is_signed(site, tmp_path):
    """A secure cookie comes back, and one that was forged counts for nothing."""
    jar = str(tmp_path / "jar")
    assert [curl("-b", jar, "-c", jar, site.url("/visits")) for _ in range(3)] == ["1", "2", "3"]
    assert curl("-b", "count=2|1:0|10:1|5:count|4:OTk=|forged", site.url("/visits")) == "1"


def test_errors_have_the_pages_of_their_handlers(site):
    """`write_error` and the default handler answer for what went wrong; nobody is shown a traceback."""
    for status in (400, 500):
        answer = site.get(f"/broken?status={status}")
        assert (answer.code, answer.body) == (status, f"<h1>sorry: {status}</h1>")
    assert (site.get("/none").code, site.get("/none").body) == (404, "nothing of that kind")
    assert (site.get("/form").code, site.get("/", method="DELETE").code) == (400, 405)
    assert site.get("/").headers["X-Transformed"] == "yes"


def test_a_websocket_echoes(site):
    """A handler of WebSockets awaits a Deferred for each message; one that is too long ends the conversation."""
    with open_websocket(site.url("/echo").replace("http", "ws")) as websocket:
        for message in ("héllo", b"\0\xff", "x" * 1000):
            websocket.send(message)
            assert websocket.recv(30) == message
        websocket.send("x" * 1001)
        with pytest.raises(ConnectionClosed):
            websocket.recv(30)


# Pipelines and providers:


def test_a_pipeline_answers_with_any_method(site):
    """The baton has the handler and the groups of the pattern."""
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = site.get("/pipe/a%20b", method=method)
        assert (answer.code, answer.json()) == (201, {"method": method, "args": ["a b"], "kwargs": {}})
    assert site.get("/pipes/ada").json()["kwargs"] == {"name": "ada"}
    assert site.get("/pipe/x", method="HEAD").code == 201


@pytest.mark.parametrize(
    ("path", "code", "body"),
    [
        ("/refuse", 400, "no such thing here\n"),
        ("/fail", 500, "<html><title>500: Internal Server Error</title>"),
        ("/gone", 410, "<html><title>410: Gone</title>"),
        ("/forgets", 200, "half"),
        ("/unready", 503, "<html><title>503: Service Unavailable</title>"),
        ("/provided/x", 202, "configured ('x',)"),
        ("/nothing", 503, "<html><title>503: Service Unavailable</title>"),
        ("/junk", 500, "<html><title>500: Internal Server Error</title>"),
    ],
)
def test_what_cannot_answer_is_told(site, path, code, body):
    """A pipeline that refuses, fails or forgets to finish, and a resource that is not there, get the fitting status."""
    answer = site.get(path)
    assert (answer.code, answer.body[: len(body)]) == (code, body)
    assert (answer.headers["Retry-After"] is not None) == (code == 503)


def test_the_log_names_what_failed(site):
    """The traceback of a failed pipeline with its place, the one that forgot to finish, and no secret."""
    site.get("/fail"), site.get("/forgets"), site.get("/junk")
    site.wait_for("pipeline.forgets ended without finishing /forgets")
    site.wait_for("KeyError: 'the pipeline has failed'")
    site.wait_for("in pipeline fail, step")
    site.wait_for("handlers.junk cannot handle /junk: it is no class of request handlers")
    site.wait_for("debug is on, but nobody may debug")
    assert "a secret of the tests" not in site.log


def test_a_client_who_leaves_stops_the_pipeline(folder):
    """A pipeline that waits is cancelled when the client of a GET hangs up."""
    with Running("site.yaml", "-O", "cyclone.site.listen:0", cwd=folder, ready="listens on") as running:
        printed = Printed(running)
        with connected(running) as client:
            client.sendall(b"GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n")
            printed.wait_for("the pipeline waits")
        printed.wait_for("the pipeline was stopped")
        assert running.stop() == 0
        assert "Uncaught" not in running.log


class Printed:
    """What a process prints."""

    def __init__(self, running):
        self.text = ""
        self._stream = running.process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while line := self._stream.readline():
            self.text += line

    def wait_for(self, text):
        wait_until(lambda: text in self.text)


def connected(running):
    address = urlsplit(running.url())
    return socket.create_connection((address.hostname, address.port), timeout=30)


# Limits and what is malformed:


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 5000 + b"\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHo st: b\r\n\r\n",
    ],
)
def test_what_is_malformed_or_too_long_is_cut(site, sent):
    """The connection ends, with 400 or without an answer, and the site goes on."""
    with connected(site) as client:
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 400")
    assert site.get("/").code == 200


def test_the_limits_can_be_set(folder):
    """Silent connections, slow bodies, clients that take nothing, and too many connections are cut off in time."""
    limits = {"idle_timeout": 0.3, "body_timeout": 0.3, "send_timeout": 1, "max_connections": 3}
    options = [part for name, value in limits.items() for part in ("-O", f"cyclone.site.{name}:{value}")]
    with Running("limits.yaml", *options, cwd=limited(folder)) as running:
        printed = Printed(running)
        with connected(running) as silent:
            assert silent.recv(1) == b""
        with connected(running) as slow:
            slow.sendall(b"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx")
            assert slow.recv(1) == b""
        with connected(running) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in b"".join(iter(lambda: idle.recv(65536), b""))
        with connected(running) as deaf:
            deaf.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            pid = running.process.pid
            printed.wait_for("large is on its way")
            wait_until(lambda: len(sockets_of(pid)) == 1, timeout=60)
        with ExitStack() as clients:
            crowd = [clients.enter_context(connected(running)) for _ in range(4)]
            assert crowd[-1].recv(1) == b""


def test_a_process_that_can_open_no_more_goes_on(folder):
    """Clients wait while there is no room for them, the log says so now and then, and they are served afterwards."""
    with Running("limits.yaml", cwd=limited(folder)) as running:
        pid = running.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 5, hard))
        with ExitStack() as clients:
            crowd = [clients.enter_context(connected(running)) for _ in range(20)]
            running.wait_for("cannot accept a client, and tries again in 1 s: Too many open files")
            crowd[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            for client in crowd[:-1]:
                client.close()
            assert b"200 OK" in b"".join(iter(lambda: crowd[-1].recv(65536), b""))
        assert running.log.count("cannot accept a client") < 30
        assert running.stop() == 0
        assert "Traceback" not in running.log


def limited(folder):
    (folder / "limits.yaml").write_text(
        """
cyclone:
  site:
    listen: 0
    application:
      handlers: [[/, handlers.Hello], [/large, handlers.Large], [/form, handlers.Form], [/slow, handlers.Slow]]
"""
    )
    return folder


def sockets_of(pid):
    """The inodes of the TCP sockets of a process that listen or are established."""
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    own = set()
    for each in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            own.add(os.readlink(f"/proc/{pid}/fd/{each}"))
    return {row[9] for row in rows if row[3] in ("01", "0A") and f"socket:[{row[9]}]" in own}


def test_above_max_running_clients_are_asked_to_come_again(folder):
    """As many requests as allowed are processed; the next one is answered at once with 503."""
    with Running("limits.yaml", "-O", "cyclone.site.max_running:1", cwd=limited(folder)) as running:
        printed = Printed(running)
        with connected(running) as first:
            first.sendall(b"GET /slow?seconds=600 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            printed.wait_for("slow has begun")
            answer = running.get("/")
            assert (answer.code, answer.headers["Retry-After"]) == (503, "2")


# Starting and stopping:


def test_a_stop_waits_for_what_is_running(folder):
    """The port is closed at once, a request that runs is answered to the end, and WebSockets are told."""
    with Running("site.yaml", "-O", "cyclone.site.listen:0", cwd=folder, ready="listens on") as running:
        url = urlsplit(running.url())
        with open_websocket(running.url("/echo").replace("http", "ws")) as websocket:
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                websocket.recv(30)
            assert websocket.close_code == 1001
        assert running.ended() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((url.hostname, url.port), timeout=30)


@pytest.mark.parametrize(("seconds", "drain", "exit_code"), [(0.5, 20, 0), (600, 0.3, 1)])
def test_a_request_has_the_drain_to_end(folder, seconds, drain, exit_code):
    """A request that ends within the deadline is sent to its last byte; one that does not is cancelled."""
    with Running("limits.yaml", "--drain", str(drain), cwd=limited(folder)) as running:
        printed = Printed(running)
        with connected(running) as client:
            # What the server has sent is not here at once.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.sendall(f"GET /slow?seconds={seconds} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            printed.wait_for("slow has begun")
            running.process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert running.ended() == exit_code
        wanted = b"slow has ended" * 1_000_000 if exit_code == 0 else b"500: Internal Server Error"
        assert wanted in answer
        assert ("slow was cancelled" in printed.text) == (exit_code == 1)


def test_a_site_speaks_tls(folder, tmp_path):
    """An endpoint of `ssl:` has Tornado speak TLS with the key and the certificate that it names."""
    authority, _ = certificates(tmp_path, "localhost")
    place = f"ssl:0:privateKey={tmp_path}/localhost.pem:interface=127.0.0.1"
    (folder / "tls.yaml").write_text(
        f"cyclone: {{site: {{listen: '{place}', application: {{handlers: [[/, handlers.Hello]]}}}}}}"
    )
    with Running("tls.yaml", cwd=folder) as running:
        url = running.url()
        assert url.startswith("https://127.0.0.1:")
        assert curl("--cacert", str(authority), url.replace("127.0.0.1", "localhost")) == "hello world 1"
        port = urlsplit(url).port
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with suppress(ConnectionResetError):
                assert b"HTTP" not in b"".join(iter(lambda: plain.recv(65536), b""))
        assert running.stop() == 0


@pytest.mark.parametrize("reactor", ["asyncio", "uvloop"])
def test_both_kinds_of_asyncio_will_do(folder, reactor):
    """A site is served on asyncio's own loop as on uvloop."""
    with Running("limits.yaml", "-r", reactor, cwd=limited(folder)) as running:
        assert fetch(running.url()).body == "hello world 1"
        assert running.stop() == 0


def test_a_reactor_without_asyncio_is_told(folder):
    """On a reactor that Tornado cannot use, the start says so, where, and what to do."""
    done = piped("run", "limits.yaml", "-r", "epoll", cwd=limited(folder))
    assert done.returncode == 1
    told = "limits.yaml:4:13: Tornado needs asyncio, which this reactor is not – leave the option -r out"
    assert told in done.stderr


def test_a_port_in_use_is_told_with_its_place(folder):
    """Somebody else on the port is a problem of the start, at the line where the port is written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (folder / "taken.yaml").write_text(f"cyclone:\n  site:\n    listen: {port}\n")
        done = piped("run", "taken.yaml", cwd=folder)
    assert done.returncode == 1
    assert f"taken.yaml:3:13: cyclone.site cannot listen on port {port}: address already in use" in done.stderr
