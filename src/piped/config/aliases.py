"""Copy to each `!alias:dotted.path` what it refers to."""

from __future__ import annotations

from dataclasses import dataclass

from piped.config.bounds import DEEPEST, too_deep
from piped.config.nodes import Alias, Node, kind_of
from piped.ground.batons import keys_of
from piped.ground.errors import Problem, did_you_mean


@dataclass(frozen=True, slots=True)
class Resolved:
    """A tree without aliases, the top-level names that they read, and what is wrong with some of them."""

    root: Node
    used: set[str]
    problems: list[Problem]


def resolve(root: Node) -> Resolved:
    """The tree with each alias replaced by its target, in whatever order they refer to each other.

    The names of a target win over the alias' own, which hold for what the target lacks. An alias whose target cannot
    be found stands for its own names, or for null where it has none.

    Raises:
        OutOfBounds: aliases inside of aliases are nested too deeply.
    """
    resolver = _Resolver(root)
    return Resolved(resolver.whole(root), resolver.used, resolver.problems)


class _Resolver:
    def __init__(self, root: Node) -> None:
        self.root = root
        self.used: set[str] = set()
        self.problems: list[Problem] = []
        #: Nodes without any alias below them, by the node they were made of.
        self._whole: dict[Node, Node] = {}
        #: What an alias stands for; there may still be aliases below it.
        self._targets: dict[Node, Node] = {}
        #: The aliases whose targets are being looked up, in order.
        self._looking: dict[Node, None] = {}
        #: The aliases whose targets are being made whole.
        self._copying: set[Node] = set()
        #: What stands for aliases that were told already; what refers to them is no mistake of its own.
        self._hopeless: set[Node] = set()

    def whole(self, node: Node, depth: int = 0) -> Node:
        """The node without aliases; itself where there are none in it."""
        kind = type(node.value)
        if kind is not dict and kind is not list and kind is not Alias:
            return node
        made = self._whole.get(node)
        if made is None:
            if depth > DEEPEST:
                raise too_deep(node.where)
            made = self._whole[node] = self._copied(node, depth) if kind is Alias else self._cleared(node, depth)
        return made

    def _cleared(self, node: Node, depth: int) -> Node:
        """A mapping or list whose members are whole."""
        value = node.value
        copy = None
        for key, member in value.items() if type(value) is dict else enumerate(value):
            whole = self.whole(member, depth + 1)
            if whole is not member:
                copy = copy or value.copy()
                copy[key] = whole
        return node if copy is None else Node(copy, node.where, node.key_where)

    def _copied(self, alias: Node, depth: int) -> Node:
        """The whole target of an alias."""
        if alias in self._copying:
            what = f"!alias:{alias.value.target} contains itself: it stands inside what it refers to"
            return self._given_up(alias, what, "refer to something that does not hold this alias")
        self._copying.add(alias)
        target = self.whole(self._target(alias), depth + 1)
        self._copying.discard(alias)
        return Node(target.value, target.where, alias.key_where, target.text_where, target.is_unquoted)

    def _target(self, node: Node) -> Node:
        """What a node stands for: itself, unless it is an alias."""
        if type(node.value) is not Alias:
            return node
        if node in self._looking:
            names = [alias.value.target for alias in self._looking]
            what = f"aliases refer to each other in a circle: {' -> '.join([*names, names[0]])}"
            return self._given_up(node, what, "write values in one of these places")
        if node not in self._targets:
            self._looking[node] = None
            self._targets[node] = self._looked_up(node)
            del self._looking[node]
        return self._targets[node]

    def _looked_up(self, alias: Node) -> Node:
        """What stands at the path of an alias, with the alias' own names where it lacks them."""
        path = alias.value.target
        keys = keys_of(path)
        self.used.add(keys[0])
        here = self._target(self.root)
        for depth, key in enumerate(keys):
            below = here.at((key,))
            if below is None and here in self._hopeless:
                return self._stand_in(alias)
            if below is None:
                holder = repr(".".join(keys[:depth])) if depth else "the configuration"
                what = f"!alias:{path} refers to nothing: there is no {key!r} in {holder}"
                return self._given_up(alias, what, did_you_mean(key, here.value if here.is_mapping else ()))
            here = self._target(below)
        if not alias.value.defaults:
            return here
        if here in self._hopeless:
            return self._stand_in(alias)
        if not here.is_mapping:
            what = f"!alias:{path} has names of its own, and what it refers to is {kind_of(here)}"
            return self._given_up(alias, what, "remove the names below the alias")
        return Node(alias.value.defaults | here.value, alias.where, alias.key_where)

    def _given_up(self, alias: Node, what: str, fix: str) -> Node:
        """Tells that an alias has no usable target."""
        self.problems.append(Problem(what, alias.where, fix))
        return self._stand_in(alias)

    def _stand_in(self, alias: Node) -> Node:
        """What an alias without a usable target stands for."""
        node = Node(alias.value.defaults or None, alias.where, alias.key_where)
        self._hopeless.add(node)
        return node
