"""What a tag makes of the value behind it: !path, !filepath, !pipedpath, !alias:dotted.path or a plain one of YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python.filepath import InsecurePath

from piped.config.nodes import Alias, Node
from piped.config.paths import make_path
from piped.config.scalars import STANDARD_TAGS, read_tagged
from piped.ground.batons import BatonPath
from piped.ground.errors import Mark, Problem, did_you_mean

_YAML = "tag:yaml.org,2002:"
_ALIAS = "!alias:"
_KNOWN = ("!path", "!filepath", "!pipedpath", "!alias:dotted.path")
#: The tags that say what a value without a tag is anyway.
TEXT_TAGS = (f"{_YAML}str", "!")
_STRUCTURE_TAGS = (f"{_YAML}map", f"{_YAML}seq", "!")

#: A value, and what is wrong with it if anything.
Tagged = tuple[Any, Problem | None]


def tag_text(tag: str, text: str, where: Mark, environ: Mapping[str, str]) -> Tagged:
    """The value of a text with a tag; the text itself where the tag can make nothing of it."""
    if tag in STANDARD_TAGS:
        scalar = read_tagged(tag, text)
        return scalar.value, scalar.problem(where) if scalar.is_wrong else None
    if tag == "!path":
        return BatonPath(text), None
    if tag in ("!filepath", "!pipedpath"):
        try:
            return make_path(tag, text, environ), None
        except InsecurePath:
            return text, Problem(f"!pipedpath {text!r} leads out of Piped's own folder", where, "use !filepath for it")
    if tag.startswith(_ALIAS) and tag != _ALIAS:
        what = f"the text {text!r} has no meaning behind {tag}"
        fix = "remove it; only names with values can stand there, which hold where the target has none"
        return Alias(tag.removeprefix(_ALIAS), {}), Problem(what, where, fix) if text else None
    return text, _unusable(tag, text, where)


def tag_structure(tag: str, value: dict[str, Node] | list[Node], where: Mark) -> Tagged:
    """The value of a mapping or list with a tag; the plain one where the tag can make nothing of it."""
    if tag in _STRUCTURE_TAGS:
        return value, None
    kind = "a mapping" if type(value) is dict else "a list"
    if tag.startswith(_ALIAS) and tag != _ALIAS:
        if type(value) is dict:
            return Alias(tag.removeprefix(_ALIAS), value), None
        fix = f"an alias adds nothing to a list: write the whole list, or {tag} alone"
        return value, Problem(f"{tag} cannot stand before a list", where, fix)
    if tag in _KNOWN or tag in STANDARD_TAGS:
        what = f"{shown_tag(tag)} takes a text, and this is {kind}"
        return value, Problem(what, where, f"write it before a single text, such as {shown_tag(tag)} some.text")
    return value, _unusable(tag, "", where)


def shown_tag(tag: str) -> str:
    """A tag as a person writes it."""
    return f"!!{tag.removeprefix(_YAML)}" if tag.startswith(_YAML) else tag


def _unusable(tag: str, text: str, where: Mark) -> Problem:
    """Why nothing can be made of a tag."""
    name = shown_tag(tag)
    if name.startswith("!!python/"):
        fix = "write plain values; where an option asks for a class or function, write its full name as a text"
        return Problem(f"{name} is not allowed: a configuration makes no Python objects", where, fix)
    if name.startswith("!!"):
        fix = "leave it out: text, numbers, lists and mappings need no tag"
        return Problem(f"the tag {name} is not understood", where, fix)
    if name in ("!alias", _ALIAS):
        fix = f"write !alias:{text.strip() or 'dotted.path'}, without a blank behind the colon"
        return Problem(f"{name} does not say of what", where, fix)
    fix = f"{did_you_mean(name, _KNOWN)} (a text that begins with '!' needs quotes)"
    return Problem(f"unknown tag {name}", where, fix)
