"""A house says what it needs, and what to install when that is missing."""

import pytest

from piped.catalog.houses import Closed, House, install_command


@pytest.mark.parametrize(
    ("needs", "missing"),
    [((), ()), (("json", "nowhere"), ("nowhere",)), (("nowhere.at.all",), ("nowhere.at.all",))],
)
def test_missing_modules_are_found_without_importing(needs, missing):
    """A house is closed for exactly the modules that are not installed."""
    assert House(needs=needs).missing() == missing


def test_what_to_install():
    """The extra of the house's own distribution; without one, what it lacks."""
    assert install_command("piped", House("amqp"), ["pika"]) == "pip install 'piped[amqp]'"
    assert install_command("piped-redis", House(), ["redis", "hiredis"]) == "pip install redis hiredis"


def test_a_closed_house_says_why():
    """In a list, each closed house has its reason."""
    assert str(Closed("a", needs=("pika",), install="pip install x")) == "a is closed: needs pika (pip install x)"
    assert str(Closed("a", reason="it is broken")) == "a is closed: it is broken"
