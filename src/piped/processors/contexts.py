"""Steps that put shared data into a baton."""

from __future__ import annotations

from piped import ContextName, Path, PersistedContextName, Processor, ResourcePath, RuntimeEnvironment
from piped.pipelines.processor import Baton


class _FetchResource(Processor):
    def __init__(self, resource: ResourcePath, output_path: Path | None) -> None:
        super().__init__()
        self._resource = resource
        self._output_path = str(resource) if output_path is None else output_path

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, self._resource)

    def process(self, baton: Baton) -> Baton:
        return self.get_resulting_baton(baton, self._output_path, self._dependency.get_resource())


class FetchContext(_FetchResource):
    """Put a context into the baton: the shared object itself, so that changes to it are seen everywhere.

    Args:
        context: the name of the context.
        output_path: where to put it; '' makes it the baton. Left out: the name of the context.

    Example:
        - fetch-context:
            context: users
            output_path: known
    """

    name = "fetch-context"

    def __init__(self, context: ContextName, output_path: Path | None = None) -> None:
        super().__init__(ContextName(context, getattr(context, "where", None)), output_path)


class FetchPersistedContext(_FetchResource):
    """Put a context that survives a restart into the baton: the shared object itself.

    Args:
        context: the name of the persisted context.
        output_path: where to put it; '' makes it the baton. Left out: the name of the context.

    Example:
        - fetch-persisted-context: {context: state}
    """

    name = "fetch-persisted-context"

    def __init__(self, context: PersistedContextName, output_path: Path | None = None) -> None:
        super().__init__(PersistedContextName(context, getattr(context, "where", None)), output_path)
