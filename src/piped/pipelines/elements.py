"""Reads the elements of one pipeline: every spelling of a processor and of its consumers becomes an Element."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from piped.config.nodes import Node
from piped.ground.errors import Mark, Problem, did_you_mean
from piped.ground.units import Located
from piped.pipelines.definitions import Element, Kind
from piped.spec.readers import WRONG

CONSUMERS = ("chained_consumers", "consumers")
ERROR_CONSUMERS = ("chained_error_consumers", "error_consumers")
EDGES = (*CONSUMERS, *ERROR_CONSUMERS)
_KINDS = {kind.value: kind for kind in Kind}
#: The words beside a processor's options that are none of them.
RESERVED = (*_KINDS, "id", *EDGES)

#: Gives the value of a scalar, `${NAME}` filled in; WRONG for one that has a Problem already.
Fill = Callable[[Node], Any]


class ElementReader:
    """Reads elements into one table; what is malformed becomes a Problem and is left out.

    Args:
        problems: where the mistakes are added.
    """

    def __init__(self, problems: list[Problem], fill: Fill) -> None:
        self.elements: list[Element] = []
        self._problems, self._fill = problems, fill

    def edges(self, members: Mapping[str, Node], words: tuple[str, str]) -> tuple[int, ...]:
        """The edges that a mapping writes under two words: the head of the chain, then the plain ones."""
        chained, plain = words
        found = self.chain(self._listed(members, chained))
        for node in self._listed(members, plain):
            found += self.element(node)
        return found

    def chain(self, nodes: Iterable[Node]) -> tuple[int, ...]:
        """The head of a chain: each element is appended to the consumers of the one before it."""
        following: tuple[int, ...] = ()
        for node in reversed(list(nodes)):
            following = self.element(node, following) or following
        return following

    def element(self, node: Node, following: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The position of one element, with what follows it in its chain; () where it is malformed."""
        members = self._explicit(node)
        kinds = [kind for word, kind in _KINDS.items() if word in members]
        if len(kinds) > 1:
            written = " and ".join(repr(kind.value) for kind in kinds)
            self._problem(f"{written} exclude each other", node.where, "write two elements")
            return ()
        name = self.text(members[kinds[0].value]) if kinds else None
        if name is None:
            return ()
        self.elements.append(self._made(kinds[0], name, members, following))
        return (len(self.elements) - 1,)

    def _made(self, kind: Kind, name: Located, members: Mapping[str, Node], following: tuple[int, ...]) -> Element:
        where = members[kind.value].where
        if kind is Kind.EXISTING:
            self._forbid(members, (kind.value,), f"an 'existing' element ({name!r})")
            if following:
                what = f"what follows 'existing: {name}' in its chain is never reached"
                self._problem(what, where, "make it the last element of its chain")
            return Element(kind, name, where)
        consumers = self.edges(members, CONSUMERS) + following
        error_consumers = self.edges(members, ERROR_CONSUMERS)
        if kind is Kind.INLINE:
            self._forbid(members, (kind.value, *EDGES), f"an 'inline-pipeline' element ({name!r})")
            return Element(kind, name, where, None, None, consumers, error_consumers)
        id = self.text(members["id"]) if "id" in members else None
        options = {key: node for key, node in members.items() if key not in RESERVED}
        return Element(kind, name, where, Node(options, where, where), id, consumers, error_consumers)

    def text(self, node: Node) -> Located | None:
        """A name; None where something else is written."""
        value = self._fill(node)
        if value is WRONG:
            return None
        if type(value) is int:
            value = str(value)
        if type(value) is str and value:
            return Located(value, node.where)
        fix = "put it into quotes" if isinstance(value, bool | float) else ""
        self._problem(f"a name is expected here, not {shown(node)}", node.where, fix)
        return None

    def _explicit(self, node: Node) -> Mapping[str, Node]:
        """The members of an element as if it were written with `__processor__`; {} where that makes no sense."""
        if type(node.value) is str:
            return {Kind.PROCESSOR.value: node}
        if node.is_mapping:
            members: dict[str, Node] = node.value
            return self._named_by_key(node) if members.keys().isdisjoint(_KINDS) else members
        fix = "a list inside a list is written with 'consumers' or 'chained_consumers'" if node.is_list else ""
        if isinstance(node.value, bool | int | float):
            fix = "put the name into quotes"
        self._problem(f"a processor is expected here, not {shown(node)}", node.where, fix)
        return {}

    def _named_by_key(self, node: Node) -> Mapping[str, Node]:
        """The members of `{name: {options}}`, where consumers and options may also stand beside the name."""
        members: dict[str, Node] = node.value
        name = self._name_among(node)
        if name is None:
            return {}
        inner: dict[str, Node] = members[name].value or {}
        beside = {key: member for key, member in members.items() if key != name}
        beside[Kind.PROCESSOR.value] = Node(name, members[name].named_at)
        for key in inner.keys() & beside.keys():
            where = inner[key].named_at
            self._problem(f"{key!r} is written twice for {name!r} (also at {beside[key].named_at})", where, "keep one")
        return beside | inner

    def _name_among(self, node: Node) -> str | None:
        """The key that names the processor: the only one with a mapping, or else the only one that may have none."""
        members: dict[str, Node] = node.value
        free = [key for key in members if key not in RESERVED]
        names = [key for key in free if members[key].is_mapping]
        if not names and len(free) == 1 and members[free[0]].value is None:
            names = free
        if len(names) == 1:
            return names[0]
        if len(names) > 1:
            which = " or ".join(map(repr, names))
            self._problem(f"which one is the processor, {which}?", node.where, "write '__processor__: <its name>'")
        elif len(free) == 1 and len(members) == 1:
            (name,) = free
            close = get_close_matches(name, RESERVED, n=1, cutoff=0.8)
            fix = f"did you mean {close[0]!r}?" if close else f"write '- {name}: {{option: value}}'"
            what = f"the options of {name!r} are {shown(members[name])}, not a mapping"
            self._problem(what, members[name].named_at, fix)
        else:
            keys = f"only {', '.join(map(repr, members))}" if members else "nothing"
            fix = "write '__processor__: <its name>' or '- <its name>: {option: value}'"
            self._problem(f"no processor is named here, {keys}", node.where, fix)
        return None

    def _listed(self, members: Mapping[str, Node], word: str) -> list[Node]:
        """The elements of a list; [] where none is written."""
        node = members.get(word)
        if node is None:
            return []
        if node.is_list:
            nodes: list[Node] = node.value
            return nodes
        self._problem(f"{word!r} is {shown(node)}, not a list", node.where, "begin each element with '- '")
        return []

    def _forbid(self, members: Mapping[str, Node], allowed: tuple[str, ...], owner: str) -> None:
        for key, member in members.items():
            if key not in allowed:
                self._problem(f"{owner} takes no {key!r}", member.named_at, did_you_mean(key, allowed[1:]))

    def _problem(self, what: str, where: Mark, fix: str) -> None:
        self._problems.append(Problem(what, where, fix))


def shown(node: Node) -> str:
    """What a person calls a value that stands where it should not."""
    if node.is_mapping:
        return "a mapping" if node.value else "an empty mapping"
    if node.is_list:
        return "a list" if node.value else "an empty list"
    return "nothing" if node.value is None else repr(node.value)
