"""Readiness: who is ready, given what is provided and who needs whom."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from piped.resources.readiness import Notice, Readiness


def flips(notices: list[Notice[str]]) -> list[str]:
    """'+name' for ready, '-name' for lost."""
    return [("+" if notice.is_ready else "-") + notice.name for notice in notices]


def table(**needs: str) -> Readiness[str]:
    """A table in which every name takes part and nothing is provided."""
    made: Readiness[str] = Readiness()
    for name, needed in needs.items():
        assert made.add(name, needed.split()) == []
    return made


def provided(**needs: str) -> Readiness[str]:
    """The same with everything provided."""
    made = table(**needs)
    for name in needs:
        made.provide(name)
    return made


def test_a_name_without_needs_is_ready_when_it_is_provided() -> None:
    """What needs nothing is ready as soon as it is there, and lost when it is gone."""
    readiness = table(a="")
    assert flips(readiness.provide("a")) == ["+a"]
    assert flips(readiness.provide("a")) == []
    assert flips(readiness.lose("a")) == ["-a"]
    assert flips(readiness.lose("a")) == []


def test_readiness_climbs_in_the_order_of_needs() -> None:
    """Everything hears of a change after what it needs has."""
    readiness = table(top="left right", left="leaf", right="leaf", leaf="")
    for name in ("top", "left", "right"):
        assert readiness.provide(name) == []
    assert flips(readiness.provide("leaf")) == ["+leaf", "+left", "+right", "+top"]


def test_losing_a_leaf_takes_down_all_above_and_nobody_else() -> None:
    """A lost leaf takes down its transitive consumers, each after what it needs, and leaves siblings alone."""
    readiness = provided(leaf="", sibling="", low="leaf", top="leaf low", other="sibling")
    assert flips(readiness.lose("leaf")) == ["-leaf", "-low", "-top"]
    assert readiness.is_ready("other")


def test_the_reason_is_told_to_all_that_fall() -> None:
    """Whoever falls is told the reason of the first cause."""
    readiness = provided(leaf="", low="leaf", top="low")
    assert {notice.reason for notice in readiness.lose("leaf", "refused")} == {"refused"}
    assert readiness.reason("leaf") == "refused"


def test_missing_names_the_first_causes_only() -> None:
    """A person is told what is at the bottom of it, not the way there."""
    readiness = provided(conn="", ctx="", ok="", pipe="conn ctx", web="pipe ok")
    readiness.lose("conn")
    readiness.lose("ctx")
    assert readiness.missing("web") == ["conn", "ctx"]
    assert readiness.missing("conn") == ["conn"]
    assert readiness.missing("ok") == []


def test_a_need_that_nobody_added_is_missing() -> None:
    """A name that needs something unknown waits for it."""
    readiness = table(a="ghost")
    assert readiness.provide("a") == []
    assert readiness.missing("a") == ["ghost"]
    assert readiness.add("ghost") == []
    assert flips(readiness.provide("ghost")) == ["+ghost", "+a"]


def test_what_is_provided_before_it_takes_part_is_remembered() -> None:
    """A value may come before its name is added; nothing is told until then."""
    readiness: Readiness[str] = Readiness()
    assert readiness.provide("a") == []
    assert flips(readiness.add("a")) == ["+a"]


def test_a_new_need_of_something_ready_counts_once_it_takes_part() -> None:
    """Adding a need to something that is ready changes nothing before that need was added itself."""
    readiness = provided(a="")
    assert readiness.require("a", "late") == []
    assert readiness.is_ready("a")
    assert flips(readiness.add("late")) == ["-a"]
    assert flips(readiness.provide("late")) == ["+late", "+a"]


def test_releasing_a_lost_need_makes_ready_again() -> None:
    """What no longer needs something lost is ready again."""
    readiness = provided(leaf="", top="leaf")
    readiness.lose("leaf")
    assert flips(readiness.release("top", "leaf")) == ["+top"]
    assert flips(readiness.lose("leaf")) == []


def test_removing_takes_away_the_name_and_its_needs() -> None:
    """A removed name leaves nothing behind, and whoever still needs it goes without."""
    readiness = provided(leaf="", mid="leaf", top="mid")
    assert flips(readiness.remove("mid")) == ["-mid", "-top"]
    assert readiness.consumers("leaf") == []
    assert readiness.missing("top") == ["mid"]
    readiness.remove("top")
    assert list(readiness) == ["leaf"]
    assert readiness.remove("nobody") == []


def test_what_stays_ready_is_only_lost_by_itself() -> None:
    """A name that stays ready outlives its needs, and shields what is above."""
    readiness: Readiness[str] = Readiness(stays_ready=lambda name: name == "keeper")
    for name, needs in (("leaf", []), ("keeper", ["leaf"]), ("top", ["keeper"])):
        readiness.add(name, needs)
        readiness.provide(name)
    assert flips(readiness.lose("leaf")) == ["-leaf"]
    assert flips(readiness.provide("leaf")) == ["+leaf"]
    readiness.add("absent")
    assert readiness.require("keeper", "absent") == []
    assert flips(readiness.lose("keeper")) == ["-keeper", "-top"]


def test_circles_of_any_length_are_reported() -> None:
    """Every circle is named in the order of its needs; a name that needs itself counts."""
    assert table(a="a").circles() == [["a"]]
    assert table(a="b", b="a").circles() == [["b", "a"]]
    assert table(a="b", b="c", c="a", d="c").circles() == [["b", "c", "a"]]
    assert table(a="b", b="c", c="d", d="a").circles() == [["b", "c", "d", "a"]]
    assert table(a="b c", b="d", c="d", d="").circles() == []


def test_circles_are_found_from_where_something_changed() -> None:
    """A new circle is found from the name with the new need alone; elsewhere nothing is looked at."""
    readiness = table(a="b", b="", x="y", y="x")
    readiness.require("b", "a")
    assert readiness.circles(["b"]) == [["a", "b"]]
    assert readiness.circles(["nobody"]) == []


def test_a_long_chain_needs_no_stack() -> None:
    """A chain of ten thousand needs comes and goes without recursion."""
    readiness: Readiness[int] = Readiness()
    for number in range(10_000):
        readiness.add(number, [number - 1] if number else [])
        readiness.provide(number)
    assert len(readiness.lose(0)) == 10_000
    assert readiness.missing(9_999) == [0]
    assert len(readiness.provide(0)) == 10_000
    assert readiness.circles() == []


def test_a_dense_table_is_looked_through_once() -> None:
    """However many ways lead through a table, looking for circles goes each way once."""
    readiness: Readiness[int] = Readiness()
    for number in range(100):
        readiness.add(number, range(max(0, number - 3), number))
    assert readiness.circles([0]) == []


NAMES = "abcdefg"
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "remove", "provide", "lose"]), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["require", "release"]), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    ),
    max_size=80,
)


class Scratch:
    """The same rule without memory of counts: everything is found anew after each event."""

    def __init__(self) -> None:
        self.added: set[str] = set()
        self.provided: set[str] = set()
        self.edges: dict[tuple[str, str], bool] = {}

    def apply(self, event: str, name: str, need: str = "") -> None:
        if event == "add":
            self.added.add(name)
            self.edges.update({edge: True for edge in self.edges if edge[1] == name})
        elif event == "remove":
            self.added.discard(name)
            self.provided.discard(name)
            self.edges = {edge: counts for edge, counts in self.edges.items() if edge[0] != name}
        elif event == "provide":
            self.provided.add(name)
        elif event == "lose":
            self.provided.discard(name)
        elif event == "require":
            self.edges.setdefault((name, need), need in self.added or name not in self.added)
        else:
            self.edges.pop((name, need), None)

    def ready(self) -> set[str]:
        ready: set[str] = set()
        while True:
            more = {
                name
                for name in self.added & self.provided - ready
                if all(need in ready for (who, need), counts in self.edges.items() if who == name and counts)
            }
            if not more:
                return ready
            ready |= more


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_after_any_history_ready_is_what_the_rule_says(events: list[tuple[str, ...]]) -> None:
    """Whatever happened: ready is what can be reckoned from scratch, and every notice flips, needs first."""
    readiness: Readiness[str] = Readiness()
    scratch = Scratch()
    told: set[str] = set()
    for event, name, *need in events:
        if event == "require" and (name <= need[0]):
            continue  # circles are refused before anything is told
        notices = getattr(readiness, event)(name, *need)
        scratch.apply(event, name, *need)
        places = {notice.name: place for place, notice in enumerate(notices)}
        assert len(places) == len(notices)
        for notice in notices:
            assert notice.is_ready is (notice.name not in told)
            told.symmetric_difference_update({notice.name})
            for needed in readiness.needs(notice.name):
                assert places.get(needed, -1) < places[notice.name]
        assert told == scratch.ready() == {each for each in NAMES if readiness.is_ready(each)}
        for each in NAMES:
            assert bool(readiness.missing(each)) is (each in readiness and not readiness.is_ready(each))
