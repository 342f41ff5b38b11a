"""Steps that send responses in parts, and events to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from test_web_events import received
from twisted.internet.defer import Deferred
from web_stage import Reactor, Stage, parsed

from piped.ground.batons import BatonPath
from piped.ground.errors import ConfigurationError, PipedError
from piped.runtime.environment import RuntimeEnvironment
from piped.web.processors import SetHTTPHeaders, WriteWebResponse
from piped.web.streaming_processors import OpenEventStream, SendEvent, StreamWebResponse
from piped.web.topics import topics_of

pytestmark = pytest.mark.usefixtures("each_channel")
ROUTING = {"__config__": {"processor": "pipeline.it"}}


class Steps(Stage):
    """A site whose pipeline is a sequence of steps, each called with the same baton."""

    def __init__(self, *steps: Any, options: dict[str, Any] | None = None, **baton: Any) -> None:
        self.batons: list[Any] = []

        async def it(request: dict[str, Any]) -> Any:
            made = {**request, **baton}
            self.batons.append(made)
            for step in steps:
                produced = step.process(made)
                made = await produced if hasattr(produced, "__await__") else produced
            return made

        super().__init__({"pipeline.it": it}, routing=ROUTING, **(options or {}))
        for step in steps:
            step.configure(self.environment)

    @property
    def response(self) -> tuple[int, dict[str, str], bytes]:
        code, headers, body = parsed(self.transport.value())
        return code, headers, unchunked(body) if headers.get("transfer-encoding") == "chunked" else body


def unchunked(body: bytes) -> bytes:
    """The bytes of a body in chunks, as far as it has come."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


class After(WriteWebResponse):
    """A step that keeps what comes to it."""

    def __init__(self) -> None:
        super().__init__()
        self.batons: list[Any] = []

    def process(self, baton: Any) -> Any:
        self.batons.append(baton)
        return baton


def streamed(content: Any, method: str = "GET", *headers: str, **options: Any) -> Steps:
    """A client that was answered with `stream-web-response`."""
    steps = Steps(StreamWebResponse(**options), content=content)
    steps.get("/", *headers, method=method)
    return steps


def failing(*parts: Any) -> Iterator[Any]:
    yield from parts
    raise ValueError("out of order")


