"""Tests of the way from a configuration to a running environment."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped import (
    ConfigurationError,
    PipedDependencyService,
    PipedService,
    Problem,
    Processor,
    ProcessorPath,
    ResourcePath,
    RuntimeEnvironment,
    provider,
)
from piped.catalog.catalog import ProviderEntry
from piped.config.gathering import gather_text
from piped.config.nodes import shown
from piped.ground.errors import ResourceError
from piped.runtime.assembly import Assembly, check, configure


def checked(text: str, *plugins: Callable[..., Any], resources: Iterable[str] = (), **environ: str) -> Assembly:
    return check(gather_text(text, "site.yml", environ=environ), environ, plugins, list(resources))


def told(text: str, *plugins: Callable[..., Any]) -> list[str]:
    """Everything that `check` tells."""
    return [str(problem) for problem in checked(text, *plugins).problems]


def configured(text: str, *plugins: Callable[..., Any]) -> tuple[RuntimeEnvironment, list[str]]:
    """The environment, and what could not be done in it."""
    assembly = checked(text, *plugins)
    assert assembly.errors == []
    environment = RuntimeEnvironment(reactor=Clock())
    return environment, [str(problem) for problem in configure(assembly, environment)]


# Checking


def test_all_mistakes_are_told_at_once_by_place() -> None:
    """In the file's own order: sections, options, processors, names of resources, unknown keys."""
    text = """\
drain: soon
pipelines:
  main:
    - set-valu: {path: a, value: 1}
    - fetch-context: {context: nobody}
ticks:
  interval:
    often: {interval: -1, processor: man}
webb: {}
"""
    assert [line.split(" ", 1)[0] for line in told(text)] == [
        "site.yml:1:8:",
        "site.yml:4:7:",
        "site.yml:5:32:",
        "site.yml:8:23:",
        "site.yml:8:38:",
        "site.yml:9:1:",
    ]


def test_a_section_with_a_problem_has_no_followers() -> None:
    """What it offers is not told as missing besides; the same holds for pipelines."""
    text = """\
contexts: 5
persisted_contexts: {b: {kind: yaml}}
ticks: {interval: {c: {interval: often, processor: e}}}
pipelines:
  d:
    - fetch-context: {context: a}
    - fetch-persisted-context: {context: b}
    - start-tick-interval: {interval: c}
  e: 5
"""
    assert [line.split(" ", 1)[0] for line in told(text)] == [
        "site.yml:1:11:",
        "site.yml:2:32:",
        "site.yml:3:34:",
        "site.yml:9:6:",
    ]


def test_warnings_are_no_errors() -> None:
    """They are told, and keep nothing from running."""
    assembly = checked("mine: {}")
    assert [problem.is_warning for problem in assembly.problems] == [True]
    assert assembly.errors == []


@pytest.mark.parametrize("text", ["x-mine: [1]", "a: {b: 1}\nticks: !alias:a.b", ""])
def test_what_is_free_or_read_is_no_problem(text: str) -> None:
    """Sections beginning with x- belong to the user; what an alias points to is read by it."""
    assert not [line for line in told(text) if "reads" in line or "unknown" in line]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("drain: soon", "site.yml:1:8: drain must be a number of at least 0 (s), not 'soon'"),
        ("drain: -1", "site.yml:1:8: drain must be a number of at least 0 (s), not -1"),
        ("drain: [1]", "site.yml:1:8: drain must be a number of at least 0 (s), not a list of 1"),
        ("service_name: 5", "site.yml:1:15: service_name must be text, not 5"),
        ("service_name: {}", "site.yml:1:15: service_name must be text, not a mapping"),
        ("plugins: []", "site.yml:1:10: plugins must be a mapping, not a list of 0"),
        ("plugins: {bundel: {}}", "site.yml:1:11: plugins has no option 'bundel' – did you mean 'bundles'?"),
        ("runmodes: 5", "site.yml:1:11: runmodes must be a mapping, not 5"),
    ],
)
def test_the_keys_of_the_framework_are_checked(text: str, mistake: str) -> None:
    """One Problem for one mistake."""
    assert told(text) == [mistake]


@pytest.mark.parametrize(
    ("plugins", "where"),
    [
        ("{bundles: [a]}", "1:20"),
        ("{bundles: {mine: a}}", "1:27"),
        ("{bundles: {mine: [5]}}", "1:28"),
        ("{bundles: {mine: [no_such_package]}}", "1:28"),
        ("{disabled: a}", "1:21"),
        ("{disabled: ['(']}", "1:22"),
        ("{bundles: {mine: [a-b]}}", "1:28"),
    ],
)
def test_a_mistake_in_the_plugins_is_told_once(plugins: str, where: str) -> None:
    """Though both those who look for plugins and those who check options see it."""
    [line] = told(f"plugins: {plugins}")
    assert line.startswith(f"site.yml:{where}: ")


