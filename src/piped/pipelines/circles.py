"""What has to come first when pipelines need each other, and the circles in which none of them can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from piped.ground.errors import Mark, Problem

#: For each pipeline those it needs, each with the place where it says so.
Needs = Mapping[str, Mapping[str, Mark | None]]


def in_order_of_need(needs: Needs) -> tuple[list[str], list[list[str]]]:
    """All names in an order in which each comes after what it needs, and the circles that made this impossible.

    Members of a circle, and what needs one, come last. Of circles that share names, at least one is found.

    Example:
        >>> in_order_of_need({"a": {"b": None}, "b": {}, "c": {"c": None}})
        (['b', 'a', 'c'], [['c']])
    """
    missing = {name: {need: None for need in needed if need in needs} for name, needed in needs.items()}
    users: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in missing.items():
        for need in needed:
            users[need].append(name)
    order = [name for name, needed in missing.items() if not needed]
    for name in order:  # grows while it is walked
        for user in users[name]:
            del missing[user][name]
            if not missing[user]:
                order.append(user)
    stuck = [name for name, needed in missing.items() if needed]
    return order + stuck, _circles({name: next(iter(missing[name])) for name in stuck})


def _circles(following: Mapping[str, str]) -> list[list[str]]:
    """The circles met when each name is followed to the next one."""
    circles: list[list[str]] = []
    seen: set[str] = set()
    for name in following:
        way: dict[str, int] = {}
        while name not in seen:
            seen.add(name)
            way[name] = len(way)
            name = following[name]
        if name in way:
            circles.append(list(way)[way[name] :])
    return circles


def circle_problems(circles: Iterable[list[str]], needs: Needs, what: str, fix: str) -> list[Problem]:
    """One Problem for each circle, at its first reference; `what` begins the sentence that names all places."""
    problems = []
    for circle in circles:
        places = [needs[name][following] for name, following in zip(circle, circle[1:] + circle[:1], strict=True)]
        way = " → ".join(f"{name} ({place})" for name, place in zip(circle, places, strict=True))
        problems.append(Problem(f"{what}: {way} → {circle[0]}", places[0], fix))
    return problems
