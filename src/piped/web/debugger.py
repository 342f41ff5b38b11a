"""The debugger in the browser: a session for each failure, in whose frames allowed clients evaluate Python."""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from hmac import compare_digest
from operator import attrgetter
from typing import Any, Final
from urllib.parse import quote

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web import http

from piped import Rejected, RuntimeEnvironment, Seconds, told
from piped.runtime.evaluating import Evaluation
from piped.runtime.frames import Frame, KeptError
from piped.web import debug_page, replies
from piped.web.guests import Guests, foreign, peer_of
from piped.web.options import SiteDebug
from piped.web.path_options import PathDebug
from piped.web.request import Request

_log = logging.getLogger("piped.web")
#: The segment below a path with a processor where its debugger answers.
SEGMENT: Final = "__debug__"
#: Failures that are kept at a time; each keeps alive whatever its frames refer to.
MOST_SESSIONS: Final = 30
#: Seconds for which it is remembered which addresses a name has.
LOOKED_UP: Final = 60
#: Signs that one evaluation shows.
MOST_OUTPUT: Final = 100_000
#: The headers of every answer.
SECRET: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(slots=True, eq=False)
class Session:
    """One failure that can be looked into, by whoever has its token.

    `last_used` is in seconds of a monotonic clock.
    """

    kept: KeptError
    last_used: Seconds
    id: str
    token: str

    def frame(self, number: str) -> Frame | None:
        """The frame with a number that somebody has sent; None if there is no such frame."""
        try:
            return self.kept.frame(int(number))
        except (ValueError, IndexError):
            return None


def expired(sessions: Iterable[Session], now: Seconds, max_idle: Seconds) -> list[Session]:
    """The sessions that nobody has used for longer than `max_idle`; oldest first."""
    idle = [session for session in sessions if now - session.last_used > max_idle]
    return sorted(idle, key=attrgetter("last_used"))


class Debugger(Service):
    """Keeps the failures of some paths of a site, for those who may look into them.

    Args:
        owner: how log lines call the site.
    """

    def __init__(self, owner: str, options: SiteDebug, environment: RuntimeEnvironment) -> None:
        self.owner, self.options, self.clock = owner, options, environment.reactor
        self.guests = Guests(options.allow, options.hosts, partial(_addresses, environment))
        self.sessions: dict[str, Session] = {}
        self._calls = [(LoopingCall(self.reap), options.reap_interval, False)]
        if self.guests.names:
            self._calls.append((LoopingCall(self.guests.look_up), LOOKED_UP, True))

    def startService(self) -> None:
        super().startService()
        for call, interval, at_once in self._calls:
            call.clock = self.clock
            call.start(interval, now=at_once)

    def stopService(self) -> None:
        for call, _, _ in self._calls:
            if call.running:
                call.stop()
        self.sessions.clear()
        super().stopService()

    def reap(self) -> None:
        """Forget the failures that nobody has looked into for a while."""
        for session in expired(self.sessions.values(), self.clock.seconds(), self.options.max_inactive_time):
            del self.sessions[session.id]

    # A failure:

    def offer(self, request: Request, failure: Failure, baton: Any) -> None:
        """Answer a request that has failed with a page for debugging, if its client may debug; else do nothing.

        Args:
            baton: what the request became, which is shown where no frame has a baton.
        """
        can_be_shown = request.is_open and not request.startedWriting and request.method != b"HEAD"
        if not can_be_shown or failure.check(CancelledError):
            return
        refusal = self._refusal(request)
        if refusal:
            _log.debug("%s does not show the failure of %s: %s", self.owner, request, refusal)
            return
        assert failure.value is not None
        session = self.keep(failure.value)
        url = "".join(f"/{quote(segment, safe='')}" for segment in _node(request))
        view = debug_page.View(
            session.kept, str(request), session.kept.baton(baton), f"{url}/{SEGMENT}/{session.id}", session.token
        )
        replies.alone(request, http.INTERNAL_SERVER_ERROR, debug_page.page(view), debug_page.headers() | SECRET)

    def keep(self, error: BaseException) -> Session:
        """Keep a failure, in place of the one that was used longest ago if there are many."""
        while len(self.sessions) >= MOST_SESSIONS:
            del self.sessions[min(self.sessions.values(), key=attrgetter("last_used")).id]
        session = Session(KeptError(error), self.clock.seconds(), secrets.token_urlsafe(12), secrets.token_urlsafe(32))
        self.sessions[session.id] = session
        return session

    def session(self, identity: str) -> Session | None:
        """The failure that a request asks for; None if there is none, or it was forgotten."""
        self.reap()
        return self.sessions.get(identity)

    def used(self, session: Session) -> None:
        """Keep a failure for longer, as somebody looks into it who may."""
        session.last_used = self.clock.seconds()

    # Evaluations:

    def __call__(self, request: Request) -> bool:
        """Answer what is asked below a path's `__debug__`."""
        request.answered_by = self.owner
        session = self.session(request.postpath[0]) if len(request.postpath) == 1 else None
        refusal = self._refusal(request)
        if refusal:
            self._refuse(request, refusal)
        elif session is None:
            self._log_refusal(request, "there is no such session, or it was forgotten")
            replies.no_such_resource(request)
        elif request.method != b"POST":
            self._log_refusal(request, "only POST evaluates")
            replies.method_not_allowed(request, "POST")
        else:
            self._asked(request, session)
        return True

    def _asked(self, request: Request, session: Session) -> None:
        try:
            refusal = foreign(request.requestHeaders, _origin(request)) or _wrong_token(request, session)
        except Rejected as error:  # what was sent is no form
            self._log_refusal(request, told(error))
            replies.bad_request(request)
            return
        if refusal:
            self._refuse(request, refusal)
        else:
            self._evaluate(request, session)

    def _evaluate(self, request: Request, session: Session) -> None:
        frame = session.frame(_field(request, "frame_no", "-1"))
        if frame is None:
            replies.bad_request(request)
            return
        self.used(session)
        # Not what: the log is never to see what somebody has typed.
        _log.info("%s: %s evaluates in %s", self.owner, _peer(request), frame.function)
        output = Output()
        evaluation = frame.evaluate(_field(request, "expr"), output.write)
        request.on_lost = evaluation.stop
        evaluation.when_ended(partial(self._answer, request, session, output))

    def _answer(self, request: Request, session: Session, output: Output, evaluation: Evaluation) -> None:
        self.used(session)
        output.write(evaluation.report)
        request.setHeader("Content-Type", "application/json")
        for name, value in SECRET.items():
            request.setHeader(name, value)
        request.answer(json.dumps(output.text).encode())

    def _refusal(self, request: Request) -> str:
        return self.guests.refusal(_peer(request), request.requestHeaders)

    def _refuse(self, request: Request, reason: str) -> None:
        self._log_refusal(request, reason)
        replies.forbidden(request)

    def _log_refusal(self, request: Request, reason: str) -> None:
        who = _peer(request) or "somebody"
        _log.warning("%s refuses to let %s debug (%s): %s", self.owner, who, request, reason)


