"""Many requests over one connection, within the limits of the site; the client is the library h2."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st
from web_stage import Client, Stage

from piped import ConfigurationError
from piped.runtime.places import Listen
from piped.web.http2.limits import MOST_STREAMS, TAKEN_BACK, USELESS
from piped.web.http2.stream import BUFFER
from piped.web.options import SiteOptions
from piped.web.path_options import PathOptions, Routing
from piped.web.request import Request

ANSWER = "answer"
CALM = ErrorCodes.ENHANCE_YOUR_CALM
WIDE = 2**31 - 1


@dataclass
class Response:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    announced: list[int] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False
    reset: int | None = None

    @property
    def code(self) -> int:
        return int(self.headers[":status"])


class Http2:
    """A client whose frames are right unless a test makes them wrong; over the stage of a site."""

    def __init__(self, stage: Client, window: int = WIDE) -> None:
        self.stage, self.transport = stage, stage.transport
        self.transport.negotiatedProtocol = b"h2"
        stage.channel.handshakeCompleted()
        self.channel: Any = self.transport.wrappedProtocol
        self.rules = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        # Whatever a test wants to send that is wrong.
        self.rules.config.validate_outbound_headers = self.rules.config.normalize_outbound_headers = False
        self.rules.local_settings.initial_window_size = window
        self.rules.local_settings.acknowledge()
        self.responses: dict[int, Response] = {}
        self.goodbye: int | None = None
        self.settings: dict[Any, int] = {}
        self.takes_back = True
        self.rules.initiate_connection()
        if window == WIDE:
            self.rules.increment_flow_control_window(WIDE - 65535)
        self.turn(self.take())

    def turn(self, data: bytes = b"") -> None:
        """Send what is to be sent, and take what comes back; windows are opened again as data comes."""
        data += self.rules.data_to_send()
        while data:
            if not self.transport.disconnecting:
                self.channel.dataReceived(data)
            data = self.take()

    def take(self) -> bytes:
        """Take what has come; gives what is answered to it."""
        self.stage.reactor.advance(0)
        came = self.transport.value()
        self.transport.clear()
        for event in self.rules.receive_data(came):
            self._take(event)
        return b"" if self.goodbye is not None else self.rules.data_to_send()

    def _take(self, event: Any) -> None:
        match event:
            case events.ResponseReceived():
                self.responses[event.stream_id].headers = dict(event.headers)
            case events.InformationalResponseReceived():
                self.responses[event.stream_id].announced.append(int(dict(event.headers)[":status"]))
            case events.DataReceived():
                self.responses[event.stream_id].body += event.data
                if self.takes_back and event.flow_controlled_length:
                    self.rules.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self.responses[event.stream_id].is_whole = True
            case events.StreamReset():
                self.responses[event.stream_id].reset = event.error_code
            case events.ConnectionTerminated():
                self.goodbye = event.error_code
            case events.RemoteSettingsChanged():
                self.settings.update({code: one.new_value for code, one in event.changed_settings.items()})

    def begin(
        self, target: str = "/", *headers: tuple[str, str], method: str = "GET", body: bytes | None = None
    ) -> int:
        """Have a request ready to be sent; gives its stream. Without a body it is whole."""
        number: int = self.rules.get_next_available_stream_id()
        self.responses[number] = Response()
        head = [(":method", method), (":scheme", "https"), (":authority", "site"), (":path", target), *headers]
        self.rules.send_headers(number, head, end_stream=body is None)
        if body:
            self.rules.send_data(number, body)
        return number

    def get(self, target: str = "/", *headers: tuple[str, str], **options: Any) -> Response:
        """The response to a request without a body, as it stands at once."""
        number = self.begin(target, *headers, **options)
        self.turn()
        return self.responses[number]

    def after(self, seconds: float) -> None:
        """Let time pass, from second to second; what is sent is taken."""
        for _ in range(int(seconds)):
            self.stage.reactor.advance(1)
            self.turn(self.take())

    @property
    def is_hung_up_on(self) -> bool:
        return bool(self.transport.disconnecting)

    def leave(self) -> None:
        self.stage.channel = self.channel
        self.stage.leave()


def client(answer: Callable[[Request], object], window: int = WIDE, **options: Any) -> Http2:
    return Http2(Client(answer, **options), window)


def nothing(request: Request) -> None:
    """Answers later, or never."""


def ok(request: Request) -> None:
    request.answer(b"ok")


def echo(request: Request) -> None:
    request.answer(request.content.read())


# Requests and responses


def test_a_request_is_answered() -> None:
    """A request over HTTP/2 is what it is over HTTP/1.1, with the host it is meant for."""
    seen: list[Any] = []

    def answer(request: Request) -> None:
        seen.append((request.method, request.uri, request.clientproto, request.getHeader("host"), request.args["b"]))
        seen.append((request.getClientAddress().host, request.isSecure(), request.getCookie("c")))
        request.setHeader("X-Mine", 1)
        request.answer(b"hello")

    site = client(answer)
    response = site.get("/a?b=1", ("cookie", "a=b"), ("cookie", "c=d"))
    assert seen == [(b"GET", b"/a?b=1", b"HTTP/2", "site", ["1"]), ("192.0.2.1", False, "d")]
    assert (response.code, response.body, response.is_whole, response.reset) == (200, b"hello", True, None)
    assert (response.headers["x-mine"], response.headers["content-length"]) == ("1", "5")
    assert not site.channel.streams


def test_responses_come_as_they_are_ready() -> None:
    """No response waits for another one, and a short one not for the end of a long one."""
    kept: list[Request] = []
    site = client(kept.append)
    long, short, last = site.begin("/long"), site.begin("/short"), site.begin("/last")
    site.turn()
    order: list[int] = []
    site._take = lambda event: order.append(event.stream_id) if isinstance(event, events.StreamEnded) else None
    kept[0].answer(bytes(1_000_000))
    kept[1].answer(b"short")
    site.turn(site.take())
    kept[2].answer(b"last")
    site.turn(site.take())
    assert order == [short, long, last]


def test_bodies_come_with_and_without_their_length() -> None:
    """A body is read whole, whether its length was said before or not, and whatever follows it."""
    site = client(echo)
    number = site.begin(method="POST", body=b"some ")
    site.rules.send_data(number, b"more", end_stream=True)
    told = site.begin("/", ("content-length", "4"), method="PUT", body=b"four")
    site.rules.send_headers(told, [("x-trailer", "it")], end_stream=True)
    site.turn()
    assert (site.responses[number].body, site.responses[told].body) == (b"some more", b"four")


def test_who_asks_before_a_body_is_told_to_send_it() -> None:
    """`Expect: 100-continue` is answered before the body comes."""
    site = client(echo)
    number = site.begin("/", ("expect", "100-continue"), ("content-length", "1"), method="PUT", body=b"")
    site.turn()
    assert site.responses[number].announced == [100]
    site.rules.send_data(number, b"x", end_stream=True)
    site.turn()
    assert site.responses[number].body == b"x"


@pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_what_has_no_body_gets_none(method: str, code: int) -> None:
    """HEAD, 204 and 304 have headers only, and are whole."""

    def answer(request: Request) -> None:
        request.setResponseCode(code)
        request.answer(b"hello" if code == 200 else b"")

    response = client(answer).get(method=method)
    assert (response.code, response.body, response.is_whole, response.reset) == (code, b"", True, None)


def test_headers_of_http_1_are_not_sent() -> None:
    """What a pipeline says about the connection is left out: over HTTP/2 it would spoil the response."""

    def answer(request: Request) -> None:
        for name in ("Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"):
            request.setHeader(name, "close")
        request.write(b"hello")
        request.finish()

    response = client(answer).get()
    assert sorted(response.headers) == [":status", "content-type", "date", "server"]
    assert (response.body, response.is_whole) == (b"hello", True)


def test_half_a_response_is_not_taken_for_a_whole_one() -> None:
    """A response that is cut short ends with an error, and no other one does."""
    kept: list[Request] = []
    site = client(kept.append)
    cut, other = site.begin("/cut"), site.begin("/other")
    site.turn()
    kept[0].write(b"half")
    site.turn(site.take())
    kept[0].cut_short()
    kept[0].write(b"never")
    kept[1].answer(b"ok")
    site.turn(site.take())
    assert (site.responses[cut].is_whole, site.responses[cut].reset) == (False, ErrorCodes.INTERNAL_ERROR)
    assert site.responses[other].body == b"ok"
    assert kept[0].channel is None
    assert not site.channel.streams


def test_a_forgotten_request_is_finished() -> None:
    """A request that a pipeline leaves unfinished, and nobody refers to any more, is finished."""
    kept: list[Any] = []
    stage = Stage({"pipeline.it": kept.append}, routing={"__config__": {"processor": "pipeline.it"}})
    site = Http2(stage)
    response = site.get()
    assert not response.is_whole
    kept.clear()
    gc.collect()
    site.turn(site.take())
    assert (response.code, response.body, response.is_whole) == (200, b"", True)


# What is no request


@pytest.mark.parametrize(
    "change",
    [
        {":path": "x"},
        {":path": "/a b"},
        {":path": "/a\x7f"},
        {":path": "*"},
        {":path": "http://site/"},
        {":path": ""},
        {":path": None},
        {":method": "G T"},
        {":method": "CONNECT"},
        {":method": None},
        {":scheme": None},
        {":authority": None},
        {":authority": ""},
        {":authority": "me@site"},
        {":authority": "a b"},
        {":status": "200"},
        {":other": "x"},
        {"host": "another"},
        {"Upper": "x"},
        {"a(b": "x"},
        {"a b": "x"},
        {"a:b": "x"},
        {"": "x"},
        {"x": "a\rb"},
        {"x": "a\nb"},
        {"x": "a\0b"},
        {"x": " a"},
        {"connection": "close"},
        {"connection": "keep-alive"},
        {"transfer-encoding": "chunked"},
        {"keep-alive": "1"},
        {"upgrade": "h2c"},
        {"proxy-connection": "x"},
        {"te": "gzip"},
        {"content-length": "1"},
        {"content-length": "-1"},
        {"content-length": "+0"},
        {"content-length": "0_0"},
        {"content-length": "x"},
    ],
)
def test_what_is_no_request_is_refused(change: dict[str, str | None]) -> None:
    """What RFC 9113 calls malformed never reaches a pipeline: it is 400, or the end of the connection."""
    seen: list[Request] = []
    site = client(seen.append)
    head: dict[str, str | None] = {":method": "GET", ":scheme": "https", ":authority": "site", ":path": "/"}
    fields = [(name, value) for name, value in {**head, **change}.items() if value is not None]
    number = site.rules.get_next_available_stream_id()
    site.responses[number] = Response()
    # Not by h2, which would not send it.
    frame = HeadersFrame(number, site.rules.encoder.encode(fields), flags=["END_HEADERS", "END_STREAM"])
    site.channel.dataReceived(frame.serialize())
    site.stage.reactor.advance(0)
    came = site.transport.value()
    assert seen == []
    if site.is_hung_up_on:
        assert came[3] == 7, "a frame that says GOAWAY"
        assert came[-4:] == b"\0\0\0\1", "for an error in the protocol"
    else:
        assert b"\x8c" in came, "how :status: 400 is written"
        assert site.stage.entries[0].status == 400


def test_a_host_may_be_said_in_the_old_way() -> None:
    """A proxy may send `Host` instead of `:authority`, or the same in both, but not two of them."""
    hosts: list[Any] = []

    def answer(request: Request) -> None:
        hosts.append(request.requestHeaders.getRawHeaders("host"))
        request.answer(b"")

    site = client(answer)
    assert site.get("/", ("host", "site")).code == 200
    assert hosts == [["site"]]


def test_a_question_about_the_server_is_a_request() -> None:
    """`OPTIONS *` asks for no path, and is answered."""
    assert client(ok).get("*", method="OPTIONS").code == 200


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_break_it(data: bytes, is_behind_a_request: bool) -> None:
    """Whatever a client sends, it is answered or hung up on, and nothing is left of it."""
    site = client(ok)
    if is_behind_a_request:
        site.get()
    site.channel.dataReceived(data)
    site.stage.reactor.advance(100)
    site.stage.reactor.advance(0)
    assert site.is_hung_up_on
    site.leave()
    assert site.stage.site.channels == set()


@given(st.lists(st.integers(1, 40)))
def test_requests_may_come_in_any_pieces(sizes: list[int]) -> None:
    """It makes no difference how the network cuts what a client sends."""
    site = client(echo)
    numbers = [site.begin(f"/{n}", method="POST", body=b"x" * n) for n in range(3)]
    for number in numbers:
        site.rules.send_data(number, b"y", end_stream=True)
    data = site.rules.data_to_send()
    for size in sizes:
        site.channel.dataReceived(data[:size])
        data = data[size:]
    site.channel.dataReceived(data)
    site.turn(site.take())
    assert [site.responses[number].body for number in numbers] == [b"x" * n + b"y" for n in range(3)]


def test_a_body_that_is_not_whole_is_refused() -> None:
    """A client that announces more than it sends gets 400, however it ends the body."""
    seen: list[Request] = []
    site = client(seen.append)
    number = site.begin("/", ("content-length", "4"), method="POST", body=b"thr")
    site.rules.send_headers(number, [("x-trailer", "it")], end_stream=True)
    site.turn()
    assert (site.responses[number].code, seen) == (400, [])


@pytest.mark.parametrize("body", [b"much too long", b"thr", b""])
def test_a_body_of_another_length_ends_its_request_only(body: bytes) -> None:
    """A client that announces more or less than it sends loses that request, and no other one."""
    kept: list[Request] = []
    site = client(kept.append)
    other = site.begin()
    number = site.begin("/", ("content-length", "4"), method="POST", body=b"")
    # Not by h2, which would not send it.
    site.turn(site.rules.data_to_send() + DataFrame(number, body, flags=["END_STREAM"]).serialize())
    assert (site.responses[number].reset, len(kept)) == (ErrorCodes.PROTOCOL_ERROR, 1)
    kept[0].answer(b"ok")
    site.turn(site.take())
    assert (site.responses[other].body, site.is_hung_up_on, site.channel.streams) == (b"ok", False, {})


def test_bodies_that_are_taken_back_leave_room_for_others() -> None:
    """What came of a body that was taken back at once does not count for ever against the client."""
    site = client(echo)
    for _ in range(100):
        number = site.begin(method="POST", body=bytes(16384))
        site.rules.reset_stream(number)
        # The client opens its window, which h2 has closed for what it sent.
        site.channel.dataReceived(site.rules.data_to_send())
        site.rules.receive_data(site.transport.value())
        site.transport.clear()
    assert site.channel._rules.inbound_flow_control_window > 500_000


def test_bodies_of_another_length_leave_room_for_others() -> None:
    """What came of a body that was not as long as announced does not count for ever against the client."""
    site = client(echo)
    for _ in range(100):
        number = site.begin("/", ("content-length", "4"), method="POST", body=b"")
        site.turn(site.rules.data_to_send() + DataFrame(number, bytes(16384)).serialize())
    assert site.channel._rules.inbound_flow_control_window > 500_000


def test_a_body_with_two_lengths_is_refused() -> None:
    """A client that announces two lengths gets 400, even if they are the same."""
    seen: list[Request] = []
    lengths = [("content-length", "1"), ("content-length", "1")]
    assert client(seen.append).get("/", *lengths, method="POST", body=b"x").code == 400
    assert seen == []


# Size and number


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/" + 200 * "x", [], 414),
        ("/", [("x", 200 * "y")], 431),
        ("/", [(f"x{n}", "y") for n in range(6)], 431),
        ("/", [(f"x{n}", "y") for n in range(5)], 200),
    ],
)
def test_heads_are_limited(target: str, headers: list[tuple[str, str]], code: int) -> None:
    """A target or headers above `max_header_size`, or more headers than `max_headers`, are refused; others go on."""
    site = client(ok, max_header_size=150, max_headers=5)
    assert site.settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 150 + 5 * 32
    response = site.get(target, *headers)
    assert (response.code, response.is_whole) == (code, True)
    assert site.get().code == 200


def test_headers_that_unfold_without_end_are_not_unfolded() -> None:
    """A few bytes that stand for megabytes of headers end the connection (CVE-2016-6581)."""
    site = client(ok)
    value = 4000 * "x"
    site.get("/", ("x", value))
    number = site.rules.get_next_available_stream_id()
    site.responses[number] = Response()
    frame = HeadersFrame(number, bytes([0x80 | 62]) * 10_000, flags=["END_HEADERS", "END_STREAM"])
    site.turn(frame.serialize())
    assert (site.goodbye, site.is_hung_up_on) == (CALM, True)


def test_headers_without_end_are_not_kept() -> None:
    """CONTINUATION frames that never end end the connection, before they hold much memory."""
    site = client(ok)
    number = site.begin()
    site.rules.data_to_send()
    site.turn(HeadersFrame(number, b"").serialize())
    for _ in range(8):
        site.turn(ContinuationFrame(number, bytes(8000)).serialize())
    assert (site.goodbye, site.is_hung_up_on) == (CALM, True)


def test_streams_are_limited() -> None:
    """A client is told how many requests are answered at once, and hung up on when it begins more."""
    kept: list[Request] = []
    site = client(kept.append)
    assert site.settings[SettingCodes.MAX_CONCURRENT_STREAMS] == MOST_STREAMS == 100
    for _ in range(MOST_STREAMS):
        site.begin()
    site.turn()
    assert (len(kept), site.is_hung_up_on) == (MOST_STREAMS, False)
    site.rules.remote_settings.update({SettingCodes.MAX_CONCURRENT_STREAMS: 1000})
    site.rules.remote_settings.acknowledge()
    site.begin()
    site.turn()
    assert (len(kept), site.is_hung_up_on) == (MOST_STREAMS, True)


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_that_is_too_large_is_refused(is_announced: bool) -> None:
    """Above `max_body_size` a body is 413; other requests go on, and the client is heard out for a moment."""
    seen: list[Request] = []
    site = client(seen.append, max_body=10)
    headers = [("content-length", "20"), ("expect", "100-continue")] if is_announced else []
    number = site.begin("/large", *headers, method="POST", body=b"" if is_announced else bytes(11))
    site.turn()
    response = site.responses[number]
    assert (response.code, response.is_whole, response.announced, response.reset) == (413, True, [], None)
    site.after(4)
    assert (response.reset, seen, site.is_hung_up_on) == (ErrorCodes.NO_ERROR, [], False)
    site.get()
    assert len(seen) == 1
    assert [(entry.target, entry.status) for entry in site.stage.entries] == [(b"/large", 413)]


def test_what_still_comes_of_a_refused_body_harms_nobody() -> None:
    """What was on its way when a body was refused is thrown away, and leaves room for other bodies."""
    site = client(echo, max_body=10)
    number = site.begin(method="POST", body=bytes(11))
    site.turn()
    for _ in range(100):
        # Not by h2, which would wait until there is room for it.
        site.channel.dataReceived(DataFrame(number, bytes(10_000)).serialize())
    site.after(4)
    for _ in range(100):
        site.channel.dataReceived(DataFrame(number, bytes(10_000)).serialize())
    assert not site.is_hung_up_on
    assert site.channel._rules.inbound_flow_control_window > 500_000


def test_a_long_body_comes_as_fast_as_it_is_read() -> None:
    """A body of megabytes is read whole: there is always room for more of it."""
    site = client(lambda request: request.answer(b"%d" % len(request.content.read())), max_body=3_000_000)
    assert site.settings[SettingCodes.INITIAL_WINDOW_SIZE] > 200_000
    number = site.begin(method="POST", body=b"")
    left = 3_000_000
    while left:
        size = min(left, site.rules.local_flow_control_window(number), 16384)
        assert size > 0
        site.rules.send_data(number, bytes(size), end_stream=size == left)
        site.turn()
        left -= size
    assert site.responses[number].body == b"3000000"


def test_who_sends_the_rest_of_a_refused_body_is_not_told_to_stop() -> None:
    """A client that has sent its whole body soon after it was refused needs no error."""
    site = client(ok, max_body=10)
    number = site.begin(method="POST", body=bytes(11))
    site.turn()
    site.rules.send_data(number, bytes(100_000)[:16000], end_stream=True)
    site.turn()
    site.after(5)
    assert (site.responses[number].code, site.responses[number].reset) == (413, None)
    assert not site.channel.streams


# Time


def test_a_connection_is_kept_for_the_next_request_only_so_long() -> None:
    """After `keep_alive_timeout` without a request a client is told so and hung up on, whatever else it sends."""
    site = client(ok, keep_alive_timeout=5)
    site.after(4)
    site.get()
    for _ in range(4):
        site.rules.ping(b"12345678")
        site.after(1)
    assert not site.is_hung_up_on
    site.after(2)
    assert (site.goodbye, site.is_hung_up_on) == (ErrorCodes.NO_ERROR, True)


def test_who_waits_for_an_answer_is_not_hurried() -> None:
    """No limit for senders counts while a pipeline works for them."""
    site = client(nothing, header_timeout=1, body_timeout=1, keep_alive_timeout=1, send_timeout=1)
    site.get()
    number = site.begin(method="POST", body=b"x")
    site.rules.send_data(number, b"", end_stream=True)
    site.turn()
    site.after(100)
    assert (site.is_hung_up_on, len(site.channel.streams)) == (False, 2)


def test_headers_that_come_slowly_end_the_connection() -> None:
    """A client that sends the head of a request byte by byte is hung up on after `header_timeout`."""
    site = client(nothing, header_timeout=5, keep_alive_timeout=1000)
    site.get()
    site.begin("/" + 100 * "x")
    for byte in site.rules.data_to_send():
        site.channel.dataReceived(bytes([byte]))
        site.after(1)
        if site.is_hung_up_on:
            break
    assert (site.goodbye, site.stage.reactor.seconds() < 10) == (CALM, True)


@pytest.mark.parametrize(("size", "code"), [(0, 408), (1, 408), (10, 200)])
def test_a_body_that_drips_is_refused(size: int, code: int) -> None:
    """A body has to come with `min_rate` bytes a second on average, and not be silent for `body_timeout`."""
    site = client(ok, body_timeout=5, min_rate=10)
    number = site.begin(method="POST", body=b"x" if size else b"")
    for _ in range(29):
        if size and site.responses[number].headers == {}:
            site.rules.send_data(number, size * b"x")
        site.after(1)
    if code == 200:
        site.rules.send_data(number, b"", end_stream=True)
        site.turn()
    assert (site.responses[number].code, site.is_hung_up_on) == (code, False)
    assert [entry.status for entry in site.stage.entries] == [code]


def test_a_body_that_was_fast_may_not_fall_silent() -> None:
    """Whoever has sent much may be silent for `body_timeout`, and no longer."""
    site = client(ok, body_timeout=5, min_rate=10)
    number = site.begin(method="POST", body=bytes(900))
    site.after(4)
    assert site.responses[number].headers == {}
    site.after(3)
    assert site.responses[number].code == 408


def test_who_is_hung_up_on_and_does_not_go_is_cut() -> None:
    """A connection ends soon after it was hung up on, also when the client does not close it."""
    site = client(ok)
    site.channel.dataReceived(DataFrame(5, b"of no request").serialize())
    assert (site.is_hung_up_on, site.transport.disconnected) == (True, False)
    for _ in range(4):
        site.stage.reactor.advance(1)
    assert site.transport.disconnected


# Windows


class Producer:
    """Writes as long as it may."""

    def __init__(self, request: Request, size: int = 10_000, most: int = 10**9) -> None:
        self.request, self.size, self.left = request, size, most
        self.is_paused = self.is_stopped = False

    def resumeProducing(self) -> None:
        self.is_paused = False
        while not self.is_paused and self.left:
            self.left -= self.size
            self.request.write(self.size * b"x")
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self) -> None:
        self.is_paused = True

    def stopProducing(self) -> None:
        self.is_stopped = True


def producing(made: list[Producer], **options: Any) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        producer = Producer(request, **options)
        made.append(producer)
        request.registerProducer(producer, True)
        producer.resumeProducing()

    return answer


def test_a_response_goes_as_fast_as_its_window() -> None:
    """No more is produced than a client takes, and all of it arrives."""
    made: list[Producer] = []
    site = client(producing(made, most=1_000_000), window=20_000)
    site.takes_back = False
    response = site.get()
    assert (len(response.body), made[0].is_paused) == (20_000, True)
    assert made[0].left > 1_000_000 - 20_000 - BUFFER - 20_000
    site.takes_back = True
    site.rules.acknowledge_received_data(20_000, 1)
    site.turn()
    assert (len(response.body), response.is_whole) == (1_000_000, True)


def test_a_window_that_settings_open_is_open() -> None:
    """A client may open the windows of all its requests by SETTINGS, or close them below what was sent."""
    kept: list[Request] = []
    site = client(kept.append, window=10)
    site.takes_back = False
    site.get()
    kept[0].write(30 * b"x")
    site.turn(site.take())
    site.rules.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1})
    site.turn()
    site.rules.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 25})
    site.turn()
    assert len(site.responses[1].body) == 25
    site.rules.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    kept[0].finish()
    site.turn()
    assert (len(site.responses[1].body), site.responses[1].is_whole) == (30, True)


def test_who_takes_nothing_costs_no_time() -> None:
    """A client that opens its window by a byte does not keep the process busy."""
    kept: list[Request] = []
    site = client(kept.append, window=1)
    site.takes_back = False
    site.get()
    kept[0].write(b"xy")
    site.take()
    assert [call.func for call in site.stage.reactor.getDelayedCalls()] == [site.stage.site._look]


def test_a_wide_window_does_not_make_memory_grow() -> None:
    """A client that promises to take everything, and reads nothing, is not sent more than the transport takes."""
    made: list[Producer] = []
    site = client(producing(made))
    site.channel.pauseProducing()
    assert site.transport.producer is site.channel, "the transport says when it is full"
    site.begin()
    site.channel.dataReceived(site.rules.data_to_send())
    site.stage.reactor.advance(0)
    assert (made[0].is_paused, len(site.transport.value())) == (True, len(site.transport.value()))
    assert 10**9 - made[0].left <= BUFFER + 10_000
    assert len(site.transport.value()) < 200
    site.transport.write = lambda data: site.channel.pauseProducing()  # full again at once
    site.channel.resumeProducing()
    assert 10**9 - made[0].left <= 3 * BUFFER


def test_who_takes_slowly_is_heard_all_the_same() -> None:
    """Whatever a client asks for, or takes back, while its connection is full is not left for later."""
    kept: list[Request] = []
    site = client(kept.append)
    long = site.begin()
    site.turn()
    kept[0].answer(bytes(10**6))
    site.transport.write = lambda data: site.channel.pauseProducing()  # full again at once
    for _ in range(3):
        site.channel.resumeProducing()
        assert site.transport.producerState == "producing"
    site.begin()
    site.rules.reset_stream(long)
    site.channel.dataReceived(site.rules.data_to_send())
    assert (len(kept), kept[0].channel) == (2, None)


def test_answers_to_who_takes_nothing_do_not_pile_up() -> None:
    """A client that asks on and on, and reads no answer, is not listened to from some point on, until it reads."""
    site = client(lambda request: (request.setHeader("X-Long", 1000 * "~"), request.answer(b"")))
    site.channel.pauseProducing()
    asked = 0
    while site.transport.producerState == "producing":
        site.begin()
        site.channel.dataReceived(site.rules.data_to_send())
        asked += 1
        assert asked < 200
        site.channel._rules.encoder.header_table_size = 0  # so that no answer is short
    assert asked > 10
    assert len(site.transport.value()) < BUFFER + 3000
    site.channel.resumeProducing()
    assert site.transport.producerState == "producing"


@given(
    st.lists(st.sampled_from(["whole", "push", "pull"]), min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from(["all", "one", "settings", "full", "taken", "time"]), st.integers(0, 3))),
)
def test_nothing_is_left_behind(kinds: list[str], steps: list[tuple[str, int]]) -> None:
    """However windows are opened and closed, and the connection fills meanwhile, all of each response arrives."""
    size = 3 * BUFFER

    def answer(request: Request) -> None:
        if request.path == b"/whole":
            request.answer(bytes(size))
            return
        producer = Producer(request, size=BUFFER // 4, most=size)
        if request.path == b"/pull":
            producer.pauseProducing = lambda: None  # type: ignore[method-assign]  # nobody asks it to
            producer.resumeProducing = lambda: once(producer)  # type: ignore[method-assign]  # a part each time
        request.registerProducer(producer, request.path == b"/push")
        if request.path == b"/push":
            producer.resumeProducing()

    def once(producer: Producer) -> None:
        producer.left -= producer.size
        producer.request.write(bytes(producer.size))
        if not producer.left:
            producer.request.unregisterProducer()
            producer.request.finish()

    site = client(answer, window=1000)
    site.takes_back = False
    numbers = [site.begin(f"/{kind}") for kind in kinds]
    site.turn()
    for step, which in steps:
        number = numbers[which % len(numbers)]
        match step:
            case "all":
                site.rules.increment_flow_control_window(50_000)
            case "one" if not site.responses[number].is_whole:
                site.rules.increment_flow_control_window(60_000, number)
            case "settings":
                site.rules.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: (0, 10, 30_000, 90_000)[which]})
            case "full":
                site.channel.pauseProducing()
            case "taken":
                site.channel.resumeProducing()
            case _:
                site.stage.reactor.advance(0)
        site.turn()
    site.channel.resumeProducing()
    site.rules.increment_flow_control_window(4 * size)
    site.rules.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2 * size})
    site.turn()
    site.turn(site.take())
    assert [(len(site.responses[number].body), site.responses[number].is_whole) for number in numbers] == [
        (size, True) for _ in numbers
    ]


def test_a_full_connection_does_not_hold_up_what_has_no_body() -> None:
    """When the window of the connection is full, what needs none goes on; when it is opened, so does the rest."""
    kept: list[Request] = []
    site = client(kept.append, window=100_000)
    site.takes_back = False
    long, short = site.begin("/long"), site.begin("/short")
    site.turn()
    kept[0].answer(bytes(70_000))
    site.turn(site.take())
    kept[1].answer(b"")
    site.turn(site.take())
    assert (len(site.responses[long].body), site.responses[short].is_whole) == (65535, True)
    site.rules.increment_flow_control_window(100_000)
    site.turn()
    assert site.responses[long].is_whole


def test_who_begins_to_produce_behind_much_waits() -> None:
    """A producer that registers when more waits than is good is asked to wait at once."""
    kept: list[Request] = []
    site = client(kept.append, window=10)
    site.takes_back = False
    site.get()
    kept[0].write(bytes(BUFFER + 20))
    producer = Producer(kept[0])
    kept[0].registerProducer(producer, True)
    assert producer.is_paused


def test_producers_that_are_asked_each_time_are_asked() -> None:
    """A pull producer, such as that of a file, is asked for more each time when all was sent."""
    asked: list[int] = []

    class Pull:
        def resumeProducing(self) -> None:
            asked.append(len(asked))
            request.write(b"%d" % asked[-1])
            if len(asked) == 5:
                request.unregisterProducer()
                request.finish()

        def stopProducing(self) -> None:
            """It has ended."""

    kept: list[Request] = []
    site = client(kept.append)
    response = site.get()
    [request] = kept
    request.registerProducer(Pull(), False)
    assert asked == [], "not while it registers"
    site.turn(site.take())
    assert (response.body, response.is_whole) == (b"01234", True)


def test_a_producer_that_fails_ends_its_response_only(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong while one response is produced is logged, and the others go on."""

    class Broken:
        def resumeProducing(self) -> None:
            raise OSError("the disk is gone")

        def stopProducing(self) -> None:
            """It has ended."""

    def answer(request: Request) -> None:
        if request.path == b"/broken":
            request.write(b"begun")
            request.registerProducer(Broken(), False)
        else:
            request.answer(b"ok")

    site = client(answer)
    broken, other = site.begin("/broken"), site.begin()
    site.turn()
    assert (site.responses[broken].is_whole, site.responses[broken].reset) == (False, ErrorCodes.INTERNAL_ERROR)
    assert site.responses[other].body == b"ok"
    assert "the disk is gone" in caplog.text


