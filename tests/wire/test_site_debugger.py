"""examples/debugging.yaml: its debugger in a browser, and everybody else who would like to use it."""

import http.client
import json
import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from commands import EXAMPLES, Running, wait_until
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

#: With RENEW_IMAGES=1 the pictures of the documents are made anew.
IMAGES = Path(__file__).parents[2] / "docs" / "images" if os.environ.get("RENEW_IMAGES") else None
FAILING = "/order?item=tea&item=dodo"
#: Besides the example's paths: a baton of markup, a chain of errors, and who comes from elsewhere.
MORE = """
includes: [debugging.yaml]
web:
  shop:
    port: 0
    routing:
      hostile: {__config__: {processor: hostile}}
      chain: {__config__: {processor: chain}}
      neighbour: {__config__: {processor: shop.order, debug: {allow: [127.0.0.2]}}}
      brief: {__config__: {processor: shop.order, debug: {max_inactive_time: 0.5, reap_interval: 0.1}}}
pipelines:
  hostile:
    - set-value: {path: <img src=x onerror=alert(1)>, value: "</script><script>document.title = 'taken'</script>"}
    - raise-exception: {type: ValueError, args: "</pre><script>document.title = 'taken'</script>"}
  chain:
    - exec-code:
        code: |
          try:
              {}["missing"]
          except KeyError as error:
              raise ValueError("no such thing") from error
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("debugging")
    (folder / "debugging.yaml").write_text((EXAMPLES / "debugging.yaml").read_text())
    (folder / "site.yaml").write_text(MORE)
    return folder


@pytest.fixture(scope="module")
def shop(folder, channel):
    with Running("site.yaml", "-O", f"web.shop.channel:{channel}", cwd=folder) as running:
        yield running


# With bare hands:


class Client:
    """Somebody who speaks HTTP to the shop, from an address of the loopback range."""

    def __init__(self, shop, source="127.0.0.1"):
        self.address, self.source = urlsplit(shop.url()).netloc, source

    def ask(self, method, path, headers=None, **fields):
        """The code and the body of an answer."""
        connection = http.client.HTTPConnection(self.address, timeout=30, source_address=(self.source, 0))
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
        try:
            connection.request(method, path, urlencode(fields), kind | (headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def fail(self, path):
        """The address and the token of a failure."""
        code, page = self.ask("GET", path)
        assert (code, "web.Server Traceback (most recent call last)" in page) == (500, True)
        return tuple(unescape(re.search(rf'data-{name}="([^"]*)"', page)[1]) for name in ("url", "token"))


def test_a_client_evaluates_in_a_frame(shop):
    """The page has all that is needed, and the answer is a text in JSON."""
    client = Client(shop)
    url, token = client.fail(FAILING)
    for expr, told in (("name, total", "('dodo', 450)\n"), ("double = 2 * total", ""), ("double", "900\n")):
        code, body = client.ask("POST", url, token=token, frame_no=-1, expr=expr)
        assert (code, json.loads(body)) == (200, told)
    assert "evaluates in" in shop.log


def test_an_evaluation_waits_without_holding_up_anybody(shop):
    """While one person awaits something, the site answers others."""
    client = Client(shop)
    url, token = client.fail(FAILING)
    expr = "import asyncio\nawait asyncio.sleep(0.2)\n'awoken'"
    code, body = client.ask("POST", url, token=token, frame_no=-1, expr=expr)
    assert (code, json.loads(body)) == (200, "'awoken'\n")


def test_who_is_not_on_the_list_gets_the_short_page(shop):
    """What counts is the address of the connection, on each path as it says; not what headers claim."""
    for source, path, is_shown in [
        ("127.0.0.1", "/neighbour?item=dodo", False),
        ("127.0.0.2", "/neighbour?item=dodo", True),
        ("127.0.0.1", "/order/closed?item=dodo", False),
    ]:
        code, page = Client(shop, source).ask("GET", path)
        assert (code, "Traceback" in page) == (500, is_shown)
        assert is_shown or len(page) < 150
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        code, page = Client(shop).ask("GET", "/neighbour?item=dodo", {header: "127.0.0.2"})
        assert (code, "Traceback" in page) == (500, False)


@pytest.mark.parametrize(
    ("method", "source", "headers", "change", "code", "logged"),
    [
        ("POST", "127.0.0.1", {}, {}, 403, "127.0.0.1 is not on the list"),
        ("POST", "127.0.0.1", {"X-Forwarded-For": "127.0.0.2"}, {}, 403, "127.0.0.1 is not on the list"),
        ("POST", "127.0.0.2", {"X-Forwarded-For": "127.0.0.2"}, {}, 403, "it came through a proxy"),
        ("POST", "127.0.0.2", {}, {"token": "guessed"}, 403, "its token is wrong"),
        ("POST", "127.0.0.2", {}, {"token": ""}, 403, "its token is wrong"),
        ("GET", "127.0.0.2", {}, {}, 405, "only POST evaluates"),
        ("POST", "127.0.0.2", {"Origin": "http://evil.example"}, {}, 403, "another origin"),
        ("POST", "127.0.0.2", {"Origin": "null"}, {}, 403, "another origin"),
        ("POST", "127.0.0.2", {"Sec-Fetch-Site": "cross-site"}, {}, 403, "another site"),
        ("POST", "127.0.0.2", {"Host": "evil.example"}, {}, 403, "its Host is 'evil.example'"),
    ],
)
def test_what_is_wrong_is_refused_and_logged(shop, method, source, headers, change, code, logged):
    """Whoever is not allowed, guesses, or asks in another page's name evaluates nothing."""
    url, token = Client(shop, "127.0.0.2").fail("/neighbour?item=dodo")
    fields = {"token": token, "frame_no": -1, "expr": "6 * 7"} | change
    before = len(shop.lines)
    target, form = (f"{url}?{urlencode(fields)}", {}) if method == "GET" else (url, fields)
    answered, body = Client(shop, source).ask(method, target, headers, **form)
    assert (answered, "42" in body) == (code, False)
    wait_until(lambda: any("refuses to let" in line and logged in line for line in shop.lines[before:]))


