"""Exchanges: which queues a message goes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

KINDS = ("direct", "fanout", "headers", "topic")


class Exchange:
    """One exchange with its bindings."""

    def __init__(self, name: str, kind: str, *, durable: bool = True, auto_delete: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        #: By routing key, then by queue and arguments.
        self._bindings: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}

    @property
    def is_bound(self) -> bool:
        return bool(self._bindings)

    def bind(self, queue: str, routing_key: str, arguments: Mapping[str, Any]) -> None:
        """Bring messages to a queue; a binding that is there already stays one."""
        self._bindings.setdefault(routing_key, {})[queue, _key(arguments)] = arguments

    def unbind(self, queue: str, routing_key: str, arguments: Mapping[str, Any]) -> None:
        """Remove the binding with just that key and these arguments, if there is one."""
        bound = self._bindings.get(routing_key, {})
        if bound.pop((queue, _key(arguments)), None) is not None and not bound:
            del self._bindings[routing_key]

    def forget(self, queue: str) -> bool:
        """Remove all bindings of a queue; whether there were any."""
        before = sum(map(len, self._bindings.values()))
        kept = {key: {at: bound[at] for at in bound if at[0] != queue} for key, bound in self._bindings.items()}
        self._bindings = {key: bound for key, bound in kept.items() if bound}
        return before != sum(map(len, self._bindings.values()))

    def route(self, routing_key: str, headers: Mapping[str, Any]) -> set[str]:
        """The names of the queues that a message goes to."""
        return set(self._routed(routing_key, headers))

    def _routed(self, routing_key: str, headers: Mapping[str, Any]) -> Iterator[str]:
        if self.kind == "direct":
            keys = [routing_key] if routing_key in self._bindings else []
        elif self.kind == "topic":
            keys = [pattern for pattern in self._bindings if matches(pattern, routing_key)]
        else:
            keys = list(self._bindings)
        for key in keys:
            for (queue, _), arguments in self._bindings[key].items():
                if self.kind != "headers" or carries(headers, arguments):
                    yield queue


def _key(arguments: Mapping[str, Any]) -> str:
    return repr(sorted(arguments.items()))


def matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic's pattern fits: `*` is one word, `#` any number of them.

    Example:
        >>> matches("orders.*.eu", "orders.new.eu"), matches("orders.#", "orders"), matches("*", "a.b")
        (True, True, False)
    """
    wanted = _words(pattern)
    reached = _opened(wanted, {0})
    for word in _words(routing_key):
        on = {at + 1 for at in reached if at < len(wanted) and wanted[at] in ("*", word)}
        stays = {at for at in reached if at < len(wanted) and wanted[at] == "#"}
        reached = _opened(wanted, on | stays)
    return len(wanted) in reached


def _opened(wanted: list[str], reached: set[int]) -> set[int]:
    """The places in a pattern that are reached when each `#` may stand for nothing."""
    found = set()
    for place in reached:
        at = place
        found.add(at)
        while at < len(wanted) and wanted[at] == "#":
            at += 1
            found.add(at)
    return found


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def carries(headers: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a message has the headers that a binding asks for: all of them, or any with `x-match: any`.

    An argument without a value asks that the header is there. Names that begin with `x-` are not compared.
    """
    wanted = {name: value for name, value in arguments.items() if not name.startswith("x-")}
    found = (name in headers and (value is None or headers[name] == value) for name, value in wanted.items())
    return any(found) if arguments.get("x-match") == "any" else all(found)
