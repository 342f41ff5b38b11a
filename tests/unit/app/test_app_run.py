"""The command line of `piped run`; what runs is tested on the wire."""

import pytest

#: Of the reactors that Twisted has given up, when they are looked for.
pytestmark = pytest.mark.filterwarnings("ignore:twisted.internet.*reactor was deprecated:DeprecationWarning")


@pytest.mark.parametrize(
    "words",
    [[], ["a.yaml", "b.yaml"], ["a.yaml", "-c", "b.yaml"]],
    ids=["none", "two", "two, one of them behind -c"],
)
def test_one_file_is_run(piped, words):
    """No file, or more than one, is a wrong command line, and an example says what is right."""
    done = piped("run", *words)
    assert done.exit_code == 2
    assert "name one configuration file, such as: piped run site.yaml" in done.stderr


def test_an_unknown_option_is_refused(piped):
    """Only a script (-s) has options of its own."""
    done = piped("run", "site.yaml", "--nix")
    assert done.exit_code == 2
    assert "No such option '--nix'" in done.stderr


def test_foreground_and_background_exclude_each_other(piped):
    """-n and --daemon together are a wrong command line."""
    assert piped("run", "-n", "--daemon", "site.yaml").exit_code == 2


def test_the_reactors_of_this_machine_are_listed(piped):
    """--help-reactors needs no file."""
    done = piped("run", "--help-reactors")
    assert done.exit_code == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == sorted(names)
    assert {"asyncio", "uvloop", "select"} <= set(names)
