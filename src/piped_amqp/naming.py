"""The names of connections, and which one is meant where none is named."""

from __future__ import annotations

from collections.abc import Iterable

from piped import ConfigurationError, ResourcePath, RuntimeEnvironment


class ConnectionName(ResourcePath):
    """The name of a connection in `amqp.connections`."""

    prefix = "amqp.connection."


def connection_for(environment: RuntimeEnvironment, written: str | None, owner: str) -> ConnectionName:
    """The connection that is named, or the only one there is.

    Args:
        owner: who needs it, as messages call it.

    Raises:
        ConfigurationError: none is named, and there is none or more than one.
    """
    if isinstance(written, ConnectionName):
        return written
    if written is not None:
        return ConnectionName(written)
    names = _names([*environment.offered, *environment.resource_manager.get_registered_resources()])
    if len(names) == 1:
        return ConnectionName(names[0])
    if not names:
        raise ConfigurationError(f"{owner} has no connection to use", hint="add one to the section amqp.connections")
    raise ConfigurationError(
        f"{owner} does not say which connection it uses", hint=f"add `connection`, one of: {', '.join(names)}"
    )


def _names(paths: Iterable[str]) -> list[str]:
    prefix = ConnectionName.prefix
    return sorted({path.removeprefix(prefix) for path in paths if path.startswith(prefix)})
