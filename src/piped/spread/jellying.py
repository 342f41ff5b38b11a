"""Jellying: values as expressions, with whatever cannot be sent told before anything is."""

from __future__ import annotations

import datetime
import reprlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from twisted.spread.flavors import RemoteCache
from twisted.spread.interfaces import IJellyable
from twisted.spread.pb import RemoteReference

from piped.spread.banana import DIGITS, MOST, Expression
from piped.spread.errors import CannotCross

#: How deep values may stand in each other, so that the other side can read them.
DEEPEST: Final = 64
_LARGEST: Final = 1 << DIGITS
#: How many decimal digits are sure to fit into an integer.
_DIGITS: Final = 134


def jellied(value: Any, broker: Any = None, name: str = "the value") -> Expression:
    """The expression for a value.

    Texts, bytes, numbers, dates, lists, tuples, sets and mappings arrive as they are; what is shared, or refers to
    itself, does so on the other side. Of a subclass the plain value arrives. Objects made for it, such as Referenceable
    and Copyable, arrive as Perspective Broker has it.

    Args:
        broker: the connection; None where there is none, and no such objects.
        name: how messages call the value.

    Raises:
        CannotCross: it cannot be sent; the message names the place within the value.

    Example:
        >>> jellied(["a", None, b"b"])
        [b'list', [b'unicode', b'a'], [b'None'], b'b']
        >>> jellied({"when": [1, 2 ** 500]}, name="kwargs")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        piped.spread.errors.CannotCross: kwargs['when'][1] cannot be sent: an integer of 501 binary digits
    """
    try:
        return Jellier(broker).jelly(value)
    except _Misfit as misfit:
        where = name + "".join(reversed(misfit.path))
        raise CannotCross(f"{where} cannot be sent over Perspective Broker: {misfit.what}", hint=misfit.hint) from None


