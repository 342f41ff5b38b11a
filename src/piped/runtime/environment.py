"""RuntimeEnvironment: what a component is given in `configure`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool

from piped.catalog.catalog import Catalog
from piped.catalog.marking import ProviderMark, mark_of
from piped.config.document import Document
from piped.config.nodes import node_of
from piped.ground.errors import ConfigurationError, Mark
from piped.ground.units import ResourcePath
from piped.pipelines.graph import Graph
from piped.resources.dependency_map import DependencyMap
from piped.resources.events import AsynchronousEvent, Event
from piped.resources.offers import ResourceManager
from piped.resources.wiring import DependencyManager
from piped.runtime.draining import Sources
from piped.runtime.listeners import Listener, Listeners
from piped.runtime.services import Services
from piped.runtime.unknown import means_pipeline
from piped.spec.checking import Checker


class RuntimeEnvironment:
    """Everything that a component may need from its surroundings; one for each running process.

    Args:
        configuration: what the user wrote; an empty one where a test needs none.
        reactor: gives the time and what waits for it; a Clock, which stands still, where nothing runs.
        wall_clock: seconds since 1970, as `time.time`.
    """

    def __init__(
        self,
        configuration: Document | None = None,
        *,
        reactor: Any = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.reactor: Any = reactor if reactor is not None else Clock()
        self.wall_clock = wall_clock
        #: The root of the services: what is added to it starts and stops with the process.
        self.application = Services()
        self.configuration_manager = configuration or Document(node_of({}))
        self.resource_manager = ResourceManager()
        self.dependency_manager = DependencyManager(self.resource_manager, self.reactor)
        #: Every source of batons joins these, so that a stop can drain them.
        self.sources = Sources()
        self.listeners = Listeners()
        #: Called when all services have started.
        self.after_start: Event[[]] = Event()
        #: Called when the process was asked to stop and nothing runs any more; what handlers return is waited for.
        self.before_stop: Event[[]] = AsynchronousEvent()
        #: Called when the files that are written are to be opened anew, because somebody moved them away (SIGHUP).
        self.on_reopen: Event[[]] = Event()
        #: The compiled pipelines by name.
        self.graphs: dict[str, Graph] = {}
        self.catalog: Catalog | None = None
        #: `piped -D`: whoever keeps failures may keep more of them.
        self.is_debugging = False
        #: The checked section of each provider, by its class.
        self.options: dict[type, Any] = {}
        #: The resource paths that will be registered, as far as providers say so before they are configured.
        self.offered: Collection[str] = ()
        #: What live tests found; whoever runs tests adds to it.
        self.reports: list[Any] = []
        #: Replaced by whoever runs the process.
        self.ask_for_stop: Callable[[], object] = self.application.stopService

    def get_configuration_value(self, path: str, fallback: Any = None) -> Any:
        """A copy of what is written at a dotted path of the configuration, `${NAME}` filled in."""
        return self.configuration_manager.get(path, fallback)

    def get_options(self, provider: object) -> Any:
        """What stands in the section of a provider, checked and converted to its shape, `${NAME}` filled in.

        Where nothing is written that is what null would give: an empty mapping, an object with its defaults. None for
        a provider that declares no section.

        Raises:
            ConfigurationError: it does not fit; only where nobody has checked the configuration before.
        """
        kind = type(provider)
        if kind not in self.options:
            mark = mark_of(kind)
            self.options[kind] = self._checked(mark) if isinstance(mark, ProviderMark) else None
        return self.options[kind]

    def _checked(self, mark: ProviderMark) -> Any:
        checker = Checker(self.configuration_manager.environ)
        section = self.configuration_manager.node(mark.section) or node_of(None)
        options = checker.value(mark.shape, section, owner=mark.section)
        if checker.problems:
            raise ConfigurationError(problems=checker.problems)
        return options

    def create_dependency_map(self, consumer: object, /, **dependencies: Any) -> DependencyMap:
        """Dependencies of a consumer by name, read as attributes; see `DependencyMap`."""
        return self.dependency_manager.create_dependency_map(consumer, **dependencies)

    def add_processor(self, consumer: object, processor: str | Mapping[str, Any]) -> Any:
        """The dependency of a consumer on what processes its batons, as written behind `processor:`."""
        return self.dependency_manager.add_dependency(consumer, self.resource_path(processor))

    def resource_path(self, written: str | Mapping[str, Any]) -> dict[str, Any]:
        """The dependency that a `processor:` stands for; the bare name of a pipeline means the pipeline.

        A resource of that very path comes first. A pipeline that is asked for with `-` where its key has `_` is found.
        """
        spec = dict(written) if isinstance(written, Mapping) else {"provider": written}
        path = spec.get("provider")
        # What is no path is refused by whoever makes a dependency of it.
        if not isinstance(path, str) or path in self.offered or path in self.resource_manager:
            return spec
        meant = means_pipeline(path, self.graphs)
        if meant is None:
            return spec
        where = path.where if isinstance(path, ResourcePath) else None
        return spec | {"provider": ResourcePath(f"pipeline.{meant}", where)}

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call something that blocks in a thread of the reactor; at once where the reactor is a Clock."""
        if isinstance(self.reactor, Clock):
            return execute(function, *arguments)
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *arguments)

    def add_listener(
        self,
        owner: str,
        what: str,
        endpoint: Any,
        factory: Any,
        where: Mark | None = None,
    ) -> Listener:
        """Have a port opened when everything was resolved; one in use is told at `where`.

        Args:
            owner: who asks for it, such as "web.my_site".
            what: what answers there, such as "http".
            endpoint: a Twisted server endpoint.
            factory: of the protocols.
        """
        return self.listeners.add(Listener(owner, what, endpoint, factory, where))
