"""Who gets a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.web.http_headers import Headers
from web_stage import parsed
from websocket_stage import KEY, TEXT, UPGRADE, Peer

from piped.web.websockets.handshake import chosen, refusal_of


def nothing(baton: Any) -> None:
    """A processor."""


def headers(*changed: tuple[str, str | None], origin: str | None = None, host: str = "site") -> Headers:
    fields: dict[str, str | None] = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        "Origin": origin,
        **dict(changed),
    }
    return Headers({name: value.split("|") for name, value in fields.items() if value is not None})


def test_a_handshake_is_answered_as_the_standard_shows() -> None:
    """The accept header is the one of the example in RFC 6455, 1.3."""
    code, told, _ = Peer("it", it=nothing).upgrade()
    assert (code, told["upgrade"], told["connection"]) == (101, "websocket", "Upgrade")
    assert told["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "content-length" not in told


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (("Sec-WebSocket-Version", "8"), 426),
        (("Sec-WebSocket-Version", None), 426),
        (("Sec-WebSocket-Version", "13|13"), 426),
        (("Sec-WebSocket-Key", None), 400),
        (("Sec-WebSocket-Key", "short"), 400),
        (("Sec-WebSocket-Key", "!" + KEY), 400),
        (("Sec-WebSocket-Key", f"{KEY}|{KEY}"), 400),
        (("Connection", "keep-alive"), 400),
        (("Connection", None), 400),
    ],
)
def test_a_wrong_handshake_is_refused(changed: tuple[str, str | None], code: int) -> None:
    """A client that asks in a wrong way is told how, and gets no WebSocket."""
    refusal = refusal_of(headers(changed), None)
    assert refusal is not None
    assert refusal.code == code
    assert (refusal.headers.get("Sec-WebSocket-Version") == "13") is (code == 426)


@pytest.mark.parametrize("said", ["keep-alive, Upgrade", "UPGRADE", "close|upgrade"])
def test_the_connection_header_may_have_several_tokens(said: str) -> None:
    """Firefox sends `keep-alive, Upgrade`."""
    assert refusal_of(headers(("Connection", said)), None) is None


@pytest.mark.parametrize(
    ("origin", "host", "is_welcome"),
    [
        (None, "site", True),
        ("http://site", "site", True),
        ("https://SITE", "site:443", True),
        ("http://site:80", "site", True),
        ("http://site:8080", "site:8080", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://site:8080", "site", False),
        ("http://site", "site:443", False),
        ("https://evil.example", "site", False),
        ("https://site.evil.example", "site", False),
        ("https://evilsite", "site", False),
        ("http://site@evil.example", "site", False),
        ("null", "site", False),
        ("", "site", False),
        ("http://site|http://site", "site", False),
        ("http://site/", "site", False),
    ],
)
def test_only_pages_of_the_same_host_may_connect(origin: str | None, host: str, is_welcome: bool) -> None:
    """A page of another site cannot use the cookies of a visitor, whatever its name looks like; no browser is bound."""
    refusal = refusal_of(headers(origin=origin, host=host), None)
    assert refusal is None if is_welcome else refusal is not None and refusal.code == 403


@pytest.mark.parametrize(
    ("origin", "is_welcome"),
    [
        ("https://app.example", True),
        ("https://APP.example:443", True),
        ("http://app.example", False),
        ("http://site", False),
        (None, True),
    ],
)
def test_pages_of_listed_origins_may_connect_and_no_others(origin: str | None, is_welcome: bool) -> None:
    """A list takes the place of the rule for the same host, which DNS rebinding would get around."""
    assert (refusal_of(headers(origin=origin), ["https://app.example"]) is None) is is_welcome


@pytest.mark.parametrize("origin", ["https://any.example", "null"])
def test_a_star_lets_every_page_in(origin: str) -> None:
    """A public feed can be read from everywhere."""
    assert refusal_of(headers(origin=origin), ["*"]) is None


@pytest.mark.parametrize(
    ("offered", "found"),
    [(None, None), ("chat", "chat"), ("v1, v2", "v2"), ("v1|v2", "v2"), ("CHAT", None), ("other", None)],
)
def test_the_first_subprotocol_of_ours_is_chosen(offered: str | None, found: str | None) -> None:
    """Our order counts, whatever the client prefers; capitals are a difference."""
    assert chosen(headers(("Sec-WebSocket-Protocol", offered)), ["v2", "v1", "chat"]) == found


def test_the_chosen_subprotocol_is_told() -> None:
    """The client and the pipeline know what is spoken; without an agreement nothing is said."""
    batons: list[Any] = []
    peer = Peer({"processor": "it", "connected": "it", "subprotocols": ["b", "a"]}, it=batons.append)
    assert peer.upgrade("Sec-WebSocket-Protocol: a, b")[1]["sec-websocket-protocol"] == "b"
    assert batons[0]["websocket"].subprotocol == "b"
    peer = Peer({"processor": "it", "subprotocols": ["b"]}, it=nothing)
    assert "sec-websocket-protocol" not in peer.upgrade("Sec-WebSocket-Protocol: c")[1]


def test_a_refused_client_may_ask_for_something_else() -> None:
    """The connection stays, nothing was told to the pipeline, and the reason is in the response."""
    batons: list[Any] = []
    peer = Peer("it", it=batons.append)
    code, _, body = peer.upgrade("Origin: https://evil.example")
    assert (code, body, peer.is_hung_up_on) == (403, b"Pages of that origin may not connect.\n", False)
    assert peer.upgrade()[0] == 101
    assert batons == []


def test_other_requests_of_the_path_are_answered_by_its_processor() -> None:
    """One path can have a page and the WebSocket that the page opens."""

    def page(baton: Any) -> None:
        baton["request"].answer(b"page")

    peer = Peer("it", path={"processor": "pipeline.page"}, it=nothing, page=page)
    assert parsed(peer.get())[2] == b"page"
    assert parsed(peer.get("/", *UPGRADE, f"Sec-WebSocket-Key: {KEY}", method="POST"))[2] == b"page"
    assert peer.upgrade()[0] == 101


def test_other_requests_of_the_path_are_answered_by_its_files(tmp_path: Any) -> None:
    """A directory of files may have a WebSocket at its root, and is still found with and without a slash."""
    (tmp_path / "index.html").write_text("index")
    peer = Peer("it", path={"static": str(tmp_path)}, it=nothing)
    for target in ("/", "/index.html"):
        code, told, _ = parsed(peer.get(target, method="HEAD"))
        assert (code, told["content-length"]) == (200, "5")


def test_other_requests_are_told_what_there_is() -> None:
    """A path with nothing but a WebSocket is 426 with `Upgrade: websocket`, or 505 where HTTP/1.1 is not spoken."""
    peer = Peer("it", it=nothing)
    code, told, _ = parsed(peer.get())
    assert (code, told["upgrade"], told["connection"]) == (426, "websocket", "Upgrade")
    lines = ["GET / HTTP/1.0", "Host: site", *UPGRADE, f"Sec-WebSocket-Key: {KEY}", "", ""]
    assert parsed(peer.send("\r\n".join(lines).encode()))[0] == 505


def test_there_is_no_websocket_while_its_processors_are_not_ready() -> None:
    """A client is 503 and may come again, whichever of the processors is missing."""
    for missing in ("it", "hello", "bye"):
        named = {"it": nothing, "hello": nothing, "bye": nothing}
        peer = Peer({"processor": "it", "connected": "hello", "disconnected": "bye"}, **named)
        peer.processors.lose(f"pipeline.{missing}")
        code, told, _ = peer.upgrade()
        assert (code, told["retry-after"]) == (503, "2")
        peer.processors.restore(f"pipeline.{missing}")
        assert peer.upgrade()[0] == 101


def test_there_is_no_websocket_while_too_much_is_processed() -> None:
    """`max_running` counts for WebSockets as for requests."""
    peer = Peer("it", it=nothing, site={"max_running": 1})
    peer.web.source.pause()
    assert peer.upgrade()[0] == 503


def test_what_a_pipeline_writes_to_the_request_is_dropped() -> None:
    """The request was answered by the upgrade: a page would get among the messages."""

    def confused(baton: Any) -> None:
        assert not baton["request"].is_open
        baton["request"].write("page")
        baton["request"].answer(b"page")
        baton["websocket"].send("message")

    assert Peer("it", it=confused).open().say("hello") == [(TEXT, b"message")]