def test_a_response_that_nobody_takes_is_given_up() -> None:
    """After `send_timeout`, and what `min_rate` gives it, a response is given up, though others are taken meanwhile."""
    made: list[Producer] = []

    def answer(request: Request) -> None:
        if request.path == b"/stuck":
            producing(made)(request)
        else:
            request.answer(b"ok")

    site = client(answer, window=100, send_timeout=5, min_rate=BUFFER)
    site.takes_back = False
    stuck = site.get("/stuck")
    for _ in range(6):
        site.after(1)
        site.get()
    assert stuck.reset is None
    for _ in range(3):
        site.after(1)
        assert site.get().is_whole
    assert (stuck.reset, made[0].is_stopped) == (ErrorCodes.CANCEL, True)


def test_who_takes_nothing_at_all_gets_nothing() -> None:
    """What a client opens no window for is given up after `send_timeout`, however much waits; what it waits for not."""
    kept: list[Request] = []
    site = client(kept.append, window=0, send_timeout=5, min_rate=BUFFER)
    stuck, waiting = site.begin(), site.begin()
    site.turn()
    kept[0].write(100 * BUFFER * b"x")
    site.take()
    site.after(5)
    assert site.responses[stuck].reset is None
    site.after(3)
    assert (site.responses[stuck].reset, kept[0].channel) == (ErrorCodes.CANCEL, None)
    assert (list(site.channel.streams), site.is_hung_up_on) == ([waiting], False)