class Debuggers(MultiService):
    """The debuggers of a site: one for each way in which debugging is configured.

    Args:
        owner: how log lines call the site.
        options: of the whole site.
    """

    def __init__(self, owner: str, options: SiteDebug | None, environment: RuntimeEnvironment) -> None:
        super().__init__()
        self.owner, self._options, self._environment = owner, options, environment
        self._debuggers: list[Debugger] = []

    def of(self, path: PathDebug | None) -> Debugger | None:
        """The debugger of a path that differs so from the site; None where nobody may debug."""
        options = merged(self._options, path)
        if not options.allow:
            return None
        for known in self._debuggers:
            if known.options == options:
                return known
        debugger = Debugger(self.owner, options, self._environment)
        debugger.setServiceParent(self)
        self._debuggers.append(debugger)
        told = "%s: clients from %s may run any code in this process, with its debugger (debug.allow)"
        _log.warning(told, self.owner, ", ".join(options.allow))
        return debugger


def merged(site: SiteDebug | None, path: PathDebug | None) -> SiteDebug:
    """The options of a path: its own, and for what it leaves out those of its site."""
    options = site or SiteDebug(allow=[])
    own = {} if path is None else {name: value for name, value in vars(path).items() if value is not None}
    return replace(options, **own)


class Output:
    """Collects what an evaluation shows, up to a bound."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        room = MOST_OUTPUT - len(self.text)
        if room > 0:
            self.text += text if len(text) <= room else f"{text[:room]}\n… the rest is too long to be shown\n"


def _addresses(environment: RuntimeEnvironment, name: str) -> Deferred[list[str]]:
    found: Deferred[Any] = environment.in_thread(socket.getaddrinfo, name, None)
    return found.addCallback(lambda entries: [entry[4][0] for entry in entries])


def _node(request: Request) -> list[bytes]:
    """The segments of the path where what answers is configured."""
    segments: list[bytes] = request.prepath
    return segments[:-1] if segments and segments[-1] == b"" else segments


def _peer(request: Request) -> str:
    return "" if request.channel is None else peer_of(request.channel.transport)


def _origin(request: Request) -> str:
    return f"{'https' if request.isSecure() else 'http'}://{request.getHeader('host')}"


def _field(request: Request, name: str, otherwise: str = "") -> str:
    """A field of the form. Those of the query do not count, as addresses are logged and remembered."""
    values = request.form.fields.get(name.encode())
    return values[-1].decode("utf-8", "replace") if values else otherwise


def _wrong_token(request: Request, session: Session) -> str:
    is_right = compare_digest(_field(request, "token").encode("utf-8", "replace"), session.token.encode())
    return "" if is_right else "its token is wrong"
