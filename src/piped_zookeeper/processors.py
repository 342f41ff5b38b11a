"""Steps that read and write nodes of ZooKeeper."""

from __future__ import annotations

from typing import Any, Final, Literal

from kazoo.exceptions import NoNodeError

from piped import BatonPath, ConfigurationError, OrPath, Path, PipedError, Processor, RuntimeEnvironment, get_path
from piped_zookeeper.client import Client
from piped_zookeeper.options import ClientName
from piped_zookeeper.paths import node_path

_MISSING: Final = object()


class OnNode(Processor):
    """A step that does something with a node, and is ready while its client is connected.

    Args:
        client: the name of the client in the section `zookeeper.clients`.
        path: the path of the node, such as `/shop/orders`.
    """

    def __init__(self, client: ClientName, path: OrPath[str], node_name: str | None = None) -> None:
        super().__init__(node_name)
        self._client, self._path = client, path
        if not isinstance(path, BatonPath):
            try:
                node_path(path)
            except PipedError as error:
                raise ConfigurationError(error.msg, hint=error.hint) from error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, self._client)

    @property
    def client(self) -> Client:
        """The client.

        Raises:
            NotReadyError: it is not connected.
        """
        client: Client = self._dependency.get_resource()
        return client

    def path_of(self, baton: Any, *, keep_slash: bool = False) -> str:
        """The path for a baton."""
        return node_path(_value(baton, self._path, "the path of a node"), keep_slash=keep_slash)


def _value(baton: Any, written: Any, what: str) -> Any:
    """An option's value: itself, or what is at its path."""
    if not isinstance(written, BatonPath):
        return written
    value = get_path(baton, written, _MISSING)
    if value is _MISSING:
        raise PipedError(f"the baton has nothing at {str(written)!r}, where {what} should be")
    return value


def _data(baton: Any, written: Any) -> bytes:
    """The data for a node: bytes, or text as UTF-8; null is none."""
    value = _value(baton, written, "the data of a node")
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise PipedError(f"the data of a node are text or bytes, not {type(value).__name__}", hint="encode them first")


class GetZookeeperChildren(OnNode):
    """Get the names of the nodes below a node.

    A node that does not exist is a failure: `kazoo.exceptions.NoNodeError`.

    Args:
        cached: the answer to a former step is good enough, as long as ZooKeeper has not said that it changed.
        output_path: where to put the list; '' makes it the baton, null discards it.

    Example:
        - get-zookeeper-children:
            client: my_client
            path: /shop/orders
    """

    name = "get-zookeeper-children"

    def __init__(
        self,
        client: ClientName,
        path: OrPath[str],
        cached: bool = True,
        output_path: Path | None = "children",
        node_name: str | None = None,
    ) -> None:
        super().__init__(client, path, node_name)
        self._cached, self.output_path = cached, output_path

    async def process(self, baton: Any) -> Any:
        children = await self.client.get_children(self.path_of(baton), cached=self._cached)
        return self.get_resulting_baton(baton, self.output_path, children)


