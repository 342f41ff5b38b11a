"""How a step reaches another web server: in what time, how often, through redirects, and whom it trusts."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from annotated_types import Gt

from piped import ConfigurationError, Count, OrPath, Processor, RuntimeEnvironment, Seconds
from piped.web_client.connections import Trust, Turns, expanded
from piped.web_client.fetching import client_of
from piped.web_client.redirecting import as_browsers
from piped.web_client.retrying import Retries, Times

_log = logging.getLogger("piped.web")


class ReachingProcessor(Processor):
    """A step that reaches another web server; a subclass says what for.

    Args:
        timeout: for everything together, retries too; 0 for any time. If the body is saved or streamed, for the
            beginning of the answer, and then for each part of the body.
        connect_timeout: for a connection, all addresses of the server together.
        attempt_timeout: for each try, if there are several; 0 for no other than `timeout`.
        retries: how often to try again what has failed, or when and how.
        max_redirects: how many are followed; with 0 a redirect is the answer. POST becomes GET with 301, 302 and 303,
            as in browsers. Secrets stay with the server that they are for, and https does not lead to http.
        max_connections_per_host: how many requests of this step to one server run at a time; others wait.
        verify: check the certificate of the server. Without that anybody can be the server.
        ca_file: certificates (PEM), one of which must vouch for the server, instead of those of the system.
        cert_file: a certificate to show to the server (PEM), with those between it and its authority.
        key_file: its key (PEM), if it is not in the same file.
    """

    def __init__(
        self,
        timeout: OrPath[Seconds] = 30,
        connect_timeout: Annotated[Seconds, Gt(0)] = 10,
        attempt_timeout: Seconds = 0,
        retries: Times | Retries = 0,
        max_redirects: Times = 10,
        max_connections_per_host: Count = 20,
        verify: bool = True,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(node_name)
        if key_file is not None and cert_file is None:
            raise ConfigurationError("a key_file without its certificate", hint="add `cert_file`")
        if ca_file is not None and not verify:
            raise ConfigurationError("ca_file is of no use with verify: false", hint="remove `verify`")
        self.timeout = timeout
        #: What is the same for every request.
        self.fixed: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "attempt_timeout": attempt_timeout,
            "retries": retries if isinstance(retries, Retries) else Retries(retries),
            "follow_redirect": max_redirects > 0,
            "redirect_limit": max_redirects,
            "rewrites": as_browsers,
            "leaves_tls": False,
            "turns": Turns(max_connections_per_host),
        }
        self.trust = Trust(expanded(ca_file), expanded(cert_file), expanded(key_file), verify)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.in_thread = runtime_environment.in_thread
        self.client = client_of(runtime_environment)
        self.client.trust(self.trust)
        if not self.trust.verify:
            place = f"{self.label} at {self.where}" if self.where is not None else self.label
            _log.warning("%s checks no certificates (verify: false): anybody can be its server", place)
