"""The debugger in the browser: who gets the page, what it evaluates, and all that is refused."""

from __future__ import annotations

import gc
import json
import logging
import re
import weakref
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from web_stage import Stage, parsed

from piped.ground.errors import ConfigurationError
from piped.runtime.frames import KeptError
from piped.web.debugger import MOST_OUTPUT, MOST_SESSIONS, Session, expired, merged
from piped.web.options import SiteDebug
from piped.web.path_options import PathDebug

pytestmark = pytest.mark.usefixtures("each_channel")

TITLE = b"web.Server Traceback (most recent call last)"
#: The client of a stage, and the name by which it addresses the site.
ALLOWED = {"allow": ["192.0.2.1"], "hosts": ["site"]}


class Thing:
    """Something that a frame refers to."""


def broken(baton: Any) -> None:
    secret = 42  # what a person wants to see
    baton["seen"] = secret
    raise ValueError("no such thing")


def routed(**config: Any) -> dict[str, Any]:
    return {"__config__": {"processor": "pipeline.it", **config}}


class Debugged(Stage):
    """A started site whose processor fails, and what its client can do with the page of that."""

    def __init__(self, processor: Callable[[Any], Any] = broken, **configuration: Any) -> None:
        options = {"debug": ALLOWED, "routing": routed()} | configuration
        super().__init__({"pipeline.it": processor}, **options)
        self.web.startService()

    def fail(self, path: str = "/", *headers: str) -> str:
        """The page of a failure; its address and token are known from then on."""
        code, _, body = parsed(self.get(path, *headers))
        assert (code, TITLE in body) == (500, True), body
        page = body.decode()
        self.url, self.token = (unescape(re.findall(rf'data-{name}="([^"]*)"', page)[0]) for name in ("url", "token"))
        return page

    def ask(self, *headers: str, method: str = "POST", url: str | None = None, **fields: Any) -> tuple[int, Any, bytes]:
        """The answer to an evaluation, which is right but for what is said otherwise."""
        form = urlencode({"token": self.token, "frame_no": -1, "expr": "secret"} | fields).encode()
        kind = "Content-Type: application/x-www-form-urlencoded"
        return parsed(self.get(url or self.url, kind, *headers, method=method, body=form))

    def told(self, expr: str, **fields: Any) -> str:
        code, headers, body = self.ask(expr=expr, **fields)
        assert (code, headers["content-type"]) == (200, "application/json"), body
        text = json.loads(body)
        assert isinstance(text, str)
        return text

    def count(self) -> int:
        """How many failures are kept."""
        return sum(len(debugger.sessions) for debugger in self.web.debuggers)  # type: ignore[attr-defined]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# Who gets the page:


def test_an_allowed_client_gets_the_page(caplog: pytest.LogCaptureFixture) -> None:
    """With the failure, the step, the frames with their variables, and the baton as it was."""
    page = Debugged().fail("/?a=b")
    for text in (
        "<title>web.Server Traceback (most recent call last)</title>",
        "<h1>web.Server Traceback (most recent call last)</h1>",
        "ValueError: no such thing",
        "in pipeline pipeline.it, step pipeline.it",
        "GET /?a=b",
        "<dt>secret</dt><dd>42</dd>",
        "&quot;seen&quot;: 42",
        "what a person wants to see",
        " frames of Piped and Twisted</summary>",
    ):
        assert text in page
    assert [record.levelname for record in caplog.records if "failed for" in record.message] == ["ERROR"]


