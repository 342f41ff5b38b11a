"""The command line as a whole."""

import pytest

VERBS = ["run", "check", "test", "list", "show", "schema", "draw", "trace"]


def test_without_arguments_the_help_is_shown(piped):
    """Who types only `piped` sees what there is; the summary of each verb fits its line."""
    done = piped(env={"COLUMNS": "80"})
    assert done.exit_code == 2
    assert "piped run site.yaml" in done.output
    listed = [line for line in done.output.splitlines() if line.split()[:1] and line.split()[0] in VERBS]
    assert len(listed) == len(VERBS)
    assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_an_example_and_the_common_options(piped, verb, flag):
    """Every verb explains itself, and takes the same flags."""
    done = piped(verb, flag)
    assert done.exit_code == 0
    assert f"    piped {verb} " in done.output.split("Example:")[1]
    for option in ("-O,", "-d,", "-l,", "-D ", "-r,", "--strict", "--log-level", "--log-format"):
        assert f"\n  {option}" in done.output


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_versions_are_those_of_all_that_matters(piped, flag):
    """Piped, Twisted and Python: what a report of a bug needs."""
    first = piped(flag).stdout.splitlines()[0].split(", ")
    assert [part.split()[0] for part in first] == ["piped", "Twisted", "Python"]


def test_houses_are_listed_with_the_versions_of_their_distributions(piped, tmp_path, monkeypatch):
    """Whatever else is installed for Piped stands in the list of versions, too."""
    metadata = tmp_path / "weather-2.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: weather\nVersion: 2.1\n")
    (metadata / "entry_points.txt").write_text("[piped]\nweather = piped_weather\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "piped_weather: weather 2.1" in piped("-v").stdout.splitlines()


def test_flags_without_a_verb_are_those_of_run(piped):
    """The command line of Piped 0.7 needs no verb."""
    done = piped("-n")
    assert done.exit_code == 2
    assert "Usage: piped run" in done.stderr


def test_a_wrong_verb_gets_advice(piped, write):
    """A slip of the pen is recognised, and so is who names a file only."""
    write({"site": ""})
    for wrong, advice in ("chekc", "did you mean 'check'?"), ("site", "did you mean: piped run site"):
        done = piped(wrong)
        assert done.exit_code == 2
        assert f"there is no verb {wrong!r} – {advice}" in done.stderr


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("piped tr", "trace"),
        ("piped check --stri", "--strict"),
        ("piped show set-value", "set-values"),
        ("piped draw site.yaml he", "hello"),
        ("piped trace site.yaml he", "hello"),
    ],
)
def test_a_shell_completes_verbs_options_and_names(piped, write, typed, completed):
    """With the line of the help in one's profile, the tabulator key knows verbs, options, processors and pipelines."""
    write({"site.yaml": "pipelines: {hello: [passthrough], other: [passthrough]}\n"})
    number = str(len(typed.split()) - 1)
    done = piped(env={"_PIPED_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": number})
    offered = [line.split(",")[1] for line in done.stdout.splitlines()]
    assert completed in offered
    assert all(name.startswith(typed.split()[-1]) for name in offered)
