"""Processors and providers are found in packages, bundles and houses; what cannot be searched is told."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from piped import PipedService
from piped.catalog.catalog import Catalog
from piped.catalog.discovery import discover
from piped.catalog.marking import processor
from piped.config.nodes import shown
from piped.config.reading import read_value
from piped.ground.errors import Mark

STEP = """
from piped.catalog.marking import processor

@processor("{name}")
def step(baton): ...
"""
OLD = """
class Base:
    name = ""
    def process(self, baton): ...
    def get_consumers(self, baton): ...

class Step(Base):
    name = "old-step"

class Abstract(Base): ...
class Nameless(Step): ...

class Provider:
    def configure(self, runtime_environment): ...
    def add_consumer(self, dependency): ...

class _Private(Provider): ...

class Demanding(Provider):
    def __init__(self, listen): ...
"""

Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules where Python finds them, and forgets them after the test."""

    def write_files(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield write_files
    for name in set(sys.modules) - before:
        del sys.modules[name]


def found(text: str = "{}", sections: Any = (), built_in: tuple[str, ...] = ()) -> tuple[Catalog, list[str]]:
    """The catalog, and the Problems as a user sees them."""
    node = read_value(text, Mark("site.yml", 1, 1), {}).root
    catalog, problems = discover(node.at("bundles"), node.at("disabled"), sections, built_in=built_in)
    return catalog, [str(problem) for problem in problems]


def house(write: Write, name: str, house: str, files: dict[str, str], distribution: str = "piped-acme") -> None:
    """Writes a package, with a distribution whose entry point names it."""
    information = f"{distribution}.dist-info"
    write(
        {
            f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n",
            f"{information}/entry_points.txt": f"[piped]\nany = {name}\n",
            f"{name}/__init__.py": house,
            **{f"{name}/{file}": text for file, text in files.items()},
        }
    )


def test_packages_are_searched_with_all_below_them(write):
    """Every marked function and class counts, however deep its module lies; `__main__` is not run."""
    write(
        {
            "shop/__init__.py": STEP.format(name="top"),
            "shop/steps.py": STEP.format(name="steps"),
            "shop/deep/__init__.py": "",
            "shop/deep/deeper.py": STEP.format(name="deeper"),
            "shop/__main__.py": "raise SystemExit('must not run')",
            "shop/providers.py": """
                from piped.catalog.marking import provider

                @provider("shop.carts", dict[str, int])
                class Carts: ...
                """,
        }
    )
    catalog, problems = found("{bundles: {mine: [shop]}}")
    assert problems == []
    assert list(catalog.processors) == ["top", "deeper", "steps"]
    (provider,) = catalog.providers
    assert (provider.section, provider.shape, provider.origin) == ("shop.carts", dict[str, int], "shop.providers.Carts")
    assert list(found(built_in=("shop",))[0].processors) == ["top", "deeper", "steps"]


def test_a_bundle_may_be_a_module(write):
    """One file is enough for one's own processors."""
    write({"alone.py": STEP.format(name="alone")})
    assert list(found("{bundles: {mine: [alone]}}")[0].processors) == ["alone"]


def test_classes_in_the_old_manner_need_no_mark(write):
    """A class with a name, process and get_consumers is a processor; one with configure and add_consumer a provider."""
    write({"old.py": OLD})
    catalog, problems = found("{bundles: {mine: [old]}}")
    assert problems == []
    assert {name: entry.origin for name, entry in catalog.processors.items()} == {"old-step": "old.Step"}
    assert [(entry.section, entry.shape, entry.name) for entry in catalog.providers] == [(None, Any, "Provider")]


def test_what_is_imported_into_another_module_is_found_once(write):
    """Neither importing a plugin nor naming its module twice makes it two."""
    write(
        {
            "shop/__init__.py": "from shop.old import *\nfrom shop.steps import step as renamed",
            "shop/old.py": OLD,
            "shop/steps.py": STEP.format(name="step"),
        }
    )
    catalog, problems = found("{bundles: {mine: [shop, shop.old], yours: [shop.steps, shop]}}")
    assert problems == []
    assert sorted(catalog.processors) == ["old-step", "step"]
    assert len(catalog.providers) == 1


SERVICES = """
from abc import ABC, abstractmethod
from twisted.application.service import Service
from piped import PipedDependencyService, PipedService

class Sweeper(PipedService): ...
class Feeder(PipedDependencyService): ...

class Plain(Service):
    def configure(self, runtime_environment): ...
    def is_enabled(self): return True

class _Base(PipedService): ...
class Worker(PipedService):
    def __init__(self, queue): ...
class Abstract(PipedService, ABC):
    @abstractmethod
    def sweep(self): ...
class Silent(Service):
    def configure(self, runtime_environment): ...
class NoService:
    def configure(self, runtime_environment): ...
    def is_enabled(self): return True
"""


def test_services_need_no_mark(write):
    """A class that can be made, configured and asked whether it is enabled is a service; bases and parts are none."""
    write({"services.py": SERVICES, "others.py": "from services import Sweeper\nfrom piped import PipedService"})
    catalog, problems = found("{bundles: {mine: [others, services]}}")
    assert problems == []
    assert [(entry.section, entry.origin) for entry in catalog.providers] == [
        (None, "services.Sweeper"),
        (None, "services.Feeder"),
        (None, "services.Plain"),
    ]


def test_a_service_that_is_only_imported_is_none_of_the_bundle(write):
    """Whoever imports a service to build on it does not start it."""
    write({"services.py": SERVICES, "others.py": "from services import Sweeper\nfrom piped import PipedService"})
    assert found("{bundles: {mine: [others]}}")[0].providers == []


def test_a_marked_service_reads_its_section(write):
    """A mark says when it is wanted: it is one provider, not a service besides."""
    write(
        {"marked.py": "from piped import PipedService, provider\n@provider('sweep')\nclass Sweeper(PipedService): ..."}
    )
    assert [entry.section for entry in found("{bundles: {mine: [marked]}}")[0].providers] == ["sweep"]


def test_two_processors_of_one_name_are_a_problem(write):
    """Which one would run must not depend on an order; both are named."""
    write({"one.py": STEP.format(name="step"), "two.py": STEP.format(name="step")})
    catalog, problems = found("{bundles: {mine: [one, two]}}")
    assert problems == [
        "site.yml:1:24: two processors are called 'step': one.step and two.step"
        " – rename one, or name its module in plugins.disabled"
    ]
    assert catalog.processors["step"].origin == "one.step"


def test_disabled_modules_are_not_searched(write):
    """A regular expression counts from the beginning of a name, and for what others import from there."""
    write(
        {
            "shop/__init__.py": "from shop.old_steps import step",
            "shop/old_steps.py": STEP.format(name="old"),
            "shop/new.py": STEP.format(name="new"),
        }
    )
    catalog, problems = found("{bundles: {mine: [shop]}, disabled: ['shop.o', 'new']}")
    assert (list(catalog.processors), problems) == (["new"], [])


def test_a_bundle_that_is_not_there_is_told_where_it_is_named(write):
    """The advice says where bundles are looked for."""
    write({"shop/__init__.py": ""})
    _, problems = found("{bundles: {mine: [nowhere, shop.nothing, nowhere.deep]}}")
    fix = " – is it installed, or beside the configuration, or in the run directory? These are on sys.path"
    assert problems == [
        f"site.yml:1:19: there is no package or module 'nowhere'{fix}",
        f"site.yml:1:28: there is no package or module 'shop.nothing'{fix}",
        f"site.yml:1:42: there is no package or module 'nowhere.deep'{fix}",
    ]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("x = 1\nundefined\n", "2:1", "NameError: name 'undefined' is not defined"),
        ("import nowhere_to_be\n", "1:1", "ModuleNotFoundError: No module named 'nowhere_to_be'"),
        ("def f(:\n", "1:7", "SyntaxError: invalid syntax"),
        ("import json\n\njson.loads('{')\n", "3:1", "JSONDecodeError: Expecting property name"),
        ("raise SystemExit(3)\n", "1:1", "SystemExit: 3"),
        ("def f():\n    {}['x']\nf()\n", "2:1", "KeyError: 'x'"),
    ],
)
def test_a_module_that_fails_is_told_at_the_line_that_fails(write, text, line, told):
    """The mistake is in the user's module, so his line is named; the others are searched all the same."""
    folder = write({"shop/__init__.py": "", "shop/broken.py": text, "shop/whole.py": STEP.format(name="whole")})
    catalog, (problem,) = found("{bundles: {mine: [shop]}}")
    assert problem.startswith(f"{shown(f'{folder}/shop/broken.py')}:{line}: cannot be imported: {told}")
    assert problem.endswith(" – it is imported for the bundle at site.yml:1:19")
    assert list(catalog.processors) == ["whole"]


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("{bundles: {mine: shop}}", "1:18: the bundle 'mine' must be a list, not 'shop' – write [shop]"),
        ("{bundles: {mine: [1]}}", "1:19: the bundle 'mine' must be a list of texts"),
        ("{bundles: [shop]}", "1:11: plugins.bundles must be a mapping of lists of packages and modules"),
        ("{bundles: {mine: ['./shop']}}", "1:19: './shop' is no name of a package or module"),
        ("{disabled: shop}", "1:12: plugins.disabled must be a list, not 'shop' – write [shop]"),
        ("{disabled: ['(']}", "1:13: '(' in plugins.disabled is no regular expression: missing )"),
    ],
)
def test_mistakes_in_the_section_itself_are_told(section, problem):
    """The section `plugins` is read before anything can check it, so discovery does."""
    (told,) = found(section)[1]
    assert told.startswith(f"site.yml:{problem}")


