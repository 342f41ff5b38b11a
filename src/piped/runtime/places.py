"""What may be written for the places where a server listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piped.config.nodes import Node
from piped.ground.errors import Mark, Problem
from piped.runtime import endpoints

if TYPE_CHECKING:
    from piped.spec.checking import Checker


class Listen(str):
    """A port, or a Twisted endpoint such as `ssl:443:privateKey=key.pem:certKey=certificate.pem`.

    What cannot be an endpoint is a problem of the check; whether the port is free shows when it is opened.
    """

    __shape__ = str | int
    where: Mark | None

    def __new__(cls, written: str | int, where: Mark | None = None) -> Listen:
        made = super().__new__(cls, str(written))
        made.where = where
        return made

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Listen | None:
        written = checker.value(str | int, node, owner="a place to listen")
        if written is None:
            return None
        if not endpoints.is_known_only_when_running(written):
            try:
                endpoints.endpoint(None, written)
            except ValueError as error:
                fix = "write a port, or an endpoint such as tcp:8080 or ssl:443:privateKey=key.pem"
                if isinstance(error.__cause__, OSError):
                    fix = "put the key and the certificate there, or write where they are"
                checker.problems.append(Problem(str(error), node.where, fix))
                return None
        return cls(written, node.where)


class Places(tuple[Listen, ...]):
    """A place to listen, or a list of them."""

    __slots__ = ()
    __shape__ = str | int | list[str | int]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Places | None:
        if not node.is_list:
            place = Listen.__check__(checker, node)
            return None if place is None else cls([place])
        if not node.value:
            checker.refuse("what stands behind listen", "at least one place", node)
            return None
        places = [Listen.__check__(checker, each) for each in node.value]
        return cls(place for place in places if place is not None)
