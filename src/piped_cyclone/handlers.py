"""Request handlers that Piped adds to Tornado's: for debugging, for pipelines, and for what a provider provides."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, HTTPError, RequestHandler
from twisted.internet.defer import CancelledError, Deferred

from piped import Rejected, told
from piped.resources.dependency import Dependency
from piped.runtime.evaluating import Evaluation
from piped.web.debugger import SEGMENT, Output, Session
from piped_cyclone.debugger import SETTING, ApplicationDebugger, address, alone
from piped_cyclone.requests import unavailable

_log = logging.getLogger("piped.cyclone")


class DebuggableHandler(RequestHandler):
    """A request handler whose failures can be looked into with a browser, by clients on the list `debug_allow`.

    They see the traceback with its variables, and evaluate Python in its frames; all others get the plain 500. A
    subclass that has a `prepare` or a `write_error` of its own calls this one's. To ask for a login besides, override
    both methods:

        class AuthingDebuggableHandler(DebuggableHandler):
            @web.authenticated
            def get_debug(self, *a, **kw):
                super().get_debug(*a, **kw)

            @web.authenticated
            def post_debug(self, *a, **kw):
                super().post_debug(*a, **kw)
    """

    _evaluation: Evaluation | None = None

    @property
    def _debugger(self) -> ApplicationDebugger | None:
        return self.settings.get(SETTING)

    def prepare(self) -> Any:
        """Have a request for the debugger answered by it instead of by the handler's own methods."""
        if self._turned_to_debugger() and self.request.method not in ("GET", "POST"):
            raise HTTPError(405)
        return super().prepare()

    def check_xsrf_cookie(self) -> None:
        """Check the token of a form; what is typed into the page of a failure comes with a token of its own."""
        # Whatever a subclass does in `prepare`: a POST without the token reaches nothing but `post_debug`.
        if self.request.method != "POST" or not self._turned_to_debugger():
            super().check_xsrf_cookie()

    def _turned_to_debugger(self) -> bool:
        """Whether a request is for the debugger, which then answers in place of the handler's own methods."""
        is_turned = self._debugger is not None and SEGMENT in self.request.query_arguments
        if is_turned:
            self.get, self.post = self.get_debug, self.post_debug
        return is_turned

    def get_debug(self, *args: Any, **kwargs: Any) -> None:
        """Send the page of the failure that is asked for."""
        debugger, session = self._asked_for()
        if session is None or self._refused(debugger, debugger.obstacle(self.request)):
            raise HTTPError(404)
        debugger.used(session)
        alone(self, *debugger.page(self, session))

    def post_debug(self, *args: Any, **kwargs: Any) -> None:
        """Evaluate what is typed in a frame; the answer is a text in JSON."""
        debugger, session = self._asked_for()
        if self._refused(debugger, debugger.obstacle(self.request)):
            raise HTTPError(403)
        if session is None:
            raise HTTPError(404)
        if self._refused(debugger, debugger.foreign(self, session)):
            raise HTTPError(403)
        frame = session.frame(self.get_body_argument("frame_no", "-1"))
        if frame is None:
            raise HTTPError(400)
        # Not what: the log is never to see what somebody has typed.
        _log.info("%s: %s evaluates in %s", debugger.owner, self.request.remote_ip, frame.function)
        debugger.used(session)
        # Finished when the evaluation has ended, whatever an overriding method returns.
        self._auto_finish = False
        output = Output()
        expr = self.get_body_argument("expr", "", strip=False)
        self._evaluation = frame.evaluate(expr, output.write)
        self._evaluation.when_ended(partial(self._evaluated, debugger, session, output))

    def _evaluated(
        self, debugger: ApplicationDebugger, session: Session, output: Output, evaluation: Evaluation
    ) -> None:
        debugger.used(session)
        output.write(evaluation.report)
        if not self._finished:
            alone(self, json.dumps(output.text).encode(), {"Content-Type": "application/json"})

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._evaluation is not None:
            self._evaluation.stop()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Keep a failure, and show it to a client who may see it; to others say no more than its status."""
        debugger, error = self._debugger, kwargs.get("exc_info", (None, None))[1]
        if debugger is None or error is None or status_code != 500:
            super().write_error(status_code, **kwargs)
            return
        session = debugger.keep(error)
        _log.warning(
            "%s keeps the failure of %s: %s", debugger.owner, self.request.method, address(self.request, session)
        )
        if debugger.obstacle(self.request):
            super().write_error(status_code, **kwargs)
        else:
            alone(self, *debugger.page(self, session))

    def _asked_for(self) -> tuple[ApplicationDebugger, Session | None]:
        debugger = self._debugger
        if debugger is None:  # somebody has called it himself
            raise HTTPError(404)
        return debugger, debugger.asked_for(self.request)

    def _refused(self, debugger: ApplicationDebugger, reason: str) -> bool:
        if reason:
            _log.warning("%s refuses to let %s debug: %s", debugger.owner, self.request.remote_ip, reason)
        return bool(reason)


class PipelineRequestHandler(DebuggableHandler):
    """A request handler for requests that pipelines process, with any method.

    The baton is `{handler, args, kwargs}`: this handler, and the groups of the pattern. The pipeline calls
    `handler.finish()`. One that fails is answered with 500, one that raises `piped.Rejected` with 400, and while it is
    not ready the answer is 503. A client that leaves stops the pipeline of GET and HEAD.
    """

    def initialize(self, pipeline: Dependency) -> None:
        self._pipeline = pipeline
        self._running: Deferred[Any] | None = None
        self._is_left = False

    async def process(self, *args: Any, **kwargs: Any) -> None:
        """Send the request through the pipeline."""
        if not self._pipeline.is_ready:
            unavailable(self)
            return
        self._running = self._pipeline.get_resource()({"handler": self, "args": args, "kwargs": kwargs})
        try:
            await self._running
        except Rejected as error:
            if self._headers_written:
                raise
            _log.info("%s refuses %s: %s", self._pipeline.name, self.request.uri, told(error))
            self.clear()
            self.set_status(400)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{error.msg}\n")
        except CancelledError:
            if not self._is_left:
                raise
        else:
            if not self._finished:
                _log.warning("%s ended without finishing %s: finishing it", self._pipeline.name, self.request.uri)

    get = head = post = delete = patch = put = options = process

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._is_left = True
        if self._running is not None and self.request.method in ("GET", "HEAD"):
            self._running.cancel()


class Unavailable(RequestHandler):
    """Answers that what should have answered is not ready, or is not what it should be."""

    def initialize(self, code: int = 503) -> None:
        self._code = code

    def prepare(self) -> None:
        if self._code != 503:
            raise HTTPError(self._code)
        unavailable(self)

    def check_xsrf_cookie(self) -> None:
        """Nothing is done for which a token would be needed."""


class PipedRequestHandlerProxy(Router):
    """Has requests handled by the class that a dependency provides; while it is not ready they are answered with 503.

    Args:
        dependency: its resource is a class of request handlers.
    """

    #: Set before the first request.
    application: Application

    def __init__(self, dependency: Dependency) -> None:
        self.dependency = dependency

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        target: Any = self.dependency.get_resource() if self.dependency.is_ready else Unavailable
        if target is not Unavailable and not (isinstance(target, type) and issubclass(target, RequestHandler)):
            _log.error("%s cannot handle %s: it is no class of request handlers", self.dependency.name, request.path)
            target, kwargs["target_kwargs"] = Unavailable, {"code": 500}
        elif target is Unavailable:
            kwargs.pop("target_kwargs", None)
        return self.application.get_handler_delegate(request, target, **kwargs)
