"""examples/cyclone.yaml in a browser and with curl: its handlers, and the debugger of those that fail."""

import http.client
import json
import re
from html import unescape
from urllib.parse import urlencode, urlsplit

import pytest
from commands import EXAMPLES, Running, wait_until
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from websockets.sync.client import connect as open_websocket

MORE = r"""
includes: [cyclone.yaml]
cyclone:
  open:
    listen: 0
    application:
      xheaders: true
      handlers:
        - [/fails, failing.Fails]
        - [//evil\.example/fails, failing.Fails]
        - [/careless, failing.Careless]
        - [/authing, failing.Authing]
        - [/pipe, {provider: pipeline.fails}]
      template_path: !filepath .
      debug: true
      debug_allow: [127.0.0.2]
      debug_hosts: [dev.example]
      xsrf_cookies: true
  brief:
    listen: 0
    application:
      handlers: [[/fails, failing.Fails]]
      debug: true
      debug_allow: [127.0.0.1]
      debug_timeout: 0.2
      debug_template: debugger.html
      template_path: !filepath .
pipelines:
  fails: [{raise-exception: {type: ValueError, args: of a pipeline}}]
"""
FAILING = """
from tornado import web
from piped_cyclone.handlers import DebuggableHandler


class Fails(DebuggableHandler):
    def set_default_headers(self):
        self.set_header("Access-Control-Allow-Origin", "*")

    def get(self):
        answer = 6 * 7
        raise KeyError("</pre><script>document.title = 'taken'</script>")


class Careless(DebuggableHandler):
    def prepare(self):
        pass

    def post(self):
        self.write("reached")


class Authing(Fails):
    def get_current_user(self):
        return self.get_cookie("user")

    def get_login_url(self):
        return "/login"

    @web.authenticated
    def post_debug(self, *a, **kw):
        super(Authing, self).post_debug(*a, **kw)

    @web.authenticated
    def get_debug(self, *a, **kw):
        super(Authing, self).get_debug(*a, **kw)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cyclone")
    for name in ("cyclone.yaml", "cyclone_handlers.py"):
        (folder / name).write_text((EXAMPLES / name).read_text())
    (folder / "more.yaml").write_text(MORE)
    (folder / "failing.py").write_text(FAILING)
    (folder / "debugger.html").write_text("{{ kept.headline }} at {{ url }} with {{ token }}")
    with Running("more.yaml", "-O", "cyclone.notes.listen:0", cwd=folder) as running:
        yield running


def url_of(running, site, path=""):
    return running.wait_for(f"cyclone.{site} listens on").split("listens on ")[1].strip() + path


class Client:
    """Somebody who speaks HTTP to a site, from an address of the loopback range."""

    def __init__(self, running, site="open", source="127.0.0.2"):
        self.address, self.source = urlsplit(url_of(running, site)).netloc, source

    def ask(self, method, path, headers=None, **fields):
        """The code, the body and the headers of an answer."""
        connection = http.client.HTTPConnection(self.address, timeout=30, source_address=(self.source, 0))
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
        try:
            connection.request(method, path, urlencode(fields), kind | (headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def fail(self, path="/fails"):
        """The address and the token of a failure."""
        code, page, _ = self.ask("GET", path)
        assert (code, "web.Application Traceback (most recent call last)" in page) == (500, True)
        url, token = (unescape(re.search(rf'data-{name}="([^"]*)"', page)[1]) for name in ("url", "token"))
        return url.removeprefix(f"http://{self.address}"), token


# With bare hands:


def test_a_client_evaluates_in_a_frame(running):
    """The page has all that is needed, and the answer is a text in JSON; what a handler sets opens it to nobody."""
    client = Client(running)
    url, token = client.fail()
    for expr, told in (("answer", "42\n"), ("half = answer / 2", ""), ("half", "21.0\n"), ("1 / 0", "ZeroDivision")):
        code, body, headers = client.ask("POST", url, token=token, frame_no=-1, expr=expr)
        assert (code, told in json.loads(body)) == (200, True)
        assert (headers["Access-Control-Allow-Origin"], headers["Cache-Control"]) == (None, "no-store")
    for path, method in ((url, "GET"), ("/fails", "GET")):
        code, body, headers = client.ask(method, path)
        assert (headers["Access-Control-Allow-Origin"], headers["X-Frame-Options"]) == (None, "DENY")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "<script>document.title" not in body


def test_an_evaluation_may_wait(running):
    """What is typed may await, and the answer comes when it has ended."""
    client = Client(running)
    url, token = client.fail()
    expr = "import asyncio\nawait asyncio.sleep(0.1)\n'awoken'"
    assert json.loads(client.ask("POST", url, token=token, frame_no=-1, expr=expr)[1]) == "'awoken'\n"


def test_the_failure_of_a_pipeline_is_debugged_too(running):
    """The page names the pipeline and the step."""
    code, page, _ = Client(running).ask("GET", "/pipe")
    assert (code, "ValueError: of a pipeline" in page, "in pipeline fails, step" in page) == (500, True, True)


def test_a_failure_of_another_client_is_looked_into_by_who_may(running):
    """Others get the plain page; the log says where whoever may debug finds the failure."""
    before = len(running.lines)
    code, page, _ = Client(running, source="127.0.0.1").ask("GET", "/fails")
    assert (code, "Traceback" in page) == (500, False)
    wait_until(lambda: any("keeps the failure of GET: /fails?__debug__=" in line for line in running.lines[before:]))
    line = next(line for line in running.lines[before:] if "keeps the failure" in line)
    path = line.split("GET: ")[1]
    code, page, _ = Client(running).ask("GET", path)
    assert (code, "web.Application Traceback" in page) == (200, True)
    assert Client(running, source="127.0.0.1").ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("method", "source", "headers", "change", "code", "logged"),
    [
        ("POST", "127.0.0.1", {}, {}, 403, "127.0.0.1 is not on the list"),
        ("POST", "127.0.0.1", {"X-Forwarded-For": "127.0.0.2"}, {}, 403, "127.0.0.1 is not on the list"),
        ("POST", "127.0.0.1", {"X-Real-Ip": "127.0.0.2"}, {}, 403, "127.0.0.1 is not on the list"),
        ("POST", "127.0.0.2", {"X-Forwarded-For": "127.0.0.2"}, {}, 403, "it came through a proxy"),
        ("POST", "127.0.0.2", {}, {"token": "guessed"}, 403, "its token is wrong"),
        ("POST", "127.0.0.2", {}, {"token": ""}, 403, "its token is wrong"),
        ("POST", "127.0.0.2", {"Origin": "http://evil.example"}, {}, 403, "another origin"),
        ("POST", "127.0.0.2", {"Origin": "null"}, {}, 403, "another origin"),
        ("POST", "127.0.0.2", {"Sec-Fetch-Site": "cross-site"}, {}, 403, "another site"),
        ("POST", "127.0.0.2", {"Host": "evil.example"}, {}, 403, "its Host is 'evil.example'"),
        ("GET", "127.0.0.2", {"Host": "evil.example"}, {}, 404, "its Host is 'evil.example'"),
        ("PUT", "127.0.0.2", {}, {}, 403, ""),
        ("HEAD", "127.0.0.2", {}, {}, 405, ""),
        ("POST", "127.0.0.2", {}, {"frame_no": 99}, 400, ""),
    ],
)
def test_what_is_wrong_is_refused_and_logged(running, method, source, headers, change, code, logged):
    """Whoever is not allowed, guesses, or asks in another page's name evaluates nothing."""
    url, token = Client(running).fail()
    fields = {"token": token, "frame_no": -1, "expr": "6 * 7"} | change
    before = len(running.lines)
    answered, body, _ = Client(running, source=source).ask(method, url, headers, **fields)
    assert (answered, "42" in body) == (code, False)
    wait_until(lambda: any(logged in line for line in running.lines[before:]))
    # In the query they count for nothing: addresses are logged.
    fields = urlencode({"token": token, "expr": "6 * 7"})
    assert Client(running).ask("POST", f"{url}&{fields}", x="y")[0] == 403


