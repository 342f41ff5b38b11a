"""Asks other web servers over connections that are kept: through redirects, with cookies, in time, and once more."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.error import InfiniteRedirection
from twisted.web.http_headers import Headers

from piped import (
    PipedError,
    RuntimeEnvironment,
    Seconds,
    TimeoutError,  # noqa: A004 - the documented name
)
from piped.web_client.connections import Endpoints, Trust, Turns, policy_for, pool_for
from piped.web_client.errors import told_url
from piped.web_client.exchange import Answer, exchange, headers_of, uri_of
from piped.web_client.outgoing import Outgoing, Whole
from piped.web_client.redirecting import REDIRECTS, Rewrites, as_told, followed, leads_out_of_tls, origin_of, target_of
from piped.web_client.retrying import Retries, retry_after_of

#: Bytes of an answer that nobody wants which are read, so that its connection can be kept.
_MOST_UNWANTED: Final = 64 * 1024
_NO_RETRIES: Final = Retries(times=0)
if TYPE_CHECKING:
    from piped.web_client.cookie_jar import Jar

_log = logging.getLogger("piped.web")
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """What a server is asked for.

    `timeout` is in seconds for everything together, `attempt_timeout` for each try with its redirects; 0 is none. If it
    `is_patient`, either is for the beginning of the answer, and whoever receives the body looks after the rest.
    `cookies` are for the host of the URL; those that it sets are put there, too. A redirect that is not to be followed
    is an answer; so is each one if `redirect_limit` is 0.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Outgoing | None = None
    cookies: MutableMapping[str, str] = field(default_factory=dict)
    timeout: Seconds = 0
    attempt_timeout: Seconds = 0
    is_patient: bool = False
    follow_redirect: bool = True
    redirect_limit: int = 20
    rewrites: Rewrites = as_told
    leaves_tls: bool = True
    max_body: int | None = 10 * 1024 * 1024
    retries: Retries = _NO_RETRIES
    connect_timeout: Seconds = 30
    turns: Turns | None = None

    def __str__(self) -> str:
        return f"{self.method} {told_url(self.url)}"

    __repr__ = __str__  # the headers may hold secrets


