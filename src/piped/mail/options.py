"""What may be written in the section `smtp`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.python.filepath import FilePath

from piped import (
    Bytes,
    ConfigurationError,
    Count,
    DottedName,
    Lambda,
    Mark,
    Namespace,
    Problem,
    ProcessorPath,
    Seconds,
)
from piped.config.nodes import Node
from piped.runtime.places import Listen

if TYPE_CHECKING:
    from piped.spec.checking import Checker


class PemFile(str):
    """A file with a key or with certificates (PEM)."""

    __shape__ = FilePath
    where: Mark | None

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> PemFile | None:
        written = checker.value(FilePath, node, owner="a file with a key or a certificate")
        if written is None:
            return None
        try:
            with open(written.path, "rb"):
                pass
        except OSError as error:
            what = f"cannot read {written.path}: {(error.strerror or str(error)).lower()}"
            fix = "put the key and the certificate there, or write where they are"
            checker.problems.append(Problem(what, node.where, fix))
            return None
        made = cls(written.path)
        made.where = node.where
        return made


@dataclass(frozen=True)
class Tls:
    """With what STARTTLS is offered.

    Args:
        private_key: the file of the key (PEM).
        certificate: the file of the certificate (PEM), with those between it and its authority behind it.
    """

    private_key: PemFile
    certificate: PemFile

    def __post_init__(self) -> None:
        self.context_factory()

    def context_factory(self) -> Any:
        """What Twisted makes connections with.

        Raises:
            ConfigurationError: the files hold no key with its certificate.
        """
        # Late, as it brings OpenSSL along, for which every other configuration would wait.
        from OpenSSL import SSL, crypto
        from twisted.internet.ssl import Certificate, CertificateOptions, KeyPair

        try:
            with open(self.private_key, "rb") as file:
                key = KeyPair.load(file.read(), 1).original
            with open(self.certificate, "rb") as file:
                first, *others = split_certificates(file.read())
            chain = [Certificate.loadPEM(one).original for one in others]
            options = CertificateOptions(key, Certificate.loadPEM(first).original, extraCertChain=chain)
            options.getContext()
        except (SSL.Error, crypto.Error, ValueError) as error:
            what = f"{self.private_key} and {self.certificate} are no key with its certificate in the PEM form"
            where = getattr(self.private_key, "where", None)
            raise ConfigurationError(problems=[Problem(what, where, "renew them, or name others")]) from error
        return options


def split_certificates(text: bytes) -> list[bytes]:
    """Each certificate of a file (PEM).

    Raises:
        ValueError: there is none.
    """
    begin = b"-----BEGIN CERTIFICATE-----"
    found = [begin + one for one in text.split(begin)[1:]]
    if not found:
        raise ValueError("there is no certificate")
    return found


@dataclass(frozen=True)
class CheckerOptions:
    """Who is let in.

    Args:
        name: the full name of a checker of Twisted's cred, such as `twisted.cred.checkers.FilePasswordDB`.
        arguments: what it is made with.
    """

    name: DottedName
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.make()

    def make(self) -> Any:
        """The checker.

        Raises:
            ConfigurationError: it cannot be made, or it is none.
        """
        try:
            made = self.name.load()(**self.arguments)
        except Exception as error:  # whatever somebody's class raises
            what = f"{self.name} cannot be made with these arguments: {type(error).__name__}"
            # Their values are secrets, which the text of an error may tell.
            raise ConfigurationError(problems=[Problem(what, self.name.where, "correct `arguments`")]) from None
        if not hasattr(made, "credentialInterfaces") or not hasattr(made, "requestAvatarId"):
            fix = "name a class with credentialInterfaces and requestAvatarId"
            raise ConfigurationError(problems=[Problem(f"{self.name} is no checker", self.name.where, fix)])
        return made


def _one_or_many(written: Any) -> list[Any]:
    return written if isinstance(written, list) else [] if written is None else [written]


@dataclass(frozen=True, kw_only=True)
class SmtpServerOptions:
    """A server that takes mails.

    Args:
        listen: a port (on loopback) or a Twisted endpoint, or a list of these. One that begins with `ssl:` speaks TLS
            from the first byte.
        processor: what gets the mails.
        enabled: serve it at all.
        tls: the key and the certificate for STARTTLS.
        require_tls: take no mails from clients that have not begun TLS.
        received_header: a lambda that gives the header that is put before the others, or null for none; it may be
            asynchronous. Left out, it is the one that servers add, with who has sent the mail to whom and when.
        namespace: names for the lambdas.
        validate_from: a lambda that says whether mails are taken from this sender; it may be asynchronous. `helo` is
            how the client calls itself and its address, `str(origin)` the sender. Left out, nobody's are.
        validate_to: a lambda that says whether mails are taken for this recipient, `str(user.dest)`; it may be
            asynchronous. Left out, nobody's are.
        checker: a checker of Twisted's cred, which senders have to log in with: its full name, or `name` and
            `arguments`. With a list of several, one of them has to know the sender.
        per_message: make one baton of a mail, with all recipients in `to_addrs`, instead of one for each.
        host: how the server calls itself; by default the name of the machine.
        max_message_size: how long a mail may be.
        max_line_length: how long a line of a mail may be.
        max_recipients: how many recipients a mail may have. With 1, each has an answer of its own.
        max_errors: how many commands may fail before the client is hung up on; a mail that was taken forgives them.
        max_connections: how many clients are connected at once.
        max_connections_per_peer: how many of them from one address.
        max_running: how many batons are processed at once; mails above that are to be sent again later.
        idle_timeout: how long a client may be silent.
        processing_timeout: how long a mail may be processed, before the client is told to send it again.
    """

    listen: Listen | list[Listen]
    processor: ProcessorPath
    enabled: bool = True
    tls: Tls | None = None
    require_tls: bool = False
    received_header: Lambda | None = None
    namespace: Namespace = field(default_factory=dict)
    validate_from: Lambda | None = None
    validate_to: Lambda | None = None
    checker: CheckerOptions | DottedName | list[CheckerOptions | DottedName] | None = None
    per_message: bool = False
    host: str | None = None
    max_message_size: Bytes = 25 * 1024 * 1024
    max_line_length: Count = 16 * 1024
    max_recipients: Count = 100
    max_errors: Count = 20
    max_connections: Count = 1000
    max_connections_per_peer: Count = 50
    max_running: Count = 1000
    idle_timeout: Seconds = 300
    processing_timeout: Seconds = 300

    def __post_init__(self) -> None:
        if not self.places:
            raise ConfigurationError("a server without a place to listen takes no mails", hint="listen: 10025")
        if not self.called.isprintable() or " " in self.called:
            raise ConfigurationError(
                f"host is {self.host!r}, which is no name of a host", hint="host: mail.example.org"
            )
        if self.require_tls and self.tls is None and not all(place.startswith("ssl:") for place in self.places):
            raise ConfigurationError("nobody can begin TLS with this server", hint="add `tls`")
        self.checkers()

    @property
    def places(self) -> list[Listen]:
        return _one_or_many(self.listen)

    def checkers(self) -> list[Any]:
        """The checkers, made anew; none where nobody has to log in."""
        written = _one_or_many(self.checker)
        return [(one if isinstance(one, CheckerOptions) else CheckerOptions(one)).make() for one in written]

    @property
    def called(self) -> str:
        """How the server calls itself."""
        return self.host or os.uname().nodename
