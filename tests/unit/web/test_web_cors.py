"""Which pages of other origins may read what a site answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_stage import Stage, parsed

from piped.config.reading import read
from piped.spec.checking import Checker
from piped.web import replies
from piped.web.cors import Cors, CrossOrigin, Origin, normal
from piped.web.options import SiteOptions
from piped.web.request import Request

SHOP = "https://shop.example"
ASKS = ("Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: content-type")


def site(answer: Any = lambda request: request.answer(b"ok"), **cors: Any) -> Stage:
    return Stage(
        {"pipeline.main": lambda baton: answer(baton["request"])},
        routing={"__config__": {"processor": "pipeline.main"}},
        cors={"origins": [SHOP], **cors},
    )


def allowed(headers: dict[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value for name, value in headers.items() if name.startswith("access-")
    }


def test_a_page_of_an_origin_that_is_named_may_read() -> None:
    """The one origin is told, and caches that others get another answer."""
    code, headers, body = parsed(site().get("/", f"Origin: {SHOP}"))
    assert (code, allowed(headers), headers["vary"], body) == (200, {"allow-origin": SHOP}, "Origin", b"ok")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evil-shop.example",
        "https://a.shop.example",
        "https://shop.example/",
        "https://shop.example, https://evil.example",
        "https://shopxexample",
        "",
    ],
)
def test_no_other_page_may_read(origin: str) -> None:
    """Origins are compared as a whole; who is not named is told nothing, and caches that it depends."""
    _, headers, body = parsed(site().get("/", f"Origin: {origin}"))
    assert (allowed(headers), headers["vary"], body) == ({}, "Origin", b"ok")


def test_who_is_no_page_is_answered_as_ever() -> None:
    """Without an origin, or with two, there is nothing to allow."""
    for headers in ([], [f"Origin: {SHOP}", f"Origin: {SHOP}"]):
        response = parsed(site().get("/", *headers))
        assert (allowed(response[1]), response[1]["vary"], response[2]) == ({}, "Origin", b"ok")


def test_any_page_may_read() -> None:
    """With "*" the answer is the same for all, so that caches may keep it."""
    for headers in ([], ["Origin: https://any.example"], ["Origin: null"]):
        answered = parsed(site(origins=["*"]).get("/", *headers))[1]
        assert (allowed(answered), "vary" in answered) == ({"allow-origin": "*"}, False)


def test_hosts_below_another_can_be_allowed() -> None:
    """`*` in front of a host is every host below it, but not that one, and no other scheme or port."""
    cross_origin = CrossOrigin(Cors([Origin("https://*.shop.example"), Origin("http://localhost:3000")]))
    right = ["https://a.shop.example", "https://a.b-c.shop.example", "http://localhost:3000"]
    wrong = [
        "https://shop.example",
        "https://evilshop.example",
        "https://.shop.example",
        "https://a..shop.example",
        "https://a.shop.example.evil.example",
        "https://evil.example/.shop.example",
        "https://evil.example#.shop.example",
        "https://evil.example\n.shop.example",
        "https://a.shop.example\n",
        "http://a.shop.example",
        "https://a.shop.example:444",
        "https://a.shopxexample",
        "http://localhost",
    ]
    assert all(cross_origin.allows(origin.encode()) for origin in right)
    assert not any(cross_origin.allows(origin.encode()) for origin in wrong)


@given(st.text("ahtps:/.*-xe shopl\n@#", max_size=40))
def test_only_what_is_written_is_allowed(origin: str) -> None:
    """Whatever a client sends: nobody gets in by a part of an origin."""
    assert CrossOrigin(Cors([Origin(SHOP)])).allows(origin.encode()) is (origin == SHOP)


def test_cookies_and_more_headers_may_be_allowed() -> None:
    """With `credentials` browsers send cookies; with `expose_headers` pages read more."""
    stage = site(credentials=True, expose_headers=["X-Total", "X-Page"])
    assert allowed(parsed(stage.get("/", f"Origin: {SHOP}"))[1]) == {
        "allow-origin": SHOP,
        "allow-credentials": "true",
        "expose-headers": "X-Total, X-Page",
    }
    assert allowed(parsed(stage.get("/", "Origin: https://evil.example"))[1]) == {}


def test_a_failure_can_be_read_too() -> None:
    """A page may see that a request has failed, or that there is nothing."""
    stage = site(lambda request: replies.processing_failed(request))
    for target, code in (("/", 500), ("/none", 404)):
        response = parsed(stage.get(target, f"Origin: {SHOP}"))
        assert (response[0], response[1]["access-control-allow-origin"]) == (code, SHOP)


def test_a_pipeline_has_the_last_word() -> None:
    """A pipeline that says itself who may read is not corrected."""

    def answer(request: Request) -> None:
        request.setHeader("access-control-allow-origin", "https://other.example")
        request.answer(b"")

    headers = parsed(site(answer, credentials=True).get("/", f"Origin: {SHOP}"))[1]
    assert allowed(headers) == {"allow-origin": "https://other.example"}


def test_a_browser_that_asks_before_is_answered_by_the_site() -> None:
    """A preflight is answered without a pipeline, on every path, with what pages may send."""
    stage = site(lambda request: pytest.fail("no pipeline is asked"))
    for target in ("/", "/none"):
        code, headers, body = parsed(stage.get(target, f"Origin: {SHOP}", *ASKS, method="OPTIONS"))
        assert (code, headers["vary"], body, "content-length" in headers) == (204, "Origin", b"", False)
        assert allowed(headers) == {
            "allow-origin": SHOP,
            "allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "allow-headers": "Authorization, Content-Type",
            "max-age": "600",
        }


def test_what_pages_may_send_can_be_chosen() -> None:
    """Methods, headers and the time are those that are written."""
    stage = site(methods=["PUT"], headers=["X-Token"], max_age=86400.5, credentials=True)
    headers = allowed(parsed(stage.get("/", f"Origin: {SHOP}", *ASKS, method="OPTIONS"))[1])
    assert (headers["allow-methods"], headers["allow-headers"], headers["max-age"]) == ("PUT", "X-Token", "86400")
    assert headers["allow-credentials"] == "true"


def test_a_page_that_is_not_allowed_is_told_so() -> None:
    """Its preflight is 403, and says nothing of what others may."""
    code, headers, _ = parsed(site().get("/", "Origin: https://evil.example", *ASKS, method="OPTIONS"))
    assert (code, allowed(headers), headers["vary"]) == (403, {}, "Origin")


def test_options_that_no_browser_sends_are_for_the_routing() -> None:
    """OPTIONS without an origin, or without a method, is answered as ever."""
    for headers in ([f"Origin: {SHOP}"], [*ASKS]):
        assert parsed(site().get("/", *headers, method="OPTIONS"))[2] == b"ok"


@pytest.mark.parametrize(
    ("written", "stands_for"),
    [
        ("https://Shop.Example:443", "https://shop.example"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://shop.example:80", "https://shop.example:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://*.shop.example", "https://*.shop.example"),
        ("*", "*"),
    ],
)
def test_origins_are_compared_as_browsers_write_them(written: str, stands_for: str) -> None:
    """Capitals and the ordinary port make no difference."""
    assert normal(written) == stands_for


def problems_of(cors: str) -> list[str]:
    reading = read(f"s:\n  routing: {{}}\n  cors: {cors}", "site.yml", {})
    checker = Checker({})
    checker.value(dict[str, SiteOptions], reading.root, owner="web")
    return [str(problem) for problem in checker.problems]


@pytest.mark.parametrize(
    ("cors", "told"),
    [
        ("{origins: [shop.example]}", "site.yml:3:20: an origin must be a scheme and a host, such as"),
        ("{origins: [https://shop.example/]}", "site.yml:3:20: an origin must be"),
        ("{origins: ['https://shop.example/a']}", "not 'https://shop.example/a'"),
        ("{origins: ['https://a*.shop.example']}", "an origin must be"),
        ("{origins: ['https://*']}", "an origin must be"),
        ("{origins: ['null']}", "any frame can say that its origin is null: nobody can trust it"),
        ("{origins: [null]}", "site.yml:3:20: an origin must be text, not null"),
        ("{origins: []}", "`origins` is empty, so that no page may read anything – remove `cors`"),
        ("{origins: ['*', https://shop.example]}", '"*" is every origin – remove it, or all others'),
        (
            "{origins: ['*'], credentials: true}",
            'site.yml:3:3: web.s.cors: with `credentials` no browser takes "*" – name each instead of "*"',
        ),
        ("{origins: [https://a.example], headers: ['*'], credentials: true}", "no browser takes"),
        ('{origins: [https://a.example], headers: ["a\\nb"]}', "'a\\nb' is neither a method nor the name of a header"),
        ("{}", "web.s.cors needs the option 'origins'"),
    ],
)
def test_what_no_browser_would_take_is_told(cors: str, told: str) -> None:
    """Origins that cannot match, and what browsers ignore, are mistakes of the configuration."""
    [problem] = problems_of(cors)
    assert told in problem
