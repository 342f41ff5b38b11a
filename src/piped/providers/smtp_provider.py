"""SMTP servers: mails as batons."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList

from piped import ConfigurationError, Lambda, Problem, RuntimeEnvironment, Source, load_namespace, provider
from piped.mail.options import SmtpServerOptions
from piped.resources.dependency import InstanceDependency
from piped.runtime.endpoints import endpoint

_log = logging.getLogger("piped.mail")


@provider("smtp", dict[str, SmtpServerOptions])
class SMTPProvider(MultiService):
    """Servers that take mails, and have pipelines process them.

    Each recipient of a mail makes a baton with the `message`, an `email.message.EmailMessage`, and with `from_addr`
    and `to_addr` as text; with a `checker` also `avatar_id`, who has logged in. A mail counts as taken when its
    pipeline has ended. If that fails, the sender is told to try again later; if it raises `piped.Rejected`, that the
    mail is refused for good.

    Example:
        smtp:
            my_server:
                listen: tcp:10025
                processor: processor_name
                validate_from: "protocol, helo, origin: True"
                validate_to: "protocol, user: str(user.dest).endswith('@example.org')"
    """

    prefixes = ()

    @staticmethod
    def offers(servers: dict[str, SmtpServerOptions]) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("smtp")
        self.setServiceParent(runtime_environment.application)
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            if options.enabled:
                try:
                    MailServer(name, options).configure(runtime_environment, self)
                except ConfigurationError as error:
                    problems += error.problems
        if problems:
            raise ConfigurationError(problems=problems)


class MailServer(MultiService):
    """One server of the section `smtp`."""

    def __init__(self, name: str, options: SmtpServerOptions) -> None:
        super().__init__()
        self.setName(name)
        self.options = options

    def configure(self, runtime_environment: RuntimeEnvironment, parent: MultiService) -> None:
        """Find what the options name, and ask for ports to be opened once everything is ready."""
        # Late, as twisted.mail.smtp imports the reactor, which has to be chosen before.
        from piped.mail.authenticating import Checkers
        from piped.mail.delivering import Delivery
        from piped.mail.server import Lambdas, SmtpServer

        options, name = self.options, f"smtp.{self.name}"
        self.setServiceParent(parent)
        dependency = runtime_environment.add_processor(InstanceDependency(self, name), options.processor)
        source = Source(name, dependency, max_running=options.max_running)
        runtime_environment.sources.add(source)
        namespace = load_namespace(options.namespace)
        written = (options.validate_from, options.validate_to, options.received_header)
        lambdas = Lambdas(*(_bound(text, namespace) for text in written))
        for key, function in (("validate_from", lambdas.validate_from), ("validate_to", lambdas.validate_to)):
            if function is None:
                _log.warning("%s has no %s, so that every mail is refused", name, key)
        tls = None if options.tls is None else options.tls.context_factory()
        checkers = Checkers(options.checkers()) if options.checker is not None else None
        delivery = Delivery(source, runtime_environment, options.per_message, options.processing_timeout)
        self.server = SmtpServer(name, options, delivery, lambdas, tls, checkers)
        for place in options.places:
            scheme = "smtps" if place.startswith("ssl:") else "smtp"
            where = endpoint(runtime_environment.reactor, place)
            runtime_environment.add_listener(name, scheme, where, self.server, place.where)

    def stopService(self) -> Deferred[Any]:
        """Say goodbye to the clients that are still there; what was running has been drained before."""
        return DeferredList([super().stopService(), self.server.close()])


def _bound(text: Lambda | None, namespace: dict[str, Any]) -> Any:
    return None if text is None else text.bind(namespace)