class TestStreamWebResponse:
    """stream-web-response."""

    def test_parts_are_a_response(self) -> None:
        """Text and bytes are sent in chunks, the response is finished, and the connection can be used again."""
        steps = streamed(["grün ", b"\xff", "x"], content_type="text/plain", response_code="ACCEPTED")
        assert steps.transport.value().endswith(b"0\r\n\r\n")
        code, headers, body = steps.response
        assert (code, headers["content-type"], body) == (202, "text/plain", b"gr\xc3\xbcn \xffx")
        assert not steps.is_hung_up_on

    def test_the_baton_is_passed_on(self) -> None:
        """What follows gets the same baton."""
        assert streamed(["x"]).batons[0]["content"] == ["x"]

    def test_values_are_lines_of_json(self) -> None:
        """Each value is a line, whatever it is."""
        _, headers, body = streamed([{"ü": 1}, "text\n", None], format="json-lines").response
        assert headers["content-type"] == "application/x-ndjson"
        assert body == '{"ü": 1}\n"text\\n"\nnull\n'.encode()

    def test_the_type_of_json_lines_can_be_named(self) -> None:
        """Some call it by another name."""
        headers = streamed([1], format="json-lines", content_type="application/jsonl").response[1]
        assert headers["content-type"] == "application/jsonl"

    def test_text_may_be_encoded_in_another_way(self) -> None:
        """`encoding` is for all parts of text; one that does not exist is a mistake of the configuration."""
        assert streamed(["ü", b"\xff"], encoding="latin1").response[2] == b"\xfc\xff"
        with pytest.raises(ConfigurationError, match="utf-9"):
            StreamWebResponse(encoding="utf-9")

    def test_a_mark_of_the_encoding_comes_once(self) -> None:
        """What a spreadsheet knows UTF-8 by stands at the begin, and not before each line."""
        rows = (row for row in ("ä\n", "b\n"))
        assert streamed(rows, encoding="utf-8-sig").response[2] == "\ufeffä\nb\n".encode()
        assert streamed(["a", "b"], encoding="utf-16").response[2].decode("utf-16") == "ab"

    @pytest.mark.parametrize("step", [StreamWebResponse, WriteWebResponse])
    def test_a_type_that_no_header_can_have_is_a_mistake(self, step: Any) -> None:
        """It is told by the check, and not by each response."""
        with pytest.raises(ConfigurationError, match="a header cannot hold a line break: 'content-type'"):
            step(content_type="text/csv\nx-other: 1")

    def test_nothing_is_a_response_too(self) -> None:
        """Without any part it is empty, and says so."""
        code, headers, body = streamed([]).response
        assert (code, headers["content-length"], body) == (200, "0", b"")

    def test_head_is_sent_the_head(self) -> None:
        """Nothing is generated for HEAD, and files are closed."""

        async def never() -> Any:
            raise AssertionError("it was generated")
            yield

        assert streamed(never(), "HEAD").response[0] == 200
        file = BytesIO(b"x" * 100)
        code, headers, body = streamed(file, "HEAD", content_type="text/plain").response
        assert (code, headers["content-type"], body) == (200, "text/plain", b"")
        assert file.closed

    def test_head_is_sent_the_head_of_get(self) -> None:
        """What looks at it, such as compression, finds a body whose length nobody knows, as for GET."""
        sizes: list[int | None] = []
        for method in ("GET", "HEAD"):
            steps = Steps(StreamWebResponse(), content=["x"])
            steps.site.before_head = lambda _, size: sizes.append(size)
            steps.get(method=method)
        assert sizes == [None, None]

    def test_old_clients_are_sent_no_chunks(self) -> None:
        """Over HTTP/1.0 the end of the connection is the end of the response."""
        steps = Steps(StreamWebResponse(), content=["a", "b"])
        steps.send(b"GET / HTTP/1.0\r\n\r\n")
        assert steps.transport.value().endswith(b"\r\n\r\nab")
        assert steps.is_hung_up_on

    def test_a_client_that_left_is_skipped(self) -> None:
        """A baton whose request was answered passes untouched."""
        content = iter(["never"])
        steps = Steps(WriteWebResponse(fallback_content="x"), StreamWebResponse(content_path="parts"), parts=content)
        assert steps.get().endswith(b"x")
        assert next(content) == "never"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (17, "int cannot be sent in parts"),
            ([17], "a part of what lies at 'content' is neither text nor bytes, but int"),
        ],
    )
    def test_what_cannot_be_sent_is_told(self, content: Any, message: str, caplog: pytest.LogCaptureFixture) -> None:
        """The log says what it was; the client gets the page of a failure, as nothing was sent yet."""
        assert streamed(content).response[0] == 500
        assert message in caplog.text

    def test_nothing_to_send_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """A path that leads nowhere is named."""
        steps = Steps(StreamWebResponse(content_path="rows"))
        assert b" 500 " in steps.get()
        assert "stream-web-response finds nothing to send at 'rows'" in caplog.text

    def test_a_failure_in_the_midst_is_no_end(self, caplog: pytest.LogCaptureFixture) -> None:
        """What was begun is cut, so that nobody takes it for whole, and the failure is told."""

        async def parts() -> Any:
            yield "begun"
            raise ValueError("out of order")

        steps = streamed(parts())
        assert steps.transport.value().endswith(b"5\r\nbegun\r\n")
        assert steps.is_hung_up_on
        assert "out of order" in caplog.text

    def test_a_failure_over_an_old_protocol_is_no_end(self) -> None:
        """Where the end of the connection is that of the response, it is reset: a proxy must not take it for whole."""

        async def parts() -> Any:
            yield "begun"
            raise ValueError("out of order")

        steps = Steps(StreamWebResponse(), content=parts())
        assert steps.send(b"GET / HTTP/1.0\r\n\r\n").endswith(b"begun")
        assert steps.transport.disconnected

    def test_nobody_can_mend_a_response_that_has_failed(self) -> None:
        """What handles the failure cannot end it as if it were whole."""

        async def parts() -> Any:
            yield "begun"
            raise ValueError("out of order")

        class Mended(StreamWebResponse):
            async def process(self, baton: Any) -> Any:
                try:
                    return await super().process(baton)
                except ValueError:
                    return baton

        steps = Steps(Mended(), WriteWebResponse(content_path="none"), content=parts())
        steps.get()
        assert steps.transport.value().endswith(b"5\r\nbegun\r\n")
        assert steps.is_hung_up_on

    def test_a_failure_before_the_begin_is_answered(self, caplog: pytest.LogCaptureFixture) -> None:
        """As long as nothing was sent the client can be told."""
        assert streamed(failing("never sent")).response[0] == 500
        assert "out of order" in caplog.text

    @pytest.mark.parametrize("length", [3, 5])
    def test_a_wrong_length_is_no_end(self, length: int, caplog: pytest.LogCaptureFixture) -> None:
        """A response that is longer or shorter than its header says is cut: the next would not be understood."""

        steps = Steps(SetHTTPHeaders({"content-length": length}), StreamWebResponse(), content=["four"])
        steps.get()
        assert steps.is_hung_up_on
        assert f"content-length says {length}, and 4 bytes were sent" in caplog.text

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_client_that_leaves_ends_it(self, method: str, caplog: pytest.LogCaptureFixture) -> None:
        """The generator is closed at once, whatever the method, and nobody is bothered with it."""
        closed: list[str] = []

        async def endless() -> Any:
            try:
                while True:
                    yield "x"
                    steps.stop_taking()
            finally:
                closed.append("closed")

        steps = Steps(StreamWebResponse(), after := After(), content=endless())
        steps.get("/", method=method)
        assert steps.web.source.running == 1
        assert closed == []
        steps.leave()
        assert closed == ["closed"]
        assert steps.web.source.running == 0
        assert len(after.batons) == (0 if method == "GET" else 1), "GET is cancelled, others go on"
        assert caplog.messages == []

    def test_a_client_that_leaves_ends_what_gives_nothing(self) -> None:
        """Also a POST, which goes on then: its place among `max_running` is not taken for ever."""
        never: Deferred[None] = Deferred()

        async def silent() -> Any:
            yield "begun"
            await never

        steps = Steps(StreamWebResponse(), after := After(), content=silent())
        steps.get(method="POST")
        assert steps.web.source.running == 1
        steps.leave()
        assert (steps.web.source.running, len(after.batons)) == (0, 1)

    def test_it_has_all_the_time_that_it_needs(self) -> None:
        """`response_timeout` counts until the response has begun."""
        more: Deferred[None] = Deferred()

        async def slow() -> Any:
            yield "begun"
            await more
            yield " and done"

        steps = Steps(StreamWebResponse(), content=slow(), options={"response_timeout": 1})
        steps.get()
        steps.reactor.advance(10)
        more.callback(None)
        assert steps.response[2] == b"begun and done"

    def test_what_never_begins_is_too_late(self) -> None:
        """A source that gives nothing is 504, as any other."""
        never: Deferred[None] = Deferred()

        async def silent() -> Any:
            await never
            yield "never"

        steps = Steps(StreamWebResponse(), content=silent(), options={"response_timeout": 1})
        steps.get()
        steps.reactor.advance(1)
        assert steps.response[0] == 504