def test_nothing_written_is_nothing_wrong():
    """Empty keys are left over when people comment things out."""
    assert found("{bundles: , disabled: }")[1] == []
    assert found("{bundles: {mine: }}")[1] == []


HOUSE = "from piped.catalog.houses import House\nHOUSE = House({})\n"


def test_an_open_house_is_not_imported_before_it_is_used(write):
    """A package that nobody uses costs nothing."""
    house(write, "piped_acme", HOUSE.format("sections=('acme',)"), {"steps.py": STEP.format(name="acme")})
    catalog, problems = found()
    assert [(one.name, one.sections) for one in catalog.unopened] == [("piped_acme", ("acme",))]
    assert "piped_acme.steps" not in sys.modules
    assert catalog.find_processor("acme") is not None
    assert (catalog.unopened, problems) == ([], [])


def test_a_house_is_opened_when_its_section_is_in_the_configuration(write):
    """Its providers have to be there to read it."""
    house(write, "piped_acme", HOUSE.format("sections=('acme',)"), {"steps.py": STEP.format(name="acme")})
    catalog, _ = found(sections={"acme": 1})
    assert list(catalog.processors) == ["acme"]
    assert catalog.unopened == []


def test_a_package_that_declares_no_house_is_searched_at_once(write):
    """An entry point alone is enough for a package of one's own."""
    for distribution in ("piped-acme", "piped-acme-editable"):
        house(write, "piped_acme", "", {"steps.py": STEP.format(name="acme")}, distribution)
    catalog, problems = found()
    assert (list(catalog.processors), problems) == (["acme"], [])


