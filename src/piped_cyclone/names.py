"""Names of Tornado's and of users' classes, as a configuration has them: `cyclone.web.X` is `tornado.web.X`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tornado.web import Application, OutputTransform, RequestHandler, StaticFileHandler, UIModule

from piped import DottedName
from piped.config.nodes import Node

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_OWNER: Final = "what is named here"


class TornadoName(DottedName):
    """The full name of something importable; what belonged to cyclone is Tornado's."""

    __shape__ = str
    #: What messages say it must be.
    words: ClassVar[str] = "something importable"

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> TornadoName | None:
        value = node.value
        meant = f"tornado.{value[8:]}" if isinstance(value, str) and value.startswith("cyclone.") else value
        name = checker.value(DottedName, replace(node, value=meant), owner=_OWNER)
        if name is None:
            return None
        if not cls.fits(name.load()):
            checker.refuse(_OWNER, cls.words, node)
            return None
        return cls(name, node.where)

    @classmethod
    def fits(cls, found: Any) -> bool:
        """Whether what was found may stand here."""
        return True


class _ClassName(TornadoName):
    base: ClassVar[type]

    @classmethod
    def fits(cls, found: Any) -> bool:
        return isinstance(found, type) and issubclass(found, cls.base)


class HandlerName(_ClassName):
    """The full name of a class of request handlers."""

    base, words = RequestHandler, "a class of request handlers (a subclass of tornado.web.RequestHandler)"


class StaticHandlerName(_ClassName):
    """The full name of a class of handlers that serve files."""

    base, words = StaticFileHandler, "a subclass of tornado.web.StaticFileHandler"


class UIModuleName(_ClassName):
    """The full name of a class of UI modules."""

    base, words = UIModule, "a class of UI modules (a subclass of tornado.web.UIModule)"


class TransformName(_ClassName):
    """The full name of a class that transforms what is sent."""

    base, words = OutputTransform, "a subclass of tornado.web.OutputTransform"


class FactoryName(TornadoName):
    """The full name of an application class, or of a function that makes one."""

    words = "a subclass of tornado.web.Application, or a function that makes an application"

    @classmethod
    def fits(cls, found: Any) -> bool:
        return issubclass(found, Application) if isinstance(found, type) else callable(found)
