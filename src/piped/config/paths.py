"""Names of files in a configuration: `~`, `$VAR`, and the values that `!filepath` and `!pipedpath` make."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from twisted.python.filepath import FilePath, InsecurePath

_VARIABLE = re.compile(r"\$(\w+)")
_PACKAGE: FilePath[str] = FilePath(__file__).parent().parent()


class WrittenPath(FilePath[str]):
    """The value of a path tag, which remembers the text it was made from."""

    def __init__(self, path: str, tag: str, text: str) -> None:
        super().__init__(path)
        self.tag, self.text = tag, text


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with a leading `~` and each `$VAR` filled in; variables that are not set stay as written.

    `${VAR}` is left to `environment.fill`.
    """
    if text == "~" or text.startswith("~/"):
        text = environ.get("HOME", os.path.expanduser("~")) + text[1:]
    elif text.startswith("~"):
        text = os.path.expanduser(text)
    return _VARIABLE.sub(lambda match: environ.get(match[1], match[0]), text)


def unset_in(text: str, environ: Mapping[str, str]) -> list[str]:
    """The variables of a text that are not set."""
    return [name for name in _VARIABLE.findall(text) if name not in environ]


def make_path(tag: str, text: str, environ: Mapping[str, str]) -> WrittenPath:
    """The path that `!filepath` (from the run directory) or `!pipedpath` (from Piped's own folder) stands for.

    Raises:
        InsecurePath: a `!pipedpath` leads out of the package.
    """
    path = expand(text, environ)
    if tag == "!pipedpath":
        path = os.path.normpath(path)
        if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
            raise InsecurePath(f"{text!r} leads out of the package")
        path = os.path.join(_PACKAGE.path, path)
    return WrittenPath(path, tag, text)