def test_who_does_not_read_is_cut() -> None:
    """A client whose connection is full is cut after `send_timeout`, also when it was only sent headers."""
    site = client(ok, send_timeout=5, min_rate=BUFFER)
    site.channel.pauseProducing()
    for _ in range(5):
        site.stage.reactor.advance(1)
    assert not site.transport.disconnected
    for _ in range(3):
        site.stage.reactor.advance(1)
    assert site.transport.disconnected


def test_who_reads_again_may_go_on() -> None:
    """A client that was slow, and has taken everything, is not cut for it."""
    site = client(ok, send_timeout=5)
    site.channel.pauseProducing()
    site.channel.resumeProducing()
    assert site.transport.producerState == "producing"
    site.after(20)
    assert site.get().code == 200


def test_a_response_that_waited_once_may_go_on_for_long() -> None:
    """A stream of events that was slow for a moment is not cut when it goes on later."""
    kept: list[Request] = []
    site = client(kept.append, window=10, send_timeout=5)
    site.takes_back = False
    response = site.get()
    kept[0].write(20 * b"x")
    site.turn(site.take())
    site.rules.acknowledge_received_data(10, 1)
    site.turn()
    site.after(1000)
    site.rules.acknowledge_received_data(10, 1)
    kept[0].write(10 * b"y")
    site.turn()
    assert (response.body[20:], response.reset) == (10 * b"y", None)


