"""Names of pipelines mean the same wherever they are looked up."""

import pytest

from piped.pipelines.names import absolute, find_pipeline


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("other", "other"),
        ("a.other", "a.other"),
        (".other", "web.site.other"),
        (".page", "web.site.page"),
        (".deeper.other", "web.site.deeper.other"),
        ("..other", "web.other"),
        ("...other", "other"),
        (".......other", "other"),
    ],
)
def test_dots_lead_up(name: str, expected: str):
    """One dot is a sibling, each further one a namespace up, and the root is the end."""
    assert absolute(name, "web.site.page") == expected


def test_a_dash_stands_for_an_underscore_but_not_the_other_way_round():
    """What is written exactly comes first; a `-` may stand for a `_` in any part of the name."""
    known = ["a-b.c_d", "a_b.c_d", "x-y"]
    assert find_pipeline("a-b.c_d", known) == "a-b.c_d"
    assert find_pipeline("a-b.c-d", known) == "a-b.c_d"
    assert find_pipeline("a_b.c-d", known) == "a_b.c_d"
    assert find_pipeline("x_y", known) is None
    assert find_pipeline("a-b", known) is None