def test_nobody_may_debug_unless_somebody_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Without `debug`, and with an empty list, everybody gets the short page, and there is no address to ask at."""
    for debug in ({}, {"debug": {"allow": []}}, {"debug": None}):
        stage = Stage({"pipeline.it": broken}, routing=routed(), **debug)
        code, _, body = parsed(stage.get())
        assert (code, b"<b>Processing Failed</b>" in body, len(body) < 150) == (500, True, True)
        assert parsed(stage.get("/__debug__/x", method="POST"))[0] == 404
    assert warnings(caplog) == []


def test_who_may_debug_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """The log warns once of what a site lets others do, and names them."""
    Debugged(routing=routed() | {"a": routed(), "b": routed(debug={"allow": ["localhost", "10.0.0.0/8"]})})
    told = "web.site: clients from {} may run any code in this process, with its debugger (debug.allow)"
    assert sorted(warnings(caplog)) == [told.format("192.0.2.1"), told.format("localhost, 10.0.0.0/8")]


def test_a_client_that_is_not_allowed_gets_the_short_page_and_no_frame_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing of the failure reaches the client, and nothing of it lives on."""
    caplog.set_level(logging.DEBUG, "piped.web")
    watched: list[weakref.ref[Thing]] = []

    def processor(baton: Any) -> None:
        thing = Thing()
        watched.append(weakref.ref(thing))
        raise ValueError("secret")

    stage = Debugged(processor, debug={"allow": ["localhost"], "hosts": ["site"]}, log_exceptions=None)
    code, _, body = parsed(stage.get("/", "X-Forwarded-For: 127.0.0.1"))
    assert (code, b"<b>Processing Failed</b>" in body, b"secret" in body) == (500, True, False)
    gc.collect()
    assert [reference() for reference in watched] == [None]
    assert stage.count() == 0
    assert "does not show the failure of GET /: 192.0.2.1 is not on the list" in caplog.text


def test_a_client_may_be_named() -> None:
    """Names are looked up when the site starts; this one stands for an address without asking anybody."""
    named = {"allow": ["0xc0000201"], "hosts": ["site"]}
    stage = Debugged(debug=named)
    assert TITLE in stage.get()
    assert TITLE not in Stage({"pipeline.it": broken}, routing=routed(), debug=named).get()


@pytest.mark.parametrize("header", ["Via: 1.1 proxy", "X-Forwarded-For: 192.0.2.1"])
def test_who_comes_through_a_proxy_gets_the_short_page(header: str) -> None:
    """The peer is on the list, but it is not the client."""
    assert TITLE not in Debugged().get("/", header)


def test_a_foreign_host_gets_the_short_page() -> None:
    """A page that made a browser believe that this server is its own cannot read the token."""
    stage = Debugged(debug={"allow": ["192.0.2.1"]})
    assert TITLE not in stage.get()
    for host in ("127.0.0.1:8080", "localhost"):
        assert TITLE in stage.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("debug", "is_shown"), [(None, True), ({"reap_interval": 5}, True), ({"allow": []}, False), ({"hosts": []}, False)]
)
def test_a_path_may_differ_from_its_site(debug: Any, is_shown: bool) -> None:
    """What a path says of debugging holds there, and what it leaves out is as for the site."""
    stage = Debugged(routing=routed() | {"inner": routed(debug=debug)})
    assert (TITLE in stage.get("/inner")) == is_shown
    assert TITLE in stage.get("/")


def test_a_path_alone_may_be_debugged() -> None:
    """A site that says nothing lets nobody, but at the paths that do."""
    stage = Debugged(debug=None, routing=routed() | {"inner": routed(debug=ALLOWED)})
    assert [TITLE in stage.get(path) for path in ("/", "/inner", "/inner/")] == [False, True, True]


def test_head_gets_no_page() -> None:
    """A client that can see no page keeps no failure either."""
    stage = Debugged()
    assert parsed(stage.get(method="HEAD"))[1]["content-length"] == "112"
    assert stage.count() == 0


def test_an_answer_that_has_begun_becomes_no_page() -> None:
    """Half an answer and the inside of the program do not belong together: the connection is cut."""

    def processor(baton: Any) -> None:
        baton["request"].write("half")
        broken(baton)

    stage = Debugged(processor)
    assert stage.get().endswith(b"4\r\nhalf\r\n")
    assert (stage.is_hung_up_on, stage.count()) == (True, 0)


