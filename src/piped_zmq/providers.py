"""The doors of ZeroMQ: sockets as resources, and feeders that give their messages to pipelines."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import zmq
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList

from piped import ConfigurationError, Problem, RuntimeEnvironment, provider
from piped_zmq.addresses import Address, BindAddress
from piped_zmq.channels import Channel, QueueSocket
from piped_zmq.feeding import Feeder
from piped_zmq.options import QueueName, QueueOptions, ZMQOptions

log = logging.getLogger("piped.zmq")

CONTEXT: Final = "zmq.context"
POLLER: Final = "zmq.poller"
#: Milliseconds that a socket has to send what it holds when the process stops, unless its LINGER says so; and at most.
LINGER, LONGEST_LINGER = 1_000, 20_000
_TYPES: Final = {"XREQ": "DEALER", "XREP": "ROUTER"}
_IN_USE: Final = "stop what is listening there, or choose another address"


@provider("zmq", ZMQOptions)
class ZMQSocketProvider(MultiService):
    """ZeroMQ sockets, which pipelines send with, and whose messages become batons.

    A socket is made when somebody needs it, so that a file of queues may be shared by processes that each need some of
    them. All sockets bind before any of them connects.

    The baton is the message, as bytes; with `multipart: true` a list of bytes. That of a REP or ROUTER is a mapping
    with the `message`, and for a ROUTER the `identity` of the peer; what the pipeline puts at `reply` is sent back.

    Resources: `zmq.socket.<name>`, a `zmq.Socket` for use in the thread of the reactor, without waiting;
    `zmq.context`, the one `zmq.Context` of all of them; and where a queue has a processor, `zmq.poller`: the service
    that takes the messages, whose `stopService()` lets them wait, and `startService()` goes on.

    Example:
        zmq:
            queues:
                jobs:
                    type: PULL
                    sockopts:
                        - key: HWM
                          value: 100
                    binds:
                        - tcp://127.0.0.1:5555
                    processor: processor_name
                results:
                    type: PUSH
                    connects:
                        - tcp://127.0.0.1:5556
    """

    prefixes = ("zmq.",)
    context_factory = zmq.Context

    def __init__(self) -> None:
        super().__init__()
        self._context: zmq.Context[Any] | None = None
        self._sockets: dict[str, QueueSocket] = {}
        #: How many addresses wait to be bound; nothing connects before.
        self._unbound = 0
        self._is_connecting = False

    @staticmethod
    def offers(options: ZMQOptions) -> Iterable[str]:
        return (CONTEXT, *(QueueName.prefix + name for name in options.queues))

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("zmq")
        self._environment = runtime_environment
        self._options: ZMQOptions = runtime_environment.get_options(self)
        for path in self.offers(self._options):
            runtime_environment.resource_manager.register(path, self)
        self.setServiceParent(runtime_environment.application)

    def add_consumer(self, dependency: Any) -> None:
        path: str = dependency.provider
        if path == CONTEXT:
            dependency.on_resource_ready(self.context)
        else:
            dependency.on_resource_ready(self._socket(path.removeprefix(QueueName.prefix)))

    @property
    def context(self) -> Any:
        """The context of all sockets, made for the first of them."""
        if self._context is None:
            self._context = self.context_factory()
        return self._context

    def _socket(self, name: str) -> QueueSocket:
        if name not in self._sockets:
            self._sockets[name] = self._made(name, self._options.queues[name])
        return self._sockets[name]

    def _made(self, name: str, options: QueueOptions) -> QueueSocket:
        kind = zmq.SocketType[_TYPES.get(options.type, options.type)]
        socket: QueueSocket = self.context.socket(kind, socket_class=QueueSocket)
        try:
            socket.setsockopt(zmq.LINGER, LINGER)
            for option in options.sockopts:
                option.set_on(socket)
        except ConfigurationError:
            socket.close(0)
            raise
        called = QueueName.prefix + name
        Channel(called, socket, self._environment.reactor, max_waiting=options.max_waiting)
        if options.type == "SUB" and options.processor and not any(o.key == "SUBSCRIBE" for o in options.sockopts):
            log.warning("%s has no option SUBSCRIBE, so that nothing comes", called)
        if self._is_connecting:
            for address in options.binds:
                _bound(called, socket, address)
            _connected(called, socket, options)
        else:
            for address in options.binds:
                self._unbound += 1
                place = _Place(self, called, socket, address)
                self._environment.add_listener(called, "zmq", place, None, address.where)
        return socket

    def bound(self) -> None:
        """Called for each address that was bound; after the last one all sockets connect."""
        self._unbound -= 1
        self._connect()

    def startService(self) -> None:
        super().startService()
        self._connect()

    def _connect(self) -> None:
        if self._unbound == 0 and not self._is_connecting:
            self._is_connecting = True
            for name, socket in self._sockets.items():
                _connected(QueueName.prefix + name, socket, self._options.queues[name])

    def stopService(self) -> Deferred[Any]:
        """Close all sockets; fires when they have sent what they held, or had their time to."""
        stopped: Deferred[Any] = super().stopService()
        for socket in self._sockets.values():
            if socket.channel is not None and not socket.closed:
                own = int(socket.getsockopt(zmq.LINGER))
                socket.channel.close(min(own, LONGEST_LINGER) if own >= 0 else LONGEST_LINGER)
        if self._context is None:
            return stopped
        # In a thread, as it waits for what is being sent.
        return DeferredList([stopped, self._environment.in_thread(self._context.destroy, LINGER)])


class _Place:
    """Where a socket is found by others, opened as ports are: what a listener takes for an endpoint, and for a port."""

    def __init__(self, owner: ZMQSocketProvider, called: str, socket: QueueSocket, address: BindAddress) -> None:
        self._owner, self._called, self._socket, self._address = owner, called, socket, address

    async def listen(self, factory: None) -> _Place:
        """Bind.

        Raises:
            ConfigurationError: that is not possible, as the address is in use for example.
        """
        _bound(self._called, self._socket, self._address)
        self._actual: Any = self._socket.last_endpoint
        self._owner.bound()
        return self

    def getHost(self) -> str:
        """The address, with the port that it got."""
        return bytes(self._actual).rstrip(b"\0").decode()

    def stopListening(self) -> None:
        """It stays: those who are connected would be cut off before they have their replies."""


def _bound(called: str, socket: QueueSocket, address: BindAddress) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        fix = _IN_USE if error.errno == zmq.EADDRINUSE else ""
        raise _not_possible(f"{called} cannot bind {address}", error, address, fix) from error


def _connected(called: str, socket: QueueSocket, options: QueueOptions) -> None:
    for address in options.connects:
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            raise _not_possible(f"{called} cannot connect to {address}", error, address) from error


def _not_possible(what: str, error: zmq.ZMQError, address: Address, fix: str = "") -> ConfigurationError:
    # pyzmq adds the address to some of these texts.
    reason = zmq.strerror(error.errno or 0).lower()
    return ConfigurationError(problems=[Problem(f"{what}: {reason}", address.where, fix)])


@provider("zmq", ZMQOptions)
class ZMQProcessorFeederProvider(MultiService):
    """Gives the messages that come to pipelines, for each queue that names a `processor`.

    Resources: `zmq.poller`, if there is such a queue: the service that takes the messages. Its `stopService()` lets
    them wait, and `startService()` goes on.

    Example:
        zmq:
            queues:
                queue_name:
                    type: PULL
                    processor: processor_name
    """

    prefixes = ("zmq.",)

    @staticmethod
    def offers(options: ZMQOptions) -> Iterable[str]:
        return (POLLER,) if any(each.processor is not None for each in options.queues.values()) else ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName(POLLER)
        options: ZMQOptions = runtime_environment.get_options(self)
        for name, queue in options.queues.items():
            if queue.processor is not None:
                feeder = Feeder(name, queue, options.maximum_batch_size)
                feeder.configure(runtime_environment)
                feeder.setServiceParent(self)
        for path in self.offers(options):
            runtime_environment.resource_manager.register(path, self)
        self.setServiceParent(runtime_environment.application)

    def add_consumer(self, dependency: Any) -> None:
        dependency.on_resource_ready(self)