# Floods


def test_requests_that_are_taken_back_again_and_again_end_the_connection() -> None:
    """Who begins requests only to take them back is hung up on (CVE-2023-44487); who does so now and then is not."""
    kept: list[Request] = []
    site = client(kept.append)
    for _ in range(TAKEN_BACK[0]):
        number = site.begin()
        site.turn()
        site.rules.reset_stream(number)
        site.turn()
    assert (site.is_hung_up_on, len(kept)) == (False, TAKEN_BACK[0])
    number = site.begin()
    site.turn()
    site.rules.reset_stream(number)
    site.turn()
    assert (site.goodbye, site.is_hung_up_on) == (CALM, True)


def test_a_client_may_take_back_requests_now_and_then() -> None:
    """What is taken back within the rate is never too much."""
    site = client(nothing)
    for _ in range(3 * TAKEN_BACK[0]):
        number = site.begin()
        site.turn()
        site.rules.reset_stream(number)
        site.turn()
        site.stage.reactor.advance(1 / TAKEN_BACK[1])
    assert not site.is_hung_up_on


def test_what_is_taken_back_at_once_is_never_begun() -> None:
    """A request that comes together with its end costs no pipeline anything."""
    seen: list[Request] = []
    site = client(seen.append)
    taken_back, other = site.begin("/back"), site.begin("/other")
    site.rules.reset_stream(taken_back)
    site.turn()
    assert [request.path for request in seen] == [b"/other"]
    assert list(site.channel.streams) == [other]


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0, b"12345678").serialize(),
        SettingsFrame(0, {3: 100}).serialize(),
        PriorityFrame(101, depends_on=1).serialize(),
        DataFrame(1, b"").serialize(),
        DataFrame(1, b"", flags=["PADDED"], pad_length=100).serialize(),
        b"\0\0\1\x77\0\0\0\0\0x",
    ],
    ids=["ping", "settings", "priority", "empty", "padding", "unknown"],
)
def test_frames_that_serve_for_nothing_are_limited(frame: bytes) -> None:
    """Who sends frames that cost time and serve for nothing is hung up on; who sends some of them is not."""
    site = client(nothing)
    site.begin(method="POST", body=b"x")
    site.turn()
    for _ in range(USELESS[0] - 20):
        site.channel.dataReceived(frame)
    assert not site.is_hung_up_on
    for _ in range(40):
        site.channel.dataReceived(frame)
    assert site.is_hung_up_on
    assert site.transport.value().endswith(b"\0\0\0\x0b"), "ENHANCE_YOUR_CALM"


