"""A row of `handlers`: which requests go to which handler."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar

from tornado.web import RequestHandler

from piped import Mark, Problem, ResourcePath
from piped.config.nodes import Node
from piped.spec.spec import Spec
from piped_cyclone.names import HandlerName

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_AS_LIST = ("pattern", "handler", "kwargs", "name")


class Pattern(str):
    """A regular expression that the whole path has to match; its groups are the arguments of the handler."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Pattern | None:
        written = checker.value(str, node, owner="the pattern of a handler")
        if written is None:
            return None
        try:
            groups = re.compile(written)
        except re.error as error:
            checker.refuse("the pattern of a handler", f"a regular expression ({error})", node)
            return None
        if len(groups.groupindex) not in (0, groups.groups):
            what = f"the groups of the pattern {written!r} have names or have none, not both"
            checker.problems.append(Problem(what, node.where, "write (?:…) around what is no argument"))
            return None
        return cls(written)


class Handled:
    """What handles requests: a class of handlers, or the resource behind a `provider`."""

    __shape__: ClassVar[Any] = str | dict[str, Any]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> type[RequestHandler] | dict[str, Any] | None:
        if node.is_mapping and "provider" in node.value:
            found: dict[str, Any] | None = checker.value(ResourcePath, node, owner="a handler")
            return found
        if node.is_mapping and list(node.value) == ["class"]:
            node = node.value["class"]
        if not isinstance(node.value, str):
            must_be = "the full name of a class, a mapping with `class`, or one with `provider`"
            checker.refuse("what handles requests", must_be, node)
            return None
        name = checker.value(HandlerName, node, owner="a handler")
        return None if name is None else name.load()


class Row:
    """Which requests go to which handler.

    Args:
        pattern: a regular expression that the whole path has to match; its groups are the arguments.
        handler: the full name of a class of request handlers, `{class: …}` with that name, or `{provider: …}` with the
            path of a pipeline or of a resource that is such a class.
        kwargs: arguments for the method `initialize` of a class.
        name: by which `reverse_url` finds it.
    """

    #: A list has the same in this order: [pattern, handler, kwargs, name].
    __shape__: ClassVar[Any] = dict[str, Any] | list[Any]

    def __init__(
        self, pattern: Pattern, handler: Handled, kwargs: dict[str, Any] | None = None, name: str | None = None
    ) -> None:
        self.pattern, self.kwargs, self.name = pattern, kwargs or {}, name
        #: A class, or the specification of a dependency.
        self.handler: Any = handler
        self.where: Mark | None = None

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Row | None:
        written = node
        if node.is_list and 2 <= len(node.value) <= len(_AS_LIST):
            written = Node(dict(zip(_AS_LIST, node.value, strict=False)), node.where, node.key_where)
        if not written.is_mapping:
            checker.refuse("a handler", "a mapping, or a list: pattern, handler, kwargs, name", node)
            return None
        arguments = checker.options(Spec.of(cls), written, owner="a handler", where=node.named_at)
        if arguments is None:
            return None
        row = cls(**arguments)
        row.where = node.where
        if (obstacle := _obstacle(row)) is None:
            return row
        what, fix = obstacle
        checker.problems.append(Problem(what, written.value.get("kwargs", node).where, fix))
        return None


def _obstacle(row: Row) -> tuple[str, str] | None:
    """Why a row can handle nothing with its kwargs, and what to do; None if it can."""
    if isinstance(row.handler, dict):
        is_pipeline = row.handler["provider"].startswith("pipeline.")
        fix = "the groups of the pattern are in `args` and `kwargs` of the baton"
        return ("a pipeline takes no kwargs", fix) if is_pipeline and row.kwargs else None
    try:
        inspect.signature(row.handler.initialize).bind(None, **row.kwargs)
    except TypeError as error:
        return f"{row.handler.__name__}.initialize cannot be called with these kwargs: {error}", "correct `kwargs`"
    return None