def test_a_house_without_its_library_is_closed(write):
    """It says what to install, and nothing of it is imported."""
    declared = HOUSE.format("extra='acme', sections=('acme',), needs=('json', 'nowhere_to_be')")
    house(write, "piped_acme", declared, {"steps.py": "import nowhere_to_be"})
    catalog, problems = found(sections={"acme": 1})
    (closed,) = catalog.closed
    assert (closed.name, closed.sections, closed.needs) == ("piped_acme", ("acme",), ("nowhere_to_be",))
    assert closed.install == "pip install 'piped-acme[acme]'"
    assert problems == []


@pytest.mark.parametrize(
    ("init", "file"),
    [(HOUSE.format("sections=('acme',)"), "steps.py"), ("", "steps.py"), ("undefined", "__init__.py")],
)
def test_a_house_that_cannot_be_imported_is_closed_with_the_reason(write, init, file):
    """A broken package stops nobody who does not use it."""
    house(write, "piped_acme", init, {"steps.py": "undefined"})
    catalog, problems = found(sections={"acme": 1})
    (closed,) = catalog.closed
    assert "undefined" in closed.reason
    assert f"piped_acme/{file}:1:1" in closed.reason
    assert problems == []


def test_a_disabled_house_is_not_even_imported(write):
    """`plugins.disabled` shuts a house out."""
    house(write, "piped_acme", "raise ValueError", {})
    catalog, problems = found("{disabled: [piped_acme]}")
    assert (catalog.closed, catalog.unopened, problems) == ([], [], [])


def test_plugins_can_be_given_besides():
    """A test or a program brings its own processors and services without a package."""

    @processor("given")
    def step(baton: Any) -> None: ...

    class Given(PipedService):
        """Without a mark, as in a bundle."""

    catalog, problems = discover(None, None, (), built_in=(), plugins=[step, Given])
    assert (list(catalog.processors), problems) == (["given"], [])
    assert [entry.factory for entry in catalog.providers] == [Given]
