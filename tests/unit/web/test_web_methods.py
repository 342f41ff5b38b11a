"""Which methods a path takes, and what its parameters are."""

from __future__ import annotations

from typing import Any

import pytest
from web_stage import Stage, parsed

pytestmark = pytest.mark.usefixtures("each_channel")


def named(name: str) -> Any:
    def processor(baton: Any) -> None:
        baton["request"].answer(f"{name} {baton.get('params', '-')}".encode())

    return processor


def stage(**config: Any) -> Stage:
    processors = {f"pipeline.{name}": named(name) for name in ("a", "b", "c")}
    return Stage(processors, routing={"__config__": config, "{id}": {"{part}": {"__config__": config}}})


@pytest.mark.parametrize("place", ["processor", "no_resource_processor"])
def test_a_processor_may_take_some_methods_only(place: str) -> None:
    """With a list of methods the others are 405, told which there are; HEAD goes with GET."""
    site = stage(**{place: "pipeline.a", "methods": ["GET", "POST"]})
    assert [parsed(site.get(method=method))[0] for method in ("GET", "HEAD", "POST")] == [200, 200, 200]
    code, headers, body = parsed(site.get(method="DELETE"))
    assert (code, headers["allow"], b"Method Not Allowed" in body) == (405, "GET, POST, HEAD, OPTIONS", True)
    code, headers, body = parsed(site.get(method="OPTIONS"))
    assert (code, headers["allow"], body) == (204, "GET, POST, HEAD, OPTIONS", b"")
    assert parsed(site.get(method="get"))[0] == 405, "methods are compared as they are written"


def test_head_without_get_is_not_allowed() -> None:
    """HEAD is no method of its own, but it is one only where GET is."""
    site = stage(processor="pipeline.a", methods=["POST"])
    code, headers, body = parsed(site.get(method="HEAD"))
    assert (code, headers["allow"], body) == (405, "POST, OPTIONS", b"")


def test_options_may_be_a_processors() -> None:
    """A processor that asks for OPTIONS gets it, as one for requests from other sites does."""
    site = stage(processor="pipeline.a", methods=["GET", "OPTIONS"])
    assert parsed(site.get(method="OPTIONS"))[2] == b"a -"
    assert parsed(site.get(method="PUT"))[1]["allow"] == "GET, OPTIONS, HEAD"


def test_methods_may_have_processors_of_their_own() -> None:
    """A mapping gives each method its processor; what it does not name is 405, or left to `processor`."""
    site = stage(methods={"GET": "pipeline.a", "PUT": {"provider": "pipeline.b"}})
    answers = [parsed(site.get(method=method)) for method in ("GET", "PUT", "POST")]
    assert [(code, body) for code, _, body in answers[:2]] == [(200, b"a -"), (200, b"b -")]
    assert (answers[2][0], answers[2][1]["allow"]) == (405, "GET, PUT, HEAD, OPTIONS")
    site = stage(processor="pipeline.c", methods={"PUT": "pipeline.b"})
    assert [parsed(site.get(method=method))[2] for method in ("PUT", "POST", "GET")] == [b"b -", b"c -", b"c -"]


def test_the_parameters_of_a_path_are_in_the_baton() -> None:
    """What stands for `"{id}"` is text in `params`, decoded; a path without parameters has none."""
    site = stage(processor="pipeline.a")
    assert parsed(site.get("/b%C3%A4%2F1/x?y"))[2] == "a {'id': 'bä/1', 'part': 'x'}".encode()
    assert parsed(site.get("/"))[2] == b"a -"
    assert parsed(site.get("/%ff/../"))[2] == "a {'id': '\N{REPLACEMENT CHARACTER}', 'part': '..'}".encode()