def test_what_the_framework_reads_is_given_as_values() -> None:
    """`${NAME}` filled in, and only what is written."""
    assembly = checked("drain: ${SECONDS}\nservice_name: mine", SECONDS="2.5")
    assert assembly.framework == {"drain": 2.5, "service_name": "mine"}


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Path]:
    """A folder on sys.path; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_bundles_bring_processors_and_providers(bundle: Path) -> None:
    """A module beside the configuration is enough; `disabled` leaves it out again."""
    (bundle / "shouting_bundle.py").write_text(
        "from piped import processor, provider\n"
        "@processor('shout')\n"
        "def shout(baton):\n    return baton.upper()\n"
        "@provider('shouts')\n"
        "class Shouts:\n    def configure(self, environment):\n        pass\n"
    )
    text = "plugins: {bundles: {mine: [shouting_bundle]}%s}\npipelines: {a: [shout]}\nshouts: 5"
    assert told(text % "") == []
    assert "site.yml:2:17: unknown processor 'shout'" in "\n".join(told(text % ", disabled: [shouting]"))


def test_nothing_is_configured_by_a_check() -> None:
    """Processors are made, providers not even that."""
    made: list[str] = []

    @provider("mine")
    class Mine:
        def __init__(self) -> None:
            made.append("provider")

    class Step(Processor):
        name = "step"

        def __init__(self) -> None:
            super().__init__()
            made.append("step")

        def configure(self, runtime_environment: Any) -> None:
            made.append("configured")

    checked("mine: 5\npipelines: {a: [step]}", Mine, Step)
    assert made == ["step"]


def test_resources_of_others_are_no_mistake() -> None:
    """Who registers a resource himself says so."""
    text = "pipelines: {a: [fetch-context: {context: users}]}"
    assert [problem.what for problem in checked(text).errors] == ["there is no 'context.users'"]
    assert checked(text, resources=["context.users"]).errors == []


# Configuring


def recording(section: str, order: list[str], **members: Any) -> type:
    """A provider that notes when it is configured."""

    def configure(self: Any, environment: Any) -> None:
        order.append(section)

    return provider(section)(type(section.title().replace(".", ""), (), {"configure": configure, **members}))


def test_providers_are_configured_in_the_order_of_the_file() -> None:
    """Those without a section come last; those whose section is not written not at all."""
    order: list[str] = []

    class Undeclared:
        def configure(self, environment: Any) -> None:
            order.append("undeclared")

        def add_consumer(self, dependency: Any) -> None:
            """As Piped 0.7 knows a provider."""

    plugins = [recording(name, order) for name in ("aa", "bb.x", "cc", "bb.y", "dd")]
    assembly = checked("cc: 1\nbb: {y: 1, x: 1}\naa: 1", *plugins)
    assembly.catalog.providers.insert(0, ProviderEntry(None, Any, Undeclared))
    assert configure(assembly, RuntimeEnvironment()) == []
    assert order == ["cc", "bb.x", "bb.y", "aa", "undeclared"]


def test_a_provider_gets_its_checked_section() -> None:
    """As its shape, with the configuration behind it."""
    seen: list[Any] = []

    @provider("mine", dict[str, float])
    class Mine:
        def configure(self, environment: RuntimeEnvironment) -> None:
            seen.append((environment.get_options(self), environment.get_configuration_value("mine.a")))

    environment, problems = configured("mine: {a: '5'}", Mine)
    assert (seen, problems) == ([({"a": 5.0}, "5")], [])
    assert environment.catalog is not None
    assert "set-value" in environment.catalog.processors


def failing_with(error: Exception) -> type:
    @provider("mine")
    class Mine:
        def configure(self, environment: Any) -> None:
            raise error

    return Mine


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigurationError("this cannot be", hint="do that"), "site.yml:2:1: this cannot be – do that"),
        (ConfigurationError("no", detail="see there"), "site.yml:2:1: no (see there)"),
        (ConfigurationError(problems=[Problem("a"), Problem("b")]), "a"),
        (ResourceError("it is taken", hint="take another"), "site.yml:2:1: it is taken – take another"),
    ],
)
def test_what_a_provider_cannot_do_is_told_at_its_section(error: Exception, line: str) -> None:
    """With the Problems that it has found, or at the place of its section."""
    _, problems = configured("service_name: x\nmine: 5", failing_with(error))
    assert problems[0] == line


def test_every_provider_is_configured_though_one_cannot() -> None:
    """So that all their Problems are told at once; dependencies are not resolved then."""

    @provider("other")
    class Other:
        def configure(self, environment: RuntimeEnvironment) -> None:
            environment.dependency_manager.add_dependency(self, "nobody.knows")
            raise ConfigurationError("nor this")

    _, problems = configured("mine: 5\nother: 5", failing_with(ConfigurationError("not this")), Other)
    assert problems == ["site.yml:1:1: not this", "site.yml:2:1: nor this"]


def test_a_bug_in_a_provider_is_raised() -> None:
    """It is no mistake of the user: it has a traceback, and says which provider it is about."""
    with pytest.raises(LookupError) as raised:
        configured("mine: 5", failing_with(LookupError("a bug")))
    assert raised.value.__notes__ == ["while configuring Mine (site.yml:1:1)"]


def test_two_providers_of_one_resource_are_told() -> None:
    """At the section of the second one."""

    @provider("mine")
    class Mine:
        def configure(self, environment: RuntimeEnvironment) -> None:
            environment.resource_manager.register("context.a", self)  # type: ignore[arg-type] # it is not asked

    _, problems = configured("contexts: {a: 5}\nmine: 5", Mine)
    assert len(problems) == 1
    assert problems[0].startswith("site.yml:2:1: the resource 'context.a' is offered twice (by ")


class Ask(Processor):
    """Runs another pipeline, whose path it decides about while it is configured."""

    name = "ask"

    def __init__(self, whom: ProcessorPath) -> None:
        super().__init__()
        self.whom = whom

    def configure(self, runtime_environment: Any) -> None:
        runtime_environment.add_processor(self, self.whom)


def test_a_circle_that_only_appears_when_all_is_resolved_is_told() -> None:
    """With all that stand in it."""
    _, problems = configured("pipelines: {a: [ask: {whom: b}], b: [ask: {whom: a}]}", Ask)
    assert len(problems) == 1
    assert problems[0].startswith("these need each other in a circle: ")
    assert "site.yml:1:17" in problems[0]


def test_resources_that_nobody_offers_are_told_with_who_needs_them() -> None:
    """Also where no check could know of them, as a user's provider need not say what it offers."""

    @provider("mine")
    class Mine:
        def configure(self, environment: RuntimeEnvironment) -> None:
            environment.resource_manager.register("mine.thing", self)

        def add_consumer(self, dependency: Any) -> None:
            dependency.on_resource_ready("thing")

    class Needs(Processor):
        name = "needs"

        def __init__(self, what: ResourcePath) -> None:
            super().__init__()
            self.what = what

        def configure(self, runtime_environment: Any) -> None:
            self.dependency = runtime_environment.dependency_manager.add_dependency(self, self.what)

        def process(self, baton: Any) -> Any:
            return self.dependency.get_resource()

    text = "mine: 5\npipelines: {a: [needs: {what: mine.thing}]}"
    environment, problems = configured(text, Mine, Needs)
    assert problems == []
    assert Clock is type(environment.reactor)
    _, problems = configured(text.replace("mine.thing", "mine.thin"), Mine, Needs)
    assert len(problems) == 1
    assert "site.yml:2:31: nobody provides the resource 'mine.thin' (needed by needs" in problems[0]
    assert problems[0].endswith("– did you mean 'mine.thing'?")


