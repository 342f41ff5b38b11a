"""Tests of the steps that append to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.python.filepath import FilePath

from piped.config.gathering import gather_text
from piped.config.nodes import shown
from piped.ground.errors import ConfigurationError
from piped.processors.files import AppendToFile
from piped.runtime.assembly import check
from piped.runtime.environment import RuntimeEnvironment

Main = Callable[[str], Any]


def written(tmp_path: Path, value: Any, **options: Any) -> bytes:
    """What a step appends for a value to an empty file."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    step = AppendToFile(FilePath(str(file)), input_path="value", **options)
    step.configure(RuntimeEnvironment())
    outcomes: list[Any] = []
    failures: list[Any] = []
    step.process({"value": value}).addCallbacks(outcomes.append, failures.append)
    for failure in failures:
        failure.raiseException()
    assert outcomes == [{"value": value}]
    return file.read_bytes()


@pytest.mark.parametrize(
    ("value", "options", "line"),
    [
        ("grün", {}, "grün\n".encode()),
        ("grün", {"encode": "latin-1"}, b"gr\xfcn\n"),
        (5, {}, b"5\n"),
        ({"a": 1}, {}, b"{'a': 1}\n"),
        ({"a": 1, "b": "x"}, {"format": "%(b)s: %(a)03d;"}, b"x: 001;"),
        (("x", 1), {"format": "%s is %d\n"}, b"x is 1\n"),
        (b"\xff\x00", {}, b"\xff\x00\n"),
        (b"\xff\x00", {"encode": None, "format": "%s"}, b"\xff\x00"),
        (b"x", {"encode": "latin-1", "format": "\xfc%s"}, b"\xfcx"),
    ],
)
def test_a_line_is_formatted_and_encoded(tmp_path: Path, value: Any, options: dict[str, Any], line: bytes) -> None:
    """Text is formatted as the operator % does and encoded; bytes stay as they are."""
    assert written(tmp_path, value, **options) == line


def test_a_formatter_makes_what_is_written(main: Main, tmp_path: Path) -> None:
    """It is called with the input, and finds its namespace."""
    running = main(f"""
        - append-to-file:
            file_path: {tmp_path}/file
            formatter: "value: json.dumps(value)"
            namespace: {{json: json}}
        """)
    assert running.run({"a": [None]}) == [{"a": [None]}]
    assert (tmp_path / "file").read_text() == '{"a": [null]}\n'


@pytest.mark.parametrize("baton", [{}, {"value": None}, {"value": ""}, {"value": 0}, {"value": []}])
def test_nothing_is_written_for_an_empty_input(main: Main, tmp_path: Path, baton: Any) -> None:
    """A baton without a value passes on."""
    running = main(f"- append-to-file: {{file_path: {tmp_path}/file, input_path: value}}")
    assert running.run(dict(baton)) == [baton]
    assert (tmp_path / "file").read_bytes() == b""


def test_only_bytes_are_written_without_an_encoding(tmp_path: Path) -> None:
    """encode: null leaves nobody to make bytes of a text."""
    with pytest.raises(TypeError, match="without an encoding only bytes can be written, not str"):
        written(tmp_path, "x", encode=None)


def test_a_line_that_cannot_be_written_fails_its_baton(main: Main) -> None:
    """The error names the file and the step, and error consumers get the baton."""
    steps = "- append-to-file: {file_path: /dev/full, input_path: value}"
    with pytest.raises(OSError, match="No space left on device: '/dev/full'") as raised:
        main(steps).run({"value": "x"})
    assert "append-to-file-1" in "".join(raised.value.__notes__)
    running = main(f"{steps}\n- __processor__: set-value\n  path: not\n  value: here")
    with pytest.raises(OSError, match="No space left"):
        running.run({"value": "x"})


def test_a_log_is_put_aside_and_a_file_is_not(main: Main, tmp_path: Path) -> None:
    """append-to-log begins a new file each day, append-to-file never does."""
    running = main(f"""
        - append-to-log: {{file_path: {tmp_path}/log, input_path: value}}
        - append-to-file: {{file_path: {tmp_path}/file, input_path: value}}
        """)
    running.environment.wall_clock = lambda: 0.0
    running.environment.application.startService()
    running.run({"value": "1"})
    running.environment.wall_clock = lambda: 2 * 86400.0
    running.run({"value": "2"})
    running.environment.application.stopService()
    assert {path.name for path in tmp_path.iterdir() if path.name != "site.yml"} > {"log", "file"}
    assert ((tmp_path / "log").read_text(), (tmp_path / "file").read_text()) == ("2\n", "1\n2\n")


def test_all_steps_of_a_file_share_it(main: Main, tmp_path: Path) -> None:
    """However the path is written, the file is opened once."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    running = main(f"""
        - append-to-file: {{file_path: {tmp_path}/file, input_path: value}}
        - append-to-file: {{file_path: !filepath {tmp_path}/link, input_path: value}}
        - append-to-file: {{file_path: {tmp_path}/../{tmp_path.name}/file, input_path: value}}
        """)
    assert len(list(running.environment.application)) == 1
    running.run({"value": "x"})
    assert (tmp_path / "file").read_text() == "x\nx\nx\n"


@pytest.mark.parametrize(
    ("path", "what"),
    [("{}/gone/file", "cannot be written: No such file or directory"), ("{}", "cannot be written: Is a directory")],
)
def test_a_file_that_cannot_be_opened_is_told_at_the_start(main: Main, tmp_path: Path, path: str, what: str) -> None:
    """It is told with its path and the place of the step."""
    path = path.format(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        main(f"- append-to-file: {{file_path: {path}}}")
    [problem] = raised.value.problems
    assert problem.what == f"{path} {what}"
    assert (problem.where.file, problem.where.line) == (shown(f"{tmp_path}/site.yml"), 3)


def test_a_file_is_not_rotated_by_one_step_only(main: Main, tmp_path: Path) -> None:
    """append-to-file and append-to-log at the same path contradict each other."""
    with pytest.raises(ConfigurationError) as raised:
        main(f"- append-to-file: {{file_path: {tmp_path}/a}}\n- append-to-log: {{file_path: {tmp_path}/a}}")
    [problem] = raised.value.problems
    assert "is written by append-to-file and by append-to-log" in problem.what
    assert problem.where.line == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("encode: utf9", "there is no encoding 'utf9'"),
        ("encode: ascii, format: 'ü%s'", "the format does not fit the encoding"),
        ("encode: utf-8-sig", "'utf-8-sig' would put a mark in front of every line"),
        ("encode: utf-16", "'utf-16' would put a mark in front of every line"),
        ("format: '100%'", "'100%' is no format for a line: incomplete format"),
        ("format: '%(name)y'", "unsupported format character 'y'"),
        ("formatter: 'value: gone.gone(', namespace: {}", "is no Python"),
    ],
)
def test_options_that_cannot_be_used_are_told_at_the_start(
    main: Main, tmp_path: Path, options: str, message: str
) -> None:
    """They are mistakes of the configuration."""
    with pytest.raises(ConfigurationError, match=message):
        main(f"- append-to-file: {{file_path: {tmp_path}/file, {options}}}")


def test_a_check_makes_no_file(tmp_path: Path) -> None:
    """`piped check` opens nothing, even if the file could not be opened."""
    for path in (f"{tmp_path}/file", f"{tmp_path}/gone/file"):
        text = f"pipelines: {{main: [{{append-to-file: {{file_path: {path}}}}}]}}"
        assert check(gather_text(text, "site.yml", environ={}), {}).problems == []
    assert not list(tmp_path.iterdir())
