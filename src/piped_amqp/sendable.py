"""What AMQP has a place for: short texts, and tables of plain values."""

from __future__ import annotations

from typing import Annotated, Any, Final

from annotated_types import Predicate

from piped.ground.units import Meaning

#: In bytes, as a name is sent with one byte for its length.
_LONGEST_NAME: Final = 255


def is_name(text: str) -> bool:
    """Whether a text may name something, or be a routing key or a key of a table."""
    try:
        return len(text.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def is_field(value: Any) -> bool:
    """Whether a value may stand in a table."""
    from pika.data import encode_value  # late, as hardly any configuration has such a table

    try:
        encode_value([], value)
    except Exception:  # pika raises whatever its codec stumbles over
        return False
    return True


Name = Annotated[str, Meaning(f"text of at most {_LONGEST_NAME} bytes"), Predicate(is_name)]
Field = Annotated[
    Any,
    Meaning("text, a whole number of at most 64 bits, a boolean, or a list or mapping of such"),
    Predicate(is_field),
]
Table = dict[Name, Field]