def test_a_path_that_looks_like_another_server_stays_here(running):
    """What is typed is sent to the site, also from a page whose path begins with the name of another one."""
    client = Client(running)
    page = client.ask("GET", "//evil.example/fails")[1]
    assert f'data-url="http://{client.address}//evil.example/fails?__debug__=' in page


def test_a_token_of_the_debugger_is_none_of_a_form(running):
    """A handler whose `prepare` does not know the debugger is not reached by a POST that only claims to be for it."""
    client = Client(running)
    assert client.ask("POST", "/careless", x="y")[0] == 403
    assert client.ask("POST", "/careless?__debug__=made-up", x="y")[:2] != (200, "reached")


def test_a_host_that_was_named_may_be_used(running):
    """A name in `debug_hosts` is as good as an address."""
    assert "Traceback" in Client(running).ask("GET", "/fails", {"Host": "dev.example"})[1]


def test_what_is_not_there_is_404(running):
    """An id that was made up is nobody's failure."""
    for method in ("GET", "POST"):
        assert Client(running).ask(method, "/fails?__debug__=made-up", token="x")[0] == 404


def test_a_login_can_be_asked_for_besides(running):
    """Overridden `get_debug` and `post_debug` decide first, as the documents show it."""
    client = Client(running)
    url, token = client.fail("/authing")
    fields = {"token": token, "frame_no": -1, "expr": "6 * 7"}
    assert client.ask("GET", url)[0] == 302
    assert client.ask("POST", url, **fields)[0] == 403
    cookie = {"Cookie": "user=ada"}
    assert client.ask("GET", url, cookie)[0] == 200
    assert client.ask("POST", url, cookie, **fields)[1] == '"42\\n"'


