"""Console: the Python prompt without the terminal that the process was started from."""

from __future__ import annotations

from piped.runtime import console


class Console(console.Console):
    """A Python prompt that the process belongs to: leaving it stops the process.

    Args:
        namespace: the names that can be used at the prompt; whatever is assigned there is added.
    """

    leaving = "stops the process"