def test_an_answer_that_was_given_stays() -> None:
    """A failure after the response is logged, and nothing else."""

    def processor(baton: Any) -> None:
        baton["request"].answer(b"whole")
        broken(baton)

    stage = Debugged(processor)
    assert (parsed(stage.get())[2], stage.count()) == (b"whole", 0)


def test_what_was_cancelled_or_came_too_late_is_nothing_to_debug() -> None:
    """A client that has left, a pipeline that was cancelled and a response that is late leave no failure behind."""
    waiting: list[Deferred[Any]] = []

    def processor(baton: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1]

    stage = Debugged(processor, response_timeout=5)
    stage.get()
    waiting[0].errback(Failure(CancelledError()))
    assert b"Processing Failed" in stage.transport.value()
    stage.get()
    stage.reactor.advance(6)
    assert parsed(stage.transport.value())[0] == 504
    stage.get(method="POST")
    stage.leave()
    waiting[2].errback(Failure(ValueError()))
    assert stage.count() == 0


def test_a_failure_after_a_wait_can_be_debugged() -> None:
    """The page comes when the pipeline has failed, whenever that is."""
    waiting: Deferred[Any] = Deferred()

    async def processor(baton: Any) -> None:
        secret = await waiting
        raise ValueError(secret)

    stage = Debugged(processor)
    assert stage.get() == b""
    waiting.callback("came late")
    assert b"ValueError: came late" in stage.transport.value()


