"""What may be written in the sections `pb.servers` and `pb.clients`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piped import Bytes, ConfigurationError, Count, DottedName, Mark, Problem, ProcessorPath, Seconds
from piped.config.nodes import Node
from piped.runtime.endpoints import client_endpoint
from piped.runtime.places import Places
from piped.spread.broker import Limits
from piped.spread.calls import NO_ANSWER, Answering
from piped.spread.login import UNDERSTOOD

if TYPE_CHECKING:
    from piped.spec.checking import Checker


class Endpoint(str):
    """A Twisted endpoint to connect to, such as `tcp:host=localhost:port=8789` or `tls:pb.example.com:8789`."""

    __shape__ = str
    where: Mark | None

    def __new__(cls, written: str, where: Mark | None = None) -> Endpoint:
        made = super().__new__(cls, written)
        made.where = where
        return made

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Endpoint | None:
        written = checker.value(str, node, owner="an endpoint")
        if written is None:
            return None
        try:
            client_endpoint(None, written)
        except ValueError as error:
            fix = "write one such as tcp:host=localhost:port=8789, tls:pb.example.com:8789 or unix:/run/pb"
            checker.problems.append(Problem(str(error), node.where, fix))
            return None
        return cls(written, node.where)


@dataclass(frozen=True)
class CheckerOptions:
    """Who may log in.

    Args:
        name: the full name of a checker of Twisted's cred that knows passwords or their MD5 digests.
        arguments: what to make it with, by name.
    """

    name: DottedName
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = self.name.load()
        understood = getattr(kind, "credentialInterfaces", UNDERSTOOD)  # some find out only once they are made
        if not hasattr(kind, "requestAvatarId"):
            raise ConfigurationError(
                f"{self.name} is no checker", hint="it needs a method requestAvatarId(credentials)"
            )
        if isinstance(understood, tuple | list) and not set(understood) & set(UNDERSTOOD):
            raise ConfigurationError(f"{self.name} cannot check what Perspective Broker sends", hint=_HASHED)

    def make(self) -> Any:
        """The checker.

        Raises:
            ConfigurationError: it cannot be made.
        """
        try:
            checker = self.name.load()(**self.arguments)
        except Exception as error:  # it is somebody's class
            what = f"{self.name} cannot be made: {error or type(error).__name__}"
            raise ConfigurationError(problems=[Problem(what, self.name.where, "look at `arguments`")]) from error
        if not set(checker.credentialInterfaces) & set(UNDERSTOOD):
            what = f"{self.name} cannot check what Perspective Broker sends"
            raise ConfigurationError(problems=[Problem(what, self.name.where, _HASHED)])
        return checker


_HASHED = "use one that accepts IUsernameHashedPassword: a client sends no password, but a hash"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """One server.

    Args:
        listen: where: a port on loopback, a Twisted endpoint such as `tcp:8789`, or a list of them.
        processor: what gets the calls.
        wait_for_processor: let calls wait while the processor is not ready; otherwise they fail at once.
        default_callback: the answer where a pipeline gives none; null is an answer, too. Left out, the call fails.
        checker: who may log in; left out, anybody may call.
        reply_timeout: how long an answer may take; then the call fails, and the pipeline is stopped.
        cancel_on_disconnect: stop a pipeline whose caller has left.
        debug: tell callers the traceback of what has failed. `piped -D` does so, too.
        max_running: how many calls are processed at once; those above fail, or wait as for a processor.
        max_waiting: how many calls may wait for the processor.
        max_connections: how many callers are connected at once; those above are hung up on.
        max_calls: how many calls of one connection may be without an answer; those above fail.
        max_message_size: how large a call may be: its bytes, where each value in it counts for at least 32.
        keep_alive: a caller that was silent for so long is asked whether it is there, and hung up on if it does not
            answer for as long again; null never asks.
        login_timeout: how long a connection may take until it has logged in.
    """

    listen: Places
    processor: ProcessorPath
    wait_for_processor: bool = False
    default_callback: Any = NO_ANSWER
    checker: CheckerOptions | None = None
    reply_timeout: Seconds | None = None
    cancel_on_disconnect: bool = False
    debug: bool = False
    max_running: Count = 1000
    max_waiting: Count = 1000
    max_connections: Count = 1000
    max_calls: Count = 1000
    max_message_size: Bytes = 10 * 1024 * 1024
    keep_alive: Seconds | None = 60
    login_timeout: Seconds = 30

    @property
    def answering(self) -> Answering:
        """How calls are answered."""
        return Answering(
            default=self.default_callback,
            timeout=self.reply_timeout,
            is_waiting=self.wait_for_processor,
            max_waiting=self.max_waiting,
            is_cancelled=self.cancel_on_disconnect,
        )

    def limits(self, is_debugging: bool) -> Limits:
        """What a connection may cost."""
        return Limits(
            max_message_size=self.max_message_size,
            max_calls=self.max_calls,
            keep_alive=self.keep_alive,
            login_timeout=self.login_timeout,
            with_tracebacks=self.debug or is_debugging,
        )


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """One client.

    Args:
        endpoint: where the server is: `tcp:host=localhost:port=8789`, or `tls:pb.example.com:8789` with TLS.
        username: log in under this name; left out, no login is needed.
        password: the one for it; `${NAME}` takes it from the environment.
        login_timeout: how long connecting, and logging in, may take each.
        max_calls: how many calls may wait for an answer; those above fail.
        max_message_size: how large an answer may be: its bytes, where each value in it counts for at least 32.
        keep_alive: a server that was silent for so long is asked whether it is there, and left if it does not answer
            for as long again; null never asks.
    """

    endpoint: Endpoint
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    login_timeout: Seconds = 30
    max_calls: Count = 1000
    max_message_size: Bytes = 10 * 1024 * 1024
    keep_alive: Seconds | None = 60

    def __post_init__(self) -> None:
        if self.username is not None and self.password is None:
            raise ConfigurationError("a username needs a password", hint="add password: ${PB_PASSWORD}, or '' for none")

    @property
    def limits(self) -> Limits:
        """What the connection may cost."""
        return Limits(
            max_message_size=self.max_message_size,
            max_calls=self.max_calls,
            keep_alive=self.keep_alive,
            login_timeout=self.login_timeout,
        )
