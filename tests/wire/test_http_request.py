"""Requests to real servers, which may be slow, wrong, far too talkative or somebody else."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import tracemalloc
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from commands import EXAMPLES, Running, fetch
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ConnectError
from twisted.internet.threads import deferToThread
from twisted.web.error import InfiniteRedirection
from web_client_stage import OnTheWire
from web_servers import Received, Server, certificates, response

from piped.ground.batons import BatonPath
from piped.ground.errors import PipedError, TimeoutError  # noqa: A004 - the documented name
from piped.web_client.errors import CutOffError, ResponseError
from piped.web_client.http_request import HttpRequest
from piped.web_client.retrying import Retries


class Requests(OnTheWire):
    """Steps that ask, and what they put into the baton."""

    step = HttpRequest

    async def response(self, url: str, **options: Any) -> Any:
        baton = await self.start(url=url, **options)
        return baton["response"]

    def folder(self) -> Path:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)


class Asking(Requests):
    """What is asked, and what comes back."""

    async def test_a_response_and_all_that_is_known_of_it(self) -> None:
        """The code, the headers and the body can be read by path and from Python."""
        body = '{"name": "Åda"}'.encode("latin-1")
        server = self.server({"/": response(body, "Content-Type: text/plain; charset=latin-1", "X-A: 1", "X-a: 2")})
        found = await self.response(server.url())
        assert (found.status, found.reason, found.url) == (200, "Told", server.url())
        assert (found.headers["x-a"], found.headers.get_all("X-A")) == ("1, 2", ["1", "2"])
        assert (found.body, found.text) == (body, '{"name": "Åda"}')
        [asked] = server.requests
        assert (asked.method, asked.headers["user-agent"], asked.body) == ("GET", "Piped", b"")

    async def test_a_part_of_the_response(self) -> None:
        """With `output` only that part is put into the baton."""
        server = self.server({"/": response(b'{"a": [1]}')})
        for output, value in (("json", {"a": [1]}), ("text", '{"a": [1]}'), ("body", b'{"a": [1]}'), ("status", 200)):
            assert await self.response(server.url(), output=output) == value
        with pytest.raises(PipedError, match="is no JSON"):
            await self.response(self.server({"/": response(b"<html>")}).url(), output="json")

    async def test_what_is_sent(self) -> None:
        """JSON, forms and bodies go with their type, parameters in the query, credentials in their header."""
        server = self.server(lambda received: response())
        baton = {"id": "a/b ?", "order": {"n": 1}, "fields": {"x": ["1 2", "&"], "y": None, "z": True}, "key": "T"}
        await self.start(baton, url=[server.url("/v1/"), BatonPath("id")], params=baton["fields"], bearer="token")
        await self.start(baton, url=server.url(), json={"order": BatonPath("order"), "ø": None})
        await self.start(baton, url=server.url("/?a=1"), form_path="fields", params={"b": 2}, user="ada", password="ø:")
        await self.start(baton, url=server.url(), body_path="key", method="put", headers={"Content-Type": "text/x"})
        first, second, third, fourth = server.requests
        assert (first.target, first.headers["authorization"]) == (
            "/v1/a%2Fb%20%3F?x=1%202&x=%26&z=true",
            "Bearer token",
        )
        assert (second.method, json.loads(second.body)) == ("POST", {"order": {"n": 1}, "ø": None})
        assert second.headers["content-type"] == "application/json"
        assert (third.target, third.body) == ("/?a=1&b=2", b"x=1%202&x=%26&z=true")
        assert third.headers["authorization"] == "Basic YWRhOsO4Og=="
        assert third.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (fourth.method, fourth.body, fourth.headers["content-type"]) == ("PUT", b"T", "text/x")

    async def test_a_large_file_is_sent_as_it_is_read(self) -> None:
        """A file is sent from where it stands, within a bound of memory, and again after a redirect."""
        size = 60_000_000
        counted: list[int] = []

        def count(received: Received) -> bytes:
            counted.append(len(received.body))
            return response(b"", "Location: /there", code=307) if received.target == "/" else response()

        server = self.server(count)
        file = self.folder() / "large"
        with file.open("wb") as writing:
            writing.truncate(size)
        with file.open("rb") as reading:
            reading.seek(10)
            tracemalloc.start()
            try:
                await self.start({"file": reading}, url=server.url(), body_path="file")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert counted == [size - 10, size - 10]
        # The server of this test is in the same process, and holds a body and the parts that it was made of.
        assert peak < 3.5 * size

    async def test_a_failing_response(self) -> None:
        """It fails with its code, its URL without secrets and the beginning of its body; unless it is no failure."""
        server = self.server({"/?key=secret": response(b"no\nsuch thing", code=404)})
        baton: dict[str, Any] = {}
        with pytest.raises(ResponseError) as caught:
            await self.start(baton, url=server.url("/?key=secret"))
        assert caught.value.msg == f"GET {server.url()}?… was answered with 404 Told: no such thing"
        assert (caught.value.status, caught.value.response.body) == (404, b"no\nsuch thing")
        assert baton["response"] is caught.value.response
        assert (await self.response(server.url("/?key=secret"), fail_on=["5xx", 403])).status == 404
        with pytest.raises(ResponseError):
            await self.response(server.url("/?key=secret"), fail_on=[404])

    async def test_a_packed_body_has_a_bound(self) -> None:
        """gzip and deflate, with its header and without, are unpacked; max_body is for what comes out."""
        text = b"x" * 1_000_000
        raw = zlib.compressobj(wbits=-15)
        bodies = {"/zlib": zlib.compress(text), "/raw": raw.compress(text) + raw.flush()}
        server = self.server({name: response(body, "Content-Encoding: deflate") for name, body in bodies.items()})
        for name in bodies:
            assert (await self.response(server.url(name))).body == text
            with pytest.raises(PipedError, match="more than 999999 bytes"):
                await self.response(server.url(name), max_body=999_999)

    async def test_nobody_listens(self) -> None:
        """A server that is not there is an error of its own."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(ConnectError):
            await self.response(f"http://127.0.0.1:{port}/")

    async def test_so_many_at_a_time(self) -> None:
        """A step asks one server no more often at a time than it may; the others wait for their turn."""
        running, most, lock = 0, 0, threading.Lock()
        together = threading.Barrier(2)

        def answer(received: Received) -> bytes:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            together.wait(20)  # two are here at the same time, or this breaks
            with lock:
                running -= 1
            return response()

        step = HttpRequest(url=self.server(answer).url(), max_connections_per_host=2)
        step.configure(self.environment)
        await gatherResults([Deferred.fromCoroutine(step.process({})) for _ in range(6)])
        assert most == 2


