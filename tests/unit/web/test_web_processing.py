"""Requests as batons: what a site does for a processor, and instead of one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request as TwistedRequest
from web_stage import Reactor, Stage, parsed

from piped.ground.errors import ConfigurationError, Rejected
from piped.providers.web_provider import WebResource, WebSite

pytestmark = pytest.mark.usefixtures("each_channel")


def routed(processor: str = "pipeline.it") -> dict[str, Any]:
    return {"__config__": {"processor": processor}}


def hello(baton: Any) -> None:
    baton["request"].answer(b"hello")


class Waiting:
    """A processor that waits until it is told to go on."""

    def __init__(self) -> None:
        self.batons: list[Any] = []
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0

    def __call__(self, baton: Any) -> Deferred[Any]:
        self.batons.append(baton)
        self.waiting.append(Deferred(self._cancel))
        return self.waiting[-1]

    def _cancel(self, _: object) -> None:
        self.cancelled += 1


def refuse(baton: Any) -> None:
    baton["request"].setHeader("Cache-Control", "max-age=60")
    raise Rejected("a name is needed, not \udcff")


def test_what_a_pipeline_refuses_is_answered_with_400(caplog: pytest.LogCaptureFixture) -> None:
    """The sender is told why; nobody else need be troubled by it."""
    caplog.set_level(logging.INFO, "piped.web")
    code, headers, body = parsed(Stage({"pipeline.it": refuse}, routing=routed()).get())
    assert (code, headers["content-type"], body) == (400, "text/plain; charset=utf-8", b"a name is needed, not ?\n")
    assert "cache-control" not in headers
    [record] = [record for record in caplog.records if "refuses" in record.message]
    assert (record.levelno, record.exc_info) == (logging.INFO, None)


@pytest.mark.parametrize("ends", [True, False])
def test_a_refusal_after_the_answer_has_begun_is_a_failure(ends: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot be told to the client any more, so it is not to be overlooked in the log."""

    def late(baton: Any) -> None:
        baton["request"].write("begun")
        if ends:
            baton["request"].finish()
        refuse(baton)

    stage = Stage({"pipeline.it": late}, routing=routed())
    assert stage.get().startswith(b"HTTP/1.1 200 OK")
    assert stage.transport.disconnecting or ends
    [record] = [record for record in caplog.records if "failed for GET /" in record.message]
    assert (record.levelno, record.exc_info is None) == (logging.ERROR, False)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_a_processor_gets_requests_of_every_method(method: str) -> None:
    """The baton holds the request, whatever its method, and the processor writes the response."""
    batons: list[Any] = []

    def processor(baton: Any) -> None:
        batons.append((list(baton), isinstance(baton["request"], TwistedRequest), baton["request"].method.decode()))
        hello(baton)

    code, _, body = parsed(Stage({"pipeline.it": processor}, routing=routed()).get(method=method))
    assert (code, body, batons) == (200, b"hello", [(["request"], True, method)])


def test_a_path_is_answered_by_what_the_routing_says(tmp_path: Path) -> None:
    """Processors, files and what is left over are found through the whole site, with postpath and prepath."""
    seen: list[Any] = []

    def named(name: str) -> Any:
        def processor(baton: Any) -> None:
            seen.append(
                (
                    name,
                    baton["request"].postpath,
                    baton["request"].prePathURL().decode().removeprefix("http://site:12345"),
                )
            )
            hello(baton)

        return processor

    (tmp_path / "a.txt").write_text("file")
    names = {f"pipeline.{name}": named(name) for name in ("home", "deep", "rest")}
    stage = Stage(
        names,
        routing={
            **routed("pipeline.home"),
            "a b": {"__config__": {"no_resource_processor": "pipeline.rest"}, "deep": routed("pipeline.deep")},
            "files": {"__config__": {"static": str(tmp_path), "no_resource_processor": "pipeline.rest"}},
        },
    )
    for path in ("/", "/a%20b/x%2Fy/", "/a%20b/deep", "/files/none"):
        assert parsed(stage.get(path))[0] == 200
    assert seen == [
        ("home", [], "/"),
        ("rest", ["x/y", ""], "/a%20b"),
        ("deep", [], "/a%20b/deep"),
        ("rest", ["none"], "/files"),
    ]
    assert parsed(stage.get("/files/a.txt", method="HEAD"))[1]["content-length"] == "4"
    assert parsed(stage.get("/none"))[0] == 404


