"""A file on disk -> one tree: with its includes, its run mode, its aliases and the overrides of the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from piped.config.aliases import resolve
from piped.config.bounds import DEEPEST, OutOfBounds, check_bounds
from piped.config.environment import Unset, fill
from piped.config.files import find_file, read_file
from piped.config.merging import merge, put
from piped.config.nodes import Node, kind_of, shown
from piped.config.overrides import override
from piped.config.paths import WrittenPath
from piped.config.reading import read
from piped.ground.batons import keys_of
from piped.ground.errors import Mark, Problem


@dataclass(frozen=True, slots=True)
class Gathered:
    """A whole configuration, and everything that is wrong with how it is written.

    Attributes:
        root: a mapping without aliases; what could not be read is missing in it.
        problems: in the order they were found.
        used: the sections that gathering itself has read.
        files: the names of the files that were read, the given one first.
    """

    root: Node
    problems: list[Problem]
    used: set[str]
    files: list[str]


def gather(
    file: str, overrides: Sequence[str] = (), *, runmode: str | None = None, environ: Mapping[str, str]
) -> Gathered:
    """The configuration that begins in a file; no mistake of a user raises.

    Args:
        file: its name; `~` and `$VAR` are filled in.
        overrides: texts like `web.site.port:8081`; they win over every file, the last one over the others.
        runmode: the name of a part of `runmodes` that wins over the file it stands in.
        environ: the environment variables.
    """
    gathering = _Gathering(runmode, environ)
    return gathering.gathered(file, lambda: gathering.top(file), overrides)


def gather_text(text: str, file: str, *, environ: Mapping[str, str]) -> Gathered:
    """As `gather`, for a text that stands in no file; it includes files from the run directory.

    Args:
        text: YAML.
        file: what the places of its values call it.
        environ: the environment variables.
    """
    gathering = _Gathering(None, environ)
    return gathering.gathered(file, lambda: gathering.text(text, file), ())


class _Opened(NamedTuple):
    """A file on the way of includes to another one."""

    path: str
    #: Where the file before it names it; None for the first.
    included_at: Mark | None


class _Include(NamedTuple):
    """One file that a file includes, as it is written: the value of `name`, below the dotted `prefix`."""

    prefix: str
    name: Node


class _Gathering:
    def __init__(self, runmode: str | None, environ: Mapping[str, str]) -> None:
        self.runmode, self.environ = runmode, environ
        self.problems: list[Problem] = []
        self.used = {"includes", "runmodes"}
        self.files: list[str] = []
        #: What each file holds, by its path: a file that is included twice is read once.
        self._held: dict[str, Node] = {}
        #: The includes that would close a loop.
        self._skipped: set[Mark] = set()

    def gathered(self, file: str, whole: Callable[[], Node], overrides: Sequence[str]) -> Gathered:
        """What `whole` gives, with its aliases resolved and the overrides in place."""
        try:
            root = self.resolved(whole())
            for text in overrides:
                overridden = override(root, text, self.environ)
                root = overridden.root
                self.problems += overridden.problems
            if overrides:  # they may hold aliases
                root = self.resolved(root)
            check_bounds(root)
        except OutOfBounds as error:
            root = Node({}, Mark(shown(file), 1, 1))
            self.problems.append(error.problem)
        return Gathered(root, list(dict.fromkeys(self.problems)), self.used, self.files)

    def top(self, file: str) -> Node:
        """What a file holds, with all that it includes."""
        path = self._told(find_file(file, "", None, self.environ))
        return Node({}, Mark(shown(file), 1, 1)) if path is None else self._whole(path, (_Opened(path, None),), 0)

    def text(self, text: str, file: str) -> Node:
        """What a text holds, with all that it includes."""
        self._held[file] = self._read(text, file)
        return self._whole(file, (_Opened(file, None),), 0)

    def resolved(self, root: Node) -> Node:
        """The tree with its aliases resolved."""
        resolved = resolve(root)
        self.problems += resolved.problems
        self.used |= resolved.used
        return resolved.root

    def _told(self, found: str | Problem) -> str | None:
        if isinstance(found, Problem):
            self.problems.append(found)
            return None
        return found

    def _whole(self, path: str, way: tuple[_Opened, ...], depth: int) -> Node:
        """A file laid over what it includes; of its includes, the later one lies over the earlier one.

        Args:
            way: the files that lead to this one, it included.
            depth: how many names it is mounted under.
        """
        node = self._file(path, way[-1].included_at)
        included = None
        for include in self._includes(node):
            mounted = self._included(include, way, depth)
            if mounted is not None:
                included = mounted if included is None else merge(included, mounted)
        return node if included is None else merge(included, node)

    def _file(self, path: str, named_at: Mark | None) -> Node:
        """What a file itself holds."""
        if path not in self._held:
            text = self._told(read_file(path, named_at))
            if text is not None:
                self.files.append(shown(path))
            self._held[path] = self._read(text or "", shown(path))
        return self._held[path]

    def _read(self, text: str, file: str) -> Node:
        """What a text holds, with the part for the run mode laid over it."""
        reading = read(text, file, self.environ)
        self.problems += reading.problems
        node = reading.root
        part = node.at(("runmodes", self.runmode)) if self.runmode else None
        if part is None or part.value is None:
            return node
        if part.is_mapping:
            return merge(node, part)
        what = f"the run mode {self.runmode!r} takes a mapping of names to values, and this is {kind_of(part)}"
        self.problems.append(Problem(what, part.where, "write what it changes as names with values below it"))
        return node

    def _includes(self, node: Node) -> Iterator[_Include]:
        """The includes of a file in their order, those below prefixes sorted by prefix."""
        section = node.at(("includes",))
        if section is None or section.value is None:
            return
        if not section.is_list:
            what = f"'includes' takes a list of files, and this is {kind_of(section)}"
            self.problems.append(Problem(what, section.where, "write a line '- name.yml' below it for each file"))
            return
        for element in section.value:
            if element.is_mapping:
                yield from (_Include(prefix, element.value[prefix]) for prefix in sorted(element.value))
            else:
                yield _Include("", element)

    def _included(self, include: _Include, way: tuple[_Opened, ...], depth: int) -> Node | None:
        """What an include brings in, below its prefix; None for one that cannot be followed."""
        where = include.name.where
        name = self._file_name(include.name)
        path = name and self._told(find_file(name, os.path.dirname(way[-1].path), where, self.environ))
        if not path or self._is_loop(path, where, way):
            return None
        keys = keys_of(include.prefix)
        depth += len(keys)
        if depth + len(way) > DEEPEST:
            what = f"includes lead through more than {DEEPEST} files and prefixes"
            raise OutOfBounds(Problem(what, where, "include the files in fewer steps"))
        node = self._whole(path, (*way, _Opened(path, where)), depth)
        named_at = include.name.key_where
        return put(Node({}, where), keys, Node(node.value, node.where, named_at))

    def _file_name(self, node: Node) -> str | None:
        """The name of a file that is written as an include; None, and a problem told, when it is none."""
        try:
            value = None if type(node.value) in (dict, list) else fill(node, self.environ)
        except Unset as error:
            self.problems.append(error.problem)
            return None
        if isinstance(value, WrittenPath):
            return value.path
        if isinstance(value, str) and value:
            return value
        what = f"an include is the name of a file, and this is {kind_of(node)}"
        self.problems.append(Problem(what, node.where, "write '- name.yml', or '- prefix: name.yml'"))
        return None

    def _is_loop(self, path: str, where: Mark, way: tuple[_Opened, ...]) -> bool:
        """Whether a file is on the way to itself, which is told."""
        real = os.path.realpath(path)
        at = next((at for at, opened in enumerate(way) if os.path.realpath(opened.path) == real), None)
        if at is None:
            return False
        if where not in self._skipped:  # several ways may lead to it
            self._skipped.add(where)
            begin = f"which begins at {way[at + 1].included_at}" if at + 1 < len(way) else "of one file"
            what = f"the include of {shown(path)!r} closes a loop, {begin}; it is skipped"
            self.problems.append(Problem(what, where, "remove this include", is_warning=True))
        return True
