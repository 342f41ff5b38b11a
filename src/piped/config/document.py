"""Document: the whole configuration, as components ask for it by dotted paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from piped.config.environment import fill
from piped.config.merging import put
from piped.config.nodes import Node, node_of
from piped.ground.batons import keys_of
from piped.ground.errors import Mark

#: A dotted path, where `\\.` is a dot that belongs to a name; or the names one by one. '' is the whole configuration.
Path = str | Iterable[Any]


class Document:
    """A configuration: values by their dotted path, always as copies that the asker owns.

    Args:
        root: the mapping of all sections.
        environ: what `${NAME}` is filled in from.
        used: the sections that were read before, by aliases and includes.
    """

    def __init__(self, root: Node, *, environ: Mapping[str, str] | None = None, used: Iterable[str] = ()) -> None:
        self.root = root
        self.environ: Mapping[str, str] = {} if environ is None else environ
        #: The top-level names that somebody has asked for.
        self.read = set(used)

    def get(self, path: Path = "", fallback: Any = None) -> Any:
        """The plain value at a path, or `fallback` where nothing is written.

        Raises:
            Unset: the value asks for an environment variable that is not set.
        """
        keys = [str(key) for key in keys_of(path)]
        self.read.update(keys[:1])
        node = self.root.at(keys)
        return fallback if node is None else node.plain(partial(fill, environ=self.environ))

    def set(self, path: Path, value: Any) -> None:
        """Put a value at a path, in place of what is there; mappings that are missing on the way are made.

        Raises:
            NoSuchElement: a list on the way has no such element.
        """
        self.root = put(self.root, [str(key) for key in keys_of(path)], node_of(value))

    def setdefault(self, path: Path, value: Any) -> Any:
        """The value at a path, after putting `value` there if nothing was written."""
        if self.node(path) is None:
            self.set(path, value)
        return self.get(path)

    def node(self, path: Path) -> Node | None:
        """The node at a path, None where nothing is written; asking for it does not count as reading."""
        return self.root.at(path)

    def where(self, path: Path) -> Mark | None:
        """Where the value at a path is written, None where nothing is."""
        node = self.root.at(path)
        return node.where if node else None
