"""Tests of reading the section `tests`."""

import pytest
from cases_stage import cases_of, checked, problems_of

from piped.cases.reading import read_cases, steps_named

SITE = """\
pipelines:
  my_pipe:
    - set-value: {path: a, value: 1, node_name: the first}
    - set-value: {path: b, value: 2}
  other.one:
    - set-value: {path: c, value: 3, node_name: elsewhere}
    - passthrough
"""


def steps(name: str) -> list[str]:
    assembly = checked(SITE)
    return [f"{step.pipeline_name}:{step.id}" for step in steps_named(name, "my_pipe", assembly)]


def test_without_the_section_there_are_no_cases() -> None:
    """And an empty one is no mistake."""
    assert read_cases(checked(SITE)) == read_cases(checked(SITE + "tests: []")) == ([], [])


def test_the_section_keeps_nothing_from_running() -> None:
    """What is wrong in it is not told by who only runs the configuration."""
    assembly = checked(SITE + "tests: [{nothing: '${NOWHERE}'}, 5]")
    assert assembly.problems == []
    assert len(read_cases(assembly)[1]) == 4


@pytest.mark.parametrize("written", ["5", "{name: one}"])
def test_the_section_is_a_list(written: str) -> None:
    """Anything else is told."""
    assert "tests must be a list" in problems_of(SITE + f"tests: {written}")[0]


def test_all_mistakes_are_told_at_once_and_in_order() -> None:
    """One case that is wrong hides none of the others."""
    told = problems_of(
        SITE
        + "tests:\n"
        + "- {name: one, pipeline: my_pip, result: 1}\n"
        + "- 5\n"
        + "- {name: one, pipeline: my_pipe, result: 1}\n"
        + "- {name: two, pipeline: my_pipe, result: 1, processors: {the frist: {}}}\n"
        + "- {pipeline: my_pipe, result: 1}\n"
    )
    assert told == [
        "site.yaml:9:25: there is no pipeline 'my_pip' – did you mean 'my_pipe'?",
        "site.yaml:10:3: test 2 must be a mapping, not 5",
        "site.yaml:11:10: two tests are called 'one'; the first is at site.yaml:9:10 – give each a name of its own",
        "site.yaml:12:58: no step and no processor used here is called 'the frist' – did you mean 'the first'?",
        "site.yaml:13:3: test 5 needs the option 'name' – add it: what it shows, in a few words; each has another.",
    ]


def test_a_pipeline_is_found_with_a_dash_for_its_underscore() -> None:
    """As everywhere."""
    assert cases_of(checked(SITE + "tests: [{name: one, pipeline: my-pipe, result: 1}]"))


def test_a_file_that_includes_nothing_gets_advice() -> None:
    """The most likely mistake of who writes a file of tests."""
    [told] = problems_of("tests: [{name: one, pipeline: my_pipe, result: 1}]")
    assert told.endswith("there is no pipeline 'my_pipe' – does this file include the configuration that it tests?")


@pytest.mark.parametrize("path", ["pipeline.my_pipe", "pipeline.my-pipe"])
def test_what_is_tested_cannot_be_stood_in_for(path: str) -> None:
    """The case would test its own stand-in."""
    [told] = problems_of(
        SITE + f"tests: [{{name: one, pipeline: my-pipe, result: 1, resources: {{{path}: {{value: 1}}}}}}]"
    )
    assert f"{path!r} is what is tested" in told


def test_a_pipeline_that_stands_in_must_be_there() -> None:
    """With the closest name."""
    [told] = problems_of(
        SITE + "tests: [{name: one, pipeline: my_pipe, result: 1, resources: {x: {pipeline: other.on}}}]"
    )
    assert "there is no pipeline 'other.on' – did you mean 'other.one'?" in told


def test_a_step_of_another_pipeline_is_meant_wherever_that_is_inlined() -> None:
    """It is named as it is written; a stand-in that stands for nothing that runs would be a riddle."""
    site = "pipelines: {outer: [inline-pipeline: inner], inner: [{set-value: {path: a, value: 1, node_name: x}}]}"
    steps = steps_named("inner.x", "outer", checked(site))
    assert sorted(step.pipeline_name for step in steps) == ["inner", "outer"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("set-value-1", ["my_pipe:set-value-1"]),
        ("the first", ["my_pipe:set-value-1"]),
        ("other.one.elsewhere", ["other.one:set-value-1"]),
        ("other.one.set-value-1", ["other.one:set-value-1"]),
        ("set-value", ["my_pipe:set-value-1", "my_pipe:set-value-2", "other.one:set-value-1"]),
        ("passthrough", ["other.one:passthrough-1"]),
        ("elsewhere", []),
        ("wait", []),
    ],
)
def test_steps_are_named_by_place_or_by_processor(name: str, meant: list[str]) -> None:
    """Of the case's own pipeline by id or node_name, of others with the pipeline, or all that a processor makes."""
    assert steps(name) == meant
