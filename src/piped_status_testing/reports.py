"""Report: what became of each test of a run, in plain values."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Status = Literal["success", "failure", "error", "skipped", "expected_failure", "unexpected_success", "todone"]
#: Every status in the words of summaries, and in their order.
STATUSES: Final[dict[Status, str]] = {
    "success": "passed",
    "failure": "failed",
    "error": "in error",
    "unexpected_success": "passed unexpectedly",
    "expected_failure": "failed as expected",
    "todone": "passed though still to do",
    "skipped": "skipped",
}
#: What makes a run fail. A `todo` that is done is good news; `unittest.expectedFailure` was a promise.
BAD: Final[frozenset[Status]] = frozenset({"failure", "error", "unexpected_success"})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test.

    Args:
        test: its dotted name.
        failure: where it failed, how, and the lines of its own that led there; '' where nothing failed.
        reason: why it was skipped or expected to fail, in the words of who wrote it.
    """

    test: str
    status: Status
    seconds: float
    failure: str = ""
    reason: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether it makes the run fail."""
        return self.status in BAD


@dataclass(eq=False)
class Report:
    """What became of the tests of a run, in the order in which they ran.

    Args:
        name: of the suite.
        finished: seconds since 1970; None while tests are running.
    """

    name: str = ""
    results: list[Result] = field(default_factory=list)
    finished: float | None = None

    @property
    def is_successful(self) -> bool:
        """Whether nothing failed that was not expected to."""
        return not any(result.is_bad for result in self.results)

    @property
    def counts(self) -> Counter[Status]:
        """How many tests there are of each status that occurred."""
        return Counter(result.status for result in self.results)

    @property
    def seconds(self) -> float:
        """How long all tests took."""
        return sum(result.seconds for result in self.results)

    @property
    def summary(self) -> str:
        """The counts in words.

        Example:
            >>> Report("", [Result("a", "success", 0.25), Result("b", "failure", 1.5)]).summary
            '2 tests in 1.750 s: 1 passed, 1 failed'
        """
        counts = self.counts
        told = ", ".join(f"{counts[status]} {words}" for status, words in STATUSES.items() if counts[status])
        total = len(self.results)
        return f"{total} test{'' if total == 1 else 's'} in {self.seconds:.3f} s" + (f": {told}" if told else "")

    def as_mapping(self) -> dict[str, Any]:
        """The same as lists and mappings, for JSON; `counts` has every status. Unfinished, it is no success yet."""
        counts = self.counts
        return {
            "name": self.name,
            "is_successful": self.finished is not None and self.is_successful,
            "finished": self.finished,
            "counts": {status: counts[status] for status in STATUSES},
            "results": [asdict(result) for result in self.results],
        }
