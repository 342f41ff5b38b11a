"""Node: a value of a configuration together with the place where it was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from piped.ground.batons import keys_of
from piped.ground.errors import Mark

#: What stands for a value that Python code put into a configuration.
IN_PYTHON = Mark("<python>", 1, 1)


@dataclass(slots=True, eq=False)
class Node:
    """One value of a configuration: a scalar, a mapping of names to Nodes, or a list of Nodes.

    Nodes are never changed once a file has been read: merging and overriding make new ones.
    """

    value: Any
    where: Mark
    #: Where the key of this member of a mapping is written.
    key_where: Mark | None = None
    #: Where the text itself begins: one line below `where` for a block (`|` or `>`), else the same.
    text_where: Mark | None = None
    #: Written without quotes, so that it is read as YAML again once `${NAME}` was filled in.
    is_unquoted: bool = False

    @property
    def is_mapping(self) -> bool:
        return type(self.value) is dict

    @property
    def is_list(self) -> bool:
        return type(self.value) is list

    @property
    def named_at(self) -> Mark:
        """The place of the owner's name: of the key, or of the value where there is no key."""
        return self.key_where or self.where

    def at(self, path: str | Iterable[Any]) -> Node | None:
        """The node at a dotted path (or a series of keys), None where nothing is written."""
        node: Node | None = self
        for key in keys_of(path):
            if node is None:
                return None
            if type(node.value) is dict:
                node = node.value.get(str(key))
            elif type(node.value) is list and str(key).isdecimal() and int(key) < len(node.value):
                node = node.value[int(key)]
            else:
                return None
        return node

    def plain(self, scalar: Callable[[Node], Any] | None = None) -> Any:
        """Plain values, freshly made. `scalar` gives the value of each scalar node, if not just the written one."""
        value = self.value
        if type(value) is dict:
            return {key: node.plain(scalar) for key, node in value.items()}
        if type(value) is list:
            return [node.plain(scalar) for node in value]
        return value if scalar is None else scalar(self)

    def each(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
        """This node and all below it, each with its path."""
        yield path, self
        if type(self.value) is dict:
            for key, node in self.value.items():
                yield from node.each((*path, key))
        elif type(self.value) is list:
            for index, node in enumerate(self.value):
                yield from node.each((*path, str(index)))


@dataclass(frozen=True, slots=True)
class Alias:
    """The value of `!alias:target` until it is resolved; `defaults` are the names written below it."""

    #: Dotted path from the root of the whole configuration.
    target: str
    defaults: dict[str, Node]


def kind_of(node: Node) -> str:
    """What a node is, as a person calls it."""
    value = node.value
    if type(value) is Alias:
        return f"!alias:{value.target}"
    if type(value) is list:
        return "a list"
    if type(value) is dict:
        return "a mapping"
    text = "null" if value is None else repr(value)
    return text if len(text) <= 50 else f"{text[:46]}...{text[-1]}"


def node_of(value: Any, where: Mark = IN_PYTHON) -> Node:
    """A plain Python value as nodes that all stand at one place."""
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return Node({str(key): node_of(member, where) for key, member in value.items()}, where, where)
    if isinstance(value, list | tuple):
        return Node([node_of(member, where) for member in value], where, where)
    return Node(value, where, where)


def shown(path: str) -> str:
    """A file's name as a person would write it from where he stands: relative when that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path
