"""The head of a request: what is read of it, and what no head is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped.web.heads import BadHead, are_fields, has_one_host, is_persistent, is_target, length_of_body, read_head

NAMES = st.text("ABCxyz-_!~09", min_size=1, max_size=12).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(lambda text: text.strip())


def code_of(data: bytes) -> int:
    with pytest.raises(BadHead) as caught:
        read_head(data)
    return caught.value.code


@given(st.sampled_from([b"GET", b"PUT", b"BREW", b"get", b"M-SEARCH"]), st.lists(st.tuples(NAMES, VALUES), max_size=9))
def test_every_header_is_read_in_its_order(method: bytes, headers: list[tuple[bytes, str]]) -> None:
    """Any method, and any header with the white space around it left out; those of one name are a list."""
    lines = b"".join(b"x-%s: %s\t \r\n" % (name, value.encode()) for name, value in headers)
    got = read_head(b"%s /a?b HTTP/1.1\r\n%s\r\n" % (method, lines))
    expected: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        expected.setdefault((b"x-" + name).title(), []).append(value.encode())
    found = {name.title(): values for name, values in got[3].items()}
    assert (*got[:3], found, got[4]) == (method, b"/a?b", b"HTTP/1.1", expected, len(headers))


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET /\tx HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
        b"GET / RTSP/1.0\r\n\r\n",
        b"SOURCE / ICE/1.0\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"BREW / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_head_is_refused(head: bytes) -> None:
    """Whatever RFC 9112 does not allow is 400, also where it could be guessed what is meant."""
    assert code_of(head) == 400


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9"])
def test_other_versions_are_refused_by_their_number(version: str) -> None:
    """Only HTTP/1.0 and HTTP/1.1 are understood; others are 505."""
    assert code_of(f"GET / {version}\r\n\r\n".encode()) == 505


def test_an_upgrade_is_left_to_whoever_answers() -> None:
    """A head that asks for another protocol is read like any other."""
    data = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n"
    assert read_head(data)[3][b"Upgrade"] == [b"websocket"]


@pytest.mark.parametrize(
    ("version", "headers", "length"),
    [
        (b"HTTP/1.1", {}, 0),
        (b"HTTP/1.0", {b"Content-Length": [b"0012"]}, 12),
        (b"HTTP/1.1", {b"Transfer-Encoding": [b"Chunked"]}, None),
    ],
)
def test_the_length_of_a_body_is_known(version: bytes, headers: dict[bytes, list[bytes]], length: int | None) -> None:
    """A body has the length that is told, or is in chunks; without either there is none."""
    assert length_of_body(version, headers) == length


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (b"HTTP/1.1", {b"Content-Length": [b"1", b"1"]}),
        (b"HTTP/1.1", {b"Content-Length": [b"+1"]}),
        (b"HTTP/1.1", {b"Content-Length": [b"1, 1"]}),
        (b"HTTP/1.1", {b"Content-Length": [b""]}),
        (b"HTTP/1.1", {b"Content-Length": [b"9" * 5000]}),
        (b"HTTP/1.1", {b"Content-Length": ["²".encode("latin-1")]}),
        (b"HTTP/1.1", {b"Content-Length": [b"1"], b"Transfer-Encoding": [b"chunked"]}),
        (b"HTTP/1.1", {b"Transfer-Encoding": [b"gzip, chunked"]}),
        (b"HTTP/1.1", {b"Transfer-Encoding": [b"chunked", b"chunked"]}),
        (b"HTTP/1.1", {b"Transfer-Encoding": [b"identity"]}),
        (b"HTTP/1.0", {b"Transfer-Encoding": [b"chunked"]}),
    ],
)
def test_a_body_whose_end_is_not_certain_is_refused(version: bytes, headers: dict[bytes, list[bytes]]) -> None:
    """What two readers could measure in two ways is measured in none."""
    with pytest.raises(BadHead):
        length_of_body(version, headers)


@pytest.mark.parametrize(
    ("hosts", "is_right"),
    [
        ([b"site"], True),
        ([b"[::1]:80"], True),
        ([b""], True),
        ([b"a", b"a"], False),
        ([b"a b"], False),
        ([b"a/b"], False),
        ([b"a@b"], False),
        ([b"\xff"], False),
    ],
)
def test_a_host_is_one_and_a_host(hosts: list[bytes], is_right: bool) -> None:
    """A request says once for which host it is, with nothing but what a host has."""
    assert has_one_host(b"HTTP/1.1", {b"Host": hosts}) == is_right
    assert has_one_host(b"HTTP/1.0", {b"Host": hosts}) == is_right


@pytest.mark.parametrize(
    ("line", "is_field"),
    [
        (b"T: r", True),
        (b"t:", True),
        (b"GET / HTTP/1.1", False),
        (b"a\n: b", False),
        (b"a: b\n", False),
        (b"a: \x0b", False),
        (b": b", False),
    ],
)
def test_behind_a_body_come_headers(line: bytes, is_field: bool) -> None:
    """A line behind a body in chunks that is no header is found."""
    assert are_fields([b"A: b", line]) == is_field


def test_a_target_is_a_path_or_an_address() -> None:
    """What begins neither with a slash nor with a scheme is no target."""
    targets = (b"/a", b"*", b"http://x", b"http://x?y", b"HTTP+a://x:1/y", b"http://[::1]/")
    assert [target for target in targets if not is_target(b"GET", target)] == []
    wrong = (b"", b"xa", b"*a", b"?http://a/", b"http:///x", b"http://a@b/", b"1://x/", b"://x/", b"a/b://c/")
    assert [target for target in wrong if is_target(b"GET", target)] == []
    assert not is_target(b"CONNECT", b"/"), "it would make a tunnel of the connection, for whoever is between"


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"HTTP/1.1", None, True),
        (b"HTTP/1.1", [b"keep-alive"], True),
        (b"HTTP/1.1", [b"Close"], False),
        (b"HTTP/1.1", [b"upgrade ,close"], False),
        (b"HTTP/1.1", [b"upgrade", b"close"], False),
        (b"HTTP/1.0", [b"keep-alive"], False),
    ],
)
def test_a_connection_stays_unless_somebody_closes_it(
    version: bytes, connection: list[bytes] | None, stays: bool
) -> None:
    """A client of HTTP/1.1 may go on unless it says that it will not."""
    assert is_persistent(version, {} if connection is None else {b"Connection": connection}) == stays
