"""Read `path:value` as it is written behind `-O`, and put it into a configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from piped.config.bounds import DEEPEST
from piped.config.merging import NoSuchElement, put
from piped.config.nodes import Node
from piped.config.reading import Reading, read_value
from piped.ground.batons import keys_of
from piped.ground.errors import Mark, Problem

#: The path up to the first colon; in quotes it may hold colons.
_PATH = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^:]*?)\s*:""")
_FIRST_COLON = re.compile(r"""(\{\s*[^"'\s:{}\[\],]+:)(?=\S)""")
_FIX = "write path:value, such as web.site.port:8081"


def override(root: Node, text: str, environ: Mapping[str, str]) -> Reading:
    """The configuration with the value that a text like `web.site.port:8081` has for a path; `{...}` has several.

    A value replaces what is there, and nothing is merged. What cannot be put is told as a problem, at a place in the
    text.
    """
    where = Mark(f"-O {text!r}", 1, 1)  # quoted, as what follows the name of a file is its line and column
    problems: list[Problem] = []
    for path, node in _assignments(text, where, environ, problems):
        place = node.named_at
        keys = keys_of(path)
        if not path or len(keys) > DEEPEST:
            what = "there is no path before the ':'" if not path else f"the path has more than {DEEPEST} names"
            problems.append(Problem(what, place, _FIX))
            continue
        try:
            root = put(root, keys, node)
        except NoSuchElement as error:
            what = f"{error.list_path!r} is a list of {error.count}, and has no element {error.element!r}"
            problems.append(Problem(what, place, "name an element by its number, from 0, or replace the whole list"))
    return Reading(root, problems)


def _assignments(
    text: str, where: Mark, environ: Mapping[str, str], problems: list[Problem]
) -> Iterator[tuple[str, Node]]:
    """Each path and its value; the value's `key_where` is the place of the path."""
    if text.lstrip().startswith("{"):
        # YAML wants a blank behind a colon, and people leave it out on command lines.
        reading = read_value(_FIRST_COLON.sub(r"\1 ", text, count=1), where, environ)
        problems += reading.problems
        if reading.root.is_mapping:
            yield from reading.root.value.items()
        return
    match = _PATH.match(text)
    if match is None:
        problems.append(Problem(f"{text!r} has no ':' between a path and its value", where, _FIX))
        return
    path = match[1]
    if path[:1] in ("'", '"'):
        reading = read_value(path, where, environ)
        problems += reading.problems
        path = str(reading.root.value)
    reading = read_value(text[match.end() :], Mark(where.file, 1, match.end() + 1), environ)
    problems += reading.problems
    if all(problem.is_warning for problem in reading.problems):
        node = reading.root
        yield path, Node(node.value, node.where, where, node.text_where, node.is_unquoted)
