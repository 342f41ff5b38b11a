"""What is needed comes first, and a circle is told with every place that makes it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from piped.ground.errors import Mark
from piped.pipelines.circles import circle_problems, in_order_of_need

names = st.sampled_from("abcdefg")


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(names, st.dictionaries(names, st.none(), max_size=3), max_size=7))
def test_order(needs: dict[str, dict[str, None]]):
    """Each name comes after what it needs, unless that leads into a circle, which is then found."""
    order, circles = in_order_of_need(needs)
    assert sorted(order) == sorted(needs)
    too_early = [name for name in order for need in needs[name] if need in order[order.index(name) :]]
    assert bool(too_early) == bool(circles)
    for circle in circles:
        assert len(set(circle)) == len(circle)
        assert all(following in needs[name] for name, following in zip(circle, circle[1:] + circle[:1], strict=True))


def test_separate_circles_are_all_found():
    """One round of repair is enough for circles that have nothing to do with each other."""
    needs = {"a": {"b": None}, "b": {"a": None}, "c": {"c": None}, "d": {"a": None, "c": None}}
    assert in_order_of_need(needs) == (["a", "b", "c", "d"], [["a", "b"], ["c"]])


def test_a_circle_names_its_places():
    """The Problem stands at the first reference, and says where each of the others is."""
    needs = {"a": {"b": Mark("x.yml", 1, 2)}, "b": {"a": Mark("y.yml", 3, 4)}}
    (problem,) = circle_problems([["a", "b"]], needs, "a circle", "cut it")
    assert str(problem) == "x.yml:1:2: a circle: a (x.yml:1:2) → b (y.yml:3:4) → a – cut it"
