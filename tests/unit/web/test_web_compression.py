"""Which bodies are compressed, for whom, and that they come out as they went in."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from web_stage import Client, Stage, parsed

from piped.ground.errors import ConfigurationError
from piped.web.compression import LARGE, Compressing, Compression, prefers_gzip, weak
from piped.web.request import Request

BODY = b"Piped says hello. " * 100
ASKS = "Accept-Encoding: gzip"

NAMES = ["gzip", "x-gzip", "identity", "*", "br", "GZip"]
WEIGHTS = st.sampled_from(["", ";q=0", ";q=0.0", "; q=0.5", ";Q=1.000", " ; q = 0.001"])


def site(answer: Any = lambda request: request.answer(BODY), **compression: Any) -> Stage:
    """A site that answers with a text, and compresses."""
    return Stage(
        {"pipeline.main": lambda baton: answer(baton["request"])},
        routing={"__config__": {"processor": "pipeline.main"}},
        compression=compression or True,
    )


def unpacked(body: bytes) -> bytes:
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
    data = unpacking.decompress(body)
    assert unpacking.eof, "the body is cut"
    return data


def dechunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        parts.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(parts)


@pytest.mark.parametrize(
    ("accepted", "is_preferred"),
    [
        (b"gzip", True),
        (b"x-gzip", True),
        (b"br, gzip;q=0.5", True),
        (b"*", True),
        (b"identity;q=0, gzip;q=0.1", True),
        (b"gzip;q=0.3, *;q=0.9", True),
        (b"", False),
        (b"br", False),
        (b"identity", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000, *", False),
        (b"*;q=0", False),
        (b"gzip;q=0.5, identity", False),
        (b"gzip;q=2", False),
        (b"gzip;q=no", False),
        (b"gzipped", False),
        (b"not gzip", False),
    ],
)
def test_what_a_client_would_rather_have(accepted: bytes, is_preferred: bool) -> None:
    """Weights, `*` and `identity` are heeded; what is malformed says nothing."""
    assert prefers_gzip(accepted) is is_preferred


@given(st.lists(st.tuples(st.sampled_from(NAMES), WEIGHTS), unique_by=lambda pair: pair[0].lower()))
def test_a_weight_is_a_weight_wherever_it_stands(members: list[tuple[str, str]]) -> None:
    """The order of what is accepted, its case and white space change nothing."""
    weights = {name.lower(): float(weight.partition("=")[2] or 1) for name, weight in members}
    gzip = max((weights[name] for name in ("gzip", "x-gzip") if name in weights), default=weights.get("*", 0))
    wanted = gzip > 0 and gzip >= weights.get("identity", 0)
    for order in (members, members[::-1]):
        for separator in (",", " ,  "):
            assert prefers_gzip(separator.join(name + weight for name, weight in order).encode()) is wanted


@given(st.binary(max_size=200))
def test_nothing_that_a_client_sends_fails(accepted: bytes) -> None:
    """Whatever stands in the header, there is an answer."""
    assert prefers_gzip(accepted) in (True, False)


@pytest.mark.usefixtures("each_channel")
def test_a_body_is_compressed_for_who_asks() -> None:
    """The compressed body has its own length, unpacks to the written one, and caches are told what it depends on."""
    code, headers, body = parsed(site().get("/", ASKS))
    assert (code, headers["content-encoding"], headers["vary"]) == (200, "gzip", "Accept-Encoding")
    assert headers["content-length"] == str(len(body))
    assert unpacked(body) == BODY
    assert len(body) < len(BODY) / 5


@pytest.mark.parametrize("header", ["X-Other: gzip", "Accept-Encoding: br", "Accept-Encoding: gzip;q=0"])
def test_who_does_not_ask_gets_it_as_it_is(header: str) -> None:
    """Others get the body as it is, and caches are told that it could have been another."""
    _, headers, body = parsed(site().get("/", header))
    assert ("content-encoding" in headers, headers["vary"], body) == (False, "Accept-Encoding", BODY)


def test_nothing_is_compressed_unless_the_site_says_so() -> None:
    """Without the option a site has no say on the head of a response."""
    stage = Stage({"pipeline.main": print}, routing={"__config__": {"processor": "pipeline.main"}})
    assert stage.site.before_head is None


def set_header(name: str, value: Any) -> Any:
    return lambda request: request.setHeader(name, value)


@pytest.mark.parametrize(
    "prepare",
    [
        set_header("Content-Type", "image/png"),
        set_header("Content-Type", "text/event-stream; charset=utf-8"),
        set_header("Content-Encoding", "br"),
        set_header("Cache-Control", "private, No-Transform"),
        lambda request: request.setResponseCode(206),
    ],
)
def test_what_is_not_worth_it_or_not_right_is_sent_as_it_is(prepare: Any) -> None:
    """Pictures, events, what is compressed already, what nobody may transform and parts stay untouched."""

    def answer(request: Request) -> None:
        prepare(request)
        request.answer(BODY)

    _, headers, body = parsed(site(answer).get("/", ASKS))
    assert ("vary" in headers, headers.get("content-encoding") == "gzip", body) == (False, False, BODY)


@pytest.mark.parametrize(
    ("written", "is_compressed"),
    [
        ("text/plain", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/atom+xml", True),
        ("image/svg+xml", True),
        ("application/octet-stream", False),
        ("video/mp4", False),
        ("", False),
    ],
)
def test_types_that_are_mostly_text_are_compressed(written: str, is_compressed: bool) -> None:
    """Content types are compared without their parameters, in any case."""

    def answer(request: Request) -> None:
        request.setHeader("Content-Type", written)
        request.answer(BODY)

    assert ("content-encoding" in parsed(site(answer).get("/", ASKS))[1]) is is_compressed


def test_types_and_sizes_can_be_chosen() -> None:
    """`types` replaces the types, `min_size` the size from which on it is worth it."""
    stage = site(lambda request: request.answer(b"12345"), min_size=5, types=["text/h*"])
    assert parsed(stage.get("/", ASKS))[1]["content-encoding"] == "gzip"
    stage = site(lambda request: request.answer(b"1234"), min_size=5)
    assert "content-encoding" not in parsed(stage.get("/", ASKS))[1]
    stage = site(types=["text/plain"])
    assert "content-encoding" not in parsed(stage.get("/", ASKS))[1]


@pytest.mark.parametrize("written", ["html", "text/", "text/*; charset=utf-8"])
def test_what_is_no_type_is_told(written: str) -> None:
    """A slip in the types is a mistake of the configuration."""
    with pytest.raises(ConfigurationError, match="is no content type"):
        Compression(types=[written])


@pytest.mark.usefixtures("each_channel")
def test_head_tells_what_get_would() -> None:
    """HEAD has the headers of GET, the length of the compressed body among them."""
    stage = site()
    get, head = parsed(stage.get("/", ASKS)), parsed(stage.get("/", ASKS, method="HEAD"))
    assert (head[0], head[1], head[2]) == (get[0], get[1], b"")


@pytest.mark.parametrize("end", [lambda request: request.finish(), lambda request: request.answer(b"")])
@pytest.mark.parametrize("code", [200, 204])
def test_nothing_is_not_compressed(end: Any, code: int) -> None:
    """A response without a body has no coding."""

    def answer(request: Request) -> None:
        request.setResponseCode(code)
        end(request)

    _, headers, body = parsed(site(answer, min_size=0 if code == 204 else 1).get("/", ASKS))
    assert "content-encoding" not in headers
    assert body in (b"", b"0\r\n\r\n")


@pytest.mark.usefixtures("each_channel")
def test_each_part_of_a_stream_can_be_unpacked_when_it_has_come() -> None:
    """Nothing waits in the compressor for what comes later; a length that was told is not that of what is sent."""
    kept: list[Request] = []
    stage = site(kept.append)
    stage.get("/", ASKS)
    kept[0].setHeader("Content-Length", "2000")
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for part in (b"", b"one ", b"two "):
        stage.transport.clear()
        kept[0].write(part)
        sent = stage.transport.value()
        if not part:
            _, headers, sent = parsed(sent)
            assert headers["content-encoding"] == "gzip"
            assert "content-length" not in headers
        assert unpacking.decompress(dechunked(sent)) == part
    stage.transport.clear()
    kept[0].finish()
    unpacking.decompress(dechunked(stage.transport.value()))
    assert unpacking.eof


@pytest.mark.usefixtures("each_channel")
def test_an_empty_stream_ends() -> None:
    """What was begun without a byte is a whole, empty body."""

    def answer(request: Request) -> None:
        request.write(b"")
        request.finish()

    _, headers, body = parsed(site(answer).get("/", ASKS))
    assert (headers["content-encoding"], unpacked(dechunked(body))) == ("gzip", b"")


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_parts_come_out_as_they_went_in(parts: list[bytes]) -> None:
    """Whatever the parts, the client has them all."""

    def answer(request: Request) -> None:
        for part in parts:
            request.write(part)
        request.write(b"end")
        request.finish()

    assert unpacked(dechunked(parsed(site(answer).get("/", ASKS))[2])) == b"".join(parts) + b"end"


class Waiting:
    """A thread that works when it is told to."""

    def __call__(self, function: Any, *arguments: Any) -> Deferred[bytes]:
        self.deferred: Deferred[bytes] = Deferred()
        self.work = lambda: self.deferred.callback(function(*arguments))
        return self.deferred


def packing(thread: Waiting) -> tuple[Client, Request]:
    """A client that waits for a large answer, which a thread is to compress."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.site.before_head = Compressing(Compression(), thread)
    client.get("/", ASKS)
    kept[0].answer(bytes(LARGE + 1))
    return client, kept[0]


