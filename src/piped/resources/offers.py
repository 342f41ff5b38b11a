"""ResourceManager: which provider answers for a resource path."""

from __future__ import annotations

from typing import Any, Protocol

from piped.ground.errors import ProviderConflict, UnprovidedResourceError, did_you_mean
from piped.resources.dependency import ResourceDependency


class ResourceProvider(Protocol):
    """What can be registered for a resource path.

    It may also have `remove_consumer(dependency)`, called when nobody needs that dependency any more.
    """

    def add_consumer(self, resource_dependency: ResourceDependency, /) -> Any:
        """Called once for each dependency; calls its `on_resource_ready` and `on_resource_lost`, now or later."""


class ResourceManager:
    """The resource paths that are offered; each by one provider, found by its exact text."""

    def __init__(self) -> None:
        self._providers: dict[str, ResourceProvider] = {}

    def register(self, path: str, provider: ResourceProvider) -> None:
        """Offer a resource.

        Raises:
            ProviderConflict: the path is taken.
        """
        if path in self._providers:
            raise ProviderConflict(
                f"the resource {path!r} is offered twice",
                f"by {_described(self._providers[path])} and by {_described(provider)}",
                "give one of them another name",
            )
        self._providers[path] = provider

    def unregister(self, path: str) -> None:
        """Withdraw an offer. Dependencies that hold the resource keep it, until the provider calls it lost.

        Raises:
            UnprovidedResourceError: nobody offers it.
        """
        self.get_provider_or_fail(path)
        del self._providers[path]

    def get_provider_or_fail(self, path: str) -> ResourceProvider:
        """The provider of a resource.

        Raises:
            UnprovidedResourceError: there is none; the detail lists all that is offered.
        """
        try:
            return self._providers[path]
        except KeyError:
            raise self._unprovided(path) from None

    def __contains__(self, path: object) -> bool:
        """Whether somebody offers a path."""
        return path in self._providers

    def get_registered_resources(self) -> dict[str, ResourceProvider]:
        """A copy of all offers by their path."""
        return dict(self._providers)

    def resolve(self, resource_dependency: ResourceDependency) -> None:
        """Let the provider know of someone who needs its resource.

        Raises:
            UnprovidedResourceError: nobody offers it.
        """
        path = resource_dependency.provider
        if path not in self._providers:
            raise self._unprovided(path, resource_dependency)
        self._providers[path].add_consumer(resource_dependency)

    def release(self, resource_dependency: ResourceDependency) -> None:
        """Let the provider know that nobody needs a dependency any more that it was given."""
        provider = self._providers.get(resource_dependency.provider)
        remove_consumer = getattr(provider, "remove_consumer", None)
        if remove_consumer is not None:
            remove_consumer(resource_dependency)

    def _unprovided(self, path: str, wanted: ResourceDependency | None = None) -> UnprovidedResourceError:
        prefix, needed_by = "", ""
        if wanted is not None:
            prefix = f"{wanted.where}: " if wanted.where else ""
            consumers = wanted.manager.consumers_of(wanted) if wanted.manager else []
            needed_by = f"needed by {', '.join(each.described for each in consumers)}; " if consumers else ""
        offered = ", ".join(sorted(self._providers)) or "nothing"
        return UnprovidedResourceError(
            f"{prefix}nobody provides the resource {path!r}",
            f"{needed_by}provided are: {offered}",
            did_you_mean(path, self._providers) or "is the provider's section in the configuration, its bundle loaded?",
        )


def _described(provider: object) -> str:
    name = getattr(provider, "name", None)
    kind = f"{type(provider).__module__}.{type(provider).__qualname__}"
    return f"{kind} {name!r}" if isinstance(name, str) and name else kind
