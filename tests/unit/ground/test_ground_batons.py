"""Dotted paths into batons."""

from collections import OrderedDict
from copy import deepcopy
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped.ground.batons import get_path, getter, keys_of, remove_path, set_path, setter

BATON = {"user": {"names": ["Ada", "Bo"], "age": None}, "a.b": 1, "object": SimpleNamespace(inner={"x": 2})}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", BATON),
        ("user.age", None),
        ("user.names.1", "Bo"),
        ("user.names.-1", "Bo"),
        ("a\\.b", 1),
        ("object.inner.x", 2),
        (("user", "names", 0), "Ada"),
        ("user.names.7", "missing"),
        ("user.age.more", "missing"),
        ("nothing.at.all", "missing"),
    ],
)
def test_a_path_finds_items_attributes_and_indices(path, found):
    """A dotted path reads what lies there, and gives the fallback where nothing does."""
    assert get_path(BATON, path, "missing") == found


@pytest.mark.parametrize("path", ["items", "user.keys", "object.__class__", "object.inner.__class__"])
def test_a_path_never_finds_methods_of_mappings_or_dunders(path):
    """A name that came from outside cannot reach into Python itself."""
    assert get_path(BATON, path, "missing") == "missing"


def test_setting_makes_the_mappings_on_the_way():
    """What is missing on the way to a path is made; a list takes an index that it has."""
    baton = {"list": [1, 2]}
    set_path(baton, "a.b.c", 1)
    set_path(baton, "list.1", 3)
    assert baton == {"list": [1, 3], "a": {"b": {"c": 1}}}


def test_setting_sets_attributes_that_exist():
    """An object keeps its attributes: an existing one can be set, a new one is refused."""
    baton = SimpleNamespace(known=1)
    set_path(baton, "known", 2)
    assert baton.known == 2
    with pytest.raises(AttributeError, match="unknown"):
        set_path(baton, "unknown", 2)


@pytest.mark.parametrize("path", ["scalar.below", "none.below.it"])
def test_setting_below_a_scalar_is_refused(path):
    """A scalar in the way is told, and not replaced."""
    with pytest.raises(AttributeError):
        set_path({"scalar": 1, "none": None}, path, 2)


def test_the_empty_path_cannot_be_set():
    """Replacing the whole baton is for the caller to do."""
    with pytest.raises(ValueError, match="whole baton"):
        set_path({}, "", 1)


def test_removing_ignores_what_is_missing_unless_told():
    """Removing what is not there is harmless, or a KeyError when that is asked for."""
    baton = {"a": {"b": 1, "c": [1, 2]}}
    remove_path(baton, "a.b")
    remove_path(baton, "a.c.0")
    remove_path(baton, "a.b.c")
    assert baton == {"a": {"c": [2]}}
    with pytest.raises(KeyError, match=r"a\.b"):
        remove_path(baton, "a.b", ignore_missing=False)


@given(st.lists(st.text(st.characters(exclude_characters="\\.\0"), min_size=1), min_size=1, max_size=5), st.integers())
def test_what_is_set_is_found_and_can_be_removed(keys, value):
    """Any keys, joined by dots, are a path: set, get and remove agree."""
    baton: dict[str, object] = {}
    path = ".".join(keys)
    set_path(baton, path, value)
    assert keys_of(path) == tuple(keys)
    assert get_path(baton, path, ...) == value
    remove_path(baton, path, ignore_missing=False)
    assert get_path(baton, path, ...) is ...


KEYS = st.sampled_from(["a", "b", "items", "0", "-1", "__class__"])
PATHS = st.lists(KEYS, max_size=4).map(".".join)
LEAVES = st.none() | st.integers() | st.text(max_size=2) | st.binary(max_size=2)


def batons():
    """Batons of all kinds of holders, with values at some of the paths."""
    return st.recursive(
        LEAVES,
        lambda members: (
            st.dictionaries(KEYS, members, max_size=3)
            | st.dictionaries(KEYS, members, max_size=3).map(OrderedDict)
            | st.lists(members, max_size=2)
            | st.fixed_dictionaries({"a": members}).map(lambda names: SimpleNamespace(**names))
        ),
        max_leaves=6,
    )


@given(batons(), PATHS)
def test_a_getter_gives_what_the_path_gives(baton, path):
    """However a value is read, it is the same one."""
    missing = object()
    assert getter(path)(baton, missing) is get_path(baton, path, missing)


@given(batons(), PATHS.filter(bool))
def test_a_setter_does_what_setting_does(baton, path):
    """However a value is put into a baton, the baton is the same afterwards, or refuses it."""
    expected, found = deepcopy(baton), deepcopy(baton)
    try:
        set_path(expected, path, "new")
    except (AttributeError, IndexError, TypeError) as error:
        with pytest.raises(type(error)):
            setter(path)(found, "new")
    else:
        assert setter(path)(found, "new") is found
    assert found == expected
