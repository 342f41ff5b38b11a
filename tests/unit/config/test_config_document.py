"""Document: what components see."""

from __future__ import annotations

import pytest

from piped.config.document import Document
from piped.config.environment import Unset
from piped.config.reading import read
from piped.ground.errors import Mark

TEXT = "web:\n  site: {port: 8080, hosts: [a, b]}\n  none:\nhost: ${HOST}\nmy.name: 1\n"


def document() -> Document:
    return Document(read(TEXT, "site.yml", {}).root, environ={"HOST": "h"}, used=["includes"])


def test_values_are_found_by_their_path() -> None:
    """A path is text with dots, or the names one by one; '' is everything."""
    configuration = document()
    assert configuration.get("web.site.port") == 8080
    assert configuration.get(("web", "site", "hosts", 1)) == "b"
    assert configuration.get("web.site.hosts.0") == "a"
    assert configuration.get(r"my\.name") == 1
    assert configuration.get("host") == "h"
    assert configuration.get("")["web"]["site"] == {"port": 8080, "hosts": ["a", "b"]}


def test_a_fallback_stands_for_what_is_not_written() -> None:
    """What is missing gives the fallback, what is written as null gives None."""
    configuration = document()
    assert configuration.get("web.site.prt", 1) == 1
    assert configuration.get("web.site.port.x", 1) == 1
    assert configuration.get("web.none", 1) is None


def test_values_are_copies() -> None:
    """Who changes what he was given changes nothing for anybody else."""
    configuration = document()
    configuration.get("web.site")["hosts"].append("c")
    configuration.get("web").pop("site")
    assert configuration.get("web.site.hosts") == ["a", "b"]


def test_a_value_can_be_set() -> None:
    """Setting replaces what is there, makes what is missing, and keeps the rest."""
    configuration = document()
    configuration.set("web.site.port", 1)
    configuration.set("new.part", {"x": [1]})
    configuration.set(("a.b", "c"), 2)
    assert configuration.get("web.site") == {"port": 1, "hosts": ["a", "b"]}
    assert configuration.get("new") == {"part": {"x": [1]}}
    assert configuration.get("")["a.b"] == {"c": 2}


def test_what_was_set_is_a_copy() -> None:
    """A value is taken as it is when it is set."""
    configuration, value = document(), {"x": 1}
    configuration.set("a", value)
    value["x"] = 2
    assert configuration.get("a") == {"x": 1}


def test_setdefault_keeps_what_is_written() -> None:
    """A default is stored only where nothing is written; either way the value comes back."""
    configuration = document()
    assert configuration.setdefault("web.site.port", 1) == 8080
    assert configuration.setdefault("web.site.name", "x") == "x"
    assert configuration.get("web.site.name") == "x"


def test_what_was_read_is_remembered() -> None:
    """Sections that somebody asked for are known, so that the others can be told."""
    configuration = document()
    configuration.get("web.site.port")
    configuration.get("other", 1)
    configuration.get("")
    configuration.node("host")
    assert configuration.read == {"includes", "web", "other"}


def test_places_are_found_by_path() -> None:
    """The place of a value is that in the file; what is not written has none."""
    configuration = document()
    assert configuration.where("web.site.port") == Mark("site.yml", 2, 16)
    assert configuration.where("web.nothing") is None
    assert configuration.node("web.nothing") is None


def test_an_unset_variable_is_raised_with_its_place() -> None:
    """Who asks for a value that cannot be filled in learns where it is written."""
    configuration = Document(read(TEXT, "site.yml", {}).root)
    with pytest.raises(Unset) as caught:
        configuration.get("host")
    assert caught.value.problem.where == Mark("site.yml", 4, 7)