class _Misfit(Exception):
    """Something that cannot be sent, and the way to it, from the inside."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        self.path: list[str] = []


class Jellier:
    """Makes the expression of one value, and is what `jellyFor` of an object is given.

    Args:
        invoker: the broker.
    """

    def __init__(self, invoker: Any) -> None:
        self.invoker = invoker
        self._depth = self._count = 0
        #: By the id of a value: the list that stands for it, and the value, which must not go away meanwhile.
        self._placed: dict[int, tuple[list[Expression], Any]] = {}
        self._numbers: dict[int, int] = {}

    def jelly(self, value: Any) -> Expression:
        """The expression of a value within the one that is sent."""
        kind = type(value)
        if kind is str:
            return [b"unicode", _utf8(value)]
        if kind is int:
            if -_LARGEST < value < _LARGEST:
                return value
            raise _Misfit(
                f"an integer of {value.bit_length()} binary digits", f"{DIGITS} are the most; send it as text"
            )
        if kind is bytes:
            return _bytes(value)
        if kind is float:
            return value
        write = _WRITERS.get(kind)
        return self._special(value) if write is None else write(self, value)

    def prepare(self, value: Any) -> list[Expression]:
        """A list to be filled with the expression of a value that may be met again."""
        self._placed[id(value)] = [], value
        return []

    def preserve(self, value: Any, expression: list[Expression]) -> list[Expression]:
        """What stands for a value whose expression is complete."""
        placed = self._placed[id(value)][0]
        if id(value) in self._numbers:  # it was met again within itself
            placed[2] = expression
            return placed
        self._placed[id(value)] = expression, value
        return expression

    def _again(self, value: Any) -> Expression | None:
        """What stands for a value that was met before; None for one that was not."""
        known = self._placed.get(id(value))
        if known is None:
            return None
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._numbers) + 1
            known[0][:] = [b"reference", number, list(known[0])]
        return [b"dereference", number]

    def _members(self, atom: bytes, value: Any, named: Callable[[int, Any], str]) -> Expression:
        if (again := self._again(value)) is not None:
            return again
        self._enter(value)
        expression = self.prepare(value)
        expression.append(atom)
        for number, member in enumerate(value):
            try:
                expression.append(self.jelly(member))
            except _Misfit as misfit:
                misfit.path.append(named(number, member))
                raise
        self._depth -= 1
        return self.preserve(value, expression)

    def _mapping(self, value: dict[Any, Any]) -> Expression:
        if (again := self._again(value)) is not None:
            return again
        self._enter(value)
        expression = self.prepare(value)
        expression.append(b"dictionary")
        for key, member in value.items():
            try:
                expression.append([self.jelly(key), self.jelly(member)])
            except _Misfit as misfit:
                misfit.path.append(f"[{reprlib.repr(key)}]")
                raise
        self._depth -= 1
        return self.preserve(value, expression)

    def _enter(self, value: Any) -> None:
        self._depth += 1
        self._count += len(value)
        if self._depth > DEEPEST:
            raise _Misfit(f"it is nested more than {DEEPEST} deep")
        if self._count >= MOST:
            raise _Misfit(f"it has more than {MOST} members", "send it in parts")

    def _special(self, value: Any) -> Expression:
        if IJellyable.providedBy(value):
            return self._object(value)
        for base in _BASES:
            if isinstance(value, base):
                # Not by calling the class: the text of an enumeration's member is its name.
                return self.jelly(base.__str__(value) if base is str else base(value))
        if isinstance(value, bytearray | memoryview):
            return _bytes(bytes(value))
        raise _Misfit(f"a {type(value).__name__}, {reprlib.repr(value)}", "send a text, number, date, list or mapping")

    def _object(self, value: Any) -> Expression:
        if (again := self._again(value)) is not None:
            return again
        if isinstance(value, RemoteReference | RemoteCache) and value.broker is not self.invoker:
            raise _Misfit("a reference to an object of another connection")
        return value.jellyFor(self)


def _utf8(text: str) -> bytes:
    try:
        return _bytes(text.encode())
    except UnicodeEncodeError as error:
        raise _Misfit(f"the text {reprlib.repr(text)}, which has half a character", "replace its surrogates") from error


def _bytes(data: bytes) -> bytes:
    if len(data) > MOST:
        raise _Misfit(f"{len(data)} bytes in one piece", f"{MOST} are the most; send it in parts")
    return data


def _numbers(atom: bytes, *numbers: int) -> Expression:
    return [atom, " ".join(map(str, numbers)).encode()]


def _datetime(_: Jellier, value: datetime.datetime) -> Expression:
    if value.tzinfo is not None:
        hint = "send value.astimezone(timezone.utc).replace(tzinfo=None), or value.isoformat()"
        raise _Misfit(f"the time {value.isoformat()}, which has a time zone", hint)
    date = value.year, value.month, value.day
    return _numbers(b"datetime", *date, value.hour, value.minute, value.second, value.microsecond)


def _time(_: Jellier, value: datetime.time) -> Expression:
    if value.tzinfo is not None:
        raise _Misfit(f"the time {value.isoformat()}, which has a time zone", "send value.isoformat()")
    return _numbers(b"time", value.hour, value.minute, value.second, value.microsecond)


def _decimal(_: Jellier, value: Decimal) -> Expression:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _DIGITS:
        raise _Misfit(f"the number {reprlib.repr(value)}", f"{_DIGITS} digits are the most; send it as text")
    number = int("".join(map(str, digits)))
    return [b"decimal", -number if sign else number, exponent]


def _index(number: int, member: Any) -> str:
    return f"[{number}]"


def _member(number: int, member: Any) -> str:
    return f"{{{reprlib.repr(member)}}}"


_WRITERS: Final[dict[type, Callable[[Jellier, Any], Expression]]] = {
    type(None): lambda jellier, value: [b"None"],
    bool: lambda jellier, value: [b"boolean", b"true" if value else b"false"],
    list: lambda jellier, value: jellier._members(b"list", value, _index),
    tuple: lambda jellier, value: jellier._members(b"tuple", value, _index),
    set: lambda jellier, value: jellier._members(b"set", value, _member),
    frozenset: lambda jellier, value: jellier._members(b"frozenset", value, _member),
    dict: Jellier._mapping,
    Decimal: _decimal,
    datetime.datetime: _datetime,
    datetime.time: _time,
    datetime.date: lambda jellier, value: _numbers(b"date", value.year, value.month, value.day),
    datetime.timedelta: lambda jellier, value: _numbers(b"timedelta", value.days, value.seconds, value.microseconds),
}
#: What a value of a subclass is sent as.
_BASES: Final[Iterable[Any]] = (str, bytes, int, float, list, tuple, set, frozenset, dict)