def test_a_failure_is_answered_with_500_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A processor that fails is 500 for the client, and one line with its traceback for the operator."""

    def processor(baton: Any) -> None:
        raise ValueError("no such thing")

    code, _, body = parsed(Stage({"pipeline.it": processor}, routing=routed()).get("/?b"))
    assert (code, b"Processing Failed" in body) == (500, True)
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "ERROR",
        "pipeline.it failed for GET /?b: ValueError: no such thing (in pipeline pipeline.it, step pipeline.it)",
    )
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no such thing"


@pytest.mark.parametrize(("level", "logged"), [("DEBUG", ["DEBUG"]), ("warn", ["WARNING"]), (None, [])])
def test_the_level_of_that_line_is_the_sites(
    level: str | None, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """`log_exceptions` says how loud a failure is; null keeps silent."""
    caplog.set_level(logging.DEBUG, "piped.web")
    Stage({"pipeline.it": lambda baton: 1 / 0}, routing=routed(), log_exceptions=level).get()
    assert [record.levelname for record in caplog.records if "failed" in record.message] == logged


def test_a_failure_in_a_preprocessor_is_answered_with_500(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Code of a configuration that fails while a file is prepared gets an answer, and a line in the site's name."""
    (tmp_path / "a.txt").write_text("file")
    static = {"path": str(tmp_path), "preprocessors": {"p": "request: 1 / 0"}}
    assert parsed(Stage({}, routing={"__config__": {"static": static}}).get("/a.txt"))[0] == 500
    [record] = caplog.records
    assert record.getMessage().startswith("web.site failed for GET /a.txt: ZeroDivisionError")


def test_a_processor_that_is_not_ready_is_503_until_it_is() -> None:
    """While what a processor needs is missing, clients are told to come again; then it works by itself."""
    stage = Stage({"pipeline.it": hello}, routing=routed())
    stage.processors.lose("pipeline.it")
    code, headers, body = parsed(stage.get())
    assert (code, headers["retry-after"], b"Processing Failed" in body) == (503, "2", True)
    stage.processors.restore("pipeline.it")
    assert parsed(stage.get())[0] == 200


def test_only_the_paths_of_a_lost_processor_are_503() -> None:
    """A site goes on with what it can do."""
    processors = {"pipeline.it": hello, "pipeline.other": hello}
    stage = Stage(processors, routing={**routed(), "other": routed("pipeline.other")})
    stage.processors.lose("pipeline.it")
    assert [parsed(stage.get(path))[0] for path in ("/", "/other")] == [503, 200]


def test_a_site_processes_so_many_requests_at_once() -> None:
    """Above `max_running` clients are told to come again, instead of everybody waiting longer."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed(), max_running=1)
    stage.get()
    stage.connect(stage.site)
    assert parsed(stage.get())[0] == 503
    waiting.batons.pop()["request"].answer(b"")
    waiting.waiting.pop().callback(None)
    assert stage.get() == b"", "the next one waits for its processor"


def test_a_response_may_come_later() -> None:
    """A processor may answer after any time; the connection waits."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed())
    assert stage.get() == b""
    stage.reactor.advance(3600)
    hello(waiting.batons[0])
    assert parsed(stage.transport.value())[2] == b"hello"
    waiting.waiting[0].callback(None)


