"""Pages that are fetched from real servers, which may be slow, wrong or somebody else."""

from __future__ import annotations

import gzip
import io
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, succeed
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.threads import deferToThread
from twisted.web.error import Error, InfiniteRedirection, PageRedirect
from web_client_stage import OnTheWire
from web_servers import Received, certificates, response

from piped.ground.batons import BatonPath
from piped.ground.errors import ConfigurationError, PipedError, TimeoutError  # noqa: A004 - the documented name
from piped.web_client.pages import WebClientGetPage


class Pages(OnTheWire):
    """Steps that fetch pages."""

    step = WebClientGetPage

    async def page(self, url: str, **options: Any) -> bytes:
        baton = await self.start(url=url, **options)
        body: bytes = baton["page"]
        return body


class Asking(Pages):
    """What is asked, and what comes back."""

    async def test_a_page_and_all_that_is_known_of_it(self) -> None:
        """The body comes as bytes, the code and the headers where response_path says."""
        server = self.server({"/users/%C3%B8/17": response(b"\xff!", "X-A: 1", "x-a: 2", code=203)})
        baton = await self.start(
            {"id": 17}, base_url=server.url(), url=["users", "ø", BatonPath("id")], response_path="r"
        )
        assert baton == {
            "id": 17,
            "page": b"\xff!",
            "r": {
                "code": 203,
                "headers": {"x-a": "1, 2"},
                "url": server.url("/users/%C3%B8/17"),
            },
        }
        [asked] = server.requests
        assert (asked.method, asked.headers["user-agent"], asked.body) == ("GET", "Piped", b"")

    async def test_what_is_sent_with_it(self) -> None:
        """The method, the headers and the name of the agent are as they are written."""
        server = self.server({"/": response()})
        headers = {"X-One": 1, "x-list": ["a", "b"], "content-length": 99}
        await self.page(server.url(), method="put", headers=headers, agent="me", postdata="ø")
        await self.page(server.url(), agent=None)
        await self.page(server.url(), headers={"User-Agent": "written"})
        first, second, third = server.requests
        assert (first.method, first.body, first.headers["x-one"]) == ("PUT", "ø".encode(), "1")
        assert (first.headers["user-agent"], first.headers["content-length"]) == ("me", "2")
        assert first.headers["x-list"] == "b", "each in a line of its own, of which the last is kept here"
        assert ("user-agent" in second.headers, third.headers["user-agent"]) == (False, "written")

    async def test_what_is_posted(self) -> None:
        """A body may be text, bytes, or something that they are read from; large ones arrive whole."""
        server = self.server({"/": response()})
        large = b"x" * 3_000_000
        with TemporaryDirectory() as folder:
            file = Path(folder, "file")
            file.write_bytes(large)
            with file.open("rb") as stream:
                for postdata in ("text", b"bytes", io.BytesIO(b"buffer"), io.StringIO("text buffer"), stream):
                    await self.page(server.url(), method="POST", postdata=postdata)
        assert [request.body for request in server.requests] == [b"text", b"bytes", b"buffer", b"text buffer", large]
        with pytest.raises(TypeError, match="a body must be text, bytes"):
            await self.page(server.url(), postdata=17)

    async def test_every_option_may_come_from_elsewhere(self) -> None:
        """A value may lie in the baton, be a Deferred, or be what a function gives, now or later."""
        server = self.server({"/a/b": response(b"x")})
        baton = {
            "base": server.url("/"),
            "parts": lambda: ["a", "b"],
            "how": {"method": succeed("post"), "limit": lambda: succeed(3)},
            "token": "secret",
        }
        await self.start(
            baton,
            base_url=BatonPath("base"),
            url=BatonPath("parts"),
            method=BatonPath("how.method"),
            redirect_limit=BatonPath("how.limit"),
            headers={"authorization": BatonPath("token")},
            postdata=lambda: succeed("body"),
            timeout=succeed(20),
        )
        [asked] = server.requests
        assert (asked.method, asked.headers["authorization"], asked.body) == ("POST", "secret", b"body")
        assert baton["page"] == b"x"

    async def test_a_value_that_is_not_in_the_baton(self) -> None:
        """A path that leads nowhere is named."""
        with pytest.raises(PipedError, match="nothing at 'url'"):
            await self.start({})

    async def test_a_failure_of_the_server_has_its_code_and_body(self) -> None:
        """Anything but 2xx fails with the code and the body, and what is known is there for error consumers."""
        server = self.server({"/": response(b"no such thing", "Retry-After: 7", code=404)})
        baton: dict[str, Any] = {"url": server.url()}
        with pytest.raises(Error) as caught:
            await self.start(baton, response_path="r")
        assert (caught.value.status, caught.value.response) == (b"404", b"no such thing")
        assert caught.value.__notes__ == [f"from {server.url()}"]
        assert (baton["r"]["code"], baton["r"]["headers"]["retry-after"]) == (404, "7")

    async def test_nobody_listens(self) -> None:
        """A server that is not there is an error of its own, for whoever wants to try again."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(Refused):
            await self.page(f"http://127.0.0.1:{port}/")

    async def test_connections_are_kept_and_closed_at_the_end(self) -> None:
        """All steps share connections; when the process stops they are closed."""
        server = self.server({"/": response(b"x")})
        for _ in range(3):
            await self.page(server.url())
        assert server.connections == 1
        await self.environment.application.stopService()
        assert await deferToThread(server.ended.acquire, timeout=20)

    async def test_a_packed_page_is_unpacked(self) -> None:
        """A page that is sent packed arrives as it was, in however many parts; unless somebody asked for it packed."""
        packed = gzip.compress(b"hello ") + gzip.compress(b"world")
        server = self.server({"/": response(packed, "Content-Encoding: gzip")})
        baton = await self.start({"url": server.url()}, response_path="r")
        assert (baton["page"], "content-encoding" in baton["r"]["headers"]) == (b"hello world", False)
        assert await self.page(server.url(), headers={"Accept-Encoding": "gzip"}) == packed

    async def test_a_page_that_is_streamed(self) -> None:
        """With stream it comes as it is read; one that stops coming is given up, and an error is read whole."""
        server = self.server({"/": response(b"x" * 1_000_000), "/none": response(b"no", code=404)})
        page: Any = await self.page(server.url(), stream=True)
        assert b"".join([part async for part in page]) == b"x" * 1_000_000
        with pytest.raises(Error) as caught:
            await self.page(server.url("/none"), stream=True)
        assert caught.value.response == b"no"
        page = await self.page(self.stuck(b"HTTP/1.1 200 OK\r\n\r\nhalf").url(), stream=True, timeout=0.3)
        assert await anext(page) == b"half"
        with pytest.raises(TimeoutError, match=r"nothing more came within 0.3 s"):
            await anext(page)
        await self.left

    async def test_a_head_has_no_body(self) -> None:
        """HEAD gives an empty body, also where that of GET would be packed."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Encoding: gzip\r\n\r\n"
        assert await self.page(self.server({"/": head}).url(), method="HEAD") == b""


