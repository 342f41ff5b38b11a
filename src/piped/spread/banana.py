"""Banana: how expressions of lists, numbers and bytes follow each other in a stream, read within bounds."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from twisted.spread.banana import SIZE_LIMIT

#: How many members a list may have, and how many bytes a text, on either side.
MOST: Final = SIZE_LIMIT
#: How many binary digits an integer may have, on either side.
DIGITS: Final = 448
#: How deep lists may stand in each other.
DEEPEST: Final = 200
#: What a member counts at least, as it takes that much memory however few bytes it has come in.
LEAST: Final = 32

_LIST, _INT, _STRING, _NEG, _FLOAT, _LONGINT, _LONGNEG, _VOCAB = range(0x80, 0x88)
_DOUBLE = struct.Struct("!d")
#: A list, an integer, a float or bytes.
Expression = Any


class Unreadable(Exception):
    """What has come is not what may come: it is broken, too large, or not allowed."""


class Decoder:
    """Makes expressions of a stream.

    Args:
        vocabulary: the words that come as a number.
        most: how large an expression may be: its bytes, where each member of a list counts for at least 32.

    Example:
        >>> decoder = Decoder({27: b"answer"})
        >>> list(decoder.feed(bytes.fromhex("0280 1b87 05")))
        []
        >>> list(decoder.feed(bytes.fromhex("81 0082")))
        [[b'answer', 5], b'']
    """

    def __init__(self, vocabulary: Mapping[int, bytes], most: int = 1 << 20) -> None:
        self.vocabulary, self.most = vocabulary, most
        self._left = most
        #: The lists that are not complete, from the outermost one, and how many members they will have.
        self._open: list[tuple[list[Expression], int]] = []
        #: A token that is not complete, and how many bytes have to be there before it is looked at again.
        self._rest, self._needed = bytearray(), 0

    def feed(self, data: bytes) -> Iterator[Expression]:
        """The expressions that are complete with this data, each as soon as it is.

        Raises:
            Unreadable: after it nothing more can be read.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        position, end = 0, len(data)
        while position < end:
            start = position
            number = shift = 0
            while (byte := data[position]) < 0x80:
                number |= byte << shift
                shift += 7
                position += 1
                if shift > DIGITS:
                    raise Unreadable(f"a number of more than {DIGITS} binary digits")
                if position == end:
                    self._wait(data, start, 1)
                    return
            position += 1
            if byte == _STRING:
                if number > MOST:
                    raise Unreadable(f"a text of {number} bytes")
                if number > self._left:
                    raise self._too_large()
                if position + number > end:
                    self._wait(data, start, position - end + number)
                    return
                item: Expression = data[position : position + number]
                position += number
            elif byte == _FLOAT:
                if position + 8 > end:
                    self._wait(data, start, position - end + 8)
                    return
                (item,) = _DOUBLE.unpack_from(data, position)
                position += 8
            else:
                item = self._plain(byte, number)
            self._left -= max(position - start, LEAST)
            if self._left < 0:
                raise self._too_large()
            if byte != _LIST or not number:
                yield from self._completed(item)

    def _wait(self, data: bytes, start: int, missing: int) -> None:
        """Keep a token until it is complete."""
        self._rest += data[start:]
        self._needed = len(self._rest) + missing

    def _plain(self, byte: int, number: int) -> Expression:
        """What a number and the byte behind it stand for; a list that has members is opened."""
        if byte in (_INT, _LONGINT):
            return number
        if byte == _VOCAB:
            word = self.vocabulary.get(number)
            if word is None:
                raise Unreadable(f"the word number {number}, which is not known")
            return word
        if byte in (_NEG, _LONGNEG):
            return -number
        if byte != _LIST:
            raise Unreadable(f"the byte {byte:#x}, which says nothing")
        made: list[Expression] = []
        if number:
            if number > MOST:
                raise Unreadable(f"a list of {number} members")
            if number * LEAST > self._left:
                raise self._too_large()
            if len(self._open) >= DEEPEST:
                raise Unreadable(f"lists in lists, more than {DEEPEST} deep")
            self._open.append((made, number))
        return made

    def _too_large(self) -> Unreadable:
        return Unreadable(f"an expression of more than {self.most} bytes")

    def _completed(self, item: Expression) -> Iterator[Expression]:
        """Put an item where it belongs; gives the expression, if that is complete with it."""
        unfinished = self._open
        while unfinished:
            members, count = unfinished[-1]
            members.append(item)
            if len(members) < count:
                return
            unfinished.pop()
            item = members
        self._left = self.most
        yield item


def encoded(expression: Expression, symbols: Mapping[bytes, int]) -> bytes:
    """An expression as it is sent.

    Args:
        symbols: the words that the other side understands as a number.

    Raises:
        TypeError: there is something in it that is no list, tuple, integer, float or bytes.

    Example:
        >>> encoded([b"answer", 5, -1], {b"answer": 27}).hex(" ", 2)
        '0380 1b87 0581 0183'
    """
    out = bytearray()
    _encode(out, expression, symbols)
    return bytes(out)


def _encode(out: bytearray, item: Expression, symbols: Mapping[bytes, int]) -> None:
    kind = type(item)
    if kind is bytes:
        symbol = symbols.get(item)
        if symbol is not None:
            out += bytes((symbol, _VOCAB))
        else:
            _put(out, len(item), _STRING)
            out += item
    elif kind is list or kind is tuple:
        _put(out, len(item), _LIST)
        for member in item:
            _encode(out, member, symbols)
    elif kind is int:
        if item >= 0:
            _put(out, item, _INT if item < 1 << 31 else _LONGINT)
        else:
            _put(out, -item, _NEG if item >= -(1 << 31) else _LONGNEG)
    elif kind is float:
        out.append(_FLOAT)
        out += _DOUBLE.pack(item)
    else:
        raise TypeError(f"{kind.__name__} cannot be sent")


def _put(out: bytearray, number: int, kind: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F)
        number >>= 7
    out.append(number)
    out.append(kind)