def test_a_frame_that_serves_makes_up_for_one_that_does_not() -> None:
    """A client that measures the line with each part of a body is not taken for an attacker."""
    site = client(echo, max_body=10_000)
    number = site.begin(method="POST", body=b"x")
    for _ in range(USELESS[0] + 100):
        site.rules.ping(b"12345678")
        site.rules.send_data(number, b"x")
        site.turn()
    for _ in range(USELESS[0] + 100):
        site.channel.dataReceived(PriorityFrame(999_999, depends_on=1).serialize())
        site.get()
    assert not site.is_hung_up_on


def test_headers_are_remembered_no_longer_than_is_good() -> None:
    """A client that allows for a large table of headers does not make memory grow."""
    site = client(lambda request: (request.setHeader("x", request.uri), request.answer(b"")))
    site.rules.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**20})
    site.turn()
    for number in range(300):
        site.get(f"/{number}")
    assert site.channel._rules.encoder.header_table_size == 4096


# Clients that leave


def test_a_request_that_is_taken_back_is_lost() -> None:
    """When a browser gives up a request, what was computed for it is told so, and the log has a line for it."""
    kept: list[Request] = []
    lost: list[str] = []
    site = client(kept.append)
    for path in ("/first", "/second"):
        number = site.begin(path)
        site.turn()
        kept[-1].on_lost = lambda path=path: lost.append(path)
        if path == "/second":
            kept[-1].write(b"x")
            site.turn(site.take())
        site.rules.reset_stream(number)
        site.turn()
    assert lost == ["/first", "/second"]
    told = [(entry.target, entry.status, entry.version) for entry in site.stage.entries]
    assert told == [(b"/first", 499, b"HTTP/2.0"), (b"/second", 200, b"HTTP/2.0")]
    assert not site.channel.streams


