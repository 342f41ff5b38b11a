"""What exists is found by name, and what does not exist gets advice."""

from typing import Any

import pytest

from piped.catalog.catalog import Catalog, ProcessorEntry, ProviderEntry
from piped.catalog.houses import Closed, Unopened
from piped.spec.spec import Spec


def shout(baton: Any, *, path: str = "text") -> None:
    """Make a text loud."""


class Reverse:
    """Turn a text around."""

    def __init__(self, path: str) -> None: ...


def a_catalog() -> Catalog:
    catalog = Catalog()
    catalog.processors = {"shout": ProcessorEntry("shout", shout), "reverse": ProcessorEntry("reverse", Reverse)}
    return catalog


def house_with(catalog: Catalog, name: str, opened: list[str]) -> Unopened:
    def open_house() -> None:
        opened.append(name)
        catalog.processors[f"from-{name}"] = ProcessorEntry(f"from-{name}", shout)

    return Unopened(name, (name,), open_house)


def test_an_entry_tells_what_it_is():
    """Functions and classes are told apart; both have a Spec and a full name."""
    function, cls = a_catalog().processors.values()
    assert (function.is_function, cls.is_function) == (True, False)
    assert function.spec is Spec.of(shout)
    assert cls.spec.summary == "Turn a text around."
    assert function.origin == f"{__name__}.shout"
    assert ProviderEntry("web", Any, Reverse).name == "Reverse"


def test_houses_are_opened_only_when_a_name_is_not_found():
    """A configuration pays for the libraries that it uses."""
    catalog, opened = a_catalog(), []
    catalog.unopened = [house_with(catalog, name, opened) for name in ("amqp", "zmq", "manhole")]
    assert catalog.find_processor("shout") is not None
    assert opened == []
    assert catalog.find_processor("from-zmq") is not None
    assert opened == ["amqp", "zmq"]
    assert catalog.find_processor("nothing") is None
    assert opened == ["amqp", "zmq", "manhole"]
    catalog.open_houses()
    assert opened == ["amqp", "zmq", "manhole"]


def test_all_houses_can_be_opened_to_list_what_exists():
    """`piped list` shows everything."""
    catalog, opened = a_catalog(), []
    catalog.unopened = [house_with(catalog, name, opened) for name in ("amqp", "zmq")]
    catalog.open_houses()
    assert {"from-amqp", "from-zmq"} <= set(catalog.processors)


def test_sections_are_known_without_opening_houses():
    """A section of a house that is closed or unopened is no unknown section."""
    catalog, opened = a_catalog(), []
    catalog.providers = [ProviderEntry("pb.clients", Any, Reverse), ProviderEntry(None, Any, Reverse)]
    catalog.unopened = [house_with(catalog, "zmq", opened)]
    catalog.closed = [Closed("piped_amqp", ("amqp",), ("pika",))]
    assert catalog.sections() == {"pb", "zmq", "amqp"}
    assert opened == []


def test_advice_names_what_is_close_in_any_house():
    """A slip in a name is recognised, also when the processor is in a house that nobody uses yet."""
    catalog = a_catalog()
    catalog.unopened = [house_with(catalog, "zmq", [])]
    assert catalog.advice("shuot") == "did you mean 'shout'?"
    assert catalog.advice("frm-zmq") == "did you mean 'from-zmq'?"


def test_advice_is_never_silent():
    """A name like no other, where there are too many to tell, leads to the list."""
    catalog = a_catalog()
    catalog.processors |= {f"step-{number}": catalog.processors["shout"] for number in range(20)}
    assert catalog.advice("xyzzy") == "piped list processors tells what there is"


def test_advice_mentions_closed_houses():
    """The processor may be there once its library is installed."""
    catalog = a_catalog()
    catalog.closed = [Closed("piped_amqp", ("amqp",), ("pika",), "pip install 'piped[amqp]'")]
    assert catalog.advice("publish-amqp").endswith("piped_amqp is closed: needs pika (pip install 'piped[amqp]')")


@pytest.mark.parametrize(("name", "use"), [("wrap-coroutine", "async def"), ("validate-with-formencode", "your own")])
def test_processors_that_are_not_carried_over_say_what_to_use(name, use):
    """A configuration of 0.7 gets an answer instead of a riddle."""
    assert a_catalog().find_processor(name) is None
    assert use in a_catalog().advice(name)
