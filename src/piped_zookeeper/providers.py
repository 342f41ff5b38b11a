"""The section `zookeeper`: clients, and what only one process of many has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService

from piped import RuntimeEnvironment, provider
from piped_zookeeper.errors import DisconnectException as DisconnectException  # its address in Piped 0.7
from piped_zookeeper.holding import Holding
from piped_zookeeper.options import ClientName, LeaderName, LockName, ZookeeperOptions
from piped_zookeeper.service import ClientService
from piped_zookeeper.sessions import Kazoo


@provider("zookeeper", ZookeeperOptions)
class ZookeeperClientProvider(MultiService):
    """ZooKeeper support: clients whose sessions are kept, leaders and locks.

    A client connects when somebody needs it, or wants to hear of its events, and again whenever the connection is lost.

    A leader is ready in the first process that stands for election at its `path`, and in no other one. When that
    process stops, dies or cannot be reached, it is lost there before another one leads. A lock is the same by another
    name. Whatever depends on one runs in exactly one process of many; `require-leadership` and `require-lock` make
    pipelines depend on it.

    Resources: `zookeeper.client.<name>`, the client, while it is connected; `zookeeper.leader.<name>`, while this
    process leads, and `zookeeper.lock.<name>`, while it has the lock: with a `token`, which is a number that is higher
    for each later one, and `is_held`.

    Example:
        zookeeper:
            install_log_stream: true
            clients:
                my_client:
                    servers: localhost:2181
                    events:
                        starting: processor_name
            leaders:
                reports:
                    client: my_client
                    path: /leaders/reports
    """

    prefixes = (ClientName.prefix, LeaderName.prefix, LockName.prefix)

    def __init__(self, make: Callable[..., Any] = Kazoo) -> None:
        super().__init__()
        self._make = make
        #: By resource path.
        self._services: dict[str, ClientService | Holding] = {}

    @staticmethod
    def offers(options: ZookeeperOptions) -> Iterable[str]:
        sections = ((ClientName, options.clients), (LeaderName, options.leaders), (LockName, options.locks))
        return (f"{kind.prefix}{name}" for kind, names in sections for name in names)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("zookeeper")
        self.setServiceParent(runtime_environment.application)
        options: ZookeeperOptions = runtime_environment.get_options(self)
        for name, client in options.clients.items():
            service = ClientService(name, client, self._make, options.install_log_stream)
            self._add(f"{ClientName.prefix}{name}", service, runtime_environment)
        for prefix, holdings in ((LeaderName.prefix, options.leaders), (LockName.prefix, options.locks)):
            for name, holding in holdings.items():
                self._add(f"{prefix}{name}", Holding(f"{prefix}{name}", holding), runtime_environment)

    def _add(self, path: str, service: ClientService | Holding, runtime_environment: RuntimeEnvironment) -> None:
        self._services[path] = service
        runtime_environment.resource_manager.register(path, self)
        service.configure(runtime_environment)
        service.setServiceParent(self)

    def add_consumer(self, resource_dependency: Any) -> None:
        self._services[resource_dependency.provider].add_consumer(resource_dependency)

    def remove_consumer(self, resource_dependency: Any) -> None:
        self._services[resource_dependency.provider].remove_consumer(resource_dependency)
