"""Tests of the JSON steps."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xmlrpc.client import DateTime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.filepath import FilePath

import piped
from piped.config.paths import make_path
from piped.ground.code import DottedName
from piped.ground.errors import ConfigurationError
from piped.pipelines.processor import Processor
from piped.processors.markup import DecodeJSON, EncodeJSON
from piped.runtime.environment import RuntimeEnvironment

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda members: st.lists(members) | st.dictionaries(st.text(), members),
)


class OrderedDecoder(json.JSONDecoder):
    """Gives mappings a class of their own."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=OrderedDict)


class LengthEncoder(json.JSONEncoder):
    """Writes what it does not know as its length."""

    def default(self, o: Any) -> Any:
        return len(o)


def decoder(environment: RuntimeEnvironment, **options: Any) -> DecodeJSON:
    step = DecodeJSON(**options)
    step.configure(environment)
    return step


def encoder(environment: RuntimeEnvironment, **options: Any) -> EncodeJSON:
    step = EncodeJSON(**options)
    step.configure(environment)
    return step


@pytest.mark.parametrize(
    "content",
    [
        '{"å": [1, null]}',
        '{"å": [1, null]}'.encode(),
        '{"å": [1, null]}'.encode("utf-16"),
        bytearray('{"å": [1, null]}'.encode()),
        io.StringIO('{"å": [1, null]}'),
        io.BytesIO('{"å": [1, null]}'.encode()),
    ],
)
def test_reads_texts_bytes_and_streams(environment: RuntimeEnvironment, content: Any) -> None:
    """JSON is read from whatever holds it."""
    assert decoder(environment).process(content) == {"å": [1, None]}


@pytest.mark.parametrize("content", ["{", b"\xff\xff", "", None, 5, "[" * 100_000])
def test_what_is_no_json_is_a_value_error(environment: RuntimeEnvironment, content: Any) -> None:
    """One kind of error says that an input cannot be read, whatever is wrong with it."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the kind is the promise, the texts are those of json
        decoder(environment).process(content)


def test_another_decoder_is_used(environment: RuntimeEnvironment) -> None:
    """A decoder of the user's takes the place of the standard one."""
    step = decoder(environment, decoder=DottedName(f"{__name__}.OrderedDecoder"))
    assert type(step.process("{}")) is OrderedDict


@settings(max_examples=30)
@given(json_values)
def test_what_is_written_can_be_read(value: Any) -> None:
    """Reading gives back what was written."""
    environment = RuntimeEnvironment()
    assert decoder(environment).process(encoder(environment).process(value)) == value


class Money:
    """Says itself what it is in JSON."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __json__(self) -> Any:
        return {"amount": self.amount, "since": date(2015, 1, 1)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2015, 1, 31, 23, 59, 58, 7), '"2015-01-31 23:59:58"'),
        (date(2015, 1, 31), '"2015-01-31"'),
        (DateTime("20150131T12:00:00"), '"20150131T12:00:00"'),
        (FilePath("/var/lib"), '"/var/lib"'),
        (FilePath(b"/var/lib"), '"/var/lib"'),
        (make_path("!filepath", "~/lib", {"HOME": "/home/ada"}), '"~/lib"'),
        (make_path("!pipedpath", "py.typed", {}), json.dumps(f"{Path(piped.__file__).parent}/py.typed")),
        ([Money(5)], '[{"amount": 5, "since": "2015-01-01"}]'),
    ],
)
def test_writes_what_batons_hold(environment: RuntimeEnvironment, value: Any, text: str) -> None:
    """Dates, paths and objects that know how have a form in JSON."""
    assert encoder(environment).process(value) == text


def test_what_has_no_form_is_an_error(environment: RuntimeEnvironment) -> None:
    """Nothing is written in a way that nobody asked for."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        encoder(environment).process(object())


def test_indents_when_told(environment: RuntimeEnvironment) -> None:
    """`indent` puts members on lines of their own."""
    assert encoder(environment, indent=1).process({"a": 1}) == '{\n "a": 1\n}'


def test_another_encoder_is_used(environment: RuntimeEnvironment) -> None:
    """An encoder of the user's takes the place of Piped's."""
    step = encoder(environment, encoder=DottedName(f"{__name__}.LengthEncoder"))
    assert step.process({1, 2}) == "2"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DecodeJSON(decoder=DottedName("json.JSONEncoder")), "is no JSONDecoder"),
        (lambda: EncodeJSON(encoder=DottedName("json.loads")), "is no JSONEncoder"),
        (lambda: EncodeJSON(encoder=DottedName("json.Gone")), "json.Gone"),
    ],
)
def test_a_codec_that_is_none_is_refused(make: Callable[[], Processor], message: str) -> None:
    """A name that cannot be used is told while the configuration is checked."""
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_no_json_can_say_is_not_written(environment: RuntimeEnvironment, number: float) -> None:
    """Nobody gets NaN, which decode-json and browsers refuse; whichever encoder is asked."""
    for name in ("piped.processors.markup.BatonEncoder", "json.JSONEncoder"):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encoder(environment, encoder=DottedName(name)).process({"n": [number]})


@pytest.mark.parametrize("text", ["NaN", '{"a": -Infinity}'])
def test_what_only_python_takes_for_json_is_refused(text: str, environment: RuntimeEnvironment) -> None:
    """NaN and Infinity are no JSON, unless Python's own decoder is asked for."""
    step = DecodeJSON()
    step.configure(environment)
    with pytest.raises(ValueError, match="is no JSON"):
        step.process(text)
    lax = DecodeJSON(decoder=DottedName("json.JSONDecoder"))
    lax.configure(environment)
    lax.process(text)
