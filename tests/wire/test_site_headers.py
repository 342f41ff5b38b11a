"""What a site says beside its pages, as curl and browsers see it."""

import gzip
import json
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import EXAMPLES, Running
from sockets import Reply, ask, connect, rest_of

SITE = """\
web:
  site:
    port: 0
    compression: true
    routing:
      __config__: {static: files}
      large: {__config__: {processor: large}}
      hello: {__config__: {processor: hello}}
pipelines:
  large:
    - eval-lambda: {output_path: content, lambda: "baton: ''.join(f'{n} is a number\\\\n' for n in range(400000))"}
    - write-web-response: {content_type: text/plain}
  hello: [write-web-response: {fallback_content: hello}]
"""


def curl(*arguments):
    """What curl prints, which fails where it cannot make sense of an answer."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The address of the example."""
    with Running(
        EXAMPLES / "site_headers.yaml", "-O", "web.shop.port:0", cwd=tmp_path_factory.mktemp("shop")
    ) as running:
        yield running.url("")
        assert running.stop() == 0
        assert "Traceback" not in running.log


@pytest.fixture(scope="module", params=["fast", "twisted"])
def site(request, tmp_path_factory):
    """The address of a site with a compressible file and a large answer, over each channel."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "files").mkdir()
    with open(folder / "files" / "large.txt", "w") as file:
        file.writelines(f"line {number}\n" for number in range(300_000))
    (folder / "site.yaml").write_text(SITE)
    with Running("site.yaml", "-O", f"web.site.channel:{request.param}", cwd=folder) as running:
        yield running.url("")
        assert running.stop() == 0
        assert "Traceback" not in running.log


def headers_of(printed):
    lines = printed.split("\r\n\r\n")[0].split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def test_what_curl_asks_for_compressed_is_shorter_on_the_way(shop):
    """curl unpacks what it gets, which has less than a third of the bytes."""
    plain = curl(f"{shop}/prices")
    assert json.loads(plain)[199] == {"item": 199, "price": 299}
    shown = curl("--compressed", "--write-out", "\n%{size_download} %{num_connects}", f"{shop}/prices")
    body, _, sizes = shown.rpartition("\n")
    assert body == plain
    assert int(sizes.split()[0]) < len(plain) / 3
    headers = headers_of(curl("--include", "--compressed", "--output", "-", f"{shop}/prices"))
    assert (headers["content-encoding"], headers["server"]) == ("gzip", "shop")
    assert headers["vary"] == "Origin, Accept-Encoding"


def test_headers_are_in_every_answer(shop):
    """The security headers are those that are good for any site, and the differences that are written."""
    for path in ("/", "/none"):
        headers = headers_of(curl("--include", shop + path))
        assert headers["x-frame-options"] == "DENY"
        assert headers["content-security-policy"] == "default-src 'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" not in headers


def test_a_browser_asks_what_pages_may_send(shop):
    """A preflight and the request that follows it name the origin."""
    for origin in ("https://shop.example", "https://www.shop.example"):
        asks = [f"Origin: {origin}", "Access-Control-Request-Method: PUT"]
        preflight = ask(shop, "/prices", *asks, method="OPTIONS")
        assert (preflight.code, preflight.headers["access-control-allow-origin"]) == (204, origin)
        answer = ask(shop, "/prices", asks[0])
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
    for origin in ("https://evil.example", "null", "https://shop.example.evil.example"):
        assert "access-control-allow-origin" not in ask(shop, "/prices", f"Origin: {origin}").headers
        refused = ask(shop, "/", f"Origin: {origin}", "Access-Control-Request-Method: PUT", method="OPTIONS")
        assert refused.code == 403


def test_clients_follow_what_has_moved(shop):
    """curl follows to the new address, with the query and the rest of the path."""
    assert curl("--location", f"{shop}/articles/17?page=2") == "Item 17, page 2\n"
    assert json.loads(curl("--location", f"{shop}/old/prices"))[0]["item"] == 0
    assert curl("--location", "--data", "next=/items/3", f"{shop}/login") == "Item 3, page 1\n"
    assert curl("--location", "--data", "a=b", f"{shop}/login") == "Welcome.\n"
    for place in ("//evil.example", "https://evil.example", "/\\evil.example%0d%0aX: y"):
        answer = curl("--include", "--data", f"next={place}", f"{shop}/login")
        assert "evil.example\r\n" not in answer.split("\r\n\r\n")[0]
        assert not {"x"} & headers_of(answer).keys()


@pytest.mark.parametrize(
    "path", ["//evil.example", "/old//evil.example", "/old/\\evil.example", "/old/%5c/evil.example"]
)
def test_no_path_leads_to_another_site(shop, path):
    """However the path of a request is written, a redirect stays on the site."""
    location = ask(shop, path).headers.get("location", "/")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_a_file_is_compressed_on_the_way(site):
    """A large file is whole when curl has unpacked it; the client is told when it has it already; parts are as ever."""
    plain = curl(f"{site}/large.txt")
    assert plain.count("\n") == 300_000
    assert curl("--compressed", f"{site}/large.txt") == plain
    packed = ask(site, "/large.txt", "Accept-Encoding: gzip")
    assert (packed.headers["content-encoding"], "content-length" in packed.headers) == ("gzip", False)
    tag = packed.headers["etag"]
    again = ask(site, "/large.txt", "Accept-Encoding: gzip", f"If-None-Match: {tag}")
    assert (again.code, again.headers["etag"], again.body) == (304, tag, b"")
    part = ask(site, "/large.txt", "Accept-Encoding: gzip", "Range: bytes=5-9")
    assert (part.code, part.body) == (206, plain[5:10].encode())


def test_a_client_of_http_1_0_gets_a_compressed_file_to_its_end(site):
    """Without chunks the end of the connection is the end of the body."""
    connection = connect(site)
    connection.sendall(b"GET /large.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    reply = Reply(rest_of(connection))
    assert "transfer-encoding" not in reply.headers
    assert gzip.decompress(reply.body).count(b"\n") == 300_000


def test_large_answers_are_whole_and_keep_nobody_waiting(site):
    """While several answers of megabytes are compressed, others are answered, and each has its length."""
    with ThreadPoolExecutor(4) as threads:
        large = [threads.submit(ask, site, "/large", "Accept-Encoding: gzip") for _ in range(4)]
        while not all(one.done() for one in large):
            assert ask(site, "/hello").body == b"hello"
        for one in large:
            reply = one.result()
            assert int(reply.headers["content-length"]) == len(reply.body)
            assert zlib.decompress(reply.body, 16 + zlib.MAX_WBITS).count(b"\n") == 400_000


def test_answers_follow_each_other_on_one_connection(site):
    """After a compressed answer the connection is good for the next, also where both were asked at once."""
    connection = connect(site)
    one = b"GET /%s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n%s\r\n"
    connection.sendall(one % (b"large", b"") + one % (b"hello", b"Connection: close\r\n"))
    first = Reply(rest_of(connection))
    assert len(gzip.decompress(first.body)) > 5_000_000
    assert Reply(first.rest).body == b"hello"
