"""Lay one tree of values over another, or put one value at a path; neither changes what it is given."""

from __future__ import annotations

from collections.abc import Sequence

from piped.config.nodes import Alias, Node


def merge(under: Node, over: Node) -> Node:
    """What is written in `under`, with what is written in `over` winning.

    Mappings are merged name by name; everything else is replaced, lists too. An `!alias` counts as the mapping of its
    defaults: merged with a mapping it stays an alias of the same target.

    Example:
        >>> from piped.config.nodes import node_of
        >>> merge(node_of({"a": {"x": 1}, "b": [1]}), node_of({"a": {"y": 2}, "b": [2]})).plain()
        {'a': {'x': 1, 'y': 2}, 'b': [2]}
    """
    lower, upper = _members(under), _members(over)
    if lower is None or upper is None:
        return over
    members = dict(lower)
    for name, node in upper.items():
        beneath = members.get(name)
        members[name] = node if beneath is None else merge(beneath, node)
    alias = next((node.value for node in (over, under) if type(node.value) is Alias), None)
    return Node(Alias(alias.target, members) if alias else members, over.where, over.key_where)


def _members(node: Node) -> dict[str, Node] | None:
    value = node.value.defaults if type(node.value) is Alias else node.value
    return value if type(value) is dict else None


class NoSuchElement(LookupError):
    """A path goes through a list that lacks the element; `list_path` names the list, `count` says how long it is."""

    def __init__(self, list_path: str, element: str, count: int) -> None:
        super().__init__(f"the list {list_path!r} has no element {element!r}")
        self.list_path, self.element, self.count = list_path, element, count


def put(root: Node, path: Sequence[str], node: Node, depth: int = 0) -> Node:
    """The tree with a node at a path; it replaces what is there, and mappings missing on the way are made.

    Args:
        path: the keys from the root; a number finds an element of a list.
        depth: how many of them were gone already.

    Raises:
        NoSuchElement: a list on the way has no such element.
    """
    if depth == len(path):
        return node
    key, value = path[depth], root.value
    if type(value) is list:
        if not key.isdecimal() or int(key) >= len(value):
            raise NoSuchElement(".".join(path[:depth]), key, len(value))
        elements = list(value)
        elements[int(key)] = put(elements[int(key)], path, node, depth + 1)
        return Node(elements, root.where, root.key_where)
    members = dict(value) if type(value) is dict else {}
    beneath = members.get(key) or Node({}, node.where, node.named_at)
    members[key] = put(beneath, path, node, depth + 1)
    return Node(members, root.where, root.key_where)
