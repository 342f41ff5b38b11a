"""Find and read the files of a configuration; what is wrong with one is told at the place that names it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from piped.config.nodes import shown
from piped.config.paths import expand, unset_in
from piped.ground.errors import Mark, Problem, did_you_mean

_ADVICE = {errno.EISDIR: "name a file in it", errno.EACCES: "let the user that Piped runs as read it"}


def find_file(name: str, folder: str, where: Mark | None, environ: Mapping[str, str]) -> str | Problem:
    """The path of a file that a person names: looked up in a folder, then in the run directory."""
    expanded = expand(name, environ)
    candidates = [os.path.normpath(os.path.join(folder, expanded)), os.path.normpath(expanded)]
    for path in candidates:
        if os.path.exists(path):
            return path
    unset = unset_in(name, environ)
    if unset:
        fix = f"the environment variable {unset[0]} is not set"
    else:
        fix = did_you_mean(os.path.basename(expanded), _neighbours(candidates[0]))
    places = "" if candidates[0] == candidates[1] else f", neither in {shown(folder)!r} nor in the run directory"
    return Problem(f"there is no file {name!r}{places}", where, fix)


def _neighbours(path: str) -> list[str]:
    """The configuration files in the folder of a path."""
    try:
        names = os.listdir(os.path.dirname(path) or ".")
    except OSError:  # no such folder: nothing to offer
        return []
    return [name for name in names if name.endswith((".yml", ".yaml"))]


def read_file(path: str, where: Mark | None) -> str | Problem:
    """The text of a file; `where` is the place that names it."""
    name = shown(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        fix = _ADVICE.get(error.errno or 0, "")
        return Problem(f"{name!r} cannot be read: {(error.strerror or 'input error').lower()}", where, fix)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8-sig")
        mark = Mark(name, data.count(b"\n", 0, error.start) + 1, len(before) + 1)
        return Problem(f"byte 0x{data[error.start]:02x} is not UTF-8 text", mark, "save the file as UTF-8")