class Redirects(Pages):
    """A page that is somewhere else."""

    async def asked_after(self, code: int, **options: Any) -> tuple[str, bytes]:
        server = self.server({"/": response(b"moved", "Location: there?x=1#y", code=code), "/there?x=1": response()})
        await self.page(server.url(), method="POST", postdata="body", **options)
        first, second = server.requests
        assert (first.method, first.body) == ("POST", b"body")
        return second.method, second.body

    async def test_how_it_is_asked_again(self) -> None:
        """303 is followed with GET, 302 where it is said so; all others with the same once more."""
        for code in (301, 302, 307, 308):
            assert await self.asked_after(code) == ("POST", b"body")
        assert await self.asked_after(303) == ("GET", b"")
        assert await self.asked_after(302, after_found_get=True) == ("GET", b"")
        assert await self.asked_after(301, after_found_get=True) == ("POST", b"body")

    async def test_a_redirect_that_is_not_followed(self) -> None:
        """With follow_redirect: false it is an error that says where the page is."""
        server = self.server({"/": response(b"", "Location: /there", code=301)})
        with pytest.raises(PageRedirect) as caught:
            await self.page(server.url(), follow_redirect=False)
        assert (caught.value.status, caught.value.location) == (b"301", b"/there")

    async def test_redirects_have_a_limit(self) -> None:
        """As many as redirect_limit are followed, and no more."""
        server = self.server(
            {f"/{n}": response(b"", f"Location: /{n - 1}", code=302) for n in range(1, 9)} | {"/0": response(b"x")}
        )
        assert await self.page(server.url("/3"), redirect_limit=3) == b"x"
        with pytest.raises(InfiniteRedirection):
            await self.page(server.url("/4"), redirect_limit=3)
        assert len(server.requests) == 8

    async def test_secrets_stay_with_the_server_that_they_are_for(self) -> None:
        """Credentials and cookies are not sent to another host that the first one names."""
        other = self.server({"/": response()})
        first = self.server({"/": response(b"", f"Location: {other.url(host='localhost')}", code=307)})
        headers = {"Authorization": "secret", "X-Kept": "yes"}
        await self.page(first.url(), headers=headers, cookies={"session": "17"})
        assert (first.requests[0].headers["authorization"], first.requests[0].headers["cookie"]) == (
            "secret",
            "session=17",
        )
        [asked] = other.requests
        assert ("authorization" in asked.headers, "cookie" in asked.headers, asked.headers["x-kept"]) == (
            False,
            False,
            "yes",
        )

    async def test_a_host_that_was_written_is_for_one_server(self) -> None:
        """Another server that the first one names is addressed by its own name."""
        other = self.server({"/": response()})
        first = self.server({"/": response(b"", f"Location: {other.url()}", code=307)})
        await self.page(first.url(), headers={"Host": "written"})
        assert first.requests[0].headers["host"] == "written"
        assert f"http://{other.requests[0].headers['host']}/" == other.url()

    async def test_a_redirect_to_something_else_is_refused(self) -> None:
        """A server cannot send us to anything but a web server."""
        server = self.server({"/": response(b"", "Location: file:///etc/passwd", code=302)})
        with pytest.raises(PipedError, match="no URL of a page"):
            await self.page(server.url())


