"""Unjellying: expressions as values, of the plain kinds and of classes that were registered for it; nothing else."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from twisted.spread.jelly import unjellyableFactoryRegistry, unjellyableRegistry

from piped.spread.banana import Expression, Unreadable

#: How many values may be looked at to hash all members of sets and keys of mappings in one value: shared tuples may
#: stand for more than there are atoms.
MOST_HASHED: Final = 1 << 20
#: How many of them may have one hash, in one set or mapping: each is compared with all before it.
MOST_EQUAL: Final = 100


def unjellied(expression: Expression, broker: Any = None) -> Any:
    """The value of an expression that came from a peer.

    No module is imported, and no class looked up: there are plain values, and objects of the classes that somebody has
    registered with `twisted.spread.pb.setUnjellyableForClass`.

    Args:
        broker: the connection; None where there is none.

    Raises:
        Unreadable: it stands for nothing that may come.

    Example:
        >>> unjellied([b"list", [b"unicode", b"a"], [b"None"], b"b"])
        ['a', None, b'b']
    """
    try:
        return Unjellier(broker).unjelly(expression)
    except Unreadable:
        raise
    except Exception as error:  # registered classes may raise what they like
        raise Unreadable(f"it cannot be read: {type(error).__name__}: {error}") from error


class Unjellier:
    """Makes one value, and is what `unjellyFor` of a registered class is given.

    Args:
        invoker: the broker.
    """

    def __init__(self, invoker: Any) -> None:
        self.invoker = invoker
        self._known: dict[Any, Any] = {}
        #: What hashing the known tuples and frozensets costs, by their id; and what it has cost in all.
        self._costs: dict[int, int] = {}
        self._hashed = 0

    def unjelly(self, expression: Expression) -> Any:
        """The value of an expression within the one that came."""
        if type(expression) is not list:
            return expression
        atom = expression[0]
        if type(atom) is not bytes:
            raise Unreadable("a list that does not say what it is")
        read = _READERS.get(atom)
        if read is not None:
            return read(self, expression)
        return self._registered(atom, expression)

    def _registered(self, atom: bytes, expression: Expression, number: Any = None) -> Any:
        # The registry knows tags as bytes, whatever its annotation says.
        registered: Any = unjellyableRegistry.get(atom)  # type: ignore[call-overload]
        if registered is None:
            factory: Any = unjellyableFactoryRegistry.get(atom)  # type: ignore[call-overload]
            if factory is None or self.invoker is None:
                raise Unreadable(f"a {atom[:80]!r}, which nobody has registered")
            return factory(self.unjelly(expression[1]))
        if self.invoker is None:
            raise Unreadable(f"a {atom[:80]!r}, which needs a connection")
        if isinstance(registered, type):
            blank: Any = registered.__new__(registered)  # type: ignore[call-overload] # to mypy it may be a metaclass
            if number is not None:
                self._known[number] = blank  # its state may refer to it
            return blank.unjellyFor(self, expression)
        return registered(self, expression)

    def _list(self, expression: Expression, into: list[Any] | None = None) -> list[Any]:
        made = [] if into is None else into
        for member in expression[1:]:
            made.append(self.unjelly(member))
        return made

    def _mapping(self, expression: Expression, into: dict[Any, Any] | None = None) -> dict[Any, Any]:
        made = {} if into is None else into
        pairs = [(self.unjelly(key), self.unjelly(member)) for key, member in expression[1:]]
        self._check_hashes([key for key, _ in pairs])
        made.update(pairs)
        return made

    def _members(self, expression: Expression) -> list[Any]:
        """What a set is made of."""
        made = self._list(expression)
        self._check_hashes(made)
        return made

    def _check_hashes(self, values: list[Any]) -> None:
        """Refuse what would take for ever to put in a set or mapping."""
        for value in values:
            if type(value) in (tuple, frozenset):
                self._hashed += self._cost(value)
                if self._hashed > MOST_HASHED:
                    raise Unreadable("keys that are too large")
        if len(values) > MOST_EQUAL and max(Counter(map(hash, values)).values()) > MOST_EQUAL:
            raise Unreadable(f"more than {MOST_EQUAL} keys of one hash")

    def _cost(self, value: Any) -> int:
        """How many values are looked at to hash one."""
        if type(value) not in (tuple, frozenset):
            return 1
        return self._costs.get(id(value)) or 1 + sum(map(self._cost, value))

    def _reference(self, expression: Expression) -> Any:
        """A value that is referred to elsewhere, also within itself if it can be."""
        _, number, inner = expression
        if number in self._known:
            raise Unreadable(f"two values have the number {number}")
        if type(inner) is list and inner and inner[0] == b"list":
            made: list[Any] = []
            self._known[number] = made
            return self._list(inner, made)
        if type(inner) is list and inner and inner[0] == b"dictionary":
            mapping: dict[Any, Any] = {}
            self._known[number] = mapping
            return self._mapping(inner, mapping)
        if type(inner) is list and inner and inner[0] not in _READERS and inner[0] in unjellyableRegistry:
            value = self._registered(inner[0], inner, number)
        else:
            value = self.unjelly(inner)
            if type(value) in (tuple, frozenset):
                self._costs[id(value)] = self._cost(value)  # the id stays its own: it is kept below
        self._known[number] = value
        return value

    def _dereference(self, expression: Expression) -> Any:
        if expression[1] not in self._known:
            raise Unreadable("a reference to a value that is not there yet")
        return self._known[expression[1]]


def _remote(unjellier: Unjellier, expression: Expression) -> Any:
    """A reference to an object of the peer; a broken one must not come into being, as it could not be released."""
    if len(expression) != 2 or type(expression[1]) is not int:
        raise Unreadable("a reference to an object that has no number")
    return unjellier._registered(b"remote", expression)


def _boolean(_: Unjellier, expression: Expression) -> bool:
    if expression[1] not in (b"true", b"false"):
        raise Unreadable("a boolean that is neither true nor false")
    return bool(expression[1] == b"true")


def _decimal(_: Unjellier, expression: Expression) -> Decimal:
    number = expression[1]
    return Decimal((int(number < 0), Decimal(abs(number)).as_tuple().digits, expression[2]))


def _not_sent(_: Unjellier, expression: Expression) -> Any:
    raise Unreadable(f"the other side could not send a value: {expression[1][:200].decode(errors='replace')}")


def _numbers(expression: Expression) -> list[Any]:
    return list(map(int, expression[1].split()))


def _delta(_: Unjellier, expression: Expression) -> datetime.timedelta:
    days, seconds, microseconds = _numbers(expression)
    return datetime.timedelta(days, seconds, microseconds)


_READERS: Final[dict[bytes, Callable[[Unjellier, Expression], Any]]] = {
    b"remote": _remote,
    b"None": lambda unjellier, expression: None,
    b"unicode": lambda unjellier, expression: expression[1].decode(),
    b"boolean": _boolean,
    b"list": Unjellier._list,
    b"tuple": lambda unjellier, expression: tuple(unjellier._list(expression)),
    b"set": lambda unjellier, expression: set(unjellier._members(expression)),
    b"frozenset": lambda unjellier, expression: frozenset(unjellier._members(expression)),
    b"dictionary": Unjellier._mapping,
    b"decimal": _decimal,
    b"datetime": lambda unjellier, expression: datetime.datetime(*_numbers(expression)),
    b"date": lambda unjellier, expression: datetime.date(*_numbers(expression)),
    b"time": lambda unjellier, expression: datetime.time(*_numbers(expression)),
    b"timedelta": _delta,
    b"reference": Unjellier._reference,
    b"dereference": Unjellier._dereference,
    b"unpersistable": _not_sent,
}
