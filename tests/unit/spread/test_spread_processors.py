"""Tests of calls from a pipeline."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.spread import pb

import piped
from piped import ConfigurationError, NotReadyError
from piped.catalog.discovery import discover
from piped.spread.errors import RemoteError, remote_failure
from piped.testing import Stage

CLIENT = "pb.client.greeter"


class Root:
    """A remote object that notes its calls."""

    def __init__(self, answer: Any = "Hello") -> None:
        self.answer, self.calls = answer, []

    def callRemote(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((name, args, kwargs))
        return self.answer if isinstance(self.answer, Deferred) or self.answer is None else succeed(self.answer)


def stage(options: str, root: Any) -> Stage:
    text = f"pipelines: {{main: [pb-call-remote: {{client: greeter, name: greet, {options}}}]}}"
    return Stage(text, resources={f"{CLIENT}.root_object": root, CLIENT: object()})


def test_the_answer_is_put_in_the_baton() -> None:
    """Without further options the method is called without arguments, and the answer is the `result`."""
    root = Root()
    assert stage("", root).run("main", {}) == [{"result": "Hello"}]
    assert root.calls == [("greet", (), {})]


@pytest.mark.parametrize("args", [[1, b"two"], (1, b"two")], ids=repr)
def test_arguments_come_from_the_baton(args: Any) -> None:
    """A list for those by position, a mapping for those by name; '' makes the answer the baton."""
    root = Root()
    found = stage("args_path: in.args, kwargs_path: in.named, output_path: ''", root).run(
        "main", {"in": {"args": args, "named": {"when": "now"}}}
    )
    assert (found, root.calls) == (["Hello"], [("greet", (1, b"two"), {"when": "now"})])


def test_arguments_that_are_missing_are_none() -> None:
    """Where nothing lies at a path, the call has no arguments."""
    root = Root()
    stage("args_path: args, kwargs_path: named", root).run("main", {"args": None})
    assert root.calls == [("greet", (), {})]


@pytest.mark.parametrize(("key", "value"), [("args", "text"), ("named", [1]), ("named", {1: 2})])
def test_what_are_no_arguments_is_told_with_its_path(key: str, value: Any) -> None:
    """A text is no list of letters."""
    with pytest.raises(TypeError, match=f"what lies at '{key}' is no"):
        stage("args_path: args, kwargs_path: named", Root()).run("main", {key: value})


def test_a_call_without_an_answer_gives_none() -> None:
    """Who asks for no answer gets none."""
    assert stage("kwargs_path: named", Root(None)).run("main", {"named": {"pbanswer": False}}) == [
        {"named": {"pbanswer": False}, "result": None}
    ]


def test_a_remote_failure_is_raised_and_can_be_trapped() -> None:
    """What fails on the other side fails the step, with the name and the text there."""
    copied = pb.CopiedFailure.__new__(pb.CopiedFailure)
    copied.__dict__ = {"type": b"shop.OutOfStock", "value": "no more", "traceback": "", "parents": ["shop.OutOfStock"]}
    with pytest.raises(RemoteError) as raised:
        stage("", Root(fail(remote_failure(copied)))).run("main", {})
    assert (raised.value.remoteType, raised.value.value, str(raised.value)) == ("shop.OutOfStock", "no more", "no more")


def test_the_client_is_waited_for() -> None:
    """A pipeline whose client is not there is not ready; a call that is under way waits for its client."""
    one = stage("", Root())
    one.lose(f"{CLIENT}.root_object")
    with pytest.raises(NotReadyError):
        one.get("pipeline.main")


def test_an_answer_may_take_as_long_as_allowed() -> None:
    """After `timeout` the call is forgotten, and the step fails."""
    cancelled: list[Any] = []
    one = stage("timeout: 5", Root(Deferred(cancelled.append)))
    failures: list[Any] = []
    one.start("main", {}).addErrback(failures.append)
    one.clock.advance(4.9)
    assert failures == []
    one.clock.advance(0.2)
    assert isinstance(failures[0].value, piped.TimeoutError)
    assert "pb.client.greeter has not answered 'greet' within 5 s" in str(failures[0].value)
    assert cancelled


def test_a_cancelled_baton_forgets_its_call() -> None:
    """Nobody waits for what is not needed any more."""
    cancelled: list[Any] = []
    one = stage("", Root(Deferred(cancelled.append)))
    started = one.start("main", {})
    started.addErrback(lambda failure: failure.trap(CancelledError) and None)
    started.cancel()
    assert cancelled


def test_an_answer_in_time_leaves_no_timer() -> None:
    """A timeout costs nothing once there is an answer."""
    one = stage("timeout: 5", Root())
    one.run("main", {})
    assert one.clock.getDelayedCalls() == []


def test_a_client_that_is_not_configured_is_told() -> None:
    """A name that nobody configured is a Problem."""
    with pytest.raises(ConfigurationError, match=r"pb\.client\.gretter"):
        Stage(
            "pb: {clients: {greeter: {endpoint: 'tcp:h:1'}}}\n"
            "pipelines: {main: [pb-call-remote: {client: gretter, name: greet}]}"
        )


def test_the_reference_says_all_and_its_example_runs() -> None:
    """Each option has a text, and the example does what it shows."""
    catalog, _ = discover(None, None, (), built_in=["piped.spread", "piped.processors"])
    spec = catalog.processors["pb-call-remote"].spec
    assert not [parameter.name for parameter in spec.parameters if not parameter.text]
    [example] = spec.examples
    root = Root("Hello world")
    resources = {f"{CLIENT}.root_object": root, CLIENT: object()}
    one = Stage(f"pipelines:\n  main:\n{textwrap.indent(example, '    ')}", resources=resources)
    [baton] = one.run("main", {})
    assert baton["greeting"] == "Hello world"
    assert root.calls == [("join", ("Hello", "world"), {})]
