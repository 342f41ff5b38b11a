"""What may be written as `configuration` of send-email: the server that mails are given to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from annotated_types import Ge

from piped import ConfigurationError, Count, Port, Problem, Seconds
from piped.mail.options import PemFile, split_certificates

_HOST: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,253}")


@dataclass(frozen=True)
class Relay:
    """The server that mails are given to.

    Args:
        host: its name or address.
        port: where it listens; 587 is usual with a password, 465 with `use_ssl`.
        timeout: how long to wait for a connection, for each answer, and for each part of a mail to be taken.
        retries: how often a mail is sent again that could not be taken now, or for which there was no connection.
        wait: about how long to wait before the first retry; it doubles with each one.
        max_wait: the longest wait.
        use_ssl: speak TLS from the first byte.
        require_transport_security: send nothing without TLS, nor to a server whose certificate is wrong. Left out, that
            is so with a `username`. Where it is not required, TLS is spoken if the server can, with any certificate.
        require_authentication: send nothing where the server does not let us log in. Left out, that is so with a
            `username`.
        username: who logs in.
        password: the password.
        helo_fallback: greet with HELO a server that does not know EHLO.
        ca_file: certificates (PEM), one of which must vouch for the server, instead of those of the system.
        helo: how we call ourselves; by default the name of the machine.
        max_connections: how many connections of this step are open at a time; mails above that wait.
        idle_time: how long a connection is kept for the next mail; 0 for not at all.
    """

    host: str = "localhost"
    port: Port = 25
    timeout: Seconds = 60
    retries: Annotated[int, Ge(0)] = 5
    wait: Seconds = 1
    max_wait: Seconds = 60
    use_ssl: bool = False
    require_transport_security: bool | None = None
    require_authentication: bool | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    helo_fallback: bool = False
    ca_file: PemFile | None = None
    helo: str | None = None
    max_connections: Count = 5
    idle_time: Seconds = 30

    def __post_init__(self) -> None:
        for name, host in (("host", self.host), ("helo", self.called)):
            if not _HOST.fullmatch(host):
                raise ConfigurationError(
                    f"{name} is {host!r}, which is no name of a host", hint=f"{name}: mail.example.org"
                )
        if (self.username is None) != (self.password is None):
            raise ConfigurationError("a username and a password go together", hint="add the other one")
        if self.require_authentication and self.username is None:
            raise ConfigurationError("who logs in?", hint="add username and password")
        if self.username is not None and self.helo_fallback and self.must_log_in:
            raise ConfigurationError("nobody logs in after HELO", hint="remove helo_fallback")

    @property
    def is_strict(self) -> bool:
        """Whether TLS is required, and with it the right certificate."""
        if self.require_transport_security is None:
            return self.use_ssl or self.username is not None
        return self.use_ssl or self.require_transport_security

    @property
    def must_log_in(self) -> bool:
        return self.username is not None if self.require_authentication is None else self.require_authentication

    @property
    def called(self) -> str:
        """How we call ourselves."""
        return self.helo or os.uname().nodename

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def tls(self) -> Any:
        """What Twisted makes connections with.

        Raises:
            ConfigurationError: `ca_file` holds no certificates.
        """
        # Late, as it brings OpenSSL along, for which every other configuration would wait.
        from OpenSSL import SSL, crypto
        from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS, trustRootFromCertificates

        if not self.is_strict and self.ca_file is None:
            return CertificateOptions()
        root = None
        if self.ca_file is not None:
            try:
                with open(self.ca_file, "rb") as file:
                    root = trustRootFromCertificates(map(Certificate.loadPEM, split_certificates(file.read())))
            except (SSL.Error, crypto.Error, ValueError) as error:
                what = f"{self.ca_file} holds no certificates in the PEM form"
                where = getattr(self.ca_file, "where", None)
                raise ConfigurationError(problems=[Problem(what, where, "name another file")]) from error
        return optionsForClientTLS(self.host, root)