class GetZookeeperData(OnNode):
    """Get the data of a node, which are bytes.

    A node that does not exist is a failure: `kazoo.exceptions.NoNodeError`.

    Args:
        cached: the answer to a former step is good enough, as long as ZooKeeper has not said that it changed.
        output_path: where to put the data; '' makes them the baton, null discards them.
        metadata_output_path: where to put what else ZooKeeper knows of the node, such as its `version`.

    Example:
        - get-zookeeper-data:
            client: my_client
            path: /shop/open
            metadata_output_path: stat
    """

    name = "get-zookeeper-data"

    def __init__(
        self,
        client: ClientName,
        path: OrPath[str],
        cached: bool = True,
        output_path: Path | None = "data",
        metadata_output_path: Path | None = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(client, path, node_name)
        self._cached, self.output_path, self._metadata_path = cached, output_path, metadata_output_path

    async def process(self, baton: Any) -> Any:
        data, stat = await self.client.get(self.path_of(baton), cached=self._cached)
        baton = self.get_resulting_baton(baton, self._metadata_path, stat)
        return self.get_resulting_baton(baton, self.output_path, data)


class ZookeeperNodeExists(OnNode):
    """Find out whether there is a node.

    Args:
        cached: the answer to a former step is good enough, as long as ZooKeeper has not said that it changed.
        output_path: where to put true or false; '' makes it the baton, null discards it.
        metadata_output_path: where to put what else ZooKeeper knows of the node; null if there is none.

    Example:
        - zookeeper-node-exists:
            client: my_client
            path: /shop/open
    """

    name = "zookeeper-node-exists"

    def __init__(
        self,
        client: ClientName,
        path: OrPath[str],
        cached: bool = True,
        output_path: Path | None = "exists",
        metadata_output_path: Path | None = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(client, path, node_name)
        self._cached, self.output_path, self._metadata_path = cached, output_path, metadata_output_path

    async def process(self, baton: Any) -> Any:
        stat = await self.client.exists(self.path_of(baton), cached=self._cached)
        baton = self.get_resulting_baton(baton, self._metadata_path, stat)
        return self.get_resulting_baton(baton, self.output_path, stat is not None)


class SetZookeeperData(OnNode):
    """Write the data of a node.

    Args:
        data: bytes, or text, which is written as UTF-8; null is none.
        version: the version that the node must have, else it is a failure (`kazoo.exceptions.BadVersionError`);
            -1 for any.
        create_intermediary_nodes: make the node, and those above it, if there is none.
        output_path: where to put what ZooKeeper knows of the node then; '' makes it the baton, null discards it.

    Example:
        - set-zookeeper-data:
            client: my_client
            path: /shop/open
            data: "yes"
    """

    name = "set-zookeeper-data"

    def __init__(
        self,
        client: ClientName,
        path: OrPath[str],
        data: OrPath[str | bytes | None],
        version: OrPath[int] = -1,
        create_intermediary_nodes: bool = False,
        output_path: Path | None = "set",
        node_name: str | None = None,
    ) -> None:
        super().__init__(client, path, node_name)
        self._data, self._version = data, version
        self._creates, self.output_path = create_intermediary_nodes, output_path

    async def process(self, baton: Any) -> Any:
        client, path, data = self.client, self.path_of(baton), _data(baton, self._data)
        version = _value(baton, self._version, "the version of a node")
        if type(version) is not int:
            raise PipedError(f"the version of a node must be a whole number, not {version!r}")
        try:
            stat = await client.set(path, data, version)
        except NoNodeError:
            if not self._creates:
                raise
            await client.ensure_path(path)
            stat = await client.set(path, data, version)
        return self.get_resulting_baton(baton, self.output_path, stat)


Flag = Literal["EPHEMERAL", "SEQUENCE"]
_NUMBERS: Final = {1: "EPHEMERAL", 2: "SEQUENCE"}


class CreateZookeeperNode(OnNode):
    """Make a node.

    One that exists already is a failure: `kazoo.exceptions.NodeExistsError`.

    Args:
        data: bytes, or text, which is written as UTF-8; null is none.
        flags: EPHEMERAL for a node that is gone when the session of the client is, SEQUENCE for a number that is higher
            each time behind its name; both as a list. Their numbers in ZooKeeper, 1 and 2, are understood too.
        create_intermediary_nodes: make the nodes above it, as far as they are missing.
        output_path: where to put the path of the new node; '' makes it the baton, null discards it.

    Example:
        - create-zookeeper-node:
            client: my_client
            path: /shop/orders/order-
            data: !path order
            flags: [EPHEMERAL, SEQUENCE]
            create_intermediary_nodes: true
    """

    name = "create-zookeeper-node"

    def __init__(
        self,
        client: ClientName,
        path: OrPath[str],
        data: OrPath[str | bytes | None] = None,
        flags: int | Flag | list[int | Flag] | None = None,
        create_intermediary_nodes: bool = False,
        output_path: Path | None = "create",
        node_name: str | None = None,
    ) -> None:
        super().__init__(client, path, node_name)
        self._data, self._creates, self.output_path = data, create_intermediary_nodes, output_path
        named = _named(flags)
        self._ephemeral, self._sequence = "EPHEMERAL" in named, "SEQUENCE" in named

    async def process(self, baton: Any) -> Any:
        client, path = self.client, self.path_of(baton, keep_slash=self._sequence)
        how: dict[str, Any] = {"ephemeral": self._ephemeral, "sequence": self._sequence}
        create = client.create_recursive if self._creates else client.create
        created = await create(path, _data(baton, self._data), **how)
        return self.get_resulting_baton(baton, self.output_path, created)


def _named(flags: Any) -> set[str]:
    """The names of flags, however they are written."""
    named: set[str] = set()
    for flag in flags if isinstance(flags, list) else [] if flags is None else [flags]:
        if isinstance(flag, int) and not 0 <= flag <= sum(_NUMBERS):
            raise ConfigurationError(f"ZooKeeper has no flags {flag}", hint="write EPHEMERAL, SEQUENCE or both")
        named |= {name for number, name in _NUMBERS.items() if flag & number} if isinstance(flag, int) else {flag}
    return named


class DeleteZookeeperNode(OnNode):
    """Delete a node.

    Args:
        recursive: with all that is below it; otherwise a node that has children is a failure
            (`kazoo.exceptions.NotEmptyError`).
        skip_if_nonexistent: a node that does not exist is no failure.

    Example:
        - delete-zookeeper-node:
            client: my_client
            path: /shop/orders
            recursive: true
    """

    name = "delete-zookeeper-node"

    def __init__(
        self,
        client: ClientName,
        path: OrPath[str],
        recursive: bool = False,
        skip_if_nonexistent: bool = True,
        node_name: str | None = None,
    ) -> None:
        super().__init__(client, path, node_name)
        self._recursive, self._skip = recursive, skip_if_nonexistent

    async def process(self, baton: Any) -> Any:
        client, path = self.client, self.path_of(baton)
        if self._recursive:
            await client.delete_recursive(path)
            return baton
        try:
            await client.delete(path)
        except NoNodeError:
            if not self._skip:
                raise
        return baton