class TestWriteInSteps:
    """write-web-response with finish: false."""

    def test_the_pipeline_waits_for_its_client(self) -> None:
        """The next step is taken when the client takes more."""
        steps = Steps(WriteWebResponse(finish=False), WriteWebResponse(), content="part")
        steps.site.before_head = lambda *_: steps.stop_taking()
        steps.get()
        assert steps.response[2] == b"part"
        steps.take()
        assert steps.response[2] == b"partpart"

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_client_that_leaves_does_no_harm(self, method: str, caplog: pytest.LogCaptureFixture) -> None:
        """What waits ends: a GET is cancelled, others go on."""
        steps = Steps(WriteWebResponse(finish=False), after := After(), content="part")
        steps.site.before_head = lambda *_: steps.stop_taking()
        steps.get("/", method=method)
        assert steps.web.source.running == 1
        steps.leave()
        assert steps.web.source.running == 0
        assert len(after.batons) == (0 if method == "GET" else 1)
        assert caplog.messages == []

    def test_what_has_begun_has_all_the_time_that_it_needs(self) -> None:
        """`response_timeout` counts until the response has begun."""
        more: Deferred[None] = Deferred()

        class Later(WriteWebResponse):
            async def process(self, baton: Any) -> Any:
                await more
                return super().process(baton)

        steps = Steps(WriteWebResponse(finish=False), Later(), content="part", options={"response_timeout": 1})
        steps.get()
        steps.reactor.advance(10)
        more.callback(None)
        assert steps.response[2] == b"partpart"