def test_a_failure_that_was_forgotten_cannot_be_used(shop):
    """Once `max_inactive_time` is over, its token is worth nothing."""
    client = Client(shop)
    url, token = client.fail("/brief?item=dodo")
    wait_until(lambda: client.ask("POST", url, token="wrong")[0] == 404)  # a right token would keep it
    assert client.ask("POST", url, token=token, frame_no=-1, expr="6 * 7")[0] == 404
    assert "there is no such session, or it was forgotten" in shop.wait_for("it was forgotten")


def test_the_log_says_who_may_debug(shop):
    """Whoever reads the start of the log knows who was let in."""
    assert "WARNING" in shop.wait_for("clients from localhost may run any code")
    assert "WARNING" in shop.wait_for("clients from 127.0.0.2 may run any code")


# In a browser:


class Page:
    """The page as somebody uses it who looks for a mistake."""

    def __init__(self, driver, shop):
        self.driver, self.shop = driver, shop

    def open(self, path=FAILING):
        self.driver.get(self.shop.url(path))
        self.wait(lambda: self.all(".frame textarea"))

    def wait(self, condition):
        return WebDriverWait(self.driver, 60).until(lambda _: condition())

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    @property
    def prompt(self):
        return self.driver.find_element(By.CSS_SELECTOR, ".is-current textarea")

    @property
    def focused(self):
        return self.driver.switch_to.active_element

    def results(self):
        return [element.text for element in self.all(".is-current .results pre")]

    def evaluate(self, *keys):
        """Type into the prompt of the current frame; gives what is shown for it."""
        before = len(self.all(".is-current .results .told, .is-current .results .failed"))
        self.prompt.send_keys(*keys, Keys.ENTER)
        answers = ".is-current .results .told, .is-current .results .failed"
        return self.wait(lambda: self.all(answers)[before:])[-1].text

    def press(self, *keys):
        self.focused.send_keys(*keys)

    def complaints(self):
        """What the browser has written to its console, but for the status that the page itself has."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in messages if "status of 500" not in message]


@pytest.fixture
def page(driver, shop):
    page = Page(driver, shop)
    page.complaints()
    yield page
    assert page.complaints() == []


def test_the_page_tells_what_happened(page):
    """The failure, its step with its place in the configuration, the line, the variables and the baton."""
    page.open()
    assert page.driver.title == "web.Server Traceback (most recent call last)"
    assert page.text("h1") == "web.Server Traceback (most recent call last)"
    assert page.text("#headline") == "KeyError: 'dodo'"
    assert re.search(r"in pipeline shop\.order, step add up \(.*debugging\.yaml:\d+:\d+\)", page.text("#places"))
    assert page.text(".frame[open] .failing mark") == "prices[name]"
    assert page.text(".frame[open] .variables").split("\n")[-2:] == ["name", "'dodo'"]
    assert '"item": [\n    "tea",\n    "dodo"\n  ]' in page.text("#baton")
    assert page.all(".engine[open]") == []


def test_python_is_evaluated_in_a_frame(page):
    """Enter runs, Shift and Enter make a new line, and what is defined lasts."""
    page.open()
    assert page.evaluate("baton['item']") == "['tea', 'dodo']"
    assert page.evaluate("for each in prices:", Keys.SHIFT, Keys.ENTER, Keys.NULL, "    print(each)") == "tea\ncup"
    page.prompt.send_keys("cheap = min(prices.values())", Keys.ENTER)
    assert page.evaluate("cheap") == "450"
    assert "ZeroDivisionError: division by zero" in page.evaluate("1 / 0")
    assert page.evaluate("'<b>' + 'é€'") == "'<b>é€'"
    assert ">>> for each in prices:\n...     print(each)" in page.results()


def test_the_history_is_gone_through_with_the_arrows(page):
    """Up and down lead through what was typed, in any frame, and back to what is being typed."""
    page.open()
    page.evaluate("'first'")
    page.evaluate("'second'")
    page.prompt.send_keys("draft", Keys.ARROW_UP, Keys.ARROW_UP)
    assert page.prompt.get_attribute("value") == "'first'"
    page.prompt.send_keys(Keys.ARROW_DOWN)
    assert page.prompt.get_attribute("value") == "'second'"
    page.prompt.send_keys(Keys.ARROW_DOWN)
    assert page.prompt.get_attribute("value") == "draft"
    page.open()
    page.prompt.send_keys(Keys.ARROW_UP)
    assert page.prompt.get_attribute("value") == "'second'", "it is kept for the next failure"


def test_keys_lead_from_frame_to_frame(page):
    """j and k go down and up, e to the prompt and Escape out of it; in a prompt they are letters."""
    page.open("/chain")
    assert page.text(".is-current .function") == "_body"
    last = page.driver.find_element(By.CSS_SELECTOR, ".is-current").get_attribute("data-frame")
    body = page.driver.find_element(By.TAG_NAME, "body")
    body.send_keys("k")
    first = page.driver.find_element(By.CSS_SELECTOR, ".is-current")
    assert int(first.get_attribute("data-frame")) < int(last)
    assert first.get_attribute("open") is not None
    page.press("e")
    page.press("jke")
    assert page.prompt.get_attribute("value") == "jke"
    page.press(Keys.ESCAPE)
    page.driver.find_element(By.TAG_NAME, "body").send_keys("j")
    assert page.driver.find_element(By.CSS_SELECTOR, ".is-current").get_attribute("data-frame") == last


def test_errors_that_led_to_each_other_are_shown(page):
    """The cause comes first, with its own frames."""
    page.open("/chain")
    assert [element.text for element in page.all("#frames h3")] == ["KeyError: 'missing'", "ValueError: no such thing"]
    assert page.text("#headline") == "ValueError: no such thing"


def test_the_traceback_is_copied(page):
    """One click, and a colleague can be sent the whole text."""
    permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    page.open()
    page.driver.find_element(By.ID, "copy").click()
    page.wait(lambda: page.text("#copied") == "Copied.")
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied.startswith("Traceback (most recent call last):")
    assert "KeyError: 'dodo'\nin pipeline shop.order, step add up" in copied


def test_markup_in_a_failure_does_nothing(page):
    """Neither a baton nor an error's text becomes a part of the page."""
    page.open("/hostile")
    assert page.driver.title == "web.Server Traceback (most recent call last)"
    assert "</pre><script>" in page.text("#headline")
    assert "<img src=x onerror=alert(1)>" in page.text("#baton")
    assert page.all("img") == []
    assert page.evaluate("'<img src=x onerror=alert(1)>'") == "'<img src=x onerror=alert(1)>'"
    assert page.all("img") == []


