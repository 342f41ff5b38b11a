"""Tests of what stands in for steps and resources."""

from typing import Any

import pytest
from cases_stage import found

from piped import Processor, ResourcePath, processor, provider

BRANCHES = """\
pipelines:
  p:
    - set-value: {path: a, value: 1}
    - passthrough:
        id: both
        consumers:
          - set-value: {path: way, value: left}
          - set-value: {path: way, value: right}
        error_consumers:
          - set-value: {path: way, value: mended}
"""
CALLS = "things: {}\npipelines: {p: [{call: {resource: thing, times: 3}}]}\n"


class Call(Processor):
    """Calls a resource, or a method of it, and collects what that gives."""

    name = "call"

    def __init__(self, resource: ResourcePath, times: int = 1, method: str | None = None) -> None:
        super().__init__()
        self.resource, self.times, self.method = resource, times, method

    def configure(self, runtime_environment: Any) -> None:
        self.dependency = runtime_environment.dependency_manager.add_dependency(self, self.resource)

    def process(self, baton: Any) -> list[Any]:
        resource = self.dependency.get_resource()
        called = resource if self.method is None else getattr(resource, self.method)
        return [called(number) for number in range(self.times)]


@processor("await")
async def await_each(baton: list[Any]) -> list[Any]:
    """Waits for what was collected."""
    return [await each for each in baton]


@provider("things")
class Things:
    """Might offer anything, as it does not say what, and offers nothing."""

    def configure(self, runtime_environment: Any) -> None:
        pass


def stood_in(site: str, stand_ins: str, expected: str) -> list[str]:
    """What was not as expected in the pipeline `p`."""
    return found(f"{site}tests: [{{name: one, pipeline: p, {stand_ins}, {expected}}}]", Call, await_each, Things)


@pytest.mark.parametrize(
    ("stand_in", "expected"),
    [
        ("both: {}", "results: [{a: 1, way: right}, {a: 1, way: right}]"),
        ("both: null", "results: [{a: 1, way: right}, {a: 1, way: right}]"),
        ("both: {set: {b.c: [1]}}", "contains: {b: {c: [1]}}"),
        ("both: {returns: {z: 0}}", "result: {z: 0, way: right}"),
        ("both: {raises: OSError}", "results: [{a: 1, way: mended}]"),
        ("both: {raises: {type: OSError, message: x}}, set-value-4: {raises: KeyError}", "error: KeyError"),
        ("set-value-1: {set: {a: 5}}, set-value: {}", "result: {a: 5}"),
        ("set-value: {}, set-value-1: {set: {a: 5}}", "result: {a: 5}"),
        ("set-value-1: {}", "contains: {way: right}"),
        ("set-value: {returns_each: [{n: 1}, {n: 2}, {n: 3}]}", "results: [{n: 2}, {n: 3}]"),
    ],
)
def test_a_step_does_what_its_stand_in_says(stand_in: str, expected: str) -> None:
    """In its place: with its consumers and error consumers."""
    assert stood_in(BRANCHES, f"processors: {{{stand_in}}}", expected) == []


def test_a_step_that_is_stood_in_for_is_never_configured() -> None:
    """So that it needs nothing of what it would have needed."""
    site = "things: {}\npipelines: {p: [{call: {resource: nowhere}}]}\n"
    assert "nobody provides the resource 'nowhere'" in stood_in(site, "advance: 0", "result: 1")[0]
    assert stood_in(site, "processors: {call: {returns: 1}}", "result: 1") == []


def test_a_stand_in_is_not_called_more_often_than_it_says() -> None:
    """The case fails, and says whose list was too short."""
    told = stood_in(BRANCHES, "processors: {set-value: {returns_each: [{}]}}", "result: 1")
    assert "the stand-in of set-value was called more often than returns_each says, 1" in told[0]
    told = stood_in(CALLS, "resources: {thing: {returns_each: [1, 2]}}", "result: 1")
    assert "the stand-in of thing was called more often than returns_each says, 2" in told[0]


@pytest.mark.parametrize(
    ("stand_in", "expected"),
    [
        ("returns: 5", "result: [5, 5, 5]"),
        ("returns: null", "result: [null, null, null]"),
        ("returns_each: [1, {a: 2}, null]", "result: [1, {a: 2}, null]"),
        ("raises: {type: OSError, message: no cable}", "error: {type: OSError, message: no cable}"),
    ],
)
def test_a_resource_that_is_called_gives_what_its_stand_in_says(stand_in: str, expected: str) -> None:
    """Each time the same, one after the other, or a failure."""
    assert stood_in(CALLS, f"resources: {{thing: {{{stand_in}}}}}", expected) == []


def test_a_resource_has_the_methods_that_are_written() -> None:
    """And no others, which the failure tells."""
    site = "things: {}\npipelines: {p: [{call: {resource: thing, method: fetch}}]}\n"
    assert stood_in(site, "resources: {thing: {methods: {fetch: {returns: 5}}}}", "result: [5]") == []
    [told] = stood_in(site, "resources: {thing: {methods: {get: {returns: 5}}}}", "result: [5]")
    assert "AttributeError: the stand-in of thing has no 'fetch': add it to its 'methods'" in told


@pytest.mark.parametrize(
    "stand_in", ["is_awaited: true, returns: 5", "methods: {fetch: {is_awaited: true, returns: 5}}"]
)
def test_what_is_awaited_can_be(stand_in: str) -> None:
    """Code that waits for its answers gets something to wait for."""
    method = ", method: fetch" if "fetch" in stand_in else ""
    site = f"things: {{}}\npipelines: {{p: [{{call: {{resource: thing{method}}}}}, await]}}\n"
    assert stood_in(site, f"resources: {{thing: {{{stand_in}}}}}", "result: [5]") == []
    failing = stand_in.replace("returns: 5", "raises: OSError")
    assert stood_in(site, f"resources: {{thing: {{{failing}}}}}", "error: OSError") == []


def test_a_value_stands_in_for_what_the_configuration_offers() -> None:
    """It takes the place of a context."""
    site = "contexts: {users: [Ada]}\npipelines: {p: [{fetch-context: {context: users}}]}\n"
    assert stood_in(site, "resources: {context.users: {value: [Bo]}}", "result: {users: [Bo]}") == []
    assert stood_in(site, "advance: 0", "result: {users: [Ada]}") == []


def test_a_pipeline_stands_in_for_another_one() -> None:
    """Whoever runs that one runs the stand-in, and waits for it."""
    site = """\
pipelines:
  p: [{run-pipeline: {pipeline: real}}]
  real: [{raise-exception: {}}]
  fake: [{wait: {delay: 1}}, {set-value: {path: by, value: fake}}]
"""
    stand_in = "resources: {pipeline.real: {pipeline: fake}}"
    assert stood_in(site, f"{stand_in}, advance: 1", "result: {by: fake}") == []
