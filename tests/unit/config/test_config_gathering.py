"""A whole configuration from its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path

import pytest

from piped.config.gathering import Gathered, gather, gather_text
from piped.ground.errors import Mark

Write = Callable[[Mapping[str, str]], None]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes files into the run directory, which is a fresh one."""

    def write_files(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    with chdir(tmp_path):
        yield write_files


def gathered(*overrides: str, file: str = "site.yml", environ: Mapping[str, str] | None = None) -> Gathered:
    return gather(file, overrides, environ=environ or {})


def told(found: Gathered) -> list[str]:
    return [str(problem) for problem in found.problems]


def where(found: Gathered, path: str) -> str:
    node = found.root.at(path)
    assert node is not None, path
    return str(node.where)


def test_one_file(write: Write) -> None:
    """A file alone is the configuration."""
    write({"site.yml": "a: {b: 1}\n"})
    found = gathered()
    assert (found.root.plain(), found.problems, found.files) == ({"a": {"b": 1}}, [], ["site.yml"])
    assert found.used == {"includes", "runmodes"}


def test_a_file_wins_over_what_it_includes(write: Write) -> None:
    """Includes add what the file lacks; each value has the place of its own file."""
    write({"site.yml": "includes: [base.yml]\na: {x: 1}\n", "base.yml": "a: {x: 0, y: 0}\nb: 0\n"})
    found = gathered()
    assert found.root.plain() == {"includes": ["base.yml"], "a": {"x": 1, "y": 0}, "b": 0}
    assert (where(found, "a.x"), where(found, "a.y")) == ("site.yml:2:8", "base.yml:1:14")
    assert found.files == ["site.yml", "base.yml"]


def test_a_later_include_wins(write: Write) -> None:
    """Of two includes the later one wins, and of includes of includes the nearer one."""
    write(
        {
            "site.yml": "includes: [one.yml, two.yml]\n",
            "one.yml": "a: 1\nb: 1\nc: 1\n",
            "two.yml": "includes: [three.yml]\na: 2\n",
            "three.yml": "a: 3\nb: 3\n",
        }
    )
    found = gathered().root.plain()
    assert (found["a"], found["b"], found["c"]) == (2, 3, 1)


def test_includes_below_a_prefix(write: Write) -> None:
    """A file can be included below a dotted path; several in one element come sorted by it."""
    write(
        {
            "site.yml": "includes:\n  - {z.b: two.yml, z: one.yml}\n  - my\\.site: one.yml\nz: {a: 0}\n",
            "one.yml": "a: 1\nb: {x: 1, y: 1}\n",
            "two.yml": "y: 2\n",
        }
    )
    found = gathered()
    assert found.root.plain()["z"] == {"a": 0, "b": {"x": 1, "y": 2}}
    assert found.root.plain()["my.site"] == {"a": 1, "b": {"x": 1, "y": 1}}
    node = found.root.at(r"my\.site")
    assert node is not None
    assert node.key_where == Mark("site.yml", 3, 5)
    assert found.problems == []


def test_relative_includes_are_found_beside_their_file(write: Write) -> None:
    """An include is looked up beside the including file, then in the run directory."""
    write(
        {
            "conf/site.yml": "includes: [base.yml, other.yml]\n",
            "conf/base.yml": "a: beside\n",
            "base.yml": "a: run\n",
            "other.yml": "b: run\n",
        }
    )
    found = gathered(file="conf/site.yml")
    assert (where(found, "a"), where(found, "b")) == ("conf/base.yml:1:4", "other.yml:1:4")


def test_names_of_includes_are_filled_in(write: Write, tmp_path: Path) -> None:
    """`~`, `$VAR`, `${VAR:-default}` and `!filepath` work in the name of an include."""
    write(
        {
            "site.yml": "includes: [~/a.yml, $DIR/b.yml, '${NONE:-conf}/c.yml', !filepath conf/d.yml ]\n",
            "home/a.yml": "a: 1\n",
            "conf/b.yml": "b: 1\n",
            "conf/c.yml": "c: 1\n",
            "conf/d.yml": "d: 1\n",
        }
    )
    found = gathered(environ={"HOME": str(tmp_path / "home"), "DIR": str(tmp_path / "conf")})
    assert (told(found), set(found.root.value)) == ([], {"includes", "a", "b", "c", "d"})
    assert found.files == ["site.yml", "home/a.yml", "conf/b.yml", "conf/c.yml", "conf/d.yml"]


def test_a_loop_is_skipped_with_a_warning(write: Write) -> None:
    """Files that include each other give the union, the first one wins, and both lines are named."""
    write(
        {"foo.yml": "number: 1\nfoo: 1\nincludes: [bar.yml]\n", "bar.yml": "number: 2\nbar: 2\nincludes: [foo.yml]\n"}
    )
    for first, number in (("foo.yml", 1), ("bar.yml", 2)):
        found = gathered(file=first)
        plain = found.root.plain()
        assert (plain["number"], plain["foo"], plain["bar"]) == (number, 1, 2)
        assert found.problems[0].is_warning
    assert told(gathered(file="foo.yml")) == [
        "bar.yml:3:12: warning: the include of 'foo.yml' closes a loop, which begins at foo.yml:3:12; it is skipped"
        " – remove this include"
    ]


def test_a_loop_is_told_once_for_each_include(write: Write) -> None:
    """An include that closes a loop is told once, however many ways lead to it."""
    write(
        {
            "site.yml": "includes: [one.yml, two.yml]\n",
            "one.yml": "includes: [two.yml]\n",
            "two.yml": "includes: [site.yml]\n",
        }
    )
    assert [str(problem.where) for problem in gathered().problems] == ["two.yml:1:12"]


def test_a_file_that_includes_itself(write: Write) -> None:
    """A file that includes itself is read once, with a warning."""
    write({"site.yml": "includes: [./site.yml]\na: 1\n"})
    found = gathered()
    assert found.root.plain()["a"] == 1
    assert told(found) == [
        "site.yml:1:12: warning: the include of 'site.yml' closes a loop, of one file; it is skipped"
        " – remove this include"
    ]


def test_a_file_may_be_included_by_several(write: Write) -> None:
    """A file that two others include is no loop, and its mistakes are told once."""
    write(
        {
            "site.yml": "includes: [one.yml, two.yml]\n",
            "one.yml": "includes: [base.yml]\na: 1\n",
            "two.yml": "includes: [base.yml]\n",
            "base.yml": "a: 0\nb: yes\nincludes: [none.yml]\n",
        }
    )
    found = gathered()
    assert found.root.plain()["a"] == 0
    assert [str(problem.where) for problem in found.problems] == ["base.yml:2:4", "base.yml:3:12"]


@pytest.mark.parametrize(
    ("includes", "problem"),
    [
        ("base.yml", "1:11: 'includes' takes a list of files, and this is 'base.yml'"),
        ("{a: b}", "1:11: 'includes' takes a list of files, and this is a mapping"),
        ("[12]", "1:12: an include is the name of a file, and this is 12"),
        ("[[a]]", "1:12: an include is the name of a file, and this is a list"),
        ("['']", "1:12: an include is the name of a file, and this is ''"),
        ("[{a: }]", "1:16: an include is the name of a file, and this is null"),
        ("[gone.yml]", "1:12: there is no file 'gone.yml'"),
        ("[$NO/x.yml]", "1:12: there is no file '$NO/x.yml' – the environment variable NO is not set"),
        ("['${NO}/x.yml']", "1:12: the environment variable NO is not set"),
        ("[conf]", "1:12: 'conf' cannot be read: is a directory"),
        ('["a\\0b"]', "1:12: there is no file 'a\\x00b'"),
    ],
)
def test_an_include_that_cannot_be_is_told(write: Write, includes: str, problem: str) -> None:
    """A wrong include is told at its place, and the rest of the configuration is there."""
    write({"site.yml": f"includes: {includes}\na: 1\n", "conf/x.yml": ""})
    found = gathered()
    assert found.root.plain()["a"] == 1
    (line,) = told(found)
    assert line.startswith(f"site.yml:{problem}")


def test_a_broken_file_does_not_hide_the_others(write: Write) -> None:
    """Each file's mistakes are told, and all the others are read."""
    write({"site.yml": "includes: [one.yml, two.yml]\na: 1\n", "one.yml": "b: [\n", "two.yml": "c: 1\nc: 2\n"})
    found = gathered()
    assert [str(problem.where) for problem in found.problems] == ["one.yml:2:1", "two.yml:2:1"]
    assert (found.root.plain()["a"], found.root.plain()["c"]) == (1, 1)


def test_no_file_at_all(write: Write) -> None:
    """A name that is no file is told, with one that is."""
    write({"site.yml": ""})
    found = gathered(file="sites.yml")
    assert told(found) == ["there is no file 'sites.yml' – did you mean 'site.yml'?"]
    assert found.root.value == {}


def test_a_run_mode_wins_over_its_file(write: Write) -> None:
    """The part for the run mode lies over its own file; without that run mode it changes nothing."""
    write(
        {
            "site.yml": "includes: [base.yml]\na: 1\nb: 1\nrunmodes: {unittest: {a: 2, c: 2}}\n",
            "base.yml": "b: 0\nd: 0\nrunmodes: {unittest: {b: 3, d: 3}}\n",
        }
    )
    found = gather("site.yml", runmode="unittest", environ={}).root.plain()
    assert (found["a"], found["b"], found["c"], found["d"]) == (2, 1, 2, 3)
    assert (gathered().root.plain()["a"], gathered().root.plain()["d"]) == (1, 0)


def test_a_run_mode_that_is_no_mapping_is_told(write: Write) -> None:
    """What a run mode changes are names with values."""
    write({"site.yml": "runmodes: {unittest: 3}\n"})
    found = gather("site.yml", runmode="unittest", environ={})
    assert told(found) == [
        "site.yml:1:22: the run mode 'unittest' takes a mapping of names to values, and this is 3"
        " – write what it changes as names with values below it"
    ]


def test_aliases_reach_across_files(write: Write) -> None:
    """An alias may refer to another file, and a file may add to an alias of one it includes."""
    write(
        {
            "site.yml": "includes: [base.yml]\ndefaults: {host: h}\nb: {extra: 1, host: x}\n",
            "base.yml": "a: !alias:defaults\nb: !alias:defaults\n  pool: 4\n",
        }
    )
    found = gathered()
    assert found.root.plain()["a"] == {"host": "h"}
    assert found.root.plain()["b"] == {"host": "h", "pool": 4, "extra": 1}
    assert "defaults" in found.used


def test_overrides_come_last(write: Write) -> None:
    """An override wins over every file and over earlier ones; it sees aliases, and may be one."""
    write({"site.yml": "d: {x: 1}\na: !alias:d\n"})
    found = gathered("a.x:2", "a.y:1", "a.y:3", "c:!alias:a")
    assert found.root.plain() == {"d": {"x": 1}, "a": {"x": 2, "y": 3}, "c": {"x": 2, "y": 3}}
    assert where(found, "a.y") == "-O 'a.y:3':1:5"
    assert found.used == {"includes", "runmodes", "d", "a"}


def test_mistakes_of_overrides_are_told_with_the_others(write: Write) -> None:
    """All mistakes of files and overrides come in one list."""
    write({"site.yml": "a: 1\na: 2\n"})
    assert [str(problem.where) for problem in gathered("b:[1", "c").problems] == [
        "site.yml:2:1",
        "-O 'b:[1':1:3",
        "-O 'c':1:1",
    ]


def test_nothing_grows_without_bound(write: Write) -> None:
    """Prefixes, files and overrides that nest too deeply together are told, not crashed into."""
    prefix = ".".join("a" * 60)
    write(
        {
            "site.yml": f"includes: [{{{prefix}: one.yml}}]\n",
            "one.yml": f"includes: [{{{prefix}: two.yml}}]\n",
            "two.yml": "x: 1\n",
            "deep.yml": f"a: {'[' * 90}{']' * 90}\n",
        }
    )
    (problem,) = gathered().problems
    assert problem.what == "includes lead through more than 100 files and prefixes"
    (problem,) = gathered(f"b.{prefix}:!alias:a", file="deep.yml").problems
    assert "levels deep" in problem.what


def test_many_files_in_a_row(write: Write) -> None:
    """A hundred files that include each other in a row end in a problem, not in a crash."""
    write({f"{n}.yml": f"includes: [{n + 1}.yml]\n" for n in range(300)})
    (problem,) = gathered(file="0.yml").problems
    assert problem.what == "includes lead through more than 100 files and prefixes"


def test_a_text_is_gathered_like_a_file(write: Write) -> None:
    """A configuration that stands in no file has includes and aliases all the same."""
    write({"base.yml": "b: 1\n"})
    found = gather_text("includes: [base.yml]\na: !alias:b\n", "<test>", environ={})
    assert (found.root.plain(), found.problems) == ({"includes": ["base.yml"], "a": 1, "b": 1}, [])
    assert (where(found, "includes"), found.files) == ("<test>:1:11", ["base.yml"])
