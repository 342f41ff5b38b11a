"""Headers that a site gives to every response, and how mistakes in them are told."""

from __future__ import annotations

from typing import Any

import pytest
from web_stage import Client, Stage, parsed

from piped.config.reading import read
from piped.spec.checking import Checker
from piped.web import replies
from piped.web.headers import FixedHeaders, vary_by
from piped.web.options import SiteOptions
from piped.web.request import Request


def site(answer: Any = lambda request: request.answer(b"ok"), **options: Any) -> Stage:
    return Stage(
        {"pipeline.main": lambda baton: answer(baton["request"])},
        routing={"__config__": {"processor": "pipeline.main"}},
        **options,
    )


def headers_of(*target: str, **options: Any) -> dict[str, str]:
    return parsed(site(**options).get(*target))[1]


def test_true_gives_what_is_good_for_any_site() -> None:
    """Browsers guess no types, other sites frame no page and learn little; over plain HTTP nothing is said of TLS."""
    headers = headers_of(security_headers=True)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "strict-transport-security" not in headers


def test_over_tls_browsers_are_told_to_come_over_tls() -> None:
    """Strict-Transport-Security is sent over TLS only."""
    stage = site(security_headers=True)
    stage.channel.isSecure = lambda: True  # type: ignore[method-assign]
    assert parsed(stage.get())[1]["strict-transport-security"] == "max-age=31536000"


def test_what_is_good_can_be_changed() -> None:
    """A mapping changes single headers, in any case, adds others, and null leaves one out."""
    changed = {"x-frame-options": "DENY", "Referrer-Policy": None, "Content-Security-Policy": "default-src 'self'"}
    headers = headers_of(security_headers=changed)
    assert (headers["x-frame-options"], headers["content-security-policy"]) == ("DENY", "default-src 'self'")
    assert (headers["x-content-type-options"], "referrer-policy" in headers) == ("nosniff", False)


@pytest.mark.parametrize("written", [False, {}])
def test_without_it_nothing_is_added(written: Any) -> None:
    """`false` adds nothing; an empty mapping changes nothing of what is good."""
    assert ("x-frame-options" in headers_of(security_headers=written)) is (written == {})


def test_headers_of_the_site_are_in_every_response() -> None:
    """Also a page that is not there has them, and one that failed."""
    stage = site(lambda request: replies.processing_failed(request), headers={"X-Site": "a", "x-number": 17})
    for target, code in (("/", 500), ("/none", 404)):
        response = parsed(stage.get(target))
        assert (response[0], response[1]["x-site"], response[1]["x-number"]) == (code, "a", "17")


def test_a_streamed_response_has_them_once() -> None:
    """They are sent with the first part."""

    def answer(request: Request) -> None:
        request.write("a")
        request.write("b")
        request.finish()

    assert site(answer, headers={"X-Site": "a"}).get().count(b"X-Site") == 1


def test_a_pipeline_has_the_last_word() -> None:
    """What a pipeline has set is left as it is, however it was written."""

    def answer(request: Request) -> None:
        request.setHeader("x-frame-options", "ALLOWALL")
        request.setHeader("x-site", "mine")
        request.answer(b"")

    headers = parsed(site(answer, security_headers=True, headers={"X-SITE": "yours"}).get())[1]
    assert (headers["x-frame-options"], headers["x-site"]) == ("ALLOWALL", "mine")


def test_what_the_site_says_wins_over_what_is_good_for_any() -> None:
    """`headers` may name one of the security headers."""
    assert headers_of(security_headers=True, headers={"x-frame-options": "DENY"})["x-frame-options"] == "DENY"


def test_the_name_of_the_server_can_be_replaced() -> None:
    """A site need not tell what it runs on; a pipeline may still say so."""
    assert headers_of(headers={"Server": "shop"})["server"] == "shop"

    def answer(request: Request) -> None:
        request.setHeader("server", "pipeline")
        request.answer(b"")

    assert parsed(site(answer, headers={"Server": "shop"}).get())[1]["server"] == "pipeline"


def test_one_response_does_not_change_another() -> None:
    """A value that is added to one response is not in the next."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.site.before_head = FixedHeaders({"X-Site": "a"})
    client.get()
    kept[0].write("")
    kept[0].responseHeaders.addRawHeader(b"X-Site", b"b")
    kept[0].finish()
    client.get()
    kept[1].answer(b"")
    assert client.transport.value().count(b"X-Site: b") == 0


def test_the_page_of_the_debugger_has_its_own_headers() -> None:
    """Where Piped answers with certain headers and no other, the site adds none."""

    def answer(request: Request) -> None:
        replies.alone(request, 500, b"page", {"Content-Security-Policy": "default-src 'none'"})

    options: dict[str, Any] = {"headers": {"X-Site": "a"}, "security_headers": True, "cors": {"origins": ["*"]}}
    headers = parsed(site(answer, **options).get())[1]
    assert headers["content-security-policy"] == "default-src 'none'"
    assert not {"x-site", "x-frame-options", "access-control-allow-origin"} & headers.keys()


def problems_of(options: str) -> list[str]:
    reading = read(f"s:\n  routing: {{}}\n  {options}", "site.yml", {"NAME": "a\nb"})
    checker = Checker({"NAME": "a\nb"})
    checker.value(dict[str, SiteOptions], reading.root, owner="web")
    return [str(problem) for problem in checker.problems]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            'headers: {a: "b\\nc: d"}',
            "site.yml:3:16: a header cannot hold a line break: 'a': 'b\\nc: d'"
            " – write it in one line; `>-` folds several into one",
        ),
        ("security_headers: {x: '${NAME}'}", "site.yml:3:25: a header cannot hold a line break: 'x': 'a\\nb'"),
        ('headers: {"a b": c}', "site.yml:3:20: 'a b' is no name of a header"),
        ("headers: {a: [b]}", "site.yml:3:16: header 'a' must be text or a whole number, not a list of 1"),
        ("headers: a", "site.yml:3:12: headers must be a mapping, not 'a'"),
        ("security_headers: yes please", "must be true, false or a mapping, not 'yes please'"),
        (
            "headers: {Content-Length: 5}",
            "site.yml:3:13: 'Content-Length' follows from each response"
            " – remove it: the site sends it where it belongs",
        ),
    ],
)
def test_a_header_that_cannot_be_sent_is_told_at_its_place(options: str, told: str) -> None:
    """Line breaks, odd names and what follows from a response are mistakes of the configuration."""
    [problem] = problems_of(options)
    assert told in problem


def test_all_wrong_headers_are_told_at_once() -> None:
    """A person repairs them in one round."""
    assert len(problems_of('headers: {a: "b\\nc", "d e": f, upgrade: g}')) == 3


def test_vary_names_each_header_once() -> None:
    """Names are added to what is there, not twice, and not beside `*`."""
    request: list[Request] = []
    Client(request.append).get()
    headers = request[0].responseHeaders
    for name in (b"Origin", b"Accept-Encoding", b"origin"):
        vary_by(request[0], name)
    assert headers.getRawHeaders(b"Vary") == [b"Origin, Accept-Encoding"]
    headers.setRawHeaders(b"Vary", [b"*"])
    vary_by(request[0], b"Origin")
    assert headers.getRawHeaders(b"Vary") == [b"*"]
