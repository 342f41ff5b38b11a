"""Nodes -> YAML text, with the tags they were read from."""

from __future__ import annotations

from typing import Any

import yaml
from twisted.python.filepath import FilePath

from piped.config.nodes import Alias, Node
from piped.config.paths import WrittenPath
from piped.ground.batons import BatonPath


def dump(node: Node) -> str:
    """The text that reads as this node again.

    Example:
        >>> from piped.config.reading import read
        >>> dump(read("here: !path js/foo", "site.yml", {}).root)
        "here: !path 'js/foo'\\n"
    """
    return yaml.dump(node.plain(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Knows the values that tags make."""

    def ignore_aliases(self, data: Any) -> bool:
        """Equal lists are written out: `&name` and `*name` are for people."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    # In other styles PyYAML writes these line breaks as they are, and they come back as blanks.
    style = '"' if any(sign in text for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _baton_path(dumper: _Dumper, path: BatonPath) -> yaml.Node:
    return dumper.represent_scalar("!path", path)


def _written_path(dumper: _Dumper, path: WrittenPath) -> yaml.Node:
    return dumper.represent_scalar(path.tag, path.text)


def _file_path(dumper: _Dumper, path: FilePath[str]) -> yaml.Node:
    return dumper.represent_scalar("!filepath", path.path)


def _alias(dumper: _Dumper, alias: Alias) -> yaml.Node:
    tag = f"!alias:{alias.target}"
    if not alias.defaults:
        return dumper.represent_scalar(tag, "")
    return dumper.represent_mapping(tag, {name: node.plain() for name, node in alias.defaults.items()})


_Dumper.add_representer(str, _text)
_Dumper.add_representer(BatonPath, _baton_path)
_Dumper.add_representer(WrittenPath, _written_path)
_Dumper.add_representer(FilePath, _file_path)
_Dumper.add_representer(Alias, _alias)
