"""Requests with their redirects and retries, on a clock that stands still."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
from client_stage import Response, Whole, result_of
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.web.http_headers import Headers

from clocks import Reactor
from piped.ground.errors import PipedError, TimeoutError  # noqa: A004 - the documented name
from piped.web_client.connections import Trust, Turns
from piped.web_client.exchange import Answer
from piped.web_client.fetching import Asked, WebClient
from piped.web_client.outgoing import FromFile, Outgoing
from piped.web_client.retrying import Retries


class Servers:
    """An IAgent that gives one answer after the other."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Headers]] = []
        self.producers: list[Any] = []

    def request(self, method: bytes, uri: bytes, headers: Headers, producer: Any) -> Any:
        self.asked.append((method.decode(), uri.decode(), headers))
        self.producers.append(producer)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            return fail(answer)
        return answer if isinstance(answer, Deferred) else succeed(answer)


class Client(WebClient):
    """A client whose servers are told what to answer, and whose chances are always even."""

    def __init__(self, *answers: Any) -> None:
        self.reactor, self.servers = Reactor(), Servers(answers)
        super().__init__(self.reactor, lambda: 1e9, chance=lambda: 0.5)

    def agent_for(self, trust: Trust, connect_timeout: float) -> Any:
        return self.servers

    def ask(self, **options: Any) -> Deferred[tuple[int, bytes]]:
        """The code and the body of what comes in the end."""

        async def read(answer: Answer) -> tuple[int, bytes]:
            return answer.code, await answer.body.read()

        return Deferred.fromCoroutine(self.fetch(Asked(**{"url": "http://x/?key=secret"} | options), Trust(), read))


def test_retries_come_after_their_waits() -> None:
    """Each wait is half of a bound that doubles here, as the chance is even; the last answer is what there is."""
    client = Client(Refused(), Whole(503), Whole(429, retry_after="7"), Whole(503, b"busy"))
    asked = client.ask(retries=Retries(3, wait=2))
    for wait in (1, 2, 8):
        before = len(client.servers.asked)
        client.reactor.advance(wait - 0.01)
        assert (len(client.servers.asked), asked.called) == (before, False)
        client.reactor.advance(0.02)
        assert len(client.servers.asked) == before + 1
    assert result_of(asked) == (503, b"busy")


def test_a_retry_that_would_be_too_late_does_not_come() -> None:
    """Who has to wait beyond the timeout, or longer than the longest wait, is told at once."""
    for options in ({"timeout": 5}, {"retries": Retries(3, max_wait=5)}):
        client = Client(Whole(503, b"busy", retry_after="6"))
        assert result_of(client.ask(**({"retries": Retries(3)} | options))) == (503, b"busy")


def test_a_failure_stays_what_it_was() -> None:
    """When no try is left the last failure is told, and says what was asked for without its secrets."""
    client = Client(Refused("first"), Refused("second"))
    asked = client.ask(retries=Retries(1))
    client.reactor.advance(1)
    with pytest.raises(Refused, match="second") as caught:
        result_of(asked)
    assert caught.value.__notes__ == ["while asking GET http://x/?…"]


def test_a_try_has_its_time() -> None:
    """A try that takes too long is given up for the next; the whole has a time, too, and does not wait longer."""
    client = Client(Deferred(), Whole(200, b"there"))
    asked = client.ask(attempt_timeout=3, timeout=60, retries=Retries(1, wait=2))
    client.reactor.advance(3)
    client.reactor.advance(1)
    assert result_of(asked) == (200, b"there")
    client = Client(Deferred(), Deferred())
    asked = client.ask(attempt_timeout=3, timeout=5, retries=Retries(9, wait=2))
    client.reactor.advance(3)
    client.reactor.advance(1)
    client.reactor.advance(1)
    with pytest.raises(TimeoutError, match=r"GET http://x/\?… was not answered within 5 s"):
        result_of(asked)


def test_patience_is_for_the_beginning() -> None:
    """Where whoever receives the body looks after its time, the rest of the answer may take longer."""
    response = Response()
    client = Client(response)
    asked = client.ask(timeout=5, is_patient=True)
    client.reactor.advance(60)
    response.deliver(b"late")
    assert result_of(asked) == (200, b"late")
    client = Client(Deferred())
    asked = client.ask(timeout=5, is_patient=True)
    client.reactor.advance(5)
    with pytest.raises(TimeoutError):
        result_of(asked)


def test_what_nobody_wants_does_not_keep_anybody() -> None:
    """A busy server that does not end its page is given up in time, also where the wanted body may take long."""
    client = Client(Response(503), Whole(200, b"there"))
    asked = client.ask(timeout=5, is_patient=True, retries=Retries(1, wait=2))
    client.reactor.advance(5)
    client.reactor.advance(1)
    assert result_of(asked) == (200, b"there")


