"""A program that speaks Perspective Broker with nothing but Twisted, to be run in a process of its own.

    python spread_peer.py serve ENDPOINT [NAME PASSWORD]      says "serving", and does until it is killed
    python spread_peer.py call ENDPOINT LOGIN CALLS           makes the calls; says what each comes to

ENDPOINT is one of Twisted's, LOGIN is "-" or NAME:PASSWORD, CALLS is a list of (name, args, kwargs) in Python.
"""

import ast
import sys

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import react
from twisted.spread import pb
from zope.interface import implementer


class Root(pb.Root):
    """What can be called."""

    def remote_echo(self, *args, **kwargs):
        return args[0] if args else kwargs

    def remote_greet(self, name="nobody"):
        return f"Hello {name} from the PB server."

    def remote_fail(self):
        raise KeyError("no such job")

    def remote_never(self, name=None):
        print("called", flush=True)
        return Deferred()

    def __getattr__(self, name):
        if name.startswith("perspective_"):
            return getattr(self, "remote_" + name.removeprefix("perspective_"))
        raise AttributeError(name)


class Avatar(pb.Avatar):
    """The same for who has logged in."""

    def __init__(self):
        self.root = Root()

    def __getattr__(self, name):
        return getattr(self.root, name)


@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatar_id, mind, *interfaces):
        return pb.IPerspective, Avatar(), lambda: None


async def serve(_, endpoint, name=None, password=""):
    served = Root()
    if name is not None:
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        checker.addUser(name.encode(), password.encode())
        served = Portal(Realm(), [checker])
    await serverFromString(reactor, endpoint).listen(pb.PBServerFactory(served))
    print("serving", flush=True)
    await Deferred()


async def call(_, endpoint, login, calls):
    factory = pb.PBClientFactory()
    await clientFromString(reactor, endpoint).connect(factory)
    try:
        if login == "-":
            root = await factory.getRootObject()
        else:
            name, password = login.encode().split(b":")
            root = await factory.login(UsernamePassword(name, password))
    except Exception as error:
        print(repr(("login failed", _named(error), str(error))))
        return
    for name, args, kwargs in ast.literal_eval(calls):
        try:
            print(repr(("answer", await root.callRemote(name, *args, **kwargs))))
        except Exception as error:
            print(repr(("failure", _named(error), str(error))))


def _named(error):
    name = getattr(error, "remoteType", type(error).__qualname__)
    return name.decode() if isinstance(name, bytes) else name


if __name__ == "__main__":
    do = {"serve": serve, "call": call}[sys.argv[1]]
    react(lambda *arguments: ensureDeferred(do(*arguments)), sys.argv[2:])
