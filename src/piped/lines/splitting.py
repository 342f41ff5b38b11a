"""Splitting: the lines in bytes that come in pieces, none of them longer than allowed."""

from __future__ import annotations


class TooLong:
    """Stands where a line was that is longer than allowed."""

    def __repr__(self) -> str:
        return "TOO_LONG"


TOO_LONG = TooLong()


class LineSplitter:
    """Cuts bytes at a delimiter, however they are cut already; keeps what has no delimiter yet.

    Args:
        delimiter: what ends a line; at least one byte.
        max_length: the most bytes that a line may have, without its delimiter. One that is longer is dropped up to its
            delimiter, and TOO_LONG stands in its place as soon as that is known.

    Example:
        >>> splitter = LineSplitter(b"\\n", max_length=5)
        >>> splitter.split(b"one\\ntw"), splitter.split(b"o\\nthree, four\\nf")
        ([b'one'], [b'two', TOO_LONG])
        >>> splitter.finish()
        [b'f']
    """

    def __init__(self, delimiter: bytes, max_length: int) -> None:
        if not delimiter:
            raise ValueError("the delimiter is empty")
        self.delimiter, self.max_length = delimiter, max_length
        self._begun = bytearray()
        #: In a line that is too long, of which only so much is kept as may be the beginning of the delimiter.
        self._is_skipping = False

    def split(self, data: bytes) -> list[bytes | TooLong]:
        """The lines that these bytes end, in order."""
        # What was there before holds no delimiter, but perhaps the beginning of one.
        known = max(len(self._begun) - len(self.delimiter) + 1, 0)
        self._begun += data
        lines: list[bytes | TooLong] = []
        if self._begun.find(self.delimiter, known) >= 0:
            complete = bytes(self._begun).split(self.delimiter)
            self._begun = bytearray(complete.pop())
            ended = complete[1:] if self._is_skipping else complete
            self._is_skipping = False
            lines = [line if len(line) <= self.max_length else TOO_LONG for line in ended]
        return lines + self._check_begun()

    def _check_begun(self) -> list[bytes | TooLong]:
        kept = len(self.delimiter) - 1
        # The last bytes may turn out to be no part of the line.
        if not self._is_skipping and len(self._begun) <= self.max_length + kept:
            return []
        told: list[bytes | TooLong] = [] if self._is_skipping else [TOO_LONG]
        self._is_skipping = True
        del self._begun[: max(len(self._begun) - kept, 0)]
        return told

    def finish(self) -> list[bytes | TooLong]:
        """The last line, if the bytes did not end with a delimiter; begins anew."""
        last, is_told = bytes(self._begun), self._is_skipping
        self._begun, self._is_skipping = bytearray(), False
        if is_told or not last:
            return []
        return [last if len(last) <= self.max_length else TOO_LONG]