@pytest.mark.parametrize(
    "made",
    [
        WriteWebResponse(finish=False, skip_if_request_stopped=False),
        StreamWebResponse(skip_if_request_stopped=False),
        OpenEventStream("news", skip_if_request_stopped=False),
        SendEvent(skip_if_request_stopped=False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_does_not_skip_does_no_harm(made: Any, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """A step that is to run also when the response has ended finds nobody, and its baton goes on."""
    steps = Steps(WriteWebResponse(), made, after := After(), content="x", message="x")
    steps.get(method=method)
    assert len(after.batons) == 1
    assert caplog.messages == []
    assert "news" not in topics_of(steps.environment)


class TestOpenEventStream:
    """open-event-stream."""

    def test_the_response_stays_open(self, caplog: pytest.LogCaptureFixture) -> None:
        """The pipeline ends, and others may be processed; the client waits for events."""
        steps = Steps(OpenEventStream("news"), options={"max_running": 1, "response_timeout": 1})
        steps.get()
        assert steps.web.source.running == 0
        steps.reactor.advance(10)
        code, headers, _ = steps.response
        assert (code, headers["content-type"]) == (200, "text/event-stream")
        assert not steps.is_hung_up_on
        assert caplog.messages == []

    def test_what_is_published_comes(self) -> None:
        """Whoever has joined the topic gets its events, until he leaves."""
        steps = Steps(OpenEventStream("news"))
        steps.get()
        publish = step(steps.environment, SendEvent("news", event="rain"))
        publish({"message": "wet"})
        publish({"message": {"mm": 3}})
        assert received(steps.response[2]) == [("rain", "wet", ""), ("rain", '{"mm": 3}', "")]
        steps.leave()
        assert "news" not in topics_of(steps.environment)

    def test_the_topic_may_lie_in_the_baton(self) -> None:
        """`!path` says where; it need be no text."""
        steps = Steps(OpenEventStream(BatonPath("room")), room=17)
        steps.get()
        step(steps.environment, SendEvent(BatonPath("to")))({"message": "hello", "to": 17})
        assert received(steps.response[2]) == [(None, "hello", "")]

    def test_a_topic_that_is_not_in_the_baton_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """The option and the path are named."""
        steps = Steps(OpenEventStream(BatonPath("room")))
        assert b" 500 " in steps.get()
        assert "open-event-stream finds nothing for `topic` at 'room'" in caplog.text

    def test_who_comes_again_gets_what_was_missed(self) -> None:
        """The last id of the client says where to go on."""
        steps = Steps(OpenEventStream("news", history=10))
        steps.get()
        publish = step(steps.environment, SendEvent("news"))
        publish({"message": "first"})
        [(_, _, last)] = received(steps.response[2])
        steps.leave()
        publish({"message": "second"})
        steps.connect(steps.site)
        steps.get("/", f"Last-Event-ID: {last}")
        assert [data for _, data, _ in received(steps.response[2])] == ["second"]

    def test_a_topic_with_a_name_remembers_from_the_begin(self) -> None:
        """What was published before the first client came is there for one of another process."""
        steps = Steps(OpenEventStream("news", history=10))
        step(steps.environment, SendEvent("news"))({"message": "first"})
        steps.get("/", "Last-Event-ID: elsewhere")
        assert [data for _, data, _ in received(steps.response[2])] == ["first"]

    def test_what_was_missed_cuts_nobody(self) -> None:
        """More than a client may leave untaken is sent to one that comes again: else it would never catch up."""
        steps = Steps(OpenEventStream("news", history=10, max_unsent=100))
        publish = step(steps.environment, SendEvent("news"))
        for _ in range(10):
            publish({"message": "x" * 50})
        steps.site.before_head = lambda *_: steps.stop_taking()
        steps.get("/", "Last-Event-ID: elsewhere")
        publish({"message": "x" * 50})
        assert not steps.transport.disconnected
        assert len(received(steps.response[2])) == 11
        publish({"message": "x" * 50})
        assert steps.transport.disconnected

    def test_several_topics(self) -> None:
        """A client may be in more than one, with one response."""
        steps = Steps(OpenEventStream("news"), OpenEventStream("sport"))
        steps.get()
        step(steps.environment, SendEvent("news"))({"message": "wet"})
        step(steps.environment, SendEvent("sport"))({"message": "won"})
        assert [data for _, data, _ in received(steps.response[2])] == ["wet", "won"]
        assert steps.transport.value().count(b"HTTP/1.1") == 1

    def test_a_response_that_has_begun_cannot_become_one(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is told, and the connection is cut."""
        steps = Steps(WriteWebResponse(finish=False), OpenEventStream("news"), content="x")
        steps.get()
        assert "comes too late: the response of GET / has begun" in caplog.text
        assert steps.is_hung_up_on

    def test_head_is_sent_the_head(self) -> None:
        """HEAD does not wait for events."""
        steps = Steps(OpenEventStream("news"))
        steps.get(method="HEAD")
        code, headers, body = steps.response
        assert (code, headers["content-type"], body) == (200, "text/event-stream", b"")
        assert "news" not in topics_of(steps.environment)

    def test_a_response_without_a_body_is_no_stream(self) -> None:
        """204 tells a browser not to come again; no event is sent behind it, where the next response would be."""
        steps = Steps(WriteWebResponse(response_code=204, finish=False), OpenEventStream("news"))
        steps.get()
        assert steps.response[0] == 204
        assert "news" not in topics_of(steps.environment)

    def test_a_stop_ends_it(self) -> None:
        """A process that stops lets the clients go elsewhere, without a cut."""
        steps = Steps(OpenEventStream("news"))
        steps.get()
        steps.site.stopFactory()
        assert not steps.is_hung_up_on
        steps.environment.before_stop()
        assert steps.transport.value().endswith(b"0\r\n\r\n")
        assert steps.is_hung_up_on

    def test_a_stream_that_nobody_can_send_to_is_finished(self, caplog: pytest.LogCaptureFixture) -> None:
        """Without a topic it ends with its pipeline, which is told."""
        steps = Steps(OpenEventStream())
        steps.get()
        steps.batons.clear()
        steps.reactor.advance(0)
        assert steps.transport.value().endswith(b"0\r\n\r\n")
        assert "nothing refers to the request any more" in caplog.text

    def test_only_a_topic_has_a_history(self) -> None:
        """One without the other is a mistake of the configuration."""
        with pytest.raises(ConfigurationError, match="only a topic has a history"):
            OpenEventStream(history=3)


def step(environment: RuntimeEnvironment, made: Any) -> Callable[[Any], Any]:
    made.configure(environment)
    process: Callable[[Any], Any] = made.process
    return process


class TestSendEvent:
    """send-event."""

    def test_events_for_one_client(self) -> None:
        """Without a topic the client of the request is meant; `finish` ends its stream."""
        steps = Steps(OpenEventStream(), SendEvent(event="step"), SendEvent(finish=True), message="50 %")
        steps.get()
        assert received(steps.response[2]) == [("step", "50 %", ""), (None, "50 %", "")]
        assert steps.transport.value().endswith(b"0\r\n\r\n")

    def test_one_client_is_waited_for(self) -> None:
        """Progress is not told faster than it is taken."""
        steps = Steps(OpenEventStream(), SendEvent(), SendEvent(finish=True), message="hello")
        steps.site.before_head = lambda *_: steps.stop_taking()
        steps.get()
        assert len(received(steps.response[2])) == 1
        steps.take()
        assert len(received(steps.response[2])) == 2

    def test_a_client_that_left_is_skipped(self) -> None:
        """A baton whose client has left passes untouched."""
        steps = Steps(OpenEventStream("news"))
        steps.get()
        steps.leave()
        [baton] = steps.batons
        assert step(steps.environment, SendEvent())(baton) is baton

    def test_a_stream_must_be_open(self, caplog: pytest.LogCaptureFixture) -> None:
        """A pipeline that has forgotten to open one is told."""
        steps = Steps(SendEvent(), message="x")
        assert b" 500 " in steps.get()
        assert "send-event finds no open event stream for GET /" in caplog.text

    def test_an_id_may_be_given(self) -> None:
        """Numbers of rows are ids, too."""
        steps = Steps(OpenEventStream("news"))
        steps.get()
        baton = {"message": "x", "row": 17}
        assert step(steps.environment, SendEvent("news", event_id=BatonPath("row")))(baton) is baton
        assert received(steps.response[2]) == [(None, "x", "17")]

    def test_what_cannot_be_sent_is_told_to_the_publisher(self) -> None:
        """Also when nobody is there to get it."""
        environment = RuntimeEnvironment(reactor=Reactor())
        publish = step(environment, SendEvent("news", event=BatonPath("kind"), message_path="news"))
        with pytest.raises(PipedError, match="finds nothing to send at 'news'"):
            publish({})
        with pytest.raises(PipedError, match="nothing for `event` at 'kind'"):
            publish({"news": "x"})
        with pytest.raises(ValueError, match="single line"):
            publish({"news": "x", "kind": "a\nb"})
        with pytest.raises(TypeError, match="JSON"):
            publish({"news": object(), "kind": "a"})

    @pytest.mark.parametrize("options", [{"event": "a\nb"}, {"event_id": "a\rb"}, {"topic": "news", "finish": True}])
    def test_a_mistake_is_told_at_the_start(self, options: dict[str, Any]) -> None:
        """A name that no event can have, and a topic that is to be finished, are mistakes of the configuration."""
        with pytest.raises(ConfigurationError):
            SendEvent(**options)
