"""Steps that decide whether, when and where a baton goes on."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import NoCurrentExceptionError

from piped import (
    ConfigurationError,
    DottedName,
    Lambda,
    Namespace,
    Path,
    Processor,
    RuntimeEnvironment,
    Seconds,
    current_failure,
    get_path,
    load_name,
    processor,
)
from piped.pipelines.processor import Baton
from piped.processors.lambdas import bind
from piped.processors.values import fresh

PLAIN_EXCEPTION = DottedName("Exception")


@processor("passthrough")
def passthrough(baton: Baton) -> None:
    """Pass the baton on as it is: a place to attach consumers to.

    Example:
        - passthrough
    """


class Stop(Processor):
    """End the way of some batons: one that is stopped here is a result of the pipeline.

    Args:
        input_path: what to decide by.
        decider: called with what is there; the baton is stopped if the answer is true. It sees the step as `self`.
            Left out: what is there is the answer.
        namespace: names for the decider: texts are imported as full names, other values are taken as they are.

    Example:
        - set-value: {path: tries, value: 3}
        - stop:
            input_path: tries
            decider: "tries: tries > 2"
        - log: {message: try again}
    """

    name = "stop"

    def __init__(
        self,
        input_path: Path = "",
        decider: Lambda | None = None,
        namespace: Namespace | None = None,
    ) -> None:
        super().__init__()
        self._input_path, self._text, self._namespace = input_path, decider, namespace

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._decide: Callable[[Any], Any] = bind(self, self._text, self._namespace) if self._text else bool

    def process(self, baton: Baton) -> Baton:
        return baton

    def get_consumers(self, baton: Baton) -> Sequence[Processor]:
        return () if self._decide(get_path(baton, self._input_path)) else self.consumers


class LambdaDecider(Processor):
    """Choose the consumers that get the baton.

    Args:
        lambda_: called with what lies at `input_path`; gives the index of a consumer, or several, in the order in
            which they get the baton. -1 is the last one, true and false are 1 and 0, none at all stops the baton. An
            index that no consumer has is an IndexError. The lambda sees the step as `self`.
        input_path: what to decide by.
        namespace: names for the lambda: texts are imported as full names, other values are taken as they are.

    Example:
        - set-value: {path: n, value: 4}
        - lambda-decider:
            input_path: n
            lambda: "n: n % 2"
          consumers:
            - set-value: {path: kind, value: even}
            - set-value: {path: kind, value: odd}
    """

    name = "lambda-decider"

    def __init__(
        self,
        lambda_: Lambda,
        input_path: Path = "",
        namespace: Namespace | None = None,
    ) -> None:
        super().__init__()
        self._text, self._input_path, self._namespace = lambda_, input_path, namespace

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._decide = bind(self, self._text, self._namespace)

    def process(self, baton: Baton) -> Baton:
        return baton

    def get_consumers(self, baton: Baton) -> Sequence[Processor]:
        chosen = self._decide(get_path(baton, self._input_path))
        indices = [chosen] if isinstance(chosen, int) or not isinstance(chosen, Iterable) else list(chosen)
        try:
            return [self.consumers[index] for index in indices]
        except (IndexError, TypeError) as error:
            what = f"{reprlib.repr(indices)} are no indices of {len(self.consumers)} consumers"
            raise type(error)(what) from None


class Wait(Processor):
    """Hold the baton for a while, then pass it on; others go on meanwhile.

    Args:
        delay: how long.

    Example:
        - wait: {delay: 0.5}
    """

    name = "wait"

    def __init__(self, delay: Seconds) -> None:
        super().__init__()
        self._delay = delay

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._reactor = runtime_environment.reactor

    def process(self, baton: Baton) -> Deferred[Baton]:
        return deferLater(self._reactor, self._delay, lambda: baton)


class RaiseException(Processor):
    """Fail, with an exception made for each baton.

    Args:
        type_: the full name of the exception; a bare name is a built-in one.
        args: its arguments; a single value is its only one.
        kwargs: its arguments by name.

    Example:
        - passthrough:
            error_consumers:
                - trap-failure: {error_types: ValueError}
        - raise-exception:
            type: ValueError
            args: that is no number
    """

    name = "raise-exception"

    def __init__(
        self,
        type_: DottedName = PLAIN_EXCEPTION,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._exception = load_exception(type_)
        self._args = args if isinstance(args, list) else [] if args is None else [args]
        self._kwargs = kwargs or {}

    def process(self, baton: Baton) -> NoReturn:
        raise self._exception(*fresh(self._args), **fresh(self._kwargs))


class TrapFailure(Processor):
    """Handle failures of some types, as an error consumer; any other is raised again.

    Args:
        error_types: the full name of an exception, or several; a bare name is a built-in one.
        output_path: where to put the Twisted Failure; '' fails with it again, null discards it.

    Example:
        - passthrough:
            error_consumers:
                - trap-failure:
                    error_types: [LookupError, json.JSONDecodeError]
                    output_path: failure
        - raise-exception: {type: KeyError}
    """

    name = "trap-failure"

    def __init__(
        self,
        error_types: DottedName | list[DottedName],
        output_path: Path | None = None,
    ) -> None:
        super().__init__()
        names = [error_types] if isinstance(error_types, str) else error_types
        self._types = tuple(load_exception(name) for name in names)
        self._output_path = output_path

    def process(self, baton: Baton) -> Baton:
        failure = current_failure()
        if failure is None:
            raise NoCurrentExceptionError("trap-failure is no error consumer here: there is no failure to trap")
        if not isinstance(failure.value, self._types):
            failure.raiseException()
        return self.get_resulting_baton(baton, self._output_path, failure)


class Shutdown(Processor):
    """Ask the process to stop; the baton goes on at once, and what runs is brought to its end first.

    Example:
        - shutdown
    """

    name = "shutdown"

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment

    def process(self, baton: Baton) -> Baton:
        self._environment.ask_for_stop()
        return baton


def load_exception(name: str) -> type[BaseException]:
    """The exception of that name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        found = load_name(name)
    except ImportError as error:
        raise ConfigurationError(str(error), hint="write the full name of an exception") from error
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ConfigurationError(f"{name!r} is no exception", hint="write the full name of an exception")
    return found
