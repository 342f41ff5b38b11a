"""The debugger of an application: the failures of its handlers, for those who may look into them."""

from __future__ import annotations

import logging
import os
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlencode

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler
from twisted.web.http_headers import Headers

from piped import RuntimeEnvironment
from piped.web import debug_page
from piped.web.debugger import SECRET, SEGMENT, Debugger, Session
from piped.web.guests import foreign
from piped.web.options import SiteDebug
from piped_cyclone.options import ApplicationOptions

_log = logging.getLogger("piped.cyclone")
#: The setting of an application that holds its debugger.
SETTING: Final = "piped_debugger"
_SAFE: Final = {"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


class ApplicationDebugger(Debugger):
    """Keeps the failures of an application, under the rules that hold for web sites.

    Args:
        owner: how log lines call the site.
    """

    def __init__(self, owner: str, options: ApplicationOptions, environment: RuntimeEnvironment) -> None:
        allowed = SiteDebug(options.debug_allow, max_inactive_time=options.debug_timeout, hosts=options.debug_hosts)
        super().__init__(owner, allowed, environment)
        self.template = options.debug_template

    def asked_for(self, request: HTTPServerRequest) -> Session | None:
        """The failure that a request asks for; None if there is none, or it was forgotten."""
        asked = request.query_arguments.get(SEGMENT, [b""])
        return self.session(asked[-1].decode("latin-1"))

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
        own = self._own_page(handler, kept=kept, url=url, token=session.token)
        if own is not None:
            return own, SECRET | _SAFE
        arguments = {name: handler.get_arguments(name) for name in request.arguments}
        called = {"args": handler.path_args, "kwargs": handler.path_kwargs, "arguments": arguments}
        what = f"{request.method} {request.uri}"
        view = debug_page.View(kept, what, kept.baton(called), url, session.token, title="web.Application Traceback")
        return debug_page.page(view), debug_page.headers() | SECRET

    def _own_page(self, handler: RequestHandler, **values: Any) -> bytes | None:
        """The page that `debug_template` makes; None for the built-in one, also where the template has failed."""
        if self.template is None:
            return None
        # Tornado would look beside whoever renders, which is this module.
        name = self.template if handler.get_template_path() else os.path.abspath(self.template)
        try:
            return handler.render_string(name, **values)
        except Exception:  # whatever is wrong there must not hide the failure that somebody wants to see
            _log.exception("%s cannot use debug_template, and shows the built-in page", self.owner)
            return None


def address(request: HTTPServerRequest, session: Session) -> str:
    """The path where the page of a failure is, and where that sends what is typed."""
    return f"{request.path}?{urlencode({SEGMENT: session.id})}"


def alone(handler: RequestHandler, body: bytes, headers: dict[str, str]) -> None:
    """Finish with these headers and no other: what a handler sets may open the answer to pages of other sites."""
    for name in list(handler._headers):  # no public method tells which there are
        handler.clear_header(name)
    for name, value in (headers | SECRET).items():
        handler.set_header(name, value)
    handler.finish(body)


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
