"""Docstrings are read by their parts."""

import pytest

from piped.spec.docstrings import read_docstring

GOOGLE = """Hold the baton for a while,
then pass it on.

    It keeps
    its shape.

It says: nothing.

Resources: `a.<name>`,
and `b`.

Args:
    delay: how long
        to hold it: not less.
    path (str): where.
    **more: the rest.

Raises:
    ValueError: when it is wrong.

Source: RFC 1,
    section 2.

Example:
    - wait: {delay: 0.5}

    - wait:
        delay: 1
"""

SPHINX = """A client.

:param str queue: the queue,
    or its name.
:param retries: how often.
:type retries: int
:raises ValueError: when it is wrong.
:return: itself.

It goes on.
"""


def test_googles_form_is_read():
    """Args, Raises, Source and Example are parts; everything else is the description."""
    found = read_docstring(GOOGLE)
    assert found.summary == "Hold the baton for a while, then pass it on."
    assert found.description == "    It keeps\n    its shape.\n\nIt says: nothing.\n\nResources: `a.<name>`,\nand `b`."
    assert found.parameters == {"delay": "how long to hold it: not less.", "path": "where.", "more": "the rest."}
    assert found.raises == {"ValueError": "when it is wrong."}
    assert found.source == "RFC 1, section 2."
    assert found.examples == ["- wait: {delay: 0.5}\n\n- wait:\n    delay: 1"]


def test_sphinxs_form_is_read():
    """Docstrings of Piped 0.7 say `:param x:`, and none of its fields shows up in the description."""
    found = read_docstring(SPHINX)
    assert found.summary == "A client."
    assert found.parameters == {"queue": "the queue, or its name.", "retries": "how often."}
    assert found.raises == {"ValueError": "when it is wrong."}
    assert found.description == "It goes on."


@pytest.mark.parametrize("text", [None, "", "   \n "])
def test_nothing_says_nothing(text):
    """A callable without a docstring has empty texts."""
    found = read_docstring(text)
    assert (found.summary, found.description, found.parameters, found.examples) == ("", "", {}, [])


def test_several_examples_stay_apart():
    """Each example can be run by itself."""
    assert read_docstring("X.\n\nExample:\n    a\n\nExample:\n    b\n").examples == ["a", "b"]
