"""Names of pipelines: absolute ones, and those that are relative to the pipeline they are written in."""

from __future__ import annotations

from collections.abc import Collection


def absolute(name: str, inside: str) -> str:
    """The absolute name of what is called `name` inside the pipeline `inside`.

    One leading dot names a sibling, each further one goes a namespace up; more dots than there are end at the root.

    Example:
        >>> absolute("other", "web.site.page")
        'other'
        >>> absolute(".other", "web.site.page")
        'web.site.other'
        >>> absolute("..other", "web.site.page")
        'web.other'
    """
    relative = name.lstrip(".")
    dots = len(name) - len(relative)
    if not dots:
        return name
    return ".".join([*inside.split(".")[:-dots], relative])


def find_pipeline(name: str, known: Collection[str]) -> str | None:
    """The one of the `known` pipelines that an absolute name means; None when it means none.

    A `-` may be written where the pipeline's key has `_`.

    Example:
        >>> find_pipeline("another.nested-pipeline", {"another.nested_pipeline"})
        'another.nested_pipeline'
    """
    if name in known:
        return name
    if "-" not in name:
        return None
    return next((key for key in known if _is_spelling_of(name, key)), None)


def _is_spelling_of(name: str, key: str) -> bool:
    return len(name) == len(key) and all(a == b or (a, b) == ("-", "_") for a, b in zip(name, key, strict=True))
