"""Which reactors can be asked for."""

import click
import pytest

from piped.app.reactors import descriptions, known_reactor

#: Of the reactors that Twisted has given up, when they are looked for.
pytestmark = pytest.mark.filterwarnings("ignore:twisted.internet.*reactor was deprecated:DeprecationWarning")


def test_only_reactors_that_work_here_are_offered():
    """Those of other systems are not in the list: Core Foundation and Windows cannot both be there."""
    offered = descriptions()
    assert {"asyncio", "uvloop", "select"} <= set(offered)
    assert not {"cf", "win32"} <= set(offered)
    assert all(offered.values())


def test_another_name_is_refused():
    """With where to look; a name that is known, and none, are taken as they are."""
    with pytest.raises(click.BadParameter, match="there is no reactor 'nix' on this machine: see piped run"):
        known_reactor(None, None, "nix")
    assert known_reactor(None, None, "select") == "select"
    assert known_reactor(None, None, None) is None
