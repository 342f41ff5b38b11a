"""Problems of importing what a configuration names: told at the line that fails, without a traceback."""

from __future__ import annotations

import traceback
from itertools import dropwhile

from piped.config.nodes import shown
from piped.ground.errors import Mark, Problem


def import_problem(name: str, error: BaseException, where: Mark | None, named_by: str) -> Problem:
    """Why something cannot be imported, at the line of its package that fails; else where it is named.

    Args:
        name: the full name of what was to be imported.
        where: the place in the configuration that names it.
        named_by: what that place is: "option 'type' of main".
    """
    cause = error.__cause__ or error
    text = f"{type(cause).__name__}: {cause.msg if isinstance(cause, SyntaxError) else cause}"
    if place := _failing_line(name, cause):
        fix = f"it is imported for {named_by} at {where}" if where else ""
        return Problem(f"cannot be imported: {text}", place, fix)
    return Problem(f"{named_by}: cannot import {name!r}: {text}", where)


def _failing_line(name: str, error: BaseException) -> Mark | None:
    if isinstance(error, SyntaxError) and error.filename:
        return Mark(shown(error.filename), error.lineno or 1, error.offset or 1)
    steps = list(traceback.walk_tb(error.__traceback__))
    package = name.split(".")[0]
    # What stands above the first body of a module are those who wanted to import it.
    for frame, line in reversed(list(dropwhile(lambda step: step[0].f_code.co_name != "<module>", steps))):
        if frame.f_globals.get("__name__", "").split(".")[0] == package:
            return Mark(shown(frame.f_code.co_filename), line, 1)
    return None