def test_a_late_response_is_504_and_stops_the_pipeline(caplog: pytest.LogCaptureFixture) -> None:
    """With `response_timeout` a client does not wait forever, and nor does what worked for it."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed(), response_timeout=5)
    stage.get("/?slow")
    stage.reactor.advance(5.1)
    code, _, body = parsed(stage.transport.value())
    assert (code, b"Processing Failed" in body, waiting.cancelled) == (504, True, 1)
    assert [record.getMessage() for record in caplog.records] == ["pipeline.it did not answer GET /?slow in time"]


def test_a_response_that_does_not_end_in_time_is_cut_short(caplog: pytest.LogCaptureFixture) -> None:
    """A response that has begun cannot become a 504: the connection closes, and what still comes is not sent."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed(), response_timeout=5)
    stage.get()
    request = waiting.batons[0]["request"]
    request.write("begun")
    stage.reactor.advance(5.1)
    request.answer(b"more")
    assert stage.transport.value().endswith(b"5\r\nbegun\r\n")
    assert (stage.is_hung_up_on, waiting.cancelled, len(caplog.records)) == (True, 1, 1)


def test_a_response_in_time_leaves_no_timer() -> None:
    """`response_timeout` costs nothing once the response is finished."""
    stage = Stage({"pipeline.it": hello}, routing=routed(), response_timeout=5)
    before = len(stage.reactor.getDelayedCalls())
    stage.get()
    assert len(stage.reactor.getDelayedCalls()) == before


@pytest.mark.parametrize(
    ("method", "options", "cancelled"),
    [("GET", {}, 1), ("HEAD", {}, 1), ("POST", {}, 0), ("POST", {"cancel_on_disconnect": True}, 1)],
)
def test_a_client_that_leaves_stops_what_only_it_waited_for(
    method: str, options: dict[str, Any], cancelled: int, caplog: pytest.LogCaptureFixture
) -> None:
    """GET and HEAD are stopped, as nobody wants their answer; other methods go on unless the site says otherwise."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed(), **options)
    stage.get(method=method)
    stage.leave()
    assert (waiting.cancelled, stage.web.source.running) == (cancelled, 1 - cancelled)
    assert caplog.records == []


def test_a_failure_after_the_client_has_left_is_still_told(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in a POST is logged although nobody is there to be answered."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed())
    stage.get(method="POST")
    stage.leave()
    waiting.waiting[0].errback(Failure(ValueError("late")))
    assert len(caplog.records) == 1


def test_a_cancelled_pipeline_whose_client_waits_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A client is answered also when the pipeline was cancelled for another reason than its leaving."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed())
    stage.get()
    waiting.waiting[0].errback(Failure(CancelledError()))
    assert parsed(stage.transport.value())[0] == 500
    assert len(caplog.records) == 1


def test_a_pipeline_that_forgets_to_finish_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A request that a pipeline neither finished nor kept is finished, and the log names the pipeline."""
    stage = Stage({"pipeline.it": lambda baton: None}, routing=routed())
    stage.get("/?forgotten")
    stage.reactor.advance(0)
    assert parsed(stage.transport.value())[0] == 200
    assert "pipeline.it ended without finishing GET /?forgotten" in caplog.text


def test_a_request_that_somebody_kept_is_not_finished(caplog: pytest.LogCaptureFixture) -> None:
    """A pipeline may put its request aside for another one to answer."""
    kept: list[Any] = []
    stage = Stage({"pipeline.it": kept.append}, routing=routed())
    stage.get()
    stage.reactor.advance(60)
    assert stage.transport.value() == b""
    kept.pop()["request"].answer(b"late")
    assert parsed(stage.transport.value())[2] == b"late"
    assert caplog.records == []


def test_a_limit_in_time_does_not_keep_a_forgotten_request(caplog: pytest.LogCaptureFixture) -> None:
    """With `response_timeout`, too, a client whose request was forgotten is not kept waiting for it."""
    stage = Stage({"pipeline.it": lambda baton: None}, routing=routed(), response_timeout=5)
    stage.get()
    stage.reactor.advance(0)
    assert parsed(stage.transport.value())[0] == 200
    assert "nothing refers to the request any more" in caplog.text