class Following(Requests):
    """Redirects."""

    async def test_a_redirect_is_followed_as_browsers_do(self) -> None:
        """POST becomes GET with 301, 302 and 303, and stays what it is with 307 and 308."""
        for code, method, body in ((301, "GET", b""), (303, "GET", b""), (307, "POST", b"{}"), (308, "POST", b"{}")):
            server = self.server({"/": response(b"", "Location: there", code=code), "/there": response(b"x")})
            found = await self.response(server.url(), json={})
            assert (found.url, found.body) == (server.url("/there"), b"x")
            second = server.requests[1]
            assert (second.method, second.body, "content-type" in second.headers) == (method, body, method == "POST")

    async def test_redirects_have_a_limit(self) -> None:
        """A loop ends; with a limit of 0 the redirect is the answer."""
        server = self.server({"/": response(b"", "Location: /", code=302)})
        with pytest.raises(InfiniteRedirection):
            await self.response(server.url(), max_redirects=3)
        assert len(server.requests) == 4
        found = await self.response(server.url(), max_redirects=0)
        assert (found.status, found.headers["location"]) == (302, "/")

    async def test_secrets_stay_with_the_server_that_they_are_for(self) -> None:
        """Credentials are not sent to another server that the first one names."""
        other = self.server({"/": response()})
        first = self.server({"/": response(b"", f"Location: {other.url()}", code=302)})
        await self.response(first.url(), user="ada", password="secret")
        assert "authorization" in first.requests[0].headers
        assert "authorization" not in other.requests[0].headers

    async def test_tls_is_not_left(self) -> None:
        """A redirect from https to http is refused."""
        ca_file, context = certificates(self.folder(), "127.0.0.1")
        other = self.server({"/?k=1": response()})
        first = self.server({"/": response(b"", f"Location: {other.url('/?k=1')}", code=302)}, context)
        with pytest.raises(PipedError, match=r"redirected to http://.*/\?…, which would not be encrypted"):
            await self.response(first.url(), ca_file=str(ca_file))
        assert other.requests == []