def test_who_is_told_that_nothing_is_repeatable_repeats_nothing() -> None:
    """Twisted sends a request without a body once more by itself; one with a body, which is empty here, it does not."""
    for repeatable, sends in ((None, None), (False, 0)):
        client = Client(Whole())
        result_of(client.ask(retries=Retries(0, repeatable=repeatable)))
        [producer] = client.servers.producers
        assert (producer and producer.length) == sends


def test_who_cancels_is_not_asked_again_for() -> None:
    """Neither while a server is asked, nor while a retry is waited for."""
    for answer in (Deferred[Any](), Whole(503)):
        client = Client(answer)
        asked = client.ask(retries=Retries(5))
        asked.cancel()
        with pytest.raises(CancelledError):
            result_of(asked)
        client.reactor.advance(1000)
        assert len(client.servers.asked) == 1
        assert client.reactor.getDelayedCalls() == []


class Once(FromFile):
    """A body that can be sent once only."""

    can_repeat = False

    def __init__(self) -> None:
        """Nothing is read."""

    def producer(self) -> None:
        return None


def test_a_body_that_cannot_be_read_twice_is_sent_once() -> None:
    """It is not sent again after a failure, and a redirect that wants it again is told."""
    body: Outgoing = Once()
    client = Client(Whole(503), Whole())
    assert result_of(client.ask(method="PUT", body=body, retries=Retries(5))) == (503, b"")
    client = Client(Whole(307, location="/there"))
    with pytest.raises(PipedError, match=r"redirected to http://x/there, and its body cannot be read twice"):
        result_of(client.ask(method="PUT", body=body))
    client = Client(Whole(303, location="/there"), Whole(200, b"x"))
    assert result_of(client.ask(method="PUT", body=body)) == (200, b"x")


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://y:99999/", "'http://y:99999/' is no URL of a page: Port out of range"),
        ("http://[::1", "'http://[::1' is no URL of a page: "),
        ("ftp://y/a#token=secret", "'ftp://y/a#…' is no URL of a page: it must begin with http"),
        ("http://ada:secret@y/", "'http://…@y/' is no URL of a page: a name and a password"),
    ],
)
def test_a_redirect_to_nowhere_is_told(location: str, why: str) -> None:
    """With what was asked for, where it leads, and no secret."""
    client = Client(Whole(302, location=location))
    with pytest.raises(PipedError) as caught:
        result_of(client.ask())
    assert caught.value.msg.startswith(f"GET http://x/?… is redirected: {why}")


def test_a_host_is_the_same_however_it_is_written() -> None:
    """A redirect within one server keeps what is for that server, also where its name is no ASCII."""
    client = Client(Whole(302, location="http://bücher.example/there"), Whole())
    result_of(client.ask(url="http://bücher.example/", headers={"authorization": "a"}))
    assert client.servers.asked[1][2].getRawHeaders("authorization") == ["a"]


def test_a_turn_lasts_until_the_body_has_ended() -> None:
    """The next request begins when nothing of the one before is still to come, however that ended."""
    turns, first = Turns(1), Response()
    client = Client(first, Refused(), Whole(302, location="/there"), Whole(200, b"x"))
    asked = [client.ask(turns=turns) for _ in range(3)]
    first.body.dataReceived(b"some")
    assert len(client.servers.asked) == 1
    first.deliver()
    assert result_of(asked[0]) == (200, b"some")
    with pytest.raises(Refused):
        result_of(asked[1])
    assert result_of(asked[2]) == (200, b"x")
    assert not turns.is_in_use


def test_cookies_that_are_set_on_the_way_are_sent() -> None:
    """A server that sets one with a redirect gets it back there, and no other one does."""
    answers = (Whole(302, location="/b", set_cookie="a=1"), Whole(302, location="http://y/"), Whole())
    client = Client(*answers)
    cookies: dict[str, str] = {}
    result_of(client.ask(cookies=cookies))
    sent = [headers.getRawHeaders("cookie") for _, _, headers in client.servers.asked]
    assert (sent, cookies) == ([None, ["a=1"], None], {"a": "1"})


def test_nobody_reads_secrets_in_a_message() -> None:
    """What is asked for is told without its headers, its body and its query."""
    asked = Asked("http://x/a?key=secret", headers={"authorization": "secret"})
    assert f"{asked} {asked!r}" == "GET http://x/a?… GET http://x/a?…"
    assert dataclasses.is_dataclass(asked)
