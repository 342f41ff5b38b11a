"""Which answer a path leads to."""

from __future__ import annotations

import pytest

from piped.web.routing import Match, Route, parameter_of, text_segments

SITE: Route[str] = Route(
    own="home",
    children={
        "nested": Route(own="nested", children={"deep": Route(own="deep")}),
        "empty": Route(children={"inner": Route(own="inner")}),
        "sparse": Route(rest="sparse", children={"known": Route(own="known"), "empty": Route()}),
        "both": Route(own="both", rest="both-rest"),
        "js": Route(files="js-files", children={"foo": Route(own="foo", files="foo-files")}),
        "fallen": Route(files="fallen-files", rest="fallen-rest"),
        "a b/ø": Route(own="odd"),
    },
)


def answer_of(route: Route[str], path: str) -> tuple[str, list[str]] | None:
    match = route.find(path.removeprefix("/").split("/"))
    return None if match is None else (match.answer, match.postpath)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        # a node with a processor, with and without a slash at the end
        ("/", ("home", [])),
        ("/nested", ("nested", [])),
        ("/nested/", ("nested", [])),
        ("/nested/deep", ("deep", [])),
        ("/nested/deep/", ("deep", [])),
        ("/empty/inner", ("inner", [])),
        # nothing configured there, and no no_resource_processor above
        ("/nested/other", None),
        ("/nested/deep/er", None),
        ("/nested//", None),
        ("//nested", None),
        ("/empty", None),
        ("/empty/", None),
        ("/Nested", None),
        # only a no_resource_processor
        ("/sparse", ("sparse", [])),
        ("/sparse/", ("sparse", [""])),
        ("/sparse/some/path", ("sparse", ["some", "path"])),
        ("/sparse/some/path/", ("sparse", ["some", "path", ""])),
        # an explicit route wins over the no_resource_processor above it ...
        ("/sparse/known", ("known", [])),
        ("/sparse/known/", ("known", [])),
        # ... which answers what is below that route, and below a node without configuration
        ("/sparse/known/not", ("sparse", ["known", "not"])),
        ("/sparse/empty", ("sparse", ["empty"])),
        ("/sparse/empty/", ("sparse", ["empty", ""])),
        # a processor answers its path, the no_resource_processor what is below
        ("/both", ("both", [])),
        ("/both/", ("both", [])),
        ("/both/x", ("both-rest", ["x"])),
        # files
        ("/js", ("js-files", [])),
        ("/js/", ("js-files", [""])),
        ("/js/bar/x.js", ("js-files", ["bar", "x.js"])),
        ("/js/foo", ("foo", [])),
        ("/js/foo/", ("foo", [])),
        ("/js/foo/x.js", ("foo-files", ["x.js"])),
        ("/fallen/x", ("fallen-files", ["x"])),
    ],
)
def test_a_path_leads_to_the_answer_that_is_configured_for_it(path: str, answer: tuple[str, list[str]] | None) -> None:
    """Every path is answered by the processor or files that the routing names for it, with the right postpath."""
    assert answer_of(SITE, path) == answer


def test_what_is_no_file_is_left_to_the_no_resource_processor() -> None:
    """A file that does not exist is answered by the nearest no_resource_processor, where there is one."""
    match = SITE.find(["fallen", "x"])
    assert match == Match("fallen-files", ["x"], {}, Match("fallen-rest", ["x"]))
    above = Route(rest="above", children={"files": Route(files="files")})
    assert above.find(["files", "a", ""]) == Match("files", ["a", ""], {}, Match("above", ["files", "a", ""]))
    assert Route(files="files").find(["x"]) == Match("files", ["x"])


def test_the_nearest_no_resource_processor_answers() -> None:
    """Of several no_resource_processors on the way the deepest one gets the request."""
    site = Route(rest="top", children={"a": Route(children={"b": Route(rest="low")}), "c": Route()})
    assert answer_of(site, "/") == ("top", [""])
    assert answer_of(site, "/a/x") == ("top", ["a", "x"])
    assert answer_of(site, "/a/b/x") == ("low", ["x"])
    assert answer_of(site, "/c") == ("top", ["c"])


def test_a_segment_is_compared_as_text() -> None:
    """Segments are matched after percent-decoding; an encoded slash does not divide segments."""
    assert SITE.find(text_segments([b"a b/\xc3\xb8"])) == Match("odd", [])
    assert text_segments([b"\xff", "x"]) == ["\N{REPLACEMENT CHARACTER}", "x"]


def test_the_postpath_is_a_list_of_its_own() -> None:
    """A pipeline may change its postpath without changing the request of another."""
    segments = ["sparse", "x"]
    match = SITE.find(segments)
    assert match is not None
    match.postpath.append("y")
    assert segments == ["sparse", "x"]


USERS: Route[str] = Route(
    rest="top",
    children={
        "users": Route(
            own="users",
            children={"new": Route(own="new-user")},
            parameter=(
                "id",
                Route(
                    own="user",
                    children={"posts": Route(rest="posts", parameter=("post", Route(own="post")))},
                    parameter=("part", Route(files="part-files")),
                ),
            ),
        )
    },
)


@pytest.mark.parametrize(
    ("path", "answer", "postpath", "params"),
    [
        ("/users/17", "user", [], {"id": "17"}),
        ("/users/17/", "user", [], {"id": "17"}),
        ("/users/new", "new-user", [], {}),
        ("/users/new/posts", "top", ["users", "new", "posts"], {}),
        ("/users/", "users", [], {}),
        ("/users//posts", "top", ["users", "", "posts"], {}),
        ("/users/17/posts/3", "post", [], {"id": "17", "post": "3"}),
        ("/users/17/posts", "posts", [], {"id": "17"}),
        ("/users/17/posts/3/x", "posts", ["3", "x"], {"id": "17"}),
        ("/users/17/photo/a/b", "part-files", ["a", "b"], {"id": "17", "part": "photo"}),
    ],
)
def test_a_parameter_stands_for_any_segment(
    path: str, answer: str, postpath: list[str], params: dict[str, str]
) -> None:
    """A segment in braces takes what no other segment is called; an answer is told those on the way to it."""
    match = USERS.find(path.removeprefix("/").split("/"))
    assert match is not None
    assert (match.answer, match.postpath, match.params) == (answer, postpath, params)


def test_what_nothing_has_below_a_parameter_is_left_to_who_is_above() -> None:
    """The rest above a parameter does not hear of it."""
    match = USERS.find(["users", "17", "photo", "x"])
    assert match is not None
    assert match.otherwise == Match("top", ["users", "17", "photo", "x"])


def test_a_parameter_is_a_whole_segment_in_braces() -> None:
    """What is nearly a parameter is not taken for a plain segment."""
    assert [parameter_of(segment) for segment in ("{id}", "{_a1}", "id", "")] == ["id", "_a1", None, None]
    for segment in ("{id", "id}", "{id}.json", "{}", "{1}", "{a b}", "{{id}}"):
        with pytest.raises(ValueError, match="neither a parameter nor a plain segment"):
            parameter_of(segment)
