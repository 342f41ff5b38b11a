"""How deep and how large a configuration may be, so that whoever walks over it comes to an end."""

from __future__ import annotations

from typing import Any

from piped.config.nodes import Alias, Node
from piped.ground.errors import Mark, Problem

#: Levels of lists and mappings inside each other; whatever walks over nodes may recurse this deep.
DEEPEST = 100
#: Values in all, where what an alias repeats counts each time.
MOST_VALUES = 1_000_000

#: What was measured already, by the identity of a dict or list (many nodes may repeat one), which is kept alive.
Sizes = dict[int, tuple[int, int, object]]


class OutOfBounds(Exception):
    """A configuration is too deep or too large to walk over; `problem` says where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def too_deep(where: Mark) -> OutOfBounds:
    """Lists and mappings are nested deeper than DEEPEST levels."""
    what = f"lists and mappings are nested more than {DEEPEST} levels deep"
    return OutOfBounds(Problem(what, where, "write it less nested"))


def too_many(where: Mark) -> OutOfBounds:
    """Aliases repeat more than MOST_VALUES values."""
    what = f"aliases multiply what is written to more than {MOST_VALUES:,} values"
    return OutOfBounds(Problem(what, where, "avoid aliases of lists of aliases"))


def measure(node: Node, sizes: Sizes, depth: int = 0) -> tuple[int, int]:
    """How many values there are at and below a node, and on how many levels; a scalar has none below it.

    Raises:
        OutOfBounds: the levels and `depth` together are more than DEEPEST.
    """
    value: Any = node.value.defaults if type(node.value) is Alias else node.value
    if type(value) is not dict and type(value) is not list:
        return 1, 0
    size = sizes.get(id(value))
    if size is None:
        if depth >= DEEPEST:
            raise too_deep(node.where)
        count, levels = 1, 0
        for member in value.values() if type(value) is dict else value:
            if type(member.value) in (dict, list, Alias):
                inner = measure(member, sizes, depth + 1)
                count, levels = count + inner[0], max(levels, inner[1])
            else:
                count += 1
        size = sizes[id(value)] = count, levels + 1, value
    if depth + size[1] > DEEPEST:
        raise too_deep(node.where)
    return size[:2]


def check_bounds(root: Node) -> None:
    """Makes sure that a whole configuration can be walked over.

    Raises:
        OutOfBounds: it is too deep or too large.
    """
    if measure(root, {})[0] > MOST_VALUES:
        raise too_many(root.where)
