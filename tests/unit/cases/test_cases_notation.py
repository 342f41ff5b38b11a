"""Tests of how a case is written."""

from datetime import UTC, datetime

import pytest
from cases_stage import cases_of, checked, problems_of

from piped.cases.notation import Case
from piped.cases.running import play
from piped.spec.spec import Spec

SITE = "pipelines: {p: [passthrough]}\ntests:\n"


def problem(case: str) -> str:
    """The only problem of a case of the pipeline `p`."""
    [told] = problems_of(f"{SITE}- {{name: one, pipeline: p, {case}}}")
    return told


def case(text: str) -> Case:
    [found] = cases_of(checked(f"{SITE}- {{name: one, pipeline: p, {text}}}"))
    return found


def test_null_is_a_value_that_can_be_expected() -> None:
    """It is not the same as nothing."""
    assert case("result: null").result.is_written
    assert not case("results: []").result.is_written


def test_a_baton_is_made_anew_each_time() -> None:
    """And is an empty mapping where none is written."""
    baton = case("baton: {a: []}, result: 1").baton_
    baton.value()["a"].append(1)
    assert baton.value() == {"a": []}
    assert case("result: 1").baton_.value() == {}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("86400", 86400),
        ("0.5", 0.5),
        ("'1970-01-02T00:00:00Z'", 86400),
        ("'1970-01-02'", 86400),
        ("1970-01-02T00:00:00Z", 86400),
        ("1970-01-02", 86400),
        ("'1970-01-02T01:00:00+01:00'", 86400),
    ],
)
def test_a_time_may_be_written_in_several_ways(written: str, meant: float) -> None:
    """As seconds, and as a date with or without quotes; without a zone it is in UTC."""
    assert case(f"result: 1, now: {written}").now == meant
    assert datetime.fromtimestamp(case("result: 1").now, UTC).year == 1970


@pytest.mark.parametrize("written", ["tomorrow", "true", "[1]", "null"])
def test_what_is_no_time_is_told(written: str) -> None:
    """With what can be written."""
    assert "the time must be seconds since 1970 or a time such as '2026-" in problem(f"result: 1, now: {written}")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("error: KeyEror", "site.yaml:3:35: option 'error' of the test 'one': cannot import 'KeyEror'"),
        ("error: json.loads", "site.yaml:3:35: 'json.loads' is no exception"),
        ("error: {type: json.loads}", "site.yaml:3:42: 'json.loads' is no exception"),
        ("error: {message: '('}", "site.yaml:3:45: '(' is no regular expression: missing )"),
        ("error: {text: x}", "the test 'one'.error has no option 'text' – there is: message, type"),
        (
            "error: KeyError, result: 1",
            "site.yaml:3:35: a pipeline that fails has no results: result and error",
        ),
        ("advance: 3", "the test 'one': it expects nothing – add one of: result, results, contains, error"),
        ("results: {a: 1}", "site.yaml:3:37: this must be a list, not a mapping"),
        ("reslt: 1", "site.yaml:3:28: the test 'one' has no option 'reslt' – did you mean 'result'?"),
        ("result: '${NOWHERE}'", "site.yaml:3:36: the environment variable NOWHERE is not set"),
        ("result: 1, processors: {p: {raises: json.loads}}", "site.yaml:3:64: 'json.loads' is no exception"),
        (
            "result: 1, processors: {passthrough: {returns: 1, set: {a: 1}}}",
            "the test 'one'.processors.passthrough: returns and set exclude each other – keep one of them",
        ),
        (
            "result: 1, resources: {a: {value: 1, returns_each: [1]}}",
            "the test 'one'.resources.a: returns_each and value exclude each other – keep one of them",
        ),
        (
            "result: 1, resources: {a: {methods: {get: {returns: 1, raises: OSError}}}}",
            "the test 'one'.resources.a.methods.get: returns and raises exclude each other",
        ),
        ("result: 1, resources: {a: {is_awaited: true}}", "the test 'one'.resources.a: it stands in for nothing"),
    ],
)
def test_a_mistake_is_told_at_its_place(written: str, told: str) -> None:
    """In the words of whoever wrote it, with what to write."""
    assert told in problem(written)


def test_what_is_expected_is_filled_in_from_the_environment() -> None:
    """As everywhere in a configuration."""
    assembly = checked(f"{SITE}- {{name: one, pipeline: p, result: '${{HERE}}'}}", environ={"HERE": "x"})
    assert cases_of(assembly)[0].result.value() == "x"


def test_the_example_of_the_page_passes() -> None:
    """What `piped show tests` shows does what it says."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import Clock

    [example] = Spec.of(Case).examples
    assembly = checked(example)
    outcomes: list[object] = []
    for case in cases_of(assembly):
        Deferred.fromCoroutine(play(case, assembly, Clock())).addCallback(lambda played: outcomes.append(played.found))
    assert outcomes == [[], []]