class WebClient(Service):
    """The connections of a process to web servers; they are closed when it stops.

    Args:
        reactor: makes the connections, and gives the time.
        wall_clock: seconds since 1970.
        chance: a number from 0 to below 1, another one each time.
    """

    name = "web client"

    def __init__(
        self, reactor: Any, wall_clock: Callable[[], float], chance: Callable[[], float] = random.random
    ) -> None:
        self._reactor, self._wall_clock, self._chance = reactor, wall_clock, chance
        self._pools: dict[Trust, Any] = {}
        self._policies: dict[Trust, Any] = {}

    def trust(self, trust: Trust) -> None:
        """Get ready for connections that trust whom this says.

        Raises:
            ConfigurationError: a file cannot be read, or does not hold what it should.
        """
        if trust not in self._policies:
            self._policies[trust] = policy_for(trust)
            # A pool for each: a connection that one trusts may not be given to another.
            self._pools[trust] = pool_for(self._reactor)

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        return gatherResults([pool.closeCachedConnections() for pool in self._pools.values()])

    async def fetch(self, asked: Asked, trust: Trust, receive: Callable[[Answer], Awaitable[T]]) -> T:
        """What `receive` makes of the last answer, whatever its code; cancelled, it closes the connection.

        Args:
            trust: one that was given to `trust`.
            receive: reads the body, if it wants that; called again if it fails in a way that is worth another try.

        Raises:
            PipedError: the URL is none, or the answer was cut or too large.
            TimeoutError: it took too long.
            InfiniteRedirection: there were too many redirects.
        """
        trying = self._try(asked, self.agent_for(trust, asked.connect_timeout), receive)
        received: T = await (trying if asked.is_patient else self._within(asked.timeout, asked, trying))
        return received

    def agent_for(self, trust: Trust, connect_timeout: Seconds) -> Any:
        """An IAgent, on the connections that are kept for this trust."""
        from twisted.web.client import Agent  # late, as it brings OpenSSL along

        endpoints = Endpoints(self._reactor, self._policies[trust], connect_timeout)
        return Agent.usingEndpointFactory(self._reactor, endpoints, self._pools[trust])

    async def _within(self, seconds: Seconds, asked: Asked, work: Any) -> Any:
        if not seconds:
            return await work

        def too_late(result: Any, _: float) -> Any:
            if isinstance(result, Failure):
                raise TimeoutError(f"{asked} was not answered within {seconds:g} s")
            return result

        return await Deferred.fromCoroutine(work).addTimeout(seconds, self._reactor, too_late)

    async def _try(self, asked: Asked, agent: Any, receive: Callable[[Answer], Awaitable[Any]]) -> Any:
        """Ask until there is an answer that does, or that another try would not better."""
        is_bounded = asked.timeout and not asked.is_patient
        deadline = self._reactor.seconds() + asked.timeout if is_bounded else math.inf
        for tried in count(1):
            trial = _Trial(asked, tried, deadline)
            try:
                once = self._once(trial, agent, receive)
                wait, received = await (once if asked.is_patient else self._within(asked.attempt_timeout, asked, once))
            except Exception as error:
                wait, received = self._wait(trial, error), None
                if wait is None:
                    raise
            if wait is None:
                break
            await deferLater(self._reactor, wait)
        return received

    async def _once(self, trial: _Trial, agent: Any, receive: Callable[[Answer], Awaitable[Any]]) -> Any:
        """How long to wait before another try, and None; or None, and what was received."""
        asked, following = trial.asked, self._follow(trial.asked, agent)
        seconds = asked.attempt_timeout or asked.timeout if asked.is_patient else 0
        answer = await self._within(seconds, asked, following)
        wait = self._wait(trial, answer.code, answer.headers)
        if wait is None:
            return None, await receive(answer)
        await self._within(seconds, asked, answer.body.beginning(_MOST_UNWANTED))
        return wait, None

    def _wait(self, trial: _Trial, outcome: int | Exception, headers: Headers | None = None) -> Seconds | None:
        """How long to wait before another try; None for none."""
        asked, tried = trial.asked, trial.tried
        can_repeat = asked.body is None or asked.body.can_repeat
        if not can_repeat or not asked.retries.allows(asked.method, tried, outcome):
            return None
        value = None if headers is None else headers.getRawHeaders("Retry-After", [None])[-1]
        wait = asked.retries.pause(tried, self._chance(), retry_after_of(value, self._wall_clock()))
        if wait is None or self._reactor.seconds() + wait >= trial.deadline:
            return None
        _log.info("%s: trying again in %.1f s, after %r", asked, wait, outcome)
        return wait

    async def _follow(self, asked: Asked, agent: Any) -> Answer:
        """The answer at the end of the redirects; its body is still to be read."""
        from piped.web_client.cookie_jar import Jar  # late, as it brings urllib.request along

        jar = Jar(uri_of(asked.url), asked.cookies)
        for redirects in count():
            uri = uri_of(asked.url)
            answer = await self._ask(asked, agent, uri, jar)
            jar.take_from(answer.headers, uri)
            location = answer.headers.getRawHeaders(b"Location")
            if not (asked.follow_redirect and answer.code in REDIRECTS and location):
                break
            # Read before the next one is asked, which may need the connection.
            page = await answer.body.beginning(_MOST_UNWANTED)
            if redirects == asked.redirect_limit:
                raise InfiniteRedirection(answer.code, b"too many redirects", page, told_url(uri).encode())
            asked = _redirected(asked, answer.code, uri, location[0])
        jar.store()
        return answer

    async def _ask(self, asked: Asked, agent: Any, uri: str, jar: Jar) -> Answer:
        headers, body = headers_of(asked.headers), asked.body
        jar.add_to(headers, uri)
        if body is None and asked.retries.repeatable is False:
            body = Whole(b"")  # Twisted asks again on its own, when a kept connection is lost, only without any body
        end_turn = await asked.turns.take(origin_of(uri)) if asked.turns is not None else _nothing
        return await exchange(agent, self._reactor, asked.method, uri, headers, body, asked.max_body, on_end=end_turn)


@dataclass(frozen=True)
class _Trial:
    """One of several tries; none begins after `deadline`."""

    asked: Asked
    tried: int
    deadline: Seconds


def client_of(environment: RuntimeEnvironment) -> WebClient:
    """The client of a process, which all steps share; the first one brings it into being."""
    try:
        found: WebClient = environment.application.getServiceNamed(WebClient.name)
    except KeyError:
        found = WebClient(environment.reactor, environment.wall_clock)
        found.setServiceParent(environment.application)
    return found


def _redirected(asked: Asked, code: int, uri: str, location: bytes) -> Asked:
    """What to ask for next.

    Raises:
        PipedError: the redirect is not to be followed, or cannot be.
    """
    try:
        target = uri_of(target_of(uri, location))
    except PipedError as error:
        raise PipedError(f"{asked} is redirected: {error.msg}") from error
    if not asked.leaves_tls and leads_out_of_tls(uri, target):
        raise PipedError(f"{asked} is redirected to {told_url(target)}, which would not be encrypted")
    with_get = asked.rewrites(code, asked.method)
    method, headers = followed(asked.method, asked.headers, uri, target, with_get=with_get)
    body = None if with_get else asked.body
    if body is not None and not body.can_repeat:
        raise PipedError(f"{asked} is redirected to {told_url(target)}, and its body cannot be read twice")
    return replace(asked, url=target, method=method, headers=headers, body=body)


def _nothing() -> None:
    """Who takes turns with nobody has none to end."""
