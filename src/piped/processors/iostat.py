"""The step that reads what the program iostat prints."""

from __future__ import annotations

from typing import Any, Final

from piped import ConfigurationError, InputOutputProcessor, Path
from piped.pipelines.input_output import SAME_AS_INPUT
from piped.pipelines.processor import Baton

_ONE_DISK: Final[tuple[tuple[str, list[str]], ...]] = (("disk0", ["KB/t", "tps", "MB/s"]),)


class ParseIostatOutput(InputOutputProcessor):
    """Read lines of numbers, as iostat prints them, into a mapping of mappings: `{disk0: {KB/t: 24.1, …}}`.

    A text of several lines gives a list for each measure. A line that does not fit the format is a ValueError, and
    so is a heading.

    Args:
        input_path: where the text is.
        format: what the numbers of a line are, from left to right: a list of pairs of a device and its measures.

    Example:
        - set-value: {path: line, value: "  24.10   5  0.12   3  1  96"}
        - parse-iostat-output:
            output_path: load
            format:
                - [disk0, [KB/t, tps, MB/s]]
                - [cpu, [us, sy, id]]
    """

    name = "parse-iostat-output"

    def __init__(
        self,
        input_path: Path = "line",
        format: tuple[tuple[str, list[str]], ...] = _ONE_DISK,
        output_path: Path | None = SAME_AS_INPUT,
        **io: Any,
    ) -> None:
        super().__init__(input_path=input_path, output_path=output_path, **io)
        self._columns = [(device, measure) for device, measures in format for measure in measures]
        if not self._columns:
            raise ConfigurationError("the format names no measure", hint="write a list such as [[disk0, [tps]]]")
        for column in self._columns:
            if self._columns.count(column) > 1:
                raise ConfigurationError(f"the format has two measures {column[1]!r} of {column[0]!r}")

    def process_input(self, input: Any, baton: Baton) -> dict[str, dict[str, Any]]:
        if not isinstance(input, str):
            raise TypeError(f"what lies at {self.input_path!r} is no text but {type(input).__name__}")
        rows = [self._numbers(line) for line in input.strip().splitlines() or [""]]
        parsed: dict[str, dict[str, Any]] = {}
        for (device, measure), numbers in zip(self._columns, zip(*rows, strict=True), strict=True):
            parsed.setdefault(device, {})[measure] = list(numbers) if len(rows) > 1 else numbers[0]
        return parsed

    def _numbers(self, line: str) -> list[float]:
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            numbers = []
        if len(numbers) != len(self._columns):
            names = ", ".join(f"{measure} of {device}" for device, measure in self._columns)
            raise ValueError(f"expected {len(self._columns)} numbers ({names}), not {line.strip()[:80]!r}")
        return numbers