@pytest.mark.usefixtures("each_channel")
def test_a_large_body_is_compressed_in_a_thread() -> None:
    """Nobody waits while it is compressed, and nobody can add anything to what was answered."""
    thread = Waiting()
    client, request = packing(thread)
    assert (client.transport.value(), request.is_open) == (b"", False)
    request.write("more")
    request.answer(b"another")
    request.finish()
    assert client.transport.value() == b""
    thread.work()
    code, headers, body = parsed(client.transport.value())
    assert (code, headers["content-length"], unpacked(body)) == (200, str(len(body)), bytes(LARGE + 1))
    assert request.finished


@pytest.mark.usefixtures("each_channel")
def test_a_client_that_leaves_meanwhile_is_forgotten() -> None:
    """What was compressed for nobody is thrown away."""
    thread = Waiting()
    client, request = packing(thread)
    client.leave()
    thread.work()
    assert (client.transport.value(), request.is_open) == (b"", False)


@pytest.mark.usefixtures("each_channel")
def test_a_body_that_cannot_be_compressed_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """The client is hung up on rather than left to wait, and the log says why."""
    thread = Waiting()
    client, _ = packing(thread)
    thread.deferred.errback(Failure(MemoryError("no room")))
    assert client.is_hung_up_on
    assert "the response cannot be compressed" in caplog.text


