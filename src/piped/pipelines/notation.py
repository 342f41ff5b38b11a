"""Reads the section `pipelines`: finds the definitions among the namespaces, and what is neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from piped.config.nodes import Node
from piped.ground.errors import Mark, Problem, did_you_mean
from piped.pipelines.definitions import Definition, Element, Kind
from piped.pipelines.elements import CONSUMERS, EDGES, ERROR_CONSUMERS, ElementReader, Fill, shown

#: A mapping with one of these is a pipeline, any other one holds pipelines.
_WORDS_OF_A_PIPELINE = (*EDGES, "inherits")
_HOW_TO_WRITE = "a pipeline is a list of processors, or a mapping with 'consumers', 'chained_consumers' or 'inherits'"


def _as_written(node: Node) -> object:
    return node.value


def read_pipelines(section: Node, fill: Fill = _as_written) -> tuple[dict[str, Definition], list[Problem]]:
    """All pipelines of the section by name, each as whole as its mistakes allow, and those mistakes.

    The name of a pipeline is made of the keys that lead to it, joined by dots; a key may contain dots itself.

    Args:
        section: what stands under `pipelines`; it is not changed.
        fill: see `Fill`; without it, what is written is the value.
    """
    problems: list[Problem] = []
    definitions: dict[str, Definition] = {}
    for name, node in _named(section, problems):
        if name in definitions:
            what = f"pipeline {name!r} is defined twice (also at {definitions[name].where})"
            problems.append(Problem(what, node.named_at, "give one of them another name"))
        else:
            definitions[name] = _DefinitionReader(name, node, problems, fill).read()
    return definitions, problems


def _named(section: Node, problems: list[Problem]) -> Iterator[tuple[str, Node]]:
    """Everything in the section that is no namespace, with its name, in the order in which it is written."""
    if not section.is_mapping:
        if section.value is not None:
            what = f"'pipelines' is {shown(section)}, not a mapping of names to pipelines"
            problems.append(Problem(what, section.where, "give each pipeline a name"))
        return
    todo = [(key, node) for key, node in reversed(section.value.items())]
    while todo:
        name, node = todo.pop()
        if "" in name.split("."):
            what = f"{name!r} is no name for a pipeline: each part before, between and after the dots needs a letter"
            problems.append(Problem(what, node.named_at, "take the dot away"))
        elif node.is_mapping and node.value and not any(word in node.value for word in _WORDS_OF_A_PIPELINE):
            problems += _mistaken_words(name, node)
            todo += [(f"{name}.{key}", member) for key, member in reversed(node.value.items())]
        else:
            yield name, node


def _mistaken_words(name: str, node: Node) -> Iterator[Problem]:
    """Warnings about a namespace whose names all look like the words of a pipeline: legal, but hardly meant."""
    close = {key: get_close_matches(key, _WORDS_OF_A_PIPELINE, n=1, cutoff=0.88) for key in node.value}
    if all(close.values()):
        for key, (word,) in close.items():
            what = f"{key!r} is read as the name of a pipeline, '{name}.{key}'"
            yield Problem(what, node.value[key].named_at, f"did you mean {word!r}?", is_warning=True)


class _DefinitionReader:
    def __init__(self, name: str, node: Node, problems: list[Problem], fill: Fill) -> None:
        self.name, self.node, self.problems = name, node, problems
        self.reader = ElementReader(problems, fill)

    def read(self) -> Definition:
        node = self.node
        if node.is_list and node.value:
            sources = self.reader.chain(node.value)
            return Definition(self.name, node.named_at, tuple(self.reader.elements), sources)
        if node.is_mapping and node.value:
            self._check_keys(node.value)
            return self._inheriting(node.value) if "inherits" in node.value else self._with_words(node.value)
        if node.value is None or node.value in ([], {}):
            self._problem("has no steps", node.named_at, _HOW_TO_WRITE)
        else:
            self._problem(f"is {shown(node)}", node.where, _HOW_TO_WRITE)
        return Definition(self.name, node.named_at)

    def _with_words(self, members: Mapping[str, Node]) -> Definition:
        sources = self.reader.edges(members, CONSUMERS)
        error_consumers = self.reader.edges(members, ERROR_CONSUMERS)
        written = [members[word] for word in CONSUMERS if word in members]
        if all(node.is_list and not node.value for node in written):
            self._problem("has no steps", self.node.named_at, "write them under 'chained_consumers' or 'consumers'")
        return Definition(self.name, self.node.named_at, tuple(self.reader.elements), sources, error_consumers)

    def _inheriting(self, members: Mapping[str, Node]) -> Definition:
        for word in EDGES:
            if word in members:
                what = f"inherits its steps and cannot have {word!r} as well"
                self._problem(what, members[word].named_at, "inline the parent instead: '- inline-pipeline: <name>'")
        parent = self.reader.text(members["inherits"])
        overrides = tuple(self._overrides(members["overrides"])) if "overrides" in members else ()
        return Definition(self.name, self.node.named_at, inherits=parent, overrides=overrides)

    def _overrides(self, node: Node) -> Iterator[Element]:
        if not node.is_list:
            if node.value is not None:
                self._problem(f"has 'overrides' that are {shown(node)}, not a list", node.where, "begin each with '- '")
            return
        for member in node.value:
            for index in self.reader.element(member):
                element = self.reader.elements[index]
                if element.kind is not Kind.PROCESSOR or element.consumers or element.error_consumers:
                    what = f"overrides more than the options of a processor with {element.name!r}"
                    self._problem(what, element.where, "an override keeps the consumers that the parent's step has")
                else:
                    yield element

    def _check_keys(self, members: Mapping[str, Node]) -> None:
        known = (*_WORDS_OF_A_PIPELINE, "overrides")
        for key, member in members.items():
            if key not in known:
                fix = did_you_mean(key, known)
                self._problem(f"takes no {key!r}", member.named_at, fix)
        if "overrides" in members and "inherits" not in members:
            self._problem(
                "has 'overrides' but inherits nothing", members["overrides"].named_at, "add 'inherits: <name>'"
            )

    def _problem(self, what: str, where: Mark, fix: str) -> None:
        self.problems.append(Problem(f"pipeline {self.name!r} {what}", where, fix))
