"""examples/tracing.yaml in a browser: the way of a baton, followed step by step."""

import json
import os
from pathlib import Path
from urllib.parse import urlencode

import pytest
from commands import EXAMPLES, Running, fetch, piped
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

TRACING = EXAMPLES / "tracing.yaml"
#: With RENEW_IMAGES=1 the picture of the documents is made anew.
IMAGES = Path(__file__).parents[2] / "docs" / "images" if os.environ.get("RENEW_IMAGES") else None
ORDER = {"items": ["tea", "cup"]}
#: What is traced besides the example's pipelines: one that goes round often.
ROUND = """
includes: [tracing.yaml]
pipelines:
  round:
    - eval-lambda:
        id: again
        input_path: n
        lambda: 'n: n + 1'
    - lambda-decider:
        input_path: n
        lambda: 'n: 0 if n < 2000 else 1'
        consumers: [existing: again, passthrough]
  change:
    - eval-lambda: {input_path: text, output_path: text, lambda: "text: text[:-3] + 'new'"}
  drawing:
    - diagram-pipelines
    - render-dot: {type: svg}
    - write-web-response: {content_path: dot, content_type: image/svg+xml}
web: {tracer: {port: 0, routing: {drawing: {__config__: {processor: drawing}}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracing")
    (folder / "tracing.yaml").write_text(TRACING.read_text())
    (folder / "site.yaml").write_text(ROUND)
    return folder


@pytest.fixture(scope="module", params=["dot", "no dot"])
def tracer(request, folder):
    """The running example, on a machine with Graphviz and on one without."""
    with pytest.MonkeyPatch.context() as changes:
        if request.param == "no dot":
            changes.setenv("PATH", "/nowhere")
        running = Running("site.yaml", cwd=folder)
    with running:
        yield running


class Browser:
    """The page as somebody sees it who uses it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def open(self, pipeline, baton, end=""):
        self.driver.get("about:blank")  # so that another #step is another page too
        self.driver.get(f"{self.url}?{urlencode({'pipeline': pipeline, 'baton': json.dumps(baton)})}{end}")
        self.wait_for("#drawing g.node")

    def wait_for(self, selector):
        return WebDriverWait(self.driver, 60).until(lambda driver: driver.find_element(By.CSS_SELECTOR, selector))

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def click(self, selector):
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def press(self, key):
        self.driver.find_element(By.TAG_NAME, "body").send_keys(key)

    @property
    def step(self):
        """The number of the step that is shown, by the title; list and drawing must show the same one."""
        number = int(self.text("#step-title").split()[1])
        [listed] = self.all("#list [aria-current=step]")
        assert listed.get_attribute("data-step") == str(number - 1)
        drawn = [edge.get_attribute("id") for edge in self.all("#drawing .is-current")]
        assert drawn in ([], [f"baton_{number - 1}"])
        return number

    def complaints(self):
        """What the browser has written to its console: errors, and what the policy of the page has stopped."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in messages if "/favicon.ico" not in message]  # asked for by pictures only


@pytest.fixture
def browser(driver, tracer):
    browser = Browser(driver, tracer.url())
    browser.complaints()
    yield browser
    assert browser.complaints() == []


def test_a_trace_is_stepped_through(browser):
    """Buttons, the keys n and p, the list and the numbers of the drawing all lead to the step that they name."""
    browser.open("shop.order", ORDER)
    assert browser.step == 1
    assert browser.driver.find_element(By.ID, "previous").get_attribute("aria-disabled") == "true"
    browser.click("#next")
    browser.click("#next")
    assert browser.step == 3
    browser.click("#previous")
    assert browser.step == 2
    browser.press("n")
    browser.press("n")
    assert browser.step == 4
    browser.press("p")
    assert browser.step == 3
    assert "ask the warehouse → look it up: handed on" in browser.text("#current")
    browser.click("#list [data-step='6']")
    assert browser.step == 7
    browser.click("#baton_4 text")
    assert browser.step == 5
    assert {len(browser.all(f"#drawing .is-{end}")) for end in ("source", "destination")} == {1}
    browser.click("[name=baton]")
    browser.driver.switch_to.active_element.send_keys("n")
    assert browser.step == 5, "what is written in the form is no key of the viewer"


def test_a_trace_can_be_followed_with_the_keyboard_alone(browser):
    """The focus stays where it is at the end, goes along in the list, and capital letters are as good."""
    browser.open("test", {})
    focused = browser.driver.switch_to
    browser.driver.execute_script("document.getElementById('next').focus()")
    for _ in range(10):
        focused.active_element.send_keys(Keys.ENTER)
    assert browser.step == 8
    assert focused.active_element.get_attribute("id") == "next"
    browser.press("F")
    assert browser.step == 3, "after the last failure comes the first"
    browser.driver.execute_script("document.querySelector('#list button').focus()")
    focused.active_element.send_keys(Keys.ENTER)
    focused.active_element.send_keys("n")
    assert focused.active_element.get_attribute("data-step") == "1"


def test_a_screen_reader_hears_what_there_is_to_say(browser):
    """The number of the step with its ends when it changes, and of the drawing nothing but its name."""
    browser.open("shop.order", ORDER)
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    heard = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
    assert ("group", "Drawing; the list of steps tells the same") in heard
    assert [name for role, name in heard if role == "group" and "shop." in (name or "")] == []
    assert [name for role, name in heard if role == "image"] == []
    assert [line.strip() for line in browser.text("[role=status]").splitlines()] == [
        "Step 1 of 14",
        "the traced pipeline → price of each item: enters the pipeline",
    ]


def test_a_step_has_an_address(browser):
    """That of the failure stands beside how it ended; another one may be written, or come from a colleague."""
    browser.open("shop.order", {"items": ["tea", "dodo"]})
    assert browser.text("#summary .bad") == "✗ failed: KeyError in look it up"
    browser.click("#summary a")
    WebDriverWait(browser.driver, 60).until(lambda _: browser.step == 7)
    assert browser.text("#list [aria-current] em") == "failed"
    assert browser.texts("#list em")[-2:] == ["climbs", "climbs"]
    assert "✗ look it up" in browser.text("#drawing .node.failed")


def test_the_whole_drawing_can_be_seen(browser):
    """At first it is large enough to be read; one button shows all of it."""
    browser.open("shop.order", ORDER)
    hidden = "const pane = document.getElementById('drawing'); return pane.scrollHeight - pane.clientHeight"
    assert browser.driver.execute_script(hidden) > 10
    browser.click("#fit")
    assert browser.driver.execute_script(hidden) <= 1


def test_long_values_are_compared_where_they_differ(browser):
    """Their beginnings are the same."""
    browser.open("change", {"text": "x" * 1000 + "old"})
    browser.press("n")
    [row] = browser.texts("#changes li")
    assert 'xold"' in row
    assert 'xnew"' in row
    assert len(row) < 200


def test_what_a_step_changed_is_shown(browser):
    """Added, removed and changed paths with their values, against what the step was given, and the whole baton."""
    browser.open("shop.order", ORDER)
    numbers = [number for number, text in enumerate(browser.texts("#list button")) if "add up → pay by card" in text]
    browser.click(f"#list [data-step='{numbers[0]}']")
    assert browser.text("#changes-title") == f"Changed by add up, since step {numbers[0]}"
    assert [text.lower() for text in browser.texts("#changes li")] == ["added total 1340"]
    assert json.loads(browser.text("#baton")) == {
        **ORDER,
        "prices": [{"item": "tea", "cents": 450}, {"item": "cup", "cents": 890}],
        "total": 1340,
    }
    # What ran in between was another pipeline's: the for-each itself has added the prices.
    browser.press("p")
    assert browser.text("#changes-title") == "Changed by price of each item, since step 1"
    assert [text.lower() for text in browser.texts("#changes li .path")] == ["prices"]
    browser.open("test", {"foo": "old"})
    browser.press("n")
    assert [text.lower() for text in browser.texts("#changes li")] == [
        'changed foo "old" → "bar"',
        'added test "hello"',
    ]
    for _ in range(4):
        browser.press("n")
    assert [text.lower() for text in browser.texts("#changes li")] == ['removed foo "bar"']


def test_failures_are_marked(browser):
    """A failure is found with one key, named in the list, and told with its type, message and traceback."""
    browser.open("shop.order", {"items": ["tea", "dodo"]})
    assert "failed: KeyError" in browser.text("#summary")
    browser.press("f")
    assert "look it up → ask the warehouse: a failure that climbs" in browser.text("#current")
    assert browser.text("#failed .failure") == "KeyError: dodo"
    assert "tracing.yaml" in browser.text("#failed .traceback")
    assert browser.text("#list [aria-current] em") == "failed"
    assert len(browser.all("#drawing .is-current.failure")) == 1
    browser.open("shop.order", ORDER)
    assert "failures were handled" in browser.text("#summary")
    assert browser.text("#summary .good") == "✓ ended well"
    browser.press("f")
    assert "a failure, handed to an error consumer" in browser.text("#current")
    assert browser.text("#list [aria-current] em") == "handled"
    assert len(browser.all("#drawing .is-current.error_consumer")) == 1


def test_the_form_leads_to_the_page(browser):
    """Without a question there is the form with all names to choose; sending it shows the trace at its address."""
    browser.driver.get(browser.url)
    assert not browser.driver.find_element(By.TAG_NAME, "main").is_displayed()
    names = {option.get_attribute("value") for option in browser.all("#pipelines option")}
    assert {"shop.order", "test", "tracer.page"} <= names
    [choice] = [button for button in browser.all("#names button") if button.text == "test"]
    choice.click()
    browser.driver.switch_to.active_element.send_keys(Keys.CONTROL, Keys.ENTER)
    browser.wait_for("#drawing g.node")
    assert browser.driver.current_url.startswith(f"{browser.url}?pipeline=test&baton=%7B%7D")
    assert browser.driver.find_element(By.NAME, "pipeline").get_attribute("value") == "test"


def test_other_sites_run_nothing(tracer):
    """A browser says where a question comes from; one from elsewhere fills the form, and no more."""
    question = tracer.url("/?pipeline=test&baton=%7B%22a%22:1%7D")
    for site, runs in (("cross-site", False), ("same-site", False), ("same-origin", True), ("none", True)):
        page = fetch(question, headers={"Sec-Fetch-Site": site}).body
        assert ('"kind": "consumer"' in page) is runs
        assert 'value="test"' in page


def test_a_wrong_question_is_answered(browser):
    """A pipeline that there is not and a baton that is no JSON are told on the page, which keeps what was written."""
    browser.driver.get(f"{browser.url}?pipeline=shop.ordr&baton=%7B%7D")
    assert browser.text("#failure").count("did you mean 'pipeline.shop.order'?") == 1
    browser.driver.get(f"{browser.url}?pipeline=test&baton=%7B")
    assert "Expecting property name" in browser.text("#failure")
    assert browser.driver.find_element(By.NAME, "baton").get_attribute("value") == "{"


def test_a_baton_is_never_a_part_of_the_page(browser):
    """Markup in a baton is shown as what it is, and does nothing."""
    baton = {"</script><script>document.title = 'taken'</script>": "<!--<script>", "b": "<img src=x onerror=alert(1)>"}
    browser.open("test", baton)
    assert browser.driver.title == "test – trace"
    assert json.loads(browser.text("#baton")) == baton
    assert browser.all("main img") == []
    browser.open("test", {"\u202eabc\u0085": "\u2066"})
    assert json.loads(browser.text("#baton")) == {"\u202eabc\u0085": "\u2066"}
    assert '"\\u202eabc\\u0085": "\\u2066"' in browser.text("#baton"), "signs that turn a text around are shown"


def test_a_long_trace_can_be_used(browser):
    """Of thousands of steps the drawing numbers the first, and says so; the list shows those around the current one."""
    browser.open("round", {"n": 0}, "#step-3600")
    assert browser.step == 3600
    assert "4,002 steps" in browser.text("#summary")
    assert len(browser.all("#list li")) == 200
    assert browser.text("#range") == "3401 to 3600 of 4,002"
    assert "Only the first 300 of 4,002 steps are numbered." in browser.text("#drawing")
    browser.press("n")
    assert browser.step == 3601
    assert browser.text("#range") == "3601 to 3800 of 4,002"
    browser.open("round", {"n": -3000})
    assert "the rest was too long to be kept" in browser.text("#summary")


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (900, "dark"), (1440, "dark"), (1440, "light")])
def test_the_page_fits(browser, width, scheme):
    """On a phone as on a screen nothing lies beside the page, by day and by night."""
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        browser.open("shop.order", {"items": ["tea", "cup", "tea"]}, "#step-12")
        assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= width
        light = browser.driver.execute_script("return getComputedStyle(document.body).color")
        assert (light == "rgb(26, 31, 41)") == (scheme == "light")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_picture_of_the_documents(browser, tmp_path, request):
    """The documents show the page as it is: a failure that was handled, and what came of it."""
    window = {"width": 1440, "height": 1060, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    browser.open("shop.order", {"items": ["tea", "cup"]}, "#step-12")
    is_kept = IMAGES is not None and request.node.callspec.params["tracer"] == "dot"
    picture = (IMAGES if is_kept else tmp_path) / "trace.png"
    assert browser.driver.save_screenshot(str(picture))
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert picture.stat().st_size > 20_000


def test_other_pictures_need_graphviz(folder, monkeypatch):
    """Without Graphviz only an svg can be had; anything else fails, and says why."""
    monkeypatch.setenv("PATH", "/nowhere")
    for kind, code in (("svg", 0), ("png", 1)):
        steps = f"pipelines.drawing: [diagram-pipelines, render-dot: {{type: {kind}}}]"
        done = piped("trace", "site.yaml", "drawing", "-O", steps, cwd=folder)
        assert done.returncode == code, done.stderr
    assert "PipedError: graphviz is not installed" in done.stdout


def test_a_drawing_can_be_opened_alone(browser):
    """What render-dot answers is a picture of all pipelines, also where the browser has to draw it."""
    browser.driver.get(f"{browser.url}drawing")
    browser.wait_for("g.node")
    assert "ask the warehouse" in browser.driver.execute_script("return document.documentElement.textContent")