def test_the_page_keeps_to_itself() -> None:
    """Nothing that a pipeline has set opens it to other pages, caches or frames; only its own script runs."""

    def processor(baton: Any) -> None:
        for name in ("Access-Control-Allow-Origin", "Content-Encoding", "ETag", "Cache-Control", "X-Mine"):
            baton["request"].setHeader(name, "*")
        baton["request"].addCookie("login", "1")
        baton["request"].setHeader("Content-Length", "3")
        broken(baton)

    code, headers, body = parsed(Debugged(processor).get())
    assert (code, headers["content-length"]) == (500, str(len(body)))
    assert headers.keys() & {"access-control-allow-origin", "content-encoding", "etag", "x-mine", "set-cookie"} == set()
    assert (headers["cache-control"], headers["x-frame-options"]) == ("no-store", "DENY")
    assert headers["x-content-type-options"] == "nosniff"
    assert (headers["cross-origin-resource-policy"], headers["referrer-policy"]) == ("same-origin", "no-referrer")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_a_client_is_answered_whatever_is_wrong_with_its_failure(caplog: pytest.LogCaptureFixture) -> None:
    """An error that cannot tell its own text is still 500, and what went wrong about it is in the log."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise KeyError("nothing to say")

    def processor(baton: Any) -> None:
        raise Mute

    for options in ({}, {"debug": None}):
        stage = Debugged(processor, **options)
        assert parsed(stage.get())[0] == 500


@pytest.mark.parametrize(
    ("debug", "told"),
    [
        ({}, "web.site.debug needs the option 'allow'"),
        ({"allow": "localhost"}, "option 'allow' of web.site.debug must be a list"),
        ({"allow": ["300.1.2.3"]}, "a client must be an address, a network such as 192.0.2.0/24, or a host name"),
        (
            {"allow": [], "reap_interval": 0},
            "option 'reap_interval' of web.site.debug must be a number above 0 (s), not 0",
        ),
        ({"allow": [], "allows": []}, "web.site.debug has no option 'allows'"),
    ],
)
def test_a_mistake_in_who_may_debug_is_told(debug: Any, told: str) -> None:
    """Nobody finds out by accident who was let in."""
    with pytest.raises(ConfigurationError) as caught:
        Stage({"pipeline.it": broken}, routing=routed(), debug=debug)
    assert [problem.what[: len(told)] for problem in caught.value.problems] == [told]


# Evaluations:


def test_python_is_evaluated_in_a_frame() -> None:
    """Expressions, statements, and failures of their own; without a number in the innermost frame."""
    stage = Debugged()
    stage.fail()
    assert stage.told("secret, baton['seen']") == "(42, 42)\n"
    assert stage.told("twice = 2 * secret\nprint(twice)") == "84\n"
    assert stage.told("twice") == "84\n"
    assert "NameError: name 'twice' is not defined" in stage.told("twice", frame_no=0)
    assert "ZeroDivisionError" in stage.told("1 / 0")
    assert "SyntaxError" in stage.told("a b")
    assert stage.told("") == ""
    assert stage.told("'</script>é\\ud800'") == "'</script>é\\ud800'\n"


def test_an_evaluation_may_wait(caplog: pytest.LogCaptureFixture) -> None:
    """The answer comes when what is awaited has come; a client that leaves stops it."""
    waiting: list[Deferred[int]] = [Deferred(), Deferred()]

    def processor(baton: Any) -> None:
        things = waiting
        raise ValueError(len(things))

    stage = Debugged(processor)
    stage.fail()
    form = urlencode({"token": stage.token, "expr": "await things[0]"}).encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    assert stage.get(stage.url, kind, method="POST", body=form) == b""
    waiting[0].callback(5)
    assert json.loads(parsed(stage.transport.value())[2]) == "5\n"
    form = urlencode({"token": stage.token, "expr": "await things[1]"}).encode()
    stage.get(stage.url, kind, method="POST", body=form)
    stage.leave()
    assert waiting[1].called


def test_a_failure_is_kept_while_something_is_awaited_in_it() -> None:
    """The time counts from the command, not from its end."""
    waiting: Deferred[int] = Deferred()

    def processor(baton: Any) -> None:
        secret = waiting
        raise ValueError(secret)

    stage = Debugged(processor, debug=ALLOWED | {"max_inactive_time": 30, "reap_interval": 1})
    stage.fail()
    stage.reactor.pump([1] * 25)
    form = urlencode({"token": stage.token, "expr": "await secret"}).encode()
    stage.get(stage.url, "Content-Type: application/x-www-form-urlencoded", method="POST", body=form)
    stage.reactor.pump([1] * 25)
    waiting.callback(5)
    assert json.loads(parsed(stage.transport.value())[2]) == "5\n"
    stage.reactor.pump([1] * 25)
    assert stage.told("7") == "7\n"


def test_what_is_shown_is_bounded() -> None:
    """An evaluation that prints for a long time fills neither the memory nor the page."""
    stage = Debugged()
    stage.fail()
    text = stage.told(f"for _ in range(10): print('x' * {MOST_OUTPUT // 4})")
    assert text.endswith("… the rest is too long to be shown\n")
    assert len(text) < MOST_OUTPUT + 100


def test_what_was_typed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """That somebody evaluates is told, and who; not what, which may be a secret."""
    caplog.set_level(logging.DEBUG)
    stage = Debugged()
    stage.fail()
    stage.told("'hidden' + 'value'; 1 / 0")
    assert "web.site: 192.0.2.1 evaluates in broken" in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("number", ["99", "-99", "first", ""])
def test_a_frame_that_is_not_there_is_told(number: str) -> None:
    """A wrong number is a mistake of the client."""
    stage = Debugged()
    stage.fail()
    assert stage.ask(frame_no=number)[0] == 400


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/", "/__debug__/"),
        ("/a%20b/", "/a%20b/__debug__/"),
        ("/sparse/deep/er", "/sparse/__debug__/"),
        ("/users/7%2F8", "/users/7%2F8/__debug__/"),
        ("/got", "/got/__debug__/"),
    ],
)
def test_evaluations_go_to_the_path_that_is_configured(path: str, url: str) -> None:
    """`<path>/__debug__/<id>`, also where a processor has more than one path."""
    sparse = {"__config__": {"no_resource_processor": "pipeline.it"}}
    got = {"__config__": {"methods": {"GET": "pipeline.it"}}}
    routing = routed() | {"a b": routed(), "sparse": sparse, "users": {"{id}": routed()}, "got": got}
    stage = Debugged(routing=routing)
    stage.fail(path)
    assert stage.url.startswith(url)
    assert stage.told("secret") == "42\n"


# Refusals:


def refused(stage: Debugged, caplog: pytest.LogCaptureFixture, answer: tuple[int, Any, bytes]) -> tuple[int, str]:
    """The code of a refusal and why, as the log tells it; nothing was evaluated."""
    code, _, body = answer
    assert b"42" not in body
    told = warnings(caplog)[-1]
    assert told.startswith("web.site refuses to let 192.0.2.1 debug (")
    return code, told.partition("): ")[2]


def test_wrong_tokens_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Without the token of that very failure nobody evaluates."""
    stage = Debugged()
    stage.fail()
    other, url = stage.token, stage.url
    stage.fail()
    for token in ("", "guessed", other, stage.token[:-1], f"{stage.token}é"):
        assert refused(stage, caplog, stage.ask(token=token)) == (403, "its token is wrong")
    assert refused(stage, caplog, stage.ask(url=url)) == (403, "its token is wrong")
    assert stage.ask()[0] == 200