class Cookies(Pages):
    """Cookies go out and come in."""

    async def test_cookies_in_the_baton_are_kept_up_to_date(self) -> None:
        """What the server sets, also on the way, is stored; what it deletes is gone."""
        first = response(b"", "Location: /b", "Set-Cookie: a=2; Path=/", "Set-Cookie: c=3", code=302)
        server = self.server({"/a": first, "/b": response(b"", "Set-Cookie: old=; Max-Age=0; Path=/")})
        baton = {"url": server.url("/a"), "jar": {"a": "1", "old": "x"}}
        await self.start(baton, cookies=BatonPath("jar"))
        assert baton["jar"] == {"a": "2", "c": "3"}
        sent = [set(request.headers["cookie"].split("; ")) for request in server.requests]
        assert sent == [{"a=1", "old=x"}, {"a=2", "c=3", "old=x"}]

    async def test_cookies_of_the_configuration_stay_as_they_are(self) -> None:
        """One baton's cookies never reach the next."""
        server = self.server({"/": response(b"", "Set-Cookie: a=2")})
        step = WebClientGetPage(url=server.url(), cookies={"a": "1"})
        step.configure(self.environment)
        for _ in range(2):
            await step.process({})
        assert [request.headers["cookie"] for request in server.requests] == ["a=1", "a=1"]

    async def test_cookies_of_another_host_are_not_taken_for_its_own(self) -> None:
        """What a host further on sets is not sent to the first one the next time."""
        other = self.server({"/": response(b"", "Set-Cookie: theirs=1")})
        first = self.server({"/": response(b"", f"Location: {other.url(host='localhost')}", code=302)})
        baton: dict[str, Any] = {"url": first.url(), "jar": {}}
        await self.start(baton, cookies=BatonPath("jar"))
        assert baton["jar"] == {}


