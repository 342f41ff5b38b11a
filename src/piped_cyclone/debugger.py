"""The debugger of an application: the failures of its handlers, for those who may look into them."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlencode

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler
from twisted.web.http_headers import Headers

from piped import RuntimeEnvironment
from piped.runtime.frames import Frame, KeptError
from piped.web import debug_page
from piped.web.debugger import MOST_OUTPUT, SEGMENT, Debugger, Session
from piped.web.guests import foreign
from piped.web.options import SiteDebug
from piped_cyclone.options import ApplicationOptions

#: The setting of an application that holds its debugger.
SETTING: Final = "piped_debugger"
_SECRET: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_SAFE: Final = {"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
_TITLE, _OUR_TITLE = b"web.Server Traceback", b"web.Application Traceback"


class ApplicationDebugger(Debugger):
    """Keeps the failures of an application, under the rules that hold for web sites.

    Args:
        owner: how log lines call the site.
    """

    def __init__(self, owner: str, options: ApplicationOptions, environment: RuntimeEnvironment) -> None:
        allowed = SiteDebug(options.debug_allow, max_inactive_time=options.debug_timeout, hosts=options.debug_hosts)
        super().__init__(owner, allowed, environment)
        self.template = options.debug_template

    def keep(self, error: BaseException) -> Session:
        """Keep a failure, in place of the one that was used longest ago if there are many."""
        return self._session(KeptError(error))

    def session(self, request: HTTPServerRequest) -> Session | None:
        """The failure that a request asks for; None if there is none, or it was forgotten."""
        self.reap()
        asked = request.query_arguments.get(SEGMENT, [b""])
        return self.sessions.get(asked[-1].decode("latin-1"))

    def used(self, session: Session) -> None:
        """Keep a failure for longer, as somebody looks into it who may."""
        session.last_used = self.clock.seconds()

    def obstacle(self, request: HTTPServerRequest) -> str:
        """Why a request may not debug; "" if it may."""
        return self.guests.refusal(_peer(request), _headers(request))

    def foreign(self, handler: RequestHandler, session: Session) -> str:
        """Why a request was not made by the page of a failure; "" if it was."""
        request = handler.request
        token = handler.get_body_argument("token", "").encode("utf-8", "replace")
        wrong = "" if compare_digest(token, session.token.encode()) else "its token is wrong"
        return foreign(_headers(request), f"{request.protocol}://{request.host}") or wrong

    def page(self, handler: RequestHandler, session: Session) -> tuple[bytes, dict[str, str]]:
        """The page of a failure, and its headers."""
        request, kept = handler.request, session.kept
        # With its origin: a path that begins with two slashes would be one on another server.
        url = f"{request.protocol}://{request.host}{address(request, session)}"
        if self.template is not None:
            values = {"kept": kept, "url": url, "token": session.token}
            return handler.render_string(self.template, **values), _SECRET | _SAFE
        arguments = {name: handler.get_arguments(name) for name in request.arguments}
        called = {"args": handler.path_args, "kwargs": handler.path_kwargs, "arguments": arguments}
        view = debug_page.View(kept, f"{request.method} {request.uri}", kept.baton(called), url, session.token)
        # The title and the heading, which stand above everything that is not ours.
        return debug_page.page(view).replace(_TITLE, _OUR_TITLE, 2), debug_page.headers() | _SECRET


def address(request: HTTPServerRequest, session: Session) -> str:
    """The path where the page of a failure is, and where that sends what is typed."""
    return f"{request.path}?{urlencode({SEGMENT: session.id})}"


def alone(handler: RequestHandler, body: bytes, headers: dict[str, str]) -> None:
    """Finish with these headers and no other: what a handler sets may open the answer to pages of other sites."""
    for name in list(handler._headers):  # no public method tells which there are
        handler.clear_header(name)
    for name, value in (headers | _SECRET).items():
        handler.set_header(name, value)
    handler.finish(body)


def frame_of(handler: RequestHandler, session: Session) -> Frame | None:
    """The frame in which a request wants something evaluated; None if there is no such frame."""
    try:
        return session.kept.frame(int(handler.get_body_argument("frame_no", "-1")))
    except (ValueError, IndexError):
        return None


class Output:
    """Collects what an evaluation shows, up to a bound."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        room = MOST_OUTPUT - len(self.text)
        if room > 0:
            self.text += text if len(text) <= room else f"{text[:room]}\n… the rest is too long to be shown\n"


def _peer(request: HTTPServerRequest) -> str:
    """Who is connected; not `remote_ip`, which believes a proxy where `xheaders` says so."""
    context: Any = getattr(request.connection, "context", None)
    address = getattr(context, "address", None)
    return address[0] if isinstance(address, tuple) and address else ""


def _headers(request: HTTPServerRequest) -> Headers:
    headers = Headers()
    for name, value in request.headers.get_all():
        headers.addRawHeader(name, value)
    return headers
