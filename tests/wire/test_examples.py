"""The examples do what they say."""

import json
import re

import pytest
from commands import EXAMPLES, Running, piped

FILES = sorted(file.name for file in EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_every_example_is_a_configuration_without_mistakes(name, tmp_path):
    """Each file under examples is accepted as it stands, without a warning."""
    done = piped("check", "--strict", EXAMPLES / name, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("problem")) == (0, 0), done.stderr


@pytest.mark.parametrize("name", [name for name in FILES if "\ntests:" in (EXAMPLES / name).read_text()])
def test_the_tests_of_an_example_pass(name, tmp_path):
    """What an example says about itself in its tests is so."""
    done = piped("test", EXAMPLES / name, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_the_readme_pass_as_shown(tmp_path):
    """What the README shows of `piped test` is what it prints, but for the time."""
    text = (EXAMPLES.parent / "README.md").read_text()
    [configuration] = re.findall(r"```yaml\n(# greeting\.yaml\n.*?)```", text, re.DOTALL)
    [shown] = re.findall(r"    \$ piped test greeting\.yaml\n((?:    .*\n)+)", text)
    (tmp_path / "greeting.yaml").write_text(configuration)
    printed = piped("test", "greeting.yaml", cwd=tmp_path).stdout
    assert re.sub(r"\d+ ms", "", printed) == re.sub(r"\d+ ms", "", shown.replace("    ", ""))


def test_the_access_log_has_a_file_of_its_own_as_documented(tmp_path):
    """The logging configuration that docs/web.md shows puts the lines of the access log, and only these, in a file."""
    text = (EXAMPLES.parent / "docs" / "web.md").read_text()
    [logging] = re.findall(r"```yaml\n(version: 1\n.*?)```", text, re.DOTALL)
    (tmp_path / "logging.yaml").write_text(logging)
    options = ("-O", "web.prices.port:0", "-O", "web.prices.access_log:combined", "-l", "logging.yaml")
    with Running(EXAMPLES / "tested.yaml", *options, cwd=tmp_path) as running:
        assert running.get("/?amount=1&currency=EUR").json() == {"total": 1.0}
        assert running.stop() == 0
    [line] = (tmp_path / "access.log").read_text().splitlines()
    assert '"GET /?amount=1&currency=EUR HTTP/1.1" 200' in line


def test_the_files_of_an_example_are_written(tmp_path):
    """Visits are counted across restarts, and every one of them is in the diary."""
    for _ in range(2):
        assert piped("run", EXAMPLES / "files.yaml", cwd=tmp_path).returncode == 0
    count = json.loads((tmp_path / "visits.json").read_text())["count"]
    assert count == 6
    assert (tmp_path / "visits.txt").read_text() == "".join(f"visit {n}\n" for n in range(1, 7))
    assert (tmp_path / "visits.log").read_text().split() == ["startup", "shutdown"] * 2
