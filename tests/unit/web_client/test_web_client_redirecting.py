"""Where redirects lead, and what is asked for there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from piped.web_client.redirecting import (
    REDIRECTS,
    as_browsers,
    as_told,
    as_told_or_found,
    followed,
    leads_out_of_tls,
    origin_of,
    target_of,
)

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"])
URLS = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.example", "b.example", "A.example"]),
    st.sampled_from(["", ":80", ":443", ":8080"]),
    st.sampled_from(["", "x", "y?z"]),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "cookie", "HOST", "Proxy-Authorization", "Content-Type", "content-md5", "X-A"]),
    st.text(),
)


@given(METHODS, HEADERS, URLS, URLS, st.booleans())
def test_no_secret_reaches_another_server(
    method: str, headers: dict[str, str], url: str, target: str, with_get: bool
) -> None:
    """Between scheme, host or port that differ no credentials go; without a body, nothing that describes one."""
    asked, kept = followed(method, headers, url, target, with_get=with_get)
    lower = {name.lower() for name in kept}
    if origin_of(url) != origin_of(target):
        assert not lower & {"authorization", "cookie", "host", "proxy-authorization"}
    else:
        assert {name for name in headers if not name.lower().startswith("content-")} <= set(kept)
    assert ("X-A" in kept) is ("X-A" in headers)
    assert asked == ({"HEAD": "HEAD"}.get(method, "GET") if with_get else method)
    assert not (with_get and lower & {"content-type", "content-md5"})


@given(st.sampled_from(REDIRECTS), METHODS)
def test_what_is_not_to_change_does_not(code: int, method: str) -> None:
    """307 and 308 never become GET, 303 always does; browsers change nothing else but a POST."""
    for rewrites in (as_browsers, as_told, as_told_or_found):
        assert rewrites(303, method)
        assert not rewrites(307, method)
        assert not rewrites(308, method)
    if code != 303:
        assert as_browsers(code, method) is (method == "POST" and code in (301, 302))
        assert not as_told(code, method)
        assert as_told_or_found(code, method) is (code == 302)


@given(URLS, URLS)
def test_tls_is_only_left_from_https_to_http(url: str, target: str) -> None:
    """No other pair of URLs takes a request out of TLS."""
    assert leads_out_of_tls(url, target) is (url.startswith("https:") and target.startswith("http:"))


def test_a_location_may_be_relative() -> None:
    """A location is meant from where it was found, and what is no UTF-8 does no harm."""
    assert target_of("https://x/a/b?c", b"d") == "https://x/a/d"
    assert target_of("https://x/a/b?c", b"//y/d") == "https://y/d"
    assert target_of("https://x/a", b"/\xff") == "https://x/\ufffd"