def test_a_failure_that_was_forgotten_is_told(page):
    """The page says what to do when the server has let go of the failure."""
    page.open("/brief?item=dodo")
    url = page.driver.find_element(By.TAG_NAME, "body").get_attribute("data-url")
    wait_until(lambda: Client(page.shop).ask("POST", url, token="wrong")[0] == 404)
    assert "was forgotten. Load the page again" in page.evaluate("name")
    assert ["status of 404" in message for message in page.complaints()] == [True]


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (375, "dark"), (900, "light"), (1440, "dark")])
def test_the_page_fits(page, width, scheme):
    """On a phone as on a screen nothing lies beside the page, by day and by night."""
    with_view(page, width, 900, scheme)
    try:
        page.open()
        page.evaluate("'x' * 3000")
        page.driver.execute_script("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
        light = page.driver.execute_script("return getComputedStyle(document.body).color")
        assert (light == "rgb(26, 31, 41)") == (scheme == "light")
    finally:
        as_before(page)


@pytest.mark.parametrize(("name", "scheme"), [("debugger.png", "light"), ("debugger-dark.png", "dark")])
def test_the_pictures_of_the_documents(page, tmp_path, name, scheme):
    """The documents show the page as it is: a failure, and what somebody has asked in its frame."""
    with_view(page, 1440, 900, scheme)
    try:
        page.open()
        page.evaluate("baton['item'], total")
        page.evaluate("[name for name in baton['item'] if name not in prices]")
        picture = (IMAGES or tmp_path) / name
        assert page.driver.save_screenshot(str(picture))
        assert picture.stat().st_size > 20_000
    finally:
        as_before(page)


def with_view(page, width, height, scheme):
    window = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def as_before(page):
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