@pytest.mark.parametrize(
    ("headers", "is_compressed"),
    [
        (["Sec-Fetch-Site: cross-site", "Cookie: session=1"], False),
        (["Sec-Fetch-Site: cross-site", "Authorization: Basic eDp5"], False),
        (["Sec-Fetch-Site: cross-site"], True),
        (["Sec-Fetch-Site: same-origin", "Cookie: session=1"], True),
        (["Cookie: session=1"], True),
    ],
)
def test_what_another_site_asks_for_in_somebodys_name_is_not_compressed(
    headers: list[str], is_compressed: bool
) -> None:
    """A page of another site cannot learn from lengths what a user's pages say."""
    assert ("content-encoding" in parsed(site().get("/", ASKS, *headers))[1]) is is_compressed


def test_an_earlier_vary_is_kept() -> None:
    """What the pipeline has said about caches stays, and nothing is said twice."""
    for said, told in (("Origin", "Origin, Accept-Encoding"), ("accept-encoding", "accept-encoding"), ("*", "*")):

        def answer(request: Request, said: str = said) -> None:
            request.setHeader("Vary", said)
            request.answer(BODY)

        assert parsed(site(answer).get("/", ASKS))[1]["vary"] == told


@pytest.mark.parametrize("give", [lambda request: request.setETag(b'"1"'), set_header("ETag", '"1"')])
def test_a_compressed_body_has_a_weak_tag(give: Any) -> None:
    """Two bodies that differ in their bytes do not have the same strong tag."""

    def answer(request: Request) -> None:
        give(request)
        request.answer(BODY)

    assert parsed(site(answer).get("/", ASKS))[1]["etag"] == 'W/"1"'
    assert parsed(site(answer).get("/"))[1]["etag"] == '"1"'
    assert weak(b'W/"1"') == b'W/"1"'


