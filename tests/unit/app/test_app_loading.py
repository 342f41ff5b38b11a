"""What every verb begins with."""

import json

import pytest

#: Of the reactors that Twisted has given up, when they are looked for.
pytestmark = pytest.mark.filterwarnings("ignore:twisted.internet.*reactor was deprecated:DeprecationWarning")

GOOD = "pipelines: {a: [passthrough]}\n"
BAD = "pipelines: {a: [nix-1, nix-2]}\n"


def test_a_file_is_named_as_seen_from_where_the_command_is_written(piped, write):
    """-d changes the directory, not what the name of a file means; if it is nowhere else it is looked for there."""
    write({"site.yaml": GOOD, "there/own.yaml": GOOD})
    assert piped("check", "-d", "there", "site.yaml").exit_code == 0
    assert piped("check", "-d", "there", "own.yaml").exit_code == 0


def test_modules_beside_the_configuration_and_in_the_run_directory_are_found(piped, write):
    """Bundles need not be installed."""
    processor = "from piped import processor\n@processor('{0}')\ndef process(baton): pass\n"
    write(
        {
            "conf/site.yaml": "plugins: {bundles: {mine: [bundle_beside, bundle_there]}}\n"
            "pipelines: {a: [beside, there]}\n",
            "conf/bundle_beside.py": processor.format("beside"),
            "there/bundle_there.py": processor.format("there"),
        }
    )
    done = piped("check", "-d", "there", "conf/site.yaml")
    assert (done.stderr, done.exit_code) == ("", 0)


def test_a_missing_file_is_told_as_it_was_typed(piped, write):
    """Also from another run directory, and with what else is there."""
    write({"there/sites.yaml": GOOD})
    done = piped("check", "-d", "there", "site.yaml")
    assert done.stderr == "there is no file 'site.yaml' – did you mean 'sites.yaml'?\n"


def test_a_run_directory_that_is_not_there_is_a_wrong_command_line(piped):
    """Exit code 2, and the name of the directory."""
    done = piped("check", "-d", "nowhere", "site.yaml")
    assert done.exit_code == 2
    assert "cannot change to the run directory nowhere: No such file or directory" in done.stderr


def test_colours_are_for_terminals(piped, write):
    """What is redirected holds no escape sequences; a terminal shows places in bold and mistakes in red."""
    write({"site.yaml": BAD})
    assert "\x1b" not in piped("check", "site.yaml").output
    assert "\x1b[1msite.yaml:1:17: \x1b[0m\x1b[31munknown processor" in piped("check", "site.yaml", color=True).stderr


def test_mistakes_are_json_where_the_log_is(piped, write):
    """--log-format json: whoever collects the log of a service can also read why it did not start."""
    write({"site.yaml": f"x: 1\n{BAD}"})
    done = piped("draw", "site.yaml", "--log-format", "json")
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.exit_code == 78
    assert [line["level"] for line in told] == ["warning", "error", "error", "critical"]
    assert told[1]["message"].startswith("site.yaml:2:17: unknown processor 'nix-1'")
    assert told[3]["message"] == "2 problems: the configuration cannot run"


@pytest.mark.parametrize("verb", [["draw"], ["list", "-c"], ["show", "x", "-c"], ["schema", "-c"]])
def test_no_verb_goes_on_with_a_configuration_that_cannot_run(piped, write, verb):
    """Each tells the mistakes and exits with 78."""
    write({"site.yaml": BAD})
    done = piped(*verb, "site.yaml")
    assert (done.exit_code, done.stdout) == (78, "")
    assert "2 problems: the configuration cannot run" in done.stderr


def test_what_cannot_be_an_option_is_a_wrong_command_line(piped, write):
    """Exit code 2 before anything is read."""
    for wrong in ["--log-level", "loud"], ["--log-format", "xml"], ["-r", "no-such-reactor"], ["--nix"]:
        assert piped("check", *wrong, "nowhere.yaml").exit_code == 2
