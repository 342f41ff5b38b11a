"""The paths of nodes: checked, and taken apart."""

from __future__ import annotations

from piped import PipedError


def node_path(written: object, *, keep_slash: bool = False) -> str:
    """A path as ZooKeeper wants it: from the root, without a slash at the end.

    Args:
        keep_slash: leave the slash at the end, which is what a sequential node may be called.

    Raises:
        PipedError: it is no path.

    Example:
        >>> node_path("/shop/orders/")
        '/shop/orders'
    """
    if not isinstance(written, str):
        raise PipedError(f"the path of a node must be text, not {type(written).__name__}")
    if not written.startswith("/"):
        raise PipedError(f"{written!r} is no path of a node", hint=f"paths begin with a slash: {'/' + written!r}")
    parts = written.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts[1:]) or "\0" in written:
        raise PipedError(f"{written!r} is no path of a node", hint="a part of it is empty, a dot, or two dots")
    path = "/".join(parts) or "/"
    return f"{path}/" if keep_slash and written.endswith("/") and path != "/" else path


def parent_of(path: str) -> str:
    """The path of the node above one.

    Example:
        >>> parent_of("/shop/orders"), parent_of("/shop")
        ('/shop', '/')
    """
    return path.rstrip("/").rpartition("/")[0] or "/"


def below(path: str, name: str) -> str:
    """The path of a child.

    Example:
        >>> below("/", "shop"), below("/shop", "orders")
        ('/shop', '/shop/orders')
    """
    return f"{path.rstrip('/')}/{name}"
