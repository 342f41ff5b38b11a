"""YAML text -> Nodes that know their places; what cannot be read is told, never raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from piped.config.bounds import DEEPEST, MOST_VALUES, OutOfBounds, Sizes, measure, too_deep, too_many
from piped.config.nodes import Node, kind_of
from piped.config.scalars import Scalar, read_scalar
from piped.config.syntax import explain, explain_unreadable
from piped.config.tags import TEXT_TAGS, shown_tag, tag_structure, tag_text
from piped.ground.errors import Mark, Problem, did_you_mean

#: libyaml where PyYAML was built with it; the same events from Python, eight times slower, elsewhere.
_FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Reading:
    """What a text holds, as far as it could be read, and what is wrong with it."""

    root: Node
    problems: list[Problem] = field(default_factory=list)


def read(text: str, file: str, environ: Mapping[str, str], parser: Any = _FASTEST) -> Reading:
    """The mapping that a file holds; an empty one for an empty file, and for one that is no YAML.

    Args:
        text: what the file holds.
        file: its name, as the places of the values are to show it.
        environ: for `~` and `$VAR` in `!filepath`.
        parser: the class of PyYAML that makes events of a text.
    """
    nothing = Node({}, Mark(file, 1, 1))
    reading = _read_any(text, file, environ, parser)
    root = reading.root
    if root.is_mapping:
        return reading
    if root.value is not None:
        what = f"the file holds {kind_of(root)}, not a mapping of names to values"
        fix = "begin with a name at the left margin, such as 'pipelines:'"
        reading.problems.append(Problem(what, root.where, fix))
    return Reading(nothing, reading.problems)


def read_value(text: str, where: Mark, environ: Mapping[str, str]) -> Reading:
    """The value that a text stands for which is no file, such as an option of the command line.

    The places of its parts count from `where`, the place of its first sign.
    """
    before = "\n" * (where.line - 1) + " " * (where.column - 1)
    return _read_any(before + text, where.file, environ, _FASTEST)


def _read_any(text: str, file: str, environ: Mapping[str, str], parser: Any) -> Reading:
    """The value of any kind that a text holds; None for an empty text, and for one that is no YAML."""
    reader = _Reader(text, file, environ)
    nothing = Node(None, Mark(file, 1, 1))
    try:
        return Reading(reader.document(parser) or nothing, reader.problems)
    except yaml.MarkedYAMLError as error:
        problem = explain(error, text, file)
    except (yaml.YAMLError, UnicodeEncodeError):
        problem = explain_unreadable(text, file)
    except OutOfBounds as error:
        problem = error.problem
    return Reading(nothing, [*reader.problems, problem])


class _Reader:
    """Builds nodes of one text's events; having PyYAML compose its own nodes first would take twice as long."""

    def __init__(self, text: str, file: str, environ: Mapping[str, str]) -> None:
        self.text, self.file, self.environ = text, file, environ
        self.problems: list[Problem] = []
        self._depth = 0
        #: What each unquoted text means: few texts, written often.
        self._scalars: dict[str, Scalar] = {}
        #: The nodes of `&name`; None while the node is still being read.
        self._anchors: dict[str, Node | None] = {}
        self._sizes: Sizes = {}
        self._repeated = 0

    def document(self, parser: Any) -> Node | None:
        """The only document of the text; None where there is nothing.

        Raises:
            YAMLError, UnicodeEncodeError: the text is no YAML.
            OutOfBounds: it is nested too deeply, or repeats too much.
        """
        self._next = parser(self.text).get_event
        self._next()  # the stream starts
        if type(self._next()) is StreamEndEvent:
            return None
        node = self._node(self._next())
        self._next()  # the document ends
        if type(event := self._next()) is not StreamEndEvent:
            self._tell("a second document begins here", event, "write one document in a file, without '---'")
        return node

    def _mark(self, event: Any) -> Mark:
        mark = event.start_mark
        return Mark(self.file, mark.line + 1, mark.column + 1)

    def _tell(self, what: str, event: Any, fix: str) -> None:
        self.problems.append(Problem(what, self._mark(event), fix))

    def _node(self, event: Any) -> Node:
        kind = type(event)
        if kind is AliasEvent:
            return self._repeat(event)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = self._scalar(event) if kind is ScalarEvent else self._structure(event)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _repeat(self, event: Any) -> Node:
        """The node that `*name` stands for: its own place, and a key of its own later."""
        name, where = event.anchor, self._mark(event)
        target = self._anchors.get(name)
        if target is None:
            if name in self._anchors:
                self._tell(f"*{name} stands inside what it repeats", event, "repeat something else, or write it out")
            else:
                advice = did_you_mean(f"*{name}", (f"*{anchor}" for anchor in self._anchors))
                quotes = "a text that begins with '*' needs quotes"
                fix = f"{advice} ({quotes})" if advice else quotes
                self._tell(f"*{name} repeats nothing: '&{name}' marks no value above", event, fix)
            return Node(None, where)
        self._repeated += measure(target, self._sizes, self._depth)[0]
        if self._repeated > MOST_VALUES:
            raise too_many(where)
        return Node(target.value, target.where, None, target.text_where, target.is_unquoted)

    def _scalar(self, event: Any) -> Node:
        text = event.value
        where = self._mark(event)
        if event.tag or event.style:
            value = text
            if event.tag and event.tag not in TEXT_TAGS:
                value, problem = tag_text(event.tag, text, where, self.environ)
                if problem:
                    self.problems.append(problem)
            return Node(value, where, None, self._block_where(where) if event.style in ("|", ">") else where)
        scalar = self._scalars.get(text)
        if scalar is None:
            scalar = self._scalars[text] = read_scalar(text)
        if scalar.what:
            self.problems.append(scalar.problem(where))
        return Node(scalar.value, where, None, where, True)

    def _block_where(self, where: Mark) -> Mark:
        """Where the text behind `|` or `>` begins: in the line below."""
        line = self._lines[where.line] if where.line < len(self._lines) else ""
        return Mark(self.file, where.line + 1, len(line) - len(line.lstrip(" ")) + 1)

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    def _structure(self, event: Any) -> Node:
        where = self._mark(event)
        if self._depth == DEEPEST:
            raise too_deep(where)
        self._depth += 1
        value: Any = self._members() if type(event) is MappingStartEvent else self._elements()
        self._depth -= 1
        if event.tag:
            value, problem = tag_structure(event.tag, value, where)
            if problem:
                self.problems.append(problem)
        return Node(value, where)

    def _elements(self) -> list[Node]:
        elements = []
        while type(event := self._next()) is not SequenceEndEvent:
            elements.append(self._node(event))
        return elements

    def _members(self) -> dict[str, Node]:
        members: dict[str, Node] = {}
        inherited: dict[str, Node] | None = None
        while type(event := self._next()) is not MappingEndEvent:
            where = self._mark(event)
            is_simple = type(event) is ScalarEvent and not event.tag and not event.anchor
            name = event.value if is_simple else self._unusual_name(event)
            node = self._node(self._next())
            if name == "<<" and is_simple and not event.style:
                if inherited is not None:
                    self._tell("'<<' is written twice in one mapping", event, "write '<<: [*first, *second]'")
                inherited = self._inherited(node)
            elif name in members:
                what = f"{name!r} is written twice in one mapping: first in line {members[name].named_at.line}"
                self._tell(what, event, "remove one of the two, or give it another name")
            elif name is not None:
                node.key_where = where
                members[name] = node
        return members if inherited is None else inherited | members

    def _unusual_name(self, event: Any) -> str | None:
        """The name that a key stands for which is no simple text; None, and a problem told, when it is none."""
        is_scalar = type(event) is ScalarEvent
        node = self._node(event)
        if is_scalar and (not event.tag or event.tag in TEXT_TAGS):
            name: str = event.value
            return name
        if type(event) is AliasEvent and type(node.value) is str:
            return node.value
        if is_scalar:
            self._tell(f"a name takes no tag, and this has {shown_tag(event.tag)}", event, "remove the tag")
        else:
            fix = "put a text that begins with '{' or '[' in quotes"
            self._tell(f"a name must be a text, and this is {kind_of(node)}", event, fix)
        return None

    def _inherited(self, node: Node) -> dict[str, Node]:
        """What `<<` brings into a mapping; of several mappings the first one wins."""
        found: dict[str, Node] = {}
        for source in reversed(node.value) if type(node.value) is list else [node]:
            if type(source.value) is dict:
                found |= source.value
            else:
                what = f"'<<' takes a mapping or a list of mappings, and this is {kind_of(source)}"
                self.problems.append(Problem(what, source.where, "write '<<: *name', where '&name' marks a mapping"))
        return found