def test_fields_of_the_address_are_none() -> None:
    """Addresses are logged and remembered: neither the token nor what is typed is taken from there."""
    stage = Debugged()
    stage.fail()
    query = urlencode({"token": stage.token, "expr": "secret"})
    assert parsed(stage.get(f"{stage.url}?{query}", method="POST"))[0] == 403
    code, _, body = stage.ask(url=f"{stage.url}?expr=secret", expr="7")
    assert (code, json.loads(body)) == (200, "7\n")


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_what_is_no_form_is_a_mistake_of_the_client(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A body that cannot be read is answered with 400 and told in a line, not as a failure of the site."""
    stage = Debugged()
    stage.fail()
    answer = parsed(stage.get(stage.url, f"Content-Type: {kind}", method="POST", body=b"garbage"))
    code, reason = refused(stage, caplog, answer)
    assert (code, "the form is malformed" in reason) == (400, True)


@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"])
def test_other_pages_are_refused(header: str, caplog: pytest.LogCaptureFixture) -> None:
    """A page that a developer visits cannot evaluate, not even with the token."""
    stage = Debugged()
    stage.fail()
    code, reason = refused(stage, caplog, stage.ask(header))
    assert (code, "another" in reason) == (403, True)
    assert stage.ask("Origin: http://site", "Sec-Fetch-Site: same-origin")[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_only_post_evaluates(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a link or an image can do is not enough."""
    stage = Debugged()
    stage.fail()
    query = urlencode({"token": stage.token, "frame_no": -1, "expr": "secret"})
    code, headers, body = parsed(stage.get(f"{stage.url}?{query}", method=method))
    assert (code, headers["allow"], b"42" in body) == (405, "POST", False)
    assert "only POST evaluates" in warnings(caplog)[-1]


def test_unknown_failures_are_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """An id that there is not, below a path that can be debugged, is 404 for the allowed."""
    stage = Debugged()
    stage.fail()
    for url in ("/__debug__/unknown", "/__debug__", "/__debug__/", f"{stage.url}/more"):
        assert refused(stage, caplog, stage.ask(url=url))[0] == 404


def test_who_is_not_or_no_longer_allowed_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """The list, the way and the host count for each evaluation, whatever the client knows."""
    stage = Debugged(routing=routed() | {"closed": routed(debug={"allow": ["localhost"]})})
    stage.fail()
    url = stage.url.replace("/__debug__", "/closed/__debug__")
    assert refused(stage, caplog, stage.ask(url=url)) == (403, "192.0.2.1 is not on the list")
    assert refused(stage, caplog, stage.ask("Via: 1.1 proxy"))[0] == 403
    request = f"POST {stage.url} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode()
    assert refused(stage, caplog, parsed(stage.send(request)))[0] == 403


# How long failures are kept:


def test_a_failure_is_forgotten_when_nobody_looks_into_it(caplog: pytest.LogCaptureFixture) -> None:
    """After `max_inactive_time` since the last command; then its token is worth nothing."""
    watched: list[weakref.ref[Thing]] = []

    def processor(baton: Any) -> None:
        secret = 42
        thing = Thing()
        watched.append(weakref.ref(thing))
        raise ValueError(secret, thing)

    stage = Debugged(processor, debug=ALLOWED | {"max_inactive_time": 300, "reap_interval": 60}, log_exceptions=None)
    stage.fail()
    for _ in range(3):
        stage.reactor.advance(250)
        stage.connect(stage.site)
        assert stage.told("secret") == "42\n"
    assert watched[0]() is not None
    stage.reactor.pump([60] * 6)
    gc.collect()
    assert (watched[0](), stage.count()) == (None, 0)
    stage.connect(stage.site)
    assert refused(stage, caplog, stage.ask())[0] == 404


def test_a_failure_that_is_due_is_forgotten_before_it_is_used() -> None:
    """Time counts, and not when it was last looked for."""
    stage = Debugged(debug=ALLOWED | {"max_inactive_time": 10, "reap_interval": 1000})
    stage.fail()
    stage.reactor.advance(11)
    assert stage.count() == 1
    assert stage.ask()[0] == 404


def test_so_many_failures_are_kept() -> None:
    """The one that was not used for the longest time makes room for another."""
    stage = Debugged()
    stage.fail()
    first = stage.url, stage.token
    stage.fail()
    second = stage.url, stage.token
    for _ in range(MOST_SESSIONS - 2):
        stage.reactor.advance(1)
        stage.fail()
    assert stage.ask(url=first[0], token=first[1])[0] == 200
    stage.fail()
    assert stage.count() == MOST_SESSIONS
    assert stage.ask(url=first[0], token=first[1])[0] == 200
    assert stage.ask(url=second[0], token=second[1])[0] == 404


def test_a_stop_forgets_all() -> None:
    """A site that has stopped keeps no failure, and looks for none."""
    stage = Debugged()
    stage.fail()

    def timers() -> int:
        return sum(isinstance(call.func, LoopingCall) for call in stage.reactor.getDelayedCalls())

    assert timers() == 1
    stage.web.stopService()
    assert (stage.count(), timers()) == (0, 0)


@given(st.lists(st.floats(0, 1000)), st.floats(0, 2000), st.floats(0, 500))
def test_those_that_are_idle_for_too_long_have_expired(times: list[float], now: float, idle: float) -> None:
    """Exactly those, and the oldest of them first."""
    kept = KeptError(ValueError())
    sessions = [Session(kept, time, str(number), "") for number, time in enumerate(times)]
    found = expired(sessions, now, idle)
    assert {session.id for session in found} == {s.id for s in sessions if now - s.last_used > idle}
    assert [session.last_used for session in found] == sorted(session.last_used for session in found)


def test_what_a_path_says_goes_before_what_its_site_says() -> None:
    """Each option by itself; without a site the defaults are below."""
    site = SiteDebug(allow=["a"], max_inactive_time=5, hosts=["h"])  # type: ignore[list-item]  # texts do
    assert merged(site, None) is not None
    assert merged(site, PathDebug(max_inactive_time=7)) == SiteDebug(["a"], 60, 7, ["h"])  # type: ignore[list-item]
    assert merged(site, PathDebug(allow=[], hosts=[])) == SiteDebug([], 60, 5, [])
    assert merged(None, PathDebug(reap_interval=1)) == SiteDebug([], 1, 300, [])