def test_a_request_has_one_line_only() -> None:
    """A response that was written to its end has its line; that its client did not take it all adds none."""
    kept: list[Request] = []
    site = client(kept.append, window=1)
    site.takes_back = False
    site.get()
    kept[0].answer(b"long")
    site.rules.reset_stream(1)
    site.turn(site.take())
    assert [entry.status for entry in site.stage.entries] == [200]


@pytest.mark.parametrize("says_so", [True, False])
def test_a_client_that_leaves_leaves_nothing(says_so: bool) -> None:
    """When a connection ends, because of an error or not, its requests are lost and nothing of it is left."""
    made: list[Producer] = []
    lost: list[Any] = []
    site = client(producing(made), window=10)
    site.takes_back = False
    site.get()
    made[0].request.notifyFinish().addErrback(lost.append)
    if says_so:
        site.rules.close_connection(ErrorCodes.INTERNAL_ERROR)
        site.turn()
        assert site.is_hung_up_on
    site.leave()
    assert (len(lost), made[0].is_stopped, made[0].request.channel) == (1, True, None)
    assert (site.stage.site.channels, site.stage.reactor.getDelayedCalls()) == (set(), [])


def test_a_client_that_wants_no_more_gets_what_it_waits_for() -> None:
    """A client may say goodbye with its last request, as Node does, and is answered before it is hung up on."""
    kept: list[Request] = []
    site = client(kept.append)
    number = site.begin()
    asked = site.rules.data_to_send()
    site.channel.dataReceived(asked + GoAwayFrame(0).serialize())
    assert (len(kept), site.is_hung_up_on) == (1, False)
    kept[0].answer(b"the last")
    site.turn(site.take())
    assert (site.responses[number].body, site.responses[number].is_whole) == (b"the last", True)
    assert site.is_hung_up_on