def test_a_bare_name_is_the_resource_also_when_its_provider_comes_later() -> None:
    """The order of sections decides nothing about what a name means."""

    @provider("later")
    class Later:
        @staticmethod
        def offers(options: Any) -> list[str]:
            return ["main"]

        def configure(self, environment: RuntimeEnvironment) -> None:
            environment.resource_manager.register("main", self)

        def add_consumer(self, dependency: Any) -> None:
            dependency.on_resource_ready(batons.append)

    batons: list[Any] = []
    text = "%sticks: {interval: {a: {interval: 1, processor: main}}}\npipelines: {main: [passthrough]}\n%s"
    for parts in (("later: 5\n", ""), ("", "later: 5\n")):
        environment, problems = configured(text % parts, Later)
        assert problems == []
        environment.application.startService()
        environment.reactor.advance(0)
    assert len(batons) == 2


# Services


class Noted(PipedService):
    """A service that notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        runtime_environment.resource_manager.register("noted", self)  # type: ignore[arg-type] # it is not asked
        self.is_wanted = runtime_environment.get_configuration_value("mine.enabled", True)

    def is_enabled(self) -> bool:
        return bool(self.is_wanted)

    def run(self) -> None:
        self.notes.append("run")


@pytest.mark.parametrize(("enabled", "notes"), [("true", ["run"]), ("false", [])])
def test_a_service_starts_with_the_process_if_it_is_enabled(enabled: str, notes: list[str]) -> None:
    """Not before; one that is disabled is configured, and never started."""
    environment, _ = configured(f"mine: {{enabled: {enabled}}}", provider("mine")(Noted))
    service: Any = environment.resource_manager.get_provider_or_fail("noted")
    assert service.notes == []
    environment.application.startService()
    assert service.notes == notes
    environment.application.stopService()
    assert not service.running


def test_a_service_needs_neither_mark_nor_section() -> None:
    """It reads what it likes of the configuration; a disabled one is configured, and never started."""
    for enabled, notes in ((True, ["run"]), (False, [])):
        environment, problems = configured(f"mine: {{enabled: {enabled}}}".lower(), Noted)
        service: Any = environment.resource_manager.get_provider_or_fail("noted")
        assert problems == []
        environment.application.startService()
        assert service.notes == notes
        assert service.running == enabled


class Ended(Service):
    """A service as Twisted knows it, which takes its time to stop; it notes all that is done to it."""

    notes: list[str] = []
    stopping: list[Deferred[None]] = []

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.notes.append(f"configure {type(self).__name__}")

    def is_enabled(self) -> bool:
        return True

    def startService(self) -> None:
        super().startService()
        self.notes.append(f"start {type(self).__name__}")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.notes.append(f"stop {type(self).__name__}")
        self.stopping.append(Deferred())
        return self.stopping[-1]


class EndedToo(Ended):
    """Another one."""


def test_services_start_in_order_and_stop_in_reverse() -> None:
    """The last to start is the first that hears of the stop, and the stop waits for all of them."""
    Ended.notes.clear()
    Ended.stopping.clear()
    environment, _ = configured("", Ended, EndedToo)
    environment.application.startService()
    stopped = environment.application.stopService()
    assert stopped is not None
    assert Ended.notes == [
        f"{what} {name}"
        for what, name in [
            ("configure", "Ended"),
            ("configure", "EndedToo"),
            ("start", "Ended"),
            ("start", "EndedToo"),
            ("stop", "EndedToo"),
            ("stop", "Ended"),
        ]
    ]
    for stopping in Ended.stopping:
        assert not stopped.called
        stopping.callback(None)
    assert stopped.called


def test_a_service_that_has_a_parent_is_left_there() -> None:
    """Who has put himself somewhere in `configure` is not started a second time."""

    class Elsewhere(Noted):
        def configure(self, runtime_environment: RuntimeEnvironment) -> None:
            super().configure(runtime_environment)
            self.setServiceParent(elsewhere)

    elsewhere = MultiService()
    environment, _ = configured("", Elsewhere)
    assert list(elsewhere) == [environment.resource_manager.get_provider_or_fail("noted")]
    assert list(environment.application) == []


def test_a_provider_that_does_not_say_whether_it_is_enabled_starts_itself() -> None:
    """A service of Twisted's kind decides in `configure` where it belongs, or that it does not run."""

    @provider("mine")
    class Mine(MultiService):
        def configure(self, runtime_environment: RuntimeEnvironment) -> None:
            """It is not needed today."""

    environment, problems = configured("mine: 5", Mine)
    assert (list(environment.application), problems) == ([], [])


@pytest.mark.parametrize("method", ["configure", "is_enabled"])
def test_what_a_service_without_a_section_cannot_do_is_told_at_its_class(method: str) -> None:
    """There is no place in the configuration that could be named."""

    def fails(self: Any, *environment: Any) -> bool:
        raise ConfigurationError("this cannot be", hint="do that")

    class Broken(PipedService):
        """Its line is the one that is told."""

    setattr(Broken, method, fails)
    _, problems = configured("", Broken)
    line = inspect.getsourcelines(Broken)[1]
    assert problems == [f"{shown(__file__)}:{line}:1: this cannot be – do that"]


def test_a_service_runs_with_its_dependencies() -> None:
    """It needs nobody to attach it."""
    met: list[Any] = []

    @provider("mine")
    class Greeter(PipedDependencyService):
        def configure(self, runtime_environment: RuntimeEnvironment) -> None:
            super().configure(runtime_environment)
            self.dependencies = runtime_environment.create_dependency_map(self, names="context.names")

        def run_with_dependencies(self) -> None:
            met.extend(self.dependencies.names)

    environment, problems = configured("mine:\ncontexts: {names: [Ada]}", Greeter)
    assert problems == []
    environment.application.startService()
    assert met == ["Ada"]