class Trouble(Requests):
    """Servers that are slow, break off, or are busy."""

    async def test_a_server_that_is_too_slow(self) -> None:
        """timeout is for everything together; the connection is closed, and no message has a secret."""
        for begin in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"):
            server = self.stuck(begin)
            with pytest.raises(TimeoutError, match=r"GET http://.*/\?… was not answered within 0.3 s"):
                await self.response(server.url("/?key=secret"), timeout=0.3, retries=5)
            await self.left
            assert len(server.requests) == 1

    async def test_a_cancelled_request_closes_its_connection(self) -> None:
        """When nobody wants the answer any more, also while it is being saved, the server is told; no file is left."""
        folder = self.folder()
        for options in ({}, {"save_to": str(folder / "file")}):
            server = self.stuck(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            asking = self.start(url=server.url(), **options)
            while not server.requests or (options and not list(folder.iterdir())):
                await deferToThread(lambda: None)
            asking.cancel()
            with pytest.raises(CancelledError):
                await asking
            await self.left
        assert list(folder.iterdir()) == []

    async def test_a_busy_server_is_asked_again(self) -> None:
        """A request that its method lets be repeated is, after a lost connection and after a 503."""
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", response(code=503), response(b"there")]
        server = self.cutting(answers)
        found = await self.response(server.url(), retries=Retries(2, wait=0.01))
        assert (found.body, len(server.requests)) == (b"there", 3)

    def cutting(self, answers: list[bytes]) -> Server:
        """A server that gives one answer after the other, each on a connection that it closes."""
        left = list(answers)

        def answer(received: Received) -> None:
            received.connection.sendall(left.pop(0))
            received.connection.shutdown(socket.SHUT_RDWR)

        return self.server(answer)

    async def test_what_may_have_been_done_is_not_done_twice(self) -> None:
        """POST is not repeated, unless it is said to do no harm."""
        server = self.cutting([b"", response(b"there")])
        with pytest.raises(CutOffError, match=r"POST http.* got no whole answer"):
            await self.response(server.url(), json=1, retries=Retries(2, wait=0.01))
        assert len(server.requests) == 1
        server = self.cutting([b"", response(b"there")])
        found = await self.response(server.url(), json=1, retries=Retries(2, wait=0.01, repeatable=True))
        assert (found.body, len(server.requests)) == (b"there", 2)

    async def test_nothing_is_repeated_against_what_is_said(self) -> None:
        """A kept connection that is lost is tried anew with GET, also without retries; not with `repeatable: false`."""
        for repeatable, sends in ((None, 3), (False, 2)):
            answers: list[bytes | None] = [response(), None, response()]
            server = self.server(lambda received, left=answers: left.pop(0))
            options = {"url": server.url(), "retries": Retries(0, repeatable=repeatable)}
            await self.start(**options)
            asking = self.start(**options)
            if sends == 2:
                with pytest.raises(CutOffError):
                    await asking
            else:
                await asking
            assert (len(server.requests), server.connections) == (sends, sends - 1)

    async def test_the_page_of_a_busy_or_failing_server_may_be_longer(self) -> None:
        """max_body is for what is asked for, and not for what a redirect, a 503 or a 404 says beside it."""
        page = b"x" * 300
        left = [response(page, code=503), response(page, "Location: /there", code=302), response(b"there")]
        server = self.server(lambda received: left.pop(0))
        assert (await self.response(server.url(), max_body=100, retries=Retries(1, wait=0))).body == b"there"
        failing = self.server({"/": response(page, code=404)})
        with pytest.raises(ResponseError, match="404 Told: xxx"):
            await self.response(failing.url(), max_body=100)

    async def test_a_try_that_hangs_is_given_up(self) -> None:
        """With attempt_timeout the next try comes in time."""
        is_first = [True]

        def answer(received: Received) -> bytes | None:
            if is_first:
                is_first.clear()
                return None if received.has_left else b""
            return response(b"there")

        found = await self.response(
            self.server(answer).url(), attempt_timeout=0.3, retries=Retries(1, wait=0.01), timeout=20
        )
        assert found.body == b"there"


class Saving(Requests):
    """Bodies that become files or streams."""

    async def test_a_body_is_saved(self) -> None:
        """It goes to the file as it comes, is there whole or not at all, and has the rights of any other file."""
        name = self.folder() / "file"
        large = os.urandom(3_000_000)
        server = self.server({"/": response(large), "/bad": response(b"no", code=500)})
        found = await self.response(server.url(), save_to=str(name), save_sync=True)
        assert (found.file, found.size, name.read_bytes() == large) == (str(name), len(large), True)
        assert name.stat().st_mode & 0o777 == 0o666 & ~umask()
        cut = self.stuck(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        with pytest.raises(TimeoutError, match=r"nothing more came within 0.3 s"):
            await self.start({"name": str(name)}, url=cut.url(), save_to=BatonPath("name"), timeout=0.3)
        with pytest.raises(ResponseError, match="500 Told: no"):
            await self.response(server.url("/bad"), save_to=str(name))
        with pytest.raises(PipedError, match="more than 1000 bytes"):
            await self.response(server.url(), save_to=str(name), max_body=1000)
        cut = self.stuck(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        with pytest.raises(FileNotFoundError) as held:
            await self.response(cut.url(), save_to=str(name.parent / "none" / "file"))
        await self.left  # at once, though what failed is still looked at
        assert held.value.filename
        assert name.read_bytes() == large
        assert [each.name for each in name.parent.iterdir()] == ["file"]

    async def test_a_download_that_was_cut_is_begun_anew(self) -> None:
        """With retries a file is whole after all."""
        name = self.folder() / "file"
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", response(b"all of it")]

        def answer(received: Received) -> None:
            received.connection.sendall(answers.pop(0))
            received.connection.shutdown(socket.SHUT_RDWR)

        await self.response(self.server(answer).url(), save_to=str(name), retries=Retries(1, wait=0.01))
        assert name.read_bytes() == b"all of it"

    async def test_a_large_body_is_saved_in_little_memory(self) -> None:
        """However large, no more of it is in memory than is being written."""
        piece, pieces = b"\0" * 1_000_000, 100

        def answer(received: Received) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(piece) * pieces}\r\n\r\n"
            received.connection.sendall(head.encode())
            for _ in range(pieces):
                received.connection.sendall(piece)

        server, name = self.server(answer), self.folder() / "file"
        tracemalloc.start()
        try:
            found = await self.response(server.url(), save_to=str(name))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found.size == name.stat().st_size == len(piece) * pieces
        assert peak < 8_000_000

    async def test_a_stream_comes_as_fast_as_it_is_read(self) -> None:
        """What nobody reads is not fetched, and the connection ends with the interest in it."""
        sent = [0]
        is_done = threading.Event()

        def answer(received: Received) -> None:
            received.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            received.connection.settimeout(1)
            try:
                while sent[0] < 200_000_000:
                    received.connection.sendall(b"x" * 100_000)
                    sent[0] += 100_000
            except OSError:
                is_done.set()

        found = await self.response(self.server(answer).url(), stream=True)
        assert (await anext(found.body))[:1] == b"x"
        assert await deferToThread(is_done.wait, 20)  # the buffers of the system are full
        assert sent[0] < 100_000_000
        server = self.stuck(b"HTTP/1.1 200 OK\r\n\r\nsome")
        found = await self.response(server.url(), stream=True)
        assert await anext(found.body) == b"some"
        del found
        await self.left

    async def test_a_stream_to_its_end(self) -> None:
        """All of it is there, and then the connection is kept; a closed one says so."""
        server = self.server({"/": response(b"x" * 1_000_000)})
        for _ in range(2):
            found = await self.response(server.url(), stream=True, output="body")
            assert b"".join([part async for part in found]) == b"x" * 1_000_000
        assert server.connections == 1
        found = await self.response(server.url(), stream=True, output="body")
        await found.aclose()
        with pytest.raises(PipedError, match="is closed"):
            await anext(found)


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Certificates(Requests):
    """Who proves who he is."""

    async def test_certificates_are_checked(self) -> None:
        """Unless it is said not to, which is logged; a name that is another is refused."""
        ca_file, context = certificates(self.folder(), "other.example")
        server = self.server({"/": response(b"x")}, context)
        for options in ({}, {"ca_file": str(ca_file)}):
            with pytest.raises(PipedError, match=r"verify failed|VerificationError"):
                await self.response(server.url(host="localhost"), retries=3, **options)
        assert server.requests == []
        with self.assertLogs("piped.web", "WARNING") as logged:
            assert (await self.response(server.url(host="localhost"), verify=False)).body == b"x"
        assert "http-request checks no certificates" in logged.output[0]

    async def test_a_client_shows_its_certificate(self) -> None:
        """With cert_file, and the key in it or in key_file, the server knows who asks."""
        folder = self.folder()
        ca_file, context = certificates(folder, "127.0.0.1")
        client_ca, _ = certificates(folder, "client")
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        server = self.server({"/": response(b"x")}, context)
        both = folder / "client.pem"
        key, certificate = both.read_text().split("-----BEGIN CERT")
        (folder / "key.pem").write_text(key)
        (folder / "cert.pem").write_text("-----BEGIN CERT" + certificate)
        trusted = {"ca_file": str(ca_file)}
        apart = {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}
        for own in ({"cert_file": str(both)}, apart):
            assert (await self.response(server.url(), **trusted, **own)).body == b"x"
        with pytest.raises(PipedError, match="no whole answer"):
            await self.response(server.url(), **trusted)


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates are asked for until they come, orders are passed on, and the report is streamed and kept."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("BACK_PORT", str(port))
    with Running(EXAMPLES / "http_request.yaml", "-O", "web.front.port:0", cwd=tmp_path) as running:
        assert running.get("/rates/EUR").body == "1.08\n"
        assert "trying again" in running.log
        gold = running.get("/rates/gold")
        assert (gold.code, gold.body) == (502, "nobody knows that rate\n")
        assert fetch(running.url("/orders"), b'{"item": "tea"}').json() == {"ordered": "tea"}
        report = "".join(f"line {number}\n" for number in range(100_000))
        assert running.get("/report").body == report
        assert running.get("/report/keep").body == f"{len(report)} bytes in report.txt\n"
        assert (tmp_path / "report.txt").read_text() == report
        assert running.stop() == 0