def test_a_kept_request_is_still_limited_in_time() -> None:
    """`response_timeout` also counts for a request that was put aside and forgotten there."""
    kept: list[Any] = []
    stage = Stage({"pipeline.it": kept.append}, routing=routed(), response_timeout=5)
    stage.get()
    stage.reactor.advance(5.1)
    assert parsed(stage.transport.value())[0] == 504


def test_while_draining_nothing_new_is_taken() -> None:
    """A stop lets what is running end; who comes now is told to come again."""
    waiting = Waiting()
    stage = Stage({"pipeline.it": waiting}, routing=routed())
    stage.get()
    drained = stage.web.source.drain()
    assert not drained.called
    first = stage.transport
    stage.connect(stage.site)
    assert parsed(stage.get())[0] == 503
    hello(waiting.batons[0])
    waiting.waiting[0].callback(None)
    assert drained.called
    assert parsed(first.value())[2] == b"hello"


def test_a_concatenated_file_is_the_files_in_their_order(tmp_path: Path) -> None:
    """Several files are sent as one, read again when one has changed, and not sent twice to who has them."""
    for name in "ab":
        (tmp_path / name).write_text(f"{name};")
    paths = [str(tmp_path / "b"), str(tmp_path / "a")]
    config = {"concatenated": {"file_paths": paths, "content_type": "text/javascript"}}
    stage = Stage({}, routing={"all.js": {"__config__": config}})
    code, headers, body = parsed(stage.get("/all.js"))
    assert (code, headers["content-type"], body) == (200, "text/javascript", b"b;a;")
    assert parsed(stage.get("/all.js", f"If-None-Match: {headers['etag']}"))[0] == 304
    assert parsed(stage.get("/all.js", method="HEAD"))[1]["content-length"] == "4"
    assert parsed(stage.get("/all.js", method="POST"))[0] == 405
    (tmp_path / "a").write_text("changed")
    assert parsed(stage.get("/all.js"))[2] == b"b;changed"


def test_a_concatenated_file_of_nothing_is_empty() -> None:
    """No files make an empty one."""
    config = {"concatenated": {"file_paths": [], "content_type": "text/css"}}
    assert parsed(Stage({}, routing={"__config__": config}).get())[::2] == (200, b"")


def test_a_site_made_in_python_is_checked_too() -> None:
    """`WebSite(name, mapping)` tells every mistake of the mapping at once."""
    with pytest.raises(ConfigurationError) as caught:
        WebSite("site", {"routing": {"a": "b"}, "prot": 80})
    assert sorted(problem.what for problem in caught.value.problems) == [
        "a routing must be a mapping of path segments, not 'b'",
        "web.site has no option 'prot'",
    ]


def test_a_routing_may_be_mounted_below_a_resource_of_ones_own() -> None:
    """A WebResource is a Twisted resource: it answers below the place where somebody has put it."""
    stage = Stage({"pipeline.it": hello}, routing={})
    mounted = WebResource(stage.web, {"inner": routed()})
    mounted.configure(stage.environment)
    stage.environment.dependency_manager.resolve_initial_states()
    root = Resource()
    root.putChild(b"outer", mounted)
    stage.site.resource = root
    assert parsed(stage.get("/outer/inner"))[2] == b"hello"
    assert parsed(stage.get("/outer/none"))[0] == 404


def test_a_stop_hangs_up_on_the_clients() -> None:
    """When the site stops, the last connections are closed."""
    stage = Stage({"pipeline.it": hello}, routing=routed())
    assert isinstance(stage.reactor, Reactor)
    stopped = stage.web.stopService()
    assert stage.is_hung_up_on
    stage.leave()
    assert stopped.called


def test_a_site_that_waits_is_called_by_its_section() -> None:
    """What is told of a site that waits for its processors is `web.<name>`."""
    stage = Stage({"pipeline.it": hello}, routing=routed())
    stage.processors.lose("pipeline.it")
    [(name, _)] = stage.environment.dependency_manager.waiting()
    assert name == "web.site"
