"""examples/quickstart.yaml as its users see it: a webhook inbox that loses nothing."""

import html
import time

import pytest
from commands import EXAMPLES, Running

QUICKSTART = EXAMPLES / "quickstart.yaml"
ANY_PORT = ("-O", "web.inbox.port:0")


@pytest.fixture
def inbox(tmp_path):
    with Running(QUICKSTART, *ANY_PORT, cwd=tmp_path) as running:
        yield running


def test_a_hook_is_accepted_kept_and_told(inbox):
    """What is posted to a hook is answered with 202 and comes back as JSON, with its number."""
    posted = inbox.get("/hooks/first", data='{"hello": "wörld"}')
    assert (posted.code, posted.json()) == (202, {"accepted": 1})
    told = inbox.get("/hooks/first")
    assert told.headers["content-type"] == "application/json"
    [hook] = told.json()
    assert (hook["number"], hook["body"]) == (1, {"hello": "wörld"})


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/hooks/first", "not json", "Expecting value"),
        ("/hooks/first", b"\xff", "can't decode"),
        ("/hooks/first", "[1]", "must be a JSON object"),
        ("/hooks/a/b", "{}", "the name of a hook"),
        ("/hooks/", "{}", "the name of a hook"),
    ],
)
def test_a_bad_hook_gets_the_reason(inbox, path, body, reason):
    """What is no hook is refused with 400, and the answer says why."""
    answer = inbox.get(path, data=body)
    assert (answer.code, reason in answer.body) == (400, True), answer.body


def test_what_is_kept_has_bounds(inbox):
    """Of a hook only the newest 50 are kept, and a body of more than 16 KiB is refused."""
    for number in range(55):
        inbox.get("/hooks/first", data=f'{{"n": {number}}}')
    assert [hook["body"]["n"] for hook in inbox.get("/hooks/first").json()] == list(range(5, 55))
    assert inbox.get("/hooks/first", data='{"n": "' + "x" * 16384 + '"}').code == 413


def test_other_requests_get_what_http_says(inbox):
    """A hook nobody posted to is 404, another method 405 with Allow, an unknown page 404."""
    assert inbox.get("/hooks/never").code == 404
    put = inbox.get("/hooks/first", data="{}", method="PUT")
    assert (put.code, put.headers["allow"]) == (405, "GET, HEAD, POST")
    assert inbox.get("/nothing").code == 404
    head = inbox.get("/", method="HEAD")
    assert (head.code, head.body) == (200, "")


def test_the_page_shows_the_newest_hooks_and_escapes_them(inbox):
    """The HTML page lists what came; nothing that was sent is taken for HTML."""
    inbox.get("/hooks/first", data='{"text": "<script>alert(1)</script>"}')
    page = inbox.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;script&gt;" in page.body
    assert "<script>" not in page.body


def test_the_drawing_shows_every_pipeline(inbox):
    """The service draws its own pipelines as a picture."""
    drawing = inbox.get("/pipelines")
    assert (drawing.code, drawing.headers["content-type"]) == (200, "image/svg+xml")
    told = html.unescape(drawing.body)
    assert all(name in told for name in ("hooks", "receive", "check and keep", "write-web-response"))


def test_without_graphviz_the_browser_draws(tmp_path, monkeypatch):
    """A machine without Graphviz gives a picture that draws itself, and no error."""
    monkeypatch.setenv("PATH", "/nowhere")
    with Running(QUICKSTART, *ANY_PORT, cwd=tmp_path) as inbox:
        drawing = inbox.get("/pipelines")
    assert (drawing.code, drawing.headers["content-type"]) == (200, "image/svg+xml")
    assert "write-web-response" in drawing.body
    assert "<script>" in drawing.body


def test_a_clean_restart_loses_nothing(tmp_path):
    """What was accepted before a SIGTERM is there after the next start."""
    with Running(QUICKSTART, *ANY_PORT, cwd=tmp_path) as inbox:
        for number in range(20):
            assert inbox.get("/hooks/first", data=f'{{"n": {number}}}').code == 202
        assert inbox.stop() == 0
    with Running(QUICKSTART, *ANY_PORT, cwd=tmp_path) as inbox:
        assert [hook["body"]["n"] for hook in inbox.get("/hooks/first").json()] == list(range(20))


def test_kill_9_loses_at_most_a_second(tmp_path):
    """What was accepted more than a second before the process was killed is there after the next start."""
    accepted = {}
    with Running(QUICKSTART, *ANY_PORT, cwd=tmp_path) as inbox:
        started = time.monotonic()
        while time.monotonic() - started < 1.8:
            number = inbox.get("/hooks/first", data="{}").json()["accepted"]
            accepted[number] = time.monotonic()
        inbox.process.kill()
        killed = time.monotonic()
        inbox.ended()
    # A tenth more than promised, as the write itself takes a moment on a busy machine.
    old = [number for number, at in accepted.items() if killed - at > 1.1]
    assert old, "the test is pointless unless something was accepted early enough"
    with Running(QUICKSTART, *ANY_PORT, cwd=tmp_path) as inbox:
        assert inbox.get("/hooks/first").json()[-1]["number"] >= old[-1]


def test_the_page_shows_whatever_was_accepted(inbox):
    """A hook with half a character, which JSON allows, is shown; what JSON does not allow is refused."""
    assert inbox.get("/hooks/odd", data=r'{"text": "\ud800"}').code == 202
    assert inbox.get("/").code == inbox.get("/hooks/odd").code == 200
    assert inbox.get("/hooks/odd", data='{"n": NaN}').code == 400
