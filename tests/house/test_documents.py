"""What the documents and docstrings show is what happens."""

import doctest
import importlib
import pkgutil
import re
import sys
import textwrap
from pathlib import Path

import pytest

import piped
from piped.app.loading import Settings, catalog_of
from piped.config.gathering import gather_text
from piped.runtime.assembly import check

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SOURCE = str(Path(piped.__file__).parents[1])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([SOURCE])
    if module.name.startswith("piped") and not module.name.endswith("__main__")
)


def blocks(language):
    """The code of every block of a language in the README."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name):
    """What a docstring shows behind >>> is what Python answers."""
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def providers():
    return [entry for entry in catalog_of(None, Settings()).providers if entry.spec.examples]


@pytest.mark.parametrize("entry", providers(), ids=lambda entry: entry.name)
def test_the_example_of_a_provider_is_a_configuration(entry):
    """The configuration that a provider shows is accepted, once the pipelines that it names are there."""
    for example in entry.spec.examples:
        pipelines = "" if "pipelines:" in example else "\npipelines:\n"
        for name in ("processor_name", "another_processor_name") if pipelines else ():
            pipelines += f"  {name}: [passthrough]\n"
        assembly = check(gather_text(example + pipelines, "example", environ={}), {})
        assert assembly.problems == []


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the modules of the README, found as those beside a configuration are."""
    names = []
    for block in blocks("python"):
        if match := re.match(r"# (\w+)\.py", block):
            names.append(match[1])
            (tmp_path / f"{match[1]}.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in names:
        sys.modules.pop(name, None)


def test_the_configurations_of_the_readme_can_run(workplace):
    """Every YAML block of the README is accepted as it stands."""
    shown = blocks("yaml")
    assert len(shown) >= 2
    for block in shown:
        assert check(gather_text(block, "README.md", environ={}), {}).problems == []


def shown_in_docs():
    """The YAML of the documents, but for logging configurations."""
    for document in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```yaml\n(.*?)```", document.read_text(), re.DOTALL):
            if not block.startswith("version:"):
                yield pytest.param(block, id=f"{document.stem} {block.split(':')[0]}")


@pytest.mark.parametrize("block", list(shown_in_docs()))
def test_what_the_documents_show_can_be_written(block):
    """Every option that a document shows exists, and may have that value."""
    key = block.split(":")[0]
    lines = textwrap.indent(block, "    ")
    wanted = {
        "static": f"web:\n  site:\n   routing:\n    __config__:\n{textwrap.indent(block, '     ')}",
        "notes": f"web:\n  site:\n   routing:\n{lines}",
        "debug": f"web:\n  site:\n    routing: {{}}\n{lines}",
    }.get(key, block)
    problems = check(gather_text(wanted, "docs", environ={}), {}).problems
    assert [problem for problem in problems if "there is no" not in problem.what] == []


def test_the_mistakes_of_the_readme_are_told_as_shown():
    """The slips of the pen that the README shows get the lines that it shows."""
    slips = blocks("yaml")[0].replace("processor:", "oricessir:").replace("set-value", "set-valu")
    told = check(gather_text(slips, "hello.yaml", environ={}), {}).problems
    assert re.findall(r"^    (hello\.yaml:\d.*)", README, re.MULTILINE) == [str(problem) for problem in told]


def test_the_test_of_the_readme_passes(workplace):
    """The test that the README shows runs, and is true."""
    [test] = [block for block in blocks("python") if "def test_" in block]
    namespace = {}
    exec(test, namespace)
    for name, value in namespace.items():
        if name.startswith("test_"):
            value()


def test_the_processor_class_of_the_readme_works(workplace):
    """The class that the README shows asks another pipeline, and waits for it."""
    from piped.testing import Stage

    [block] = [block for block in blocks("python") if "class Ask" in block]
    namespace = {"__name__": "asking"}
    exec(block, namespace)
    stage = Stage(
        """
        pipelines:
          main: [{ask: {whom: pipeline.other, input_path: question, output_path: answer}}]
          other: [{eval-lambda: {lambda: 'question: question * 2'}}]
        """,
        namespace["Ask"],
    )
    assert stage.run("main", {"question": 21}) == [{"question": 21, "answer": 42}]


def test_the_provider_of_the_readme_offers_its_resources(workplace):
    """The provider that the README shows is found, checked, and gives what it says."""
    import counting

    from piped.testing import Stage

    stage = Stage("counters: {visits: {start: 7}}", counting.CounterProvider)
    assert stage.get("counter.visits") == {"total": 7}
