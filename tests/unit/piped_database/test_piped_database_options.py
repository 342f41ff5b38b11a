"""Tests of what may be written of an engine."""

from __future__ import annotations

from piped_database.options import _problem_of


def test_a_url_without_its_host() -> None:
    """Where a forgotten host makes a port of the password, the problem that this is does not show it."""
    problem = _problem_of({"url": "postgresql+psycopg://ada:secret/name"})
    assert problem is not None
    assert "port in its URL" in problem[0]
    assert "secret" not in "".join(problem)