class Trouble(Pages):
    """Servers that are slow, or break off, or send more than anybody wants."""

    async def test_a_server_that_is_too_slow(self) -> None:
        """timeout is for everything together: nothing, half an answer or half a body; the connection is closed."""
        for begin in (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"):
            server = self.stuck(begin)
            with pytest.raises(TimeoutError, match=r"GET http://.* was not answered within 0.3 s"):
                await self.page(server.url(), timeout=0.3)
            await self.left

    async def test_a_pipeline_that_is_cancelled(self) -> None:
        """When nobody wants the page any more the connection is closed."""
        for begin in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"):
            server = self.stuck(begin)
            asking = self.start(url=server.url())
            while not server.requests:
                await deferToThread(lambda: None)
            asking.cancel()
            with pytest.raises(CancelledError):
                await asking
            await self.left

    async def test_an_answer_that_is_cut(self) -> None:
        """Half a page is never taken for a whole one."""
        packed = gzip.compress(b"x" * 1000)
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        for cut in (
            b"",
            b"HTTP/1.1 200 O",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            chunked + b"\r\n4\r\nhalf\r\n",
            chunked + b"Content-Encoding: gzip\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(packed) - 3, packed[:-3]),
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed[:-3],
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnothing packed",
            b"no HTTP at all\r\n\r\n",
        ):

            def answer(received: Received, cut: bytes = cut) -> None:
                received.connection.sendall(cut)

            with pytest.raises(PipedError, match=r"no whole answer|cut|unpacked"):
                await self.page(self.server(answer).url(), method="POST")

    async def test_a_page_without_a_length_ends_with_its_connection(self) -> None:
        """An old server that only hangs up at the end is understood."""

        def answer(received: Received) -> None:
            received.connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nall of it")

        assert await self.page(self.server(answer).url()) == b"all of it"

    async def test_a_page_that_is_too_large(self) -> None:
        """No page takes more memory than max_body, packed or not."""
        bomb = gzip.compress(b"\0" * 20_000_000)
        answers = {
            "/exact": response(b"x" * 1000),
            "/more": response(b"x" * 1001, "Connection: close"),
            "/bomb": response(bomb, "Content-Encoding: gzip", "Connection: close"),
        }
        server = self.server(answers)
        assert len(await self.page(server.url("/exact"), max_body=1000)) == 1000
        for target in ("/more", "/bomb"):
            with pytest.raises(PipedError, match="more than 1000 bytes"):
                await self.page(server.url(target), max_body=1000)


class Certificates(Pages):
    """Servers that have to prove who they are."""

    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    async def test_a_server_that_nobody_vouches_for(self) -> None:
        """Without ca_file the system's authorities count, and an unknown one is refused before anything is sent."""
        _, context = certificates(self.folder, "127.0.0.1")
        server = self.server({"/": response()}, context)
        with pytest.raises(PipedError, match="certificate verify failed"):
            await self.page(server.url())
        assert server.requests == []

    async def test_a_server_that_a_file_vouches_for(self) -> None:
        """With ca_file the authorities in that file count, by name and by address."""
        ca_file, context = certificates(self.folder, "localhost", "127.0.0.1")
        server = self.server({"/": response(b"x")}, context)
        for host in ("localhost", "127.0.0.1"):
            assert await self.page(server.url(host=host), ca_file=str(ca_file)) == b"x"

    async def test_cookies_for_a_safe_connection_stay_on_safe_ones(self) -> None:
        """A cookie that was written for https is not sent over http, even if the server asks for that."""
        ca_file, context = certificates(self.folder, "127.0.0.1")
        other = self.server({"/": response()})
        first = self.server({"/": response(b"", f"Location: {other.url()}", code=302)}, context)
        await self.page(first.url(), ca_file=str(ca_file), cookies={"session": "17"})
        assert first.requests[0].headers["cookie"] == "session=17"
        assert "cookie" not in other.requests[0].headers

    async def test_a_server_that_says_no_farewell_is_left(self) -> None:
        """Who goes on sending over TLS after too much was sent is cut off."""
        ca_file, context = certificates(self.folder, "127.0.0.1")
        server = self.server({"/": response(b"x" * 50_000_000)}, context)
        with pytest.raises(PipedError, match="more than 1000 bytes"):
            await self.page(server.url(), ca_file=str(ca_file), max_body=1000)
        assert await deferToThread(server.ended.acquire, timeout=20)

    async def test_trust_is_not_shared(self) -> None:
        """A connection that one step trusts is not used by another that does not."""
        ca_file, context = certificates(self.folder, "localhost")
        server = self.server({"/": response(b"x")}, context)
        await self.page(server.url(host="localhost"), ca_file=str(ca_file))
        with pytest.raises(PipedError, match="certificate verify failed"):
            await self.page(server.url(host="localhost"))

    async def test_a_certificate_of_somebody_else(self) -> None:
        """A certificate for another name is refused."""
        ca_file, context = certificates(self.folder, "other.example")
        server = self.server({"/": response()}, context)
        with pytest.raises(PipedError, match="VerificationError"):
            await self.page(server.url(host="localhost"), ca_file=str(ca_file))

    def test_a_file_without_certificates(self) -> None:
        """A file that is missing, or holds something else, is told when the process starts."""
        empty, broken = self.folder / "empty", self.folder / "broken"
        empty.write_text("")
        broken.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
        for file, what in (
            (self.folder / "none", "cannot be read"),
            (empty, "no certificate"),
            (broken, "cannot be read"),
        ):
            with pytest.raises(ConfigurationError, match=what):
                WebClientGetPage(ca_file=str(file)).configure(self.environment)
