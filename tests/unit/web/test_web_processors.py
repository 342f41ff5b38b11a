"""Steps that read requests and write responses."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure
from web_stage import Client, parsed

from piped.config.gathering import gather_text
from piped.ground.errors import ConfigurationError, PipedError, Rejected
from piped.runtime.assembly import check
from piped.runtime.environment import RuntimeEnvironment
from piped.web.processors import (
    DetermineIP,
    ExtractWebRequestArguments,
    Lifetime,
    SetHTTPExpires,
    SetHTTPHeaders,
    WriteWebResponse,
    code_of,
)
from piped.web.request import Request

pytestmark = pytest.mark.usefixtures("each_channel")


class Threads(RuntimeEnvironment):
    """An environment whose threads work when they are told to."""

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self.work = lambda: execute(function, *arguments).chainDeferred(waiting)
        return waiting


def result_of(deferred: Deferred[Any]) -> Any:
    ended: list[Any] = []
    deferred.addBoth(ended.append)
    [result] = ended
    if isinstance(result, Failure):
        result.raiseException()
    return result


def response_of(*steps: Any, method: str = "GET", **baton: Any) -> tuple[int, dict[str, str], bytes]:
    def answer(request: Request) -> None:
        for step in steps:
            step.process({"request": request, **baton})

    return parsed(Client(answer).get(method=method))


def request_for(target: str = "/", *headers: str, **options: Any) -> Request:
    requests: list[Request] = []
    Client(requests.append).get(target, *headers, **options)
    return requests[0]


class TestWriteWebResponse:
    """write-web-response."""

    @pytest.mark.parametrize(
        ("content", "sent"),
        [
            ("grün", "grün".encode()),
            (b"\xff", b"\xff"),
            (bytearray(b"x"), b"x"),
            (17, b"17"),
            (None, b""),
            (IPv4Address("TCP", "127.0.0.1", 80), b"IPv4Address(type='TCP', host='127.0.0.1', port=80)"),
        ],
    )
    def test_any_content_is_written(self, content: Any, sent: bytes) -> None:
        """Text is encoded, bytes stay as they are, anything else is made text."""
        code, headers, body = response_of(WriteWebResponse(), content=content)
        assert (code, headers["content-length"], body) == (200, str(len(sent)), sent)

    def test_the_baton_is_passed_on(self) -> None:
        """What follows gets the same baton."""
        baton = {"request": request_for(), "content": "x"}
        assert WriteWebResponse().process(baton) is baton

    def test_the_content_may_lie_anywhere(self) -> None:
        """content_path and body_path say where it is; they are the same option."""
        assert response_of(WriteWebResponse(content_path="a.b"), a={"b": "here"})[2] == b"here"
        assert response_of(WriteWebResponse(body_path="host"), host="there")[2] == b"there"
        with pytest.raises(ConfigurationError, match="mean the same"):
            WriteWebResponse(content_path="a", body_path="b")

    def test_a_fallback_for_missing_content(self) -> None:
        """fallback_content is written when there is no content; without it nothing is."""
        assert response_of(WriteWebResponse(fallback_content="hello"))[2] == b"hello"
        assert response_of(WriteWebResponse(fallback_content="hello"), content="given")[2] == b"given"
        assert response_of(WriteWebResponse())[2] == b""

    def test_type_code_and_encoding(self) -> None:
        """The response says what it is told to."""
        step = WriteWebResponse(content_type="text/plain", response_code="NOT_FOUND", encoding="latin1")
        code, headers, body = response_of(step, content="ü")
        assert (code, headers["content-type"], body) == (404, "text/plain", b"\xfc")

    @pytest.mark.parametrize(
        ("written", "code"), [(404, 404), ("404", 404), ("not_found", 404), ("OK", 200), (599, 599)]
    )
    def test_codes_have_numbers_and_names(self, written: Any, code: int) -> None:
        """A code is a number, or a name that twisted.web.http has for it."""
        assert code_of(written) == code

    @pytest.mark.parametrize(
        ("written", "hint"), [("NOT_FUND", "'NOT_FOUND'"), (20, "number"), ("HTTPChannel", "number"), (1000, "number")]
    )
    def test_an_unknown_code_is_a_mistake_of_the_configuration(self, written: Any, hint: str) -> None:
        """A wrong code is told before anything runs, with what was probably meant."""
        with pytest.raises(ConfigurationError) as caught:
            WriteWebResponse(response_code=written)
        assert f"{written!r} is no response code" in caught.value.msg
        assert hint in caught.value.hint

    def test_a_response_may_be_written_in_parts(self) -> None:
        """With finish: false others may write more."""
        _, headers, body = response_of(WriteWebResponse(finish=False), WriteWebResponse(), content="part")
        assert headers["transfer-encoding"] == "chunked"
        assert body == b"4\r\npart\r\n4\r\npart\r\n0\r\n\r\n"

    def test_head_gets_the_length_only(self) -> None:
        """A pipeline that answers GET answers HEAD rightly without knowing."""
        _, headers, body = response_of(WriteWebResponse(), content="hello", method="HEAD")
        assert (headers["content-length"], body) == ("5", b"")

    def test_a_client_that_left_is_skipped(self) -> None:
        """A baton whose client has left or was answered passes untouched."""
        requests: list[Request] = []
        client = Client(requests.append)
        client.get()
        client.leave()
        baton = {"request": requests[0], "content": object()}
        assert WriteWebResponse(encoding="ascii").process(baton) is baton
        WriteWebResponse(skip_if_request_stopped=False).process(baton)

    def test_a_baton_without_request_is_an_error(self) -> None:
        """A pipeline that is fed by something else says so."""
        with pytest.raises(PipedError, match="no request at 'request'"):
            WriteWebResponse().process({})

    def test_a_wrong_encoding_is_told_before_anything_runs(self) -> None:
        """An encoding that does not exist, or cannot encode the fallback, is a mistake of the configuration."""
        with pytest.raises(ConfigurationError):
            WriteWebResponse(encoding="ascii", fallback_content="ü")
        with pytest.raises(ConfigurationError):
            WriteWebResponse(encoding="utf-9", fallback_content="x")


@pytest.mark.parametrize("headers", [{"x y": "1"}, {"x": "a\r\nb: c"}, {"": "x"}])
def test_a_header_that_cannot_be_sent_is_told_at_the_start(headers: dict[str, Any]) -> None:
    """A name or a value that no header can have is a mistake of the configuration."""
    with pytest.raises(ConfigurationError, match="header"):
        SetHTTPHeaders(headers)


def test_headers_are_set_and_others_kept() -> None:
    """set-http-headers sets and replaces headers, of any value, and leaves the others alone."""
    steps = [SetHTTPHeaders({"x-a": 1, "x-b": "old"}), SetHTTPHeaders({"X-B": "new"}), WriteWebResponse()]
    headers = response_of(*steps)[1]
    assert (headers["x-a"], headers["x-b"]) == ("1", "new")


class TestSetHTTPExpires:
    """set-http-expires."""

    def headers(self, lifetime: Lifetime, **options: Any) -> dict[str, str]:
        step = SetHTTPExpires(lifetime, **options)
        step.configure(RuntimeEnvironment(wall_clock=lambda: 1320235100.9))
        return response_of(step, WriteWebResponse())[1]

    def test_a_response_may_be_kept_for_a_while(self) -> None:
        """The headers say until when in GMT, and for how many seconds, that is the sum of all parts."""
        headers = self.headers(Lifetime(days=1, hours=1, minutes=1, seconds=1))
        assert headers["expires"] == "Thu, 03 Nov 2011 12:59:21 GMT"
        assert headers["cache-control"] == "public,max-age=90061"

    def test_parts_may_be_left_out_and_broken(self) -> None:
        """Half an hour is as good as 30 minutes, and nothing at all is now."""
        assert self.headers(Lifetime(hours=0.5))["cache-control"] == "public,max-age=1800"
        assert self.headers(Lifetime())["expires"] == "Wed, 02 Nov 2011 11:58:20 GMT"

    @pytest.mark.parametrize(
        ("timedelta", "place", "message"),
        [
            ("{weeks: 1}", "site.yml:1:52", "no option 'weeks'"),
            ("{days: -1}", "site.yml:1:58", "must be a number of at least 0"),
            ("{days: .inf}", "site.yml:1:40", "count no further than 68 years"),
            ("{days: 1e9}", "site.yml:1:40", "count no further than 68 years"),
            ("5", "site.yml:1:51", "must be a mapping"),
        ],
    )
    def test_a_wrong_time_is_told_at_the_start(self, timedelta: str, place: str, message: str) -> None:
        """A part that does not exist, a time that is past or too long are mistakes of the configuration."""
        text = f"pipelines: {{main: [{{set-http-expires: {{timedelta: {timedelta}}}}}]}}"
        [problem] = check(gather_text(text, "site.yml", environ={}), {}).problems
        assert (str(problem.where), message in problem.what) == (place, True), str(problem)


class TestExtractWebRequestArguments:
    """extract-web-request-arguments."""

    def extracted(self, target: str, mapping: Any, **options: Any) -> dict[str, Any]:
        baton = {"request": request_for(target)}
        made = ExtractWebRequestArguments(mapping, **options).process(baton)
        return {key: value for key, value in made.items() if key != "request"}

    def test_the_first_value_or_all(self) -> None:
        """An argument is its first value, or with only_first: false the list of all."""
        target = "/?a=1&a=2&b=%C3%B8"
        assert self.extracted(target, ["a", {"b": "to.b"}]) == {"a": "1", "to": {"b": "ø"}}
        assert self.extracted(target, [{"a": {"only_first": False}}]) == {"a": ["1", "2"]}

    def test_names_are_taken_as_they_are(self) -> None:
        """A dot in the name of an argument is part of it."""
        assert self.extracted("/?a.b=1", [{"a.b": "c"}]) == {"c": "1"}

    def test_missing_arguments(self) -> None:
        """What was not sent is left out, or replaced by the fallback as it is."""
        assert self.extracted("/", ["a"]) == {}
        extras = [{"a": {"load_json": True, "only_first": True}}]
        assert self.extracted("/", extras, skip_if_nonexistent=False) == {"a": None}
        assert self.extracted("/", extras, skip_if_nonexistent=False, input_fallback="x") == {"a": "x"}

    def test_json(self) -> None:
        """load_json reads the values; invalid ones fail."""
        target = "/?a=%7B%22b%22%3A1%7D&a=2"
        assert self.extracted(target, [{"a": {"load_json": True}}]) == {"a": {"b": 1}}
        assert self.extracted(target, [{"a": {"load_json": True, "only_first": False}}]) == {"a": [{"b": 1}, 2]}
        for nope in ("nope", "", "%5B" * 5000):
            with pytest.raises(ValueError, match="the argument 'a' is no JSON: "):
                self.extracted(f"/?a={nope}", [{"a": {"load_json": True}}])

    def test_the_request_is_left_as_it_was(self) -> None:
        """Another step finds the same arguments again."""
        request = request_for("/?a=1")
        step = ExtractWebRequestArguments([{"a": {"load_json": True, "only_first": False}}])
        for _ in range(2):
            assert step.process({"request": request})["a"] == [1]
        all_values = ExtractWebRequestArguments([{"a": {"only_first": False}}])
        all_values.process({"request": request})["a"].append("2")
        assert request.args == {"a": ["1"]}

    def test_fields_of_a_form(self) -> None:
        """What a form sends counts, too, and before what the query says; a malformed one is rejected."""
        form = {"method": "POST", "body": b"a=form&c=3"}
        urlencoded = "Content-Type: application/x-www-form-urlencoded"
        baton = {"request": request_for("/?a=query&b=2", urlencoded, **form)}
        made = ExtractWebRequestArguments(["a", "b", "c"]).process(baton)
        assert (made["a"], made["b"], made["c"]) == ("form", "2", "3")
        assert made["request"].content.read() == b"a=form&c=3", "the body can be read by hand, too"
        malformed = request_for("/", "Content-Type: multipart/form-data", **form)
        with pytest.raises(Rejected, match="malformed"):
            ExtractWebRequestArguments(["a"]).process({"request": malformed})

    def extracting(self, content_type: str) -> tuple[Client, Threads, Deferred[Any]]:
        """An extraction from a large form, which waits for a thread."""
        requests: list[Request] = []
        client = Client(requests.append, max_body=1_000_000)
        body = b"a=" + b"x" * 300_000
        client.get("/", f"Content-Type: {content_type}", method="POST", body=body)
        threads, step = Threads(), ExtractWebRequestArguments(["a"])
        step.configure(threads)
        return client, threads, Deferred.fromCoroutine(step.process({"request": requests[0]}))

    def test_a_large_form_is_read_in_a_thread(self) -> None:
        """Nobody else waits while a large form is read."""
        _, threads, running = self.extracting("application/x-www-form-urlencoded")
        assert not running.called
        threads.work()
        assert result_of(running)["a"] == "x" * 300_000

    def test_a_large_form_may_be_malformed(self) -> None:
        """Whoever reads it in a thread is told as well."""
        _, threads, running = self.extracting("multipart/form-data; boundary=edge")
        threads.work()
        with pytest.raises(Rejected, match="malformed"):
            result_of(running)

    def test_arguments_are_all_that_is_asked_for(self) -> None:
        """What stands in the place of a request need have no more than its arguments."""
        baton = {"message": SimpleNamespace(args={"a": ["1"]})}
        assert ExtractWebRequestArguments(["a"], request_path="message").process(baton)["a"] == "1"

    def test_unknown_extras_are_a_mistake_of_the_configuration(self) -> None:
        """A wrong option of an entry is told before anything runs."""
        with pytest.raises(ConfigurationError, match="only_frist"):
            ExtractWebRequestArguments([{"a": {"only_frist": True}}])


class TestDetermineIP:
    """determine-ip; the connection of these requests comes from 192.0.2.1."""

    FORWARDED = ("X-Forwarded-For: 10.9.9.9, 203.0.113.7", "X-Forwarded-For: 198.51.100.2")

    @pytest.mark.parametrize(
        ("options", "headers", "ip"),
        [
            ({}, FORWARDED, "192.0.2.1"),
            ({"proxied": True}, FORWARDED, "10.9.9.9"),
            ({"proxied": True}, (), "192.0.2.1"),
            ({"proxied": True, "proxy_header": "X-Real-IP"}, ("X-Real-IP: 10.1.1.1",), "10.1.1.1"),
            ({"trusted_proxies": 1}, FORWARDED, "198.51.100.2"),
            ({"trusted_proxies": 2}, FORWARDED, "203.0.113.7"),
            ({"trusted_proxies": 4}, FORWARDED, "192.0.2.1"),
            ({"trusted_proxies": 1}, (), "192.0.2.1"),
        ],
    )
    def test_the_address_of_the_client(self, options: dict[str, Any], headers: tuple[str, ...], ip: str) -> None:
        """The address of the connection, or the one that a proxy has seen; a client cannot make up what ours saw."""
        assert DetermineIP(**options).process({"request": request_for("/", *headers)})["ip"] == ip

    def test_a_request_past_the_proxy_may_be_refused(self) -> None:
        """With fail_if_not_proxied a request without the header fails."""
        with pytest.raises(PipedError, match="GET / came without x-forwarded-for"):
            DetermineIP(proxied=True, fail_if_not_proxied=True).process({"request": request_for()})

    def test_the_address_may_be_put_anywhere(self) -> None:
        """output_path says where."""
        assert DetermineIP(output_path="").process({"request": request_for()}) == "192.0.2.1"
