"""`piped test`, as far as it needs no reactor: how tests are looked up and checked."""

import json


def test_how_a_test_is_written_can_be_read(piped):
    """As of any section, with everything that can stand in it."""
    page = piped("show", "tests").stdout
    for part in ("# tests", "## tests[].error", "## tests[].processors.<name>", "## tests[].resources.<name>.methods"):
        assert f"\n{part}" in f"\n{page}"


def test_an_editor_knows_the_section(piped):
    """It completes the keys of a case."""
    schema = json.loads(piped("schema").stdout)
    reference = schema["properties"]["tests"]["items"]["$ref"].rsplit("/", 1)[1]
    assert {"name", "pipeline", "baton", "contains", "advance"} <= set(schema["$defs"][reference]["properties"])


def test_a_check_tells_what_is_wrong_with_the_tests(piped, write):
    """In the order of the file, with the other mistakes."""
    write({"site.yaml": "tests: [{name: one, pipeline: a, result: 1}, 5]\npipelines: {a: [nix]}\n"})
    done = piped("check", "site.yaml")
    assert done.exit_code == 78
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["site.yaml:1:46", "site.yaml:2:17"]
    assert done.stdout == "site.yaml: 2 problems, 1 pipeline\n"
