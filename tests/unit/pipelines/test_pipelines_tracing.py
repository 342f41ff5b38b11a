"""Tracing: snapshots of batons; what traces hold is tested with the pipelines that fill them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from piped.pipelines.tracing import MOST_SIGNS, MOST_VALUES, snapshot


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("do not look at me")

    def __repr__(self) -> str:
        raise RuntimeError("nor like this")


def loop() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        ({"a": [1, 2.5, None, True], "b": ("x", {"y"})}, {"a": [1, 2.5, None, True], "b": ["x", ["y"]]}),
        ({1: 2}, {"1": 2}),
        (b"bytes", "b'bytes'"),
        (float("nan"), "nan"),
        (ValueError("no"), "ValueError('no')"),
        (Hostile(a=1), "<Hostile that cannot be copied: RuntimeError>"),
    ],
)
def test_a_snapshot_is_json(value: Any, copy: Any) -> None:
    """What JSON can express is copied, of anything else there is a repr, and no value can break the walk."""
    assert snapshot(value) == copy
    json.dumps(snapshot(value), allow_nan=False)


def test_a_snapshot_is_independent() -> None:
    """What happens to a baton later does not change its snapshot."""
    baton = {"names": ["Ada"]}
    copy = snapshot(baton)
    baton["names"].append("Bo")
    assert copy == {"names": ["Ada"]}


@pytest.mark.parametrize("value", ["x" * 10**6, b"x" * 10**6, list(range(10**6)), loop(), [[0] * 1000] * 1000])
def test_a_snapshot_is_bounded(value: Any) -> None:
    """However large, deep or endless a baton is, its snapshot stays small."""
    assert len(json.dumps(snapshot(value))) < 10 * max(MOST_SIGNS, MOST_VALUES)


def test_the_depth_of_a_snapshot_can_be_chosen() -> None:
    """Below the depth there is a repr."""
    assert snapshot({"a": {"b": {"c": 1}}}, depth=1) == {"a": "{'b': {'c': 1}}"}