def test_a_page_of_ones_own_is_shown_until_it_is_forgotten(running):
    """`debug_template` is rendered instead of the built-in page; after `debug_timeout` the failure is gone."""
    client = Client(running, "brief", "127.0.0.1")
    code, page, headers = client.ask("GET", "/fails")
    headline, url, token = re.fullmatch(r"(.*) at (\S+) with (\S+)", page).groups()
    assert (code, headline[:8], headers["X-Frame-Options"]) == (500, "KeyError", "DENY")
    url = url.removeprefix(f"http://{client.address}")
    wait_until(lambda: client.ask("POST", url, token="wrong")[0] == 404)  # a right token would keep it
    assert client.ask("POST", url, token=token, frame_no=-1, expr="6 * 7")[0] == 404


def test_the_log_says_who_may_debug(running):
    """Whoever reads the start of the log knows who was let in."""
    assert "WARNING" in running.wait_for("cyclone.notes: clients from localhost may run any code")
    assert "WARNING" in running.wait_for("cyclone.open: clients from 127.0.0.2 may run any code")


# In a browser:


def test_the_example_in_a_browser(driver, running):
    """Notes are taken by a form with its token, told to WebSockets, counted by a pipeline, and given to programs."""
    url = url_of(running, "notes")
    # A page may go while it is looked at, when a form is sent.
    wait = WebDriverWait(driver, 60, ignored_exceptions=[StaleElementReferenceException])

    # Average of nothing: a failure to look into, behind a protection against forged requests.
    driver.get(f"{url}/average")
    assert driver.title == "web.Application Traceback (most recent call last)"
    assert "ZeroDivisionError" in driver.find_element(By.ID, "headline").text
    prompt = driver.find_element(By.CSS_SELECTOR, ".frame[open] textarea")
    prompt.send_keys("words, self.texts", Keys.ENTER)
    [told] = wait.until(lambda _: driver.find_elements(By.CSS_SELECTOR, ".results .told, .results .failed"))
    assert told.text == "(0, [])"

    driver.get(f"{url}/home")
    with open_websocket(f"{url}/live".replace("http", "ws")) as live:
        for text in ("to be <or> not", "to be"):
            driver.find_element(By.NAME, "text").send_keys(text, Keys.ENTER)
            wait.until(lambda _, text=text: text in driver.find_element(By.TAG_NAME, "ul").text)
            assert json.loads(live.recv(30)) == {"note": text}
    assert driver.find_element(By.TAG_NAME, "h1").text == "Notes of somebody"

    client = Client(running, "notes", "127.0.0.1")
    assert json.loads(client.ask("GET", "/average")[1]) == {"average": 3.0}
    code, body, headers = client.ask("GET", "/notes.json")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    assert body == json.dumps({"texts": ["to be <or> not", "to be"]}, indent=2)
    assert json.loads(client.ask("GET", "/words/one%20two%20three")[1]) == {"words": 3}
    assert client.ask("POST", "/", text="forged")[0] == 403
    complaints = [entry["message"] for entry in driver.get_log("browser")]
    assert [each for each in complaints if "status of 500" not in each and "favicon.ico" not in each] == []
