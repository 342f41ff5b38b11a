"""Where clients are sent, and that nobody chooses it for them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_stage import Client, Stage, parsed

from piped.config.gathering import gather_text
from piped.config.reading import read
from piped.ground.errors import PipedError, Rejected
from piped.runtime.assembly import check
from piped.spec.checking import Checker
from piped.web.options import SiteOptions
from piped.web.redirects import RedirectWebResponse, url_of
from piped.web.request import Request


def stage(config: Any, *above: str) -> Stage:
    """A site with a redirect at /old, or below the given segments."""
    routing: dict[str, Any] = {"__config__": {"redirect": config}}
    for segment in reversed(above or ("old",)):
        routing = {segment: routing}
    return Stage({}, routing=routing)


def sent_to(config: Any, target: str, *above: str, method: str = "GET") -> tuple[int, str | None]:
    """The code, and where a client is sent."""
    code, headers, body = parsed(stage(config, *above).get(target, method=method))
    assert body == b"" or code == 404 or method == "HEAD"
    return code, headers.get("location")


@pytest.mark.parametrize(
    ("target", "location"),
    [("/old", "/new"), ("/old/", "/new"), ("/old?a=b&c", "/new?a=b&c"), ("/old/x", None)],
)
def test_a_path_has_moved(target: str, location: str | None) -> None:
    """`redirect: /new` sends the clients of this path there for good, with their query, and no others."""
    assert sent_to("/new", target) == (308 if location else 404, location)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_the_code_can_be_chosen(code: int, method: str) -> None:
    """Every method is sent on, with the code that is configured."""
    assert sent_to({"to": "/new", "code": code}, "/old", method=method) == (code, "/new")


@pytest.mark.parametrize(
    ("to", "target", "location"),
    [
        ("/new", "/old", "/new"),
        ("/new", "/old/", "/new/"),
        ("/new", "/old/a/b%2Fc", "/new/a/b%2Fc"),
        ("/new/", "/old/a/", "/new/a/"),
        ("/new", "/old/a?b=c", "/new/a?b=c"),
        ("https://shop.example", "/old", "https://shop.example"),
        ("https://shop.example", "/old/a", "https://shop.example/a"),
        ("https://shop.example/", "/old/a", "https://shop.example/a"),
        ("https://shop.example", "/old//evil.example", "https://shop.example//evil.example"),
        ("/", "/old", "/"),
        ("/", "/old//evil.example", "/evil.example"),
        ("/", "/old/%2F%2Fevil.example", "/%2F%2Fevil.example"),
        ("/", "/old/\\evil.example", "/%5Cevil.example"),
        ("/new#part", "/old/a?b", "/new/a?b#part"),
        ("/new", "/old/a%0D%0Ab", "/new/a%0D%0Ab"),
        ("/new", "/old/a#b", "/new/a%23b"),
        ("/new", '/old/"><script>', "/new/%22%3E%3Cscript%3E"),
    ],
)
def test_what_is_below_can_move_along(to: str, target: str, location: str) -> None:
    """With `keep_rest` the rest of the path goes along as it came, and never becomes the name of another site."""
    assert sent_to({"to": to, "keep_rest": True}, target)[1] == location


@pytest.mark.parametrize(
    ("target", "location"), [("/", "https://shop.example/"), ("/a/b?c=d", "https://shop.example/a/b?c=d")]
)
def test_a_whole_site_can_move_to_tls(target: str, location: str) -> None:
    """A redirect at the root that keeps the rest sends everybody to the same page of another site."""
    site = Stage({}, routing={"__config__": {"redirect": {"to": "https://shop.example", "keep_rest": True}}})
    assert parsed(site.get(target))[1]["location"] == location


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/users/{id}", "/users/a%2Fb%20c%3F"),
        ("/find?user={id}&all=1", "/find?user=a%2Fb%20c%3F&all=1&q=1"),
        ("https://shop.example/{id}", "https://shop.example/a%2Fb%20c%3F"),
    ],
)
def test_parameters_of_the_route_can_be_used(to: str, location: str) -> None:
    """`{name}` stands for the parameter, encoded so that it stays one piece of the URL."""
    query = "?q=1" if "q=1" in location else ""
    assert sent_to(to, f"/u/a%2Fb%20c%3F{query}", "u", "{id}") == (308, location)


@pytest.mark.parametrize("target", ["/%2F%2Fevil.example", "/%5Cevil.example", "/%2Fevil.example"])
def test_a_parameter_is_no_other_site(target: str) -> None:
    """Not even one that begins with slashes."""
    location = sent_to("/{id}", target, "{id}")[1]
    assert location is not None
    assert urlsplit(urljoin("http://site/", location)).netloc == "site"


@pytest.mark.parametrize(("keep", "location"), [(True, "/new?x=1&a=b"), (False, "/new?x=1")])
def test_the_query_is_kept_unless_it_is_not_to_be(keep: bool, location: str) -> None:
    """What `to` has for a query stays in front."""
    assert sent_to({"to": "/new?x=1", "keep_query": keep}, "/old?a=b")[1] == location


def test_another_path_below_answers_for_itself() -> None:
    """A path that is configured below one that has moved is where it was."""
    routing = {"__config__": {"redirect": {"to": "/new", "keep_rest": True}}, "here": {"__config__": {"redirect": "/"}}}
    site = Stage({}, routing={"old": routing})
    assert parsed(site.get("/old/here"))[1]["location"] == "/"


SLASHES = st.text("/\\\t\r\n @:?#.%25ahtpsx\x00é[]", max_size=20)


def is_of_this_site(location: str) -> bool:
    """Whether a browser would stay: it takes a backslash for a slash, and leaves out white space that ends lines."""
    seen = location.strip("".join(map(chr, range(33)))).replace("\\", "/")
    for sign in "\t\r\n":
        seen = seen.replace(sign, "")
    return seen.startswith("/") and not seen.startswith("//")


@given(SLASHES)
def test_no_text_is_another_site_by_accident(text: str) -> None:
    """Whatever a client sends as a path of this site: a browser takes what is made of it for one, or it is refused."""
    try:
        url = url_of(text, ())
    except ValueError:
        return
    assert is_of_this_site(url)
    assert url.isascii()
    assert url.isprintable()


@given(SLASHES)
def test_no_rest_of_a_path_is_another_site(rest: str) -> None:
    """Whatever stands below a redirect to the root of the site."""
    request = b"GET /old/%s HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = "".join(sign for sign in rest if "!" <= sign <= "~")
    response = stage({"to": "/", "keep_rest": True}).send(request % sent.encode())
    location = parsed(response)[1].get("location", "/")
    assert is_of_this_site(location)


def problems_of(routing: str) -> list[str]:
    reading = read(f"s:\n  routing:\n    {routing}", "site.yml", {})
    checker = Checker({})
    checker.value(dict[str, SiteOptions], reading.root, owner="web")
    return [str(problem) for problem in checker.problems]


@pytest.mark.parametrize(
    ("routing", "told"),
    [
        (
            "__config__: {redirect: new}",
            "site.yml:3:28: 'new' is neither a path that begins with one slash nor a URL with http or https"
            " – write a path such as /new, or a URL such as https://shop.example/new",
        ),
        ("__config__: {redirect: //evil.example}", "site.yml:3:28: '//evil.example' is neither"),
        ("__config__: {redirect: 'javascript:alert(1)'}", "is neither"),
        ("__config__: {redirect: {to: new}}", "site.yml:3:33: 'new' is neither"),
        ("__config__: {redirect: {to: /new, code: 200}}", "must be 301, 302, 303, 307 or 308, not 200"),
        ("'{id}': {__config__: {redirect: 'https://{id}/'}}", "a client could choose the host that it is sent to"),
        ("__config__: {redirect: '/{a b}'}", "has a brace that is no parameter's – a parameter is written as {name}"),
        (
            "'{id}': {__config__: {redirect: '/users/{name}'}}",
            "site.yml:3:37: {name} is no parameter on the way to this redirect – there is: {id}",
        ),
        ("a: {__config__: {redirect: {to: '/{id}'}}}", "site.yml:3:37: {id} is no parameter"),
        (
            "__config__: {redirect: /new, processor: x}",
            "redirect and processor exclude each other at one path – remove one, or move it below a segment of its own",
        ),
        ("__config__: {redirect: /new, static: x}", "redirect and static exclude each other"),
        (
            "__config__: {redirect: {to: /new, keep_rest: true}, no_resource_processor: x}",
            "redirect and no_resource_processor exclude each other",
        ),
    ],
)
def test_a_redirect_to_nowhere_is_told(routing: str, told: str) -> None:
    """Places that are none, parameters that are not there and two answers for one path are mistakes."""
    [problem] = problems_of(routing)
    assert told in problem


def test_what_is_below_may_have_a_processor() -> None:
    """A redirect of this path alone leaves what is below to others."""
    assert problems_of("__config__: {redirect: /new, no_resource_processor: x}") == []


class TestRedirectWebResponse:
    """redirect-web-response."""

    def response(self, baton: dict[str, Any] | None = None, **options: Any) -> tuple[int, dict[str, str], bytes]:
        def answer(request: Request) -> None:
            RedirectWebResponse(**options).process({"request": request, **(baton or {})})

        return parsed(Client(answer).get())

    def test_a_client_is_sent_on(self) -> None:
        """What is configured may be any place; the code is 302 unless another one is named."""
        code, headers, body = self.response(location="https://shop.example/thanks")
        assert (code, headers["location"], body) == (302, "https://shop.example/thanks", b"")
        assert self.response(location="/", code="SEE_OTHER")[0] == 303

    @pytest.mark.parametrize(
        ("found", "location"),
        [
            ("/next?a=b#c", "/next?a=b#c"),
            ("/über uns", "/%C3%BCber%20uns"),
            ("/a\r\nSet-Cookie: b", "/a%0D%0ASet-Cookie:%20b"),
            ("/\\evil.example", "/%5Cevil.example"),
            ("/\t/evil.example", "/%09/evil.example"),
            ("https://shop.example/next", "https://shop.example/next"),
            ("https://SHOP.example:8443/", "https://SHOP.example:8443/"),
            ("https://[::1]/", "https://[::1]/"),
        ],
    )
    def test_a_place_of_the_baton_is_taken(self, found: str, location: str) -> None:
        """A path leads to this site whatever stands in it; a host that is named may be gone to."""
        options = {"location_path": "next", "hosts": ["Shop.Example", "::1"]}
        assert self.response({"next": found}, **options)[1]["location"] == location

    @pytest.mark.parametrize(
        "found",
        [
            "//evil.example",
            "///evil.example",
            "\\\\evil.example",
            " //evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https://evil.example",
            "https://shop.example@evil.example",
            "https://evil.example\\@shop.example",
            "https://shop.example\\@evil.example",
            "https://evil.example#@shop.example",
            "https://shop.example.evil.example",
            "https://user@shop.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://shop.example",
            "evil.example",
            "",
            "http://[",
            "/\ud800",
        ],
    )
    def test_no_client_chooses_another_site(self, found: str) -> None:
        """What leads elsewhere, however it is written, is refused."""
        with pytest.raises(Rejected, match="no redirect"):
            RedirectWebResponse(location_path="next", hosts=["shop.example"])._url_for({"next": found})

    def test_what_is_not_there_is_replaced_or_told(self) -> None:
        """`location` is where to go when the baton says nothing; without it the step fails."""
        assert self.response(location_path="next", location="/home")[1]["location"] == "/home"
        with pytest.raises(PipedError, match="finds no text at 'next', but NoneType"):
            RedirectWebResponse(location_path="next")._url_for({})
        with pytest.raises(PipedError, match="finds no text at 'next', but int"):
            RedirectWebResponse(location_path="next", location="/home")._url_for({"next": 1})

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("{}", "nobody says where to go"),
            ("{location: next}", "'next' is neither a path"),
            ("{location: //evil.example}", "is neither a path"),
            ("{location: 'https:shop.example'}", "is neither a path"),
            ("{location: /, code: 200}", "200 sends nobody anywhere"),
            ("{location: /, code: SEE_OTTER}", "did you mean 'SEE_OTHER'"),
            (
                "{location_path: next, hosts: ['shop.example:8443']}",
                "'shop.example:8443' is no host – write one",
            ),
            ("{location_path: next, hosts: ['https://shop.example']}", "'https://shop.example' is no host"),
            ("{location_path: next, hosts: ['*.shop.example']}", "'*.shop.example' is no host"),
        ],
    )
    def test_mistakes_are_told_at_the_start(self, options: str, told: str) -> None:
        """A place that is none, a code that sends nobody anywhere, and a host that nothing could ever lead to."""
        text = f"pipelines: {{main: [{{redirect-web-response: {options}}}]}}"
        problems = check(gather_text(text, "site.yml", environ={}), {}).problems
        assert [told in str(problem) for problem in problems] == [True]
