"""Python inside configurations."""

import datetime
import io
import traceback

import pytest

from piped.ground.code import DottedName, Lambda, load_name, load_namespace
from piped.ground.errors import Mark


def test_a_lambda_sees_its_namespace():
    """The text behind the word lambda becomes a function whose globals are the namespace."""
    assert Lambda("a, b=2: a + b + c").bind({"c": 3})(1) == 6


def test_a_failing_lambda_shows_the_line_of_the_configuration():
    """A traceback leads to the file and line where the lambda is written."""
    function = Lambda("x: x / 0", Mark("site.yml", 14, 11)).bind({})
    try:
        function(1)
    except ZeroDivisionError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        assert (frame.filename, frame.lineno) == ("site.yml", 14)
    else:
        pytest.fail("1 / 0 must fail")


def test_a_lambda_that_is_none_has_the_place_of_the_mistake():
    """A syntax error names the line of the configuration."""
    with pytest.raises(SyntaxError) as caught:
        Lambda("x: x +", Mark("site.yml", 14, 11)).compile()
    assert caught.value.lineno in (14, 15)
    assert caught.value.filename == "site.yml"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("datetime.datetime.fromtimestamp", datetime.datetime.fromtimestamp),
        ("exceptions.ValueError", ValueError),
        ("KeyError", KeyError),
        ("StringIO.StringIO", io.StringIO),
        ("datetime", datetime),
    ],
)
def test_names_are_loaded_also_those_that_moved_with_python_3(name, meant):
    """A fully qualified name, one of Python 2 and a bare built-in give what they stand for."""
    assert load_name(name) == meant
    assert DottedName(name).load() == meant


@pytest.mark.parametrize("name", ["nowhere", "nowhere.at.all", "datetime.nothing", "a..b", "."])
def test_a_name_that_stands_for_nothing_is_an_import_error(name):
    """One kind of error for every way in which a name can be wrong, with the name in it."""
    with pytest.raises(ImportError, match=name.replace(".", r"\.")):
        load_name(name)


def test_a_namespace_imports_texts_and_keeps_the_rest():
    """Text values of a namespace are names to import; numbers and the like are values."""
    assert load_namespace({"now": "datetime.datetime", "n": 3}) == {"now": datetime.datetime, "n": 3}