def test_who_says_goodbye_may_take_the_rest_slowly() -> None:
    """The end of a response may still be on its way when nothing more is to be sent; it is not cut off in a moment."""
    site = client(ok, send_timeout=30, min_rate=BUFFER)
    site.begin()
    site.channel.dataReceived(site.rules.data_to_send() + GoAwayFrame(0).serialize())
    for _ in range(30):
        site.stage.reactor.advance(1)
    assert (site.is_hung_up_on, site.transport.disconnected) == (True, False)
    for _ in range(4):
        site.stage.reactor.advance(1)
    assert site.transport.disconnected


def test_who_says_goodbye_and_waits_for_nothing_is_hung_up_on() -> None:
    """A client that has all it wanted says goodbye, and is told the same."""
    site = client(ok)
    site.get()
    site.channel.dataReceived(GoAwayFrame(0).serialize())
    assert site.is_hung_up_on


def test_tls_can_say_goodbye() -> None:
    """Nothing keeps the transport from closing as soon as all was sent, and from hearing that the client does."""
    site = client(ok)
    site.channel.pauseProducing()
    site.channel._pile(BUFFER + 1)
    site.stage.site.stopFactory()
    assert (site.transport.producer, site.is_hung_up_on) == (None, True)
    assert site.transport.producerState == "producing"