@pytest.mark.usefixtures("each_channel")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_client_that_has_the_compressed_page_is_told_so(method: str) -> None:
    """A pipeline that gives a tag need not know of compression: a client that has that version gets no body."""

    def answer(request: Request) -> None:
        request.setETag(b'"1"')
        request.answer(BODY)

    code, headers, body = parsed(site(answer).get("/", ASKS, 'If-None-Match: "0", W/"1"', method=method))
    assert (code, headers["etag"], body == b"") == (200 if method == "POST" else 304, 'W/"1"', method != "POST")
    assert "content-encoding" in headers if method == "POST" else "content-length" not in headers


@pytest.fixture
def files(tmp_path: Path) -> Stage:
    """A site that serves a file, and another that is put together."""
    (tmp_path / "a.txt").write_bytes(BODY)
    concatenated = {"file_paths": [str(tmp_path / "a.txt")] * 2, "content_type": "text/plain"}
    routing = {"__config__": {"static": str(tmp_path)}, "both": {"__config__": {"concatenated": concatenated}}}
    return Stage({}, routing=routing, compression=True)


def whole(stage: Stage, *headers: str, path: str = "/a.txt", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    stage.get(path, *headers, method=method)
    while (pull_to_push := stage.channel._requestProducer) is not None:
        pull_to_push._producer.resumeProducing()
    return parsed(stage.transport.value())


def test_a_file_is_compressed_while_it_is_sent(files: Stage) -> None:
    """A file has a weak tag then, and offers no ranges: they would be those of other bytes."""
    code, headers, body = whole(files, ASKS)
    assert (code, headers["content-encoding"], unpacked(dechunked(body))) == (200, "gzip", BODY)
    assert headers["etag"].startswith('W/"')
    assert not {"content-length", "accept-ranges"} & headers.keys()
    head = whole(files, ASKS, method="HEAD")
    assert (head[0], {**head[1], "transfer-encoding": "chunked"}, head[2]) == (200, headers, b"")


@pytest.mark.parametrize("path", ["/a.txt", "/both"])
def test_a_client_that_has_the_compressed_file_is_told_so(files: Stage, path: str) -> None:
    """A weak tag is known again, and a 304 names the tag that the client has."""
    tag = whole(files, ASKS, path=path)[1]["etag"]
    code, headers, _ = whole(files, ASKS, f"If-None-Match: {tag}", path=path)
    assert (code, headers["etag"], headers["vary"]) == (304, tag, "Accept-Encoding")
    strong = tag.removeprefix("W/")
    code, headers, _ = whole(files, f"If-None-Match: {strong}", path=path)
    assert (code, headers["etag"], headers["vary"]) == (304, strong, "Accept-Encoding")


def test_a_range_is_one_of_the_file_itself(files: Stage) -> None:
    """A part is never compressed; a client that has the compressed file does not get a part of the other one."""
    code, headers, body = whole(files, ASKS, "Range: bytes=2-4")
    assert (code, "content-encoding" in headers, body) == (206, False, BODY[2:5])
    tag = whole(files, ASKS)[1]["etag"]
    assert whole(files, ASKS, "Range: bytes=2-4", f"If-Range: {tag}")[0] == 200