def test_a_failing_producer_does_not_keep_others_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    """When a client leaves everybody is told, also if one of them fails at it."""

    class Broken(Producer):
        def stopProducing(self) -> None:
            raise OSError("it cannot be stopped")

    kept: list[Request] = []
    site = client(kept.append)
    site.begin()
    site.get()
    kept[0].registerProducer(Broken(kept[0]), True)
    site.leave()
    assert [request.channel for request in kept] == [None, None]
    assert site.stage.site.channels == set()
    assert "it cannot be stopped" in caplog.text


def test_a_request_has_its_line() -> None:
    """Who asked for what, what became of it, how much was sent and how long it took."""
    kept: list[Request] = []
    site = client(kept.append)
    site.get("/a?b", ("user-agent", "me"), ("referer", "/c"))
    site.stage.reactor.advance(1.5)
    kept[0].answer(b"four")
    [entry] = site.stage.entries
    assert {name: getattr(entry, name) for name in entry.__slots__} == {
        "time": 1e9,
        "remote": "192.0.2.1",
        "method": b"GET",
        "target": b"/a?b",
        "version": b"HTTP/2.0",
        "status": 200,
        "size": 4,
        "seconds": 1.5,
        "referrer": b"/c",
        "agent": b"me",
    }


# The end of a site


def test_a_site_that_closes_lets_responses_end() -> None:
    """When the port closes a client may begin nothing more; what is running is answered, then it is hung up on."""
    kept: list[Request] = []
    site = client(kept.append)
    site.get()
    site.stage.site.stopFactory()
    closed: list[Any] = []
    site.stage.site.close().addCallback(closed.append)
    late = HeadersFrame(3, site.rules.encoder.encode([(":method", "GET"), (":path", "/"), (":scheme", "https")]))
    late.data += site.rules.encoder.encode([(":authority", "site")])
    late.flags |= {"END_HEADERS", "END_STREAM"}
    site.channel.dataReceived(late.serialize())
    assert (len(kept), site.is_hung_up_on, closed) == (1, False, [])
    kept[0].answer(b"bye")
    site.stage.reactor.advance(0)
    site.stage.reactor.advance(0)
    sent = site.transport.value()
    assert b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00" in sent, "GOAWAY, for all after 1"
    assert b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x07" in sent, "the late one may be sent elsewhere"
    assert b"bye" in sent
    assert site.is_hung_up_on
    site.leave()
    assert closed == [None]


def test_an_idle_client_of_a_site_that_closes_is_hung_up_on() -> None:
    """A client that waits for nothing is told goodbye at once."""
    site = client(ok)
    site.stage.site.stopFactory()
    site.take()
    assert (site.goodbye, site.is_hung_up_on) == (ErrorCodes.NO_ERROR, True)


def test_a_site_that_closes_does_not_wait_for_those_who_take_nothing() -> None:
    """A response that its client takes no more of is cut off when the site closes; one that it takes is not."""
    made: list[Producer] = []
    site = client(producing(made), window=1000)
    site.takes_back = False
    site.get()
    site.stage.site.close()
    for _ in range(4):
        site.stage.reactor.advance(3)
        # Not by h2, for which a client that was told goodbye has nothing more to say.
        site.channel.dataReceived(WindowUpdateFrame(1, window_increment=1000).serialize())
    assert not site.transport.disconnected
    site.stage.reactor.advance(10)
    site.stage.reactor.advance(10)
    assert site.transport.disconnected


# Which HTTP is spoken


def test_a_client_that_wants_no_http_2_gets_none() -> None:
    """Where TLS has agreed on HTTP/1.1, or on nothing, that is what is spoken."""
    for agreed in (b"http/1.1", None):
        stage = Client(ok)
        stage.transport.negotiatedProtocol = agreed
        stage.channel.handshakeCompleted()
        assert stage.get().startswith(b"HTTP/1.1 200 OK")


def test_a_client_too_many_is_not_let_in_by_the_back_door() -> None:
    """Who was refused when it came is not served after its handshake."""
    stage = Client(ok, max_connections=1)
    stage.connect(stage.site)
    stage.transport.negotiatedProtocol = b"h2"
    stage.channel.handshakeCompleted()
    assert stage.is_hung_up_on
    assert not hasattr(stage.transport, "wrappedProtocol")


@pytest.mark.parametrize(("http2", "offered"), [(None, [b"h2", b"http/1.1"]), (False, [b"http/1.1"])])
def test_a_site_may_do_without(http2: bool | None, offered: list[bytes]) -> None:
    """`http2: false` offers HTTP/1.1 only."""
    assert Client(ok, http2=http2).site.acceptableProtocols() == offered


@pytest.mark.parametrize("listen", ["8080", "tcp:8080", "unix:/run/site.sock", "systemd:domain=INET:index=0"])
def test_http_2_without_tls_is_a_mistake(listen: str) -> None:
    """Who asks for HTTP/2 where no client would speak it is told so; where nobody can tell, it is believed."""
    with pytest.raises(ConfigurationError, match="over TLS only"):
        SiteOptions(Routing(PathOptions(), {}), listen=Listen(listen), http2=True)
    for other in ("ssl:443", "tls:443", "some:thing"):
        assert SiteOptions(Routing(PathOptions(), {}), listen=Listen(other), http2=True).http2
