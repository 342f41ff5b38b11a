"""The notation of a case: which baton goes into which pipeline, what stands in for the rest, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from piped import ConfigurationError, DottedName, Mark, PipelineName, Problem, Seconds
from piped.config.environment import fill
from piped.config.nodes import Node, node_of
from piped.ground.units import Located
from piped.processors.flow import load_exception

if TYPE_CHECKING:
    from piped.spec.checking import Checker


class Written:
    """Anything; it keeps the places of its parts.

    Args:
        node: None where nothing is written.
        environ: what `${NAME}` is filled in with.
    """

    __shape__: ClassVar[Any] = Any

    def __init__(self, node: Node | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.node, self.environ = node, environ or {}

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Written:
        checker.value(Any, node, owner="")  # tells what cannot be filled in
        return cls(node, checker.environ)

    @property
    def is_written(self) -> bool:
        return self.node is not None

    @property
    def where(self) -> Mark | None:
        return self.node.where if self.node is not None else None

    def scalar(self, node: Node) -> Any:
        """The value of a scalar that stands in it, `${NAME}` filled in."""
        return fill(node, self.environ)

    def value(self) -> Any:
        """What is written, made anew each time; None for nothing."""
        return self.node.plain(self.scalar) if self.node is not None else None

    def __repr__(self) -> str:  # which pages of the reference show as the default
        return repr(self.value()) if self.is_written else "nothing"


class WrittenList(Written):
    """A list of anything."""

    __shape__: ClassVar[Any] = list[Any]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Written:
        if not node.is_list:
            checker.refuse("this", "a list", node)
        return super().__check__(checker, node)

    def items(self) -> list[Written]:
        """Each item with its places."""
        return [Written(item, self.environ) for item in self.node.value] if self.node is not None else []


#: The defaults of options for which null is a value.
NOTHING, NO_LIST, NO_BATON = Written(), WrittenList(), Written(node_of({}))


class Moment(float):
    """Seconds since 1970, or a time such as '2026-05-01T12:00:00Z'; one without a zone is in UTC."""

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Moment | None:
        value = checker.filled(node)
        if type(value) in (int, float):
            return cls(value)
        try:
            told = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else value)
        except (ValueError, TypeError):
            checker.refuse("the time", "seconds since 1970 or a time such as '2026-05-01T12:00:00Z'", node)
            return None
        return cls((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())


EPOCH = Moment(0)


class CaseName(Located):
    """The name of a case."""


class StandInName(Located):
    """The name of what is stood in for."""


class ExceptionName(DottedName):
    """The full name of an exception; a bare name is a built-in one."""

    def found(self) -> type[BaseException]:
        """The exception.

        Raises:
            ConfigurationError: the name is one of something else; told at its place.
        """
        try:
            return load_exception(self)
        except ConfigurationError as error:
            raise ConfigurationError(problems=[Problem(error.msg, self.where, error.hint)]) from error


ANY_EXCEPTION = ExceptionName("Exception")


class MessagePattern(Located):
    """A regular expression."""


@dataclass(frozen=True)
class Raised:
    """The exception that a stand-in raises.

    Args:
        type_: its full name; a bare name is a built-in one.
        message: its text.
    """

    type_: ExceptionName = ANY_EXCEPTION
    message: str = ""

    def __post_init__(self) -> None:
        self.type_.found()

    def made(self) -> BaseException:
        """A new one."""
        return self.type_.found()(*[self.message] if self.message else [])


@dataclass(frozen=True)
class Answer:
    """What comes back when somebody calls.

    Args:
        returns: what each call gives.
        returns_each: what the first call gives, the second, and so on; there may be no more calls.
        raises: what each call raises: the full name of an exception, or a mapping.
    """

    returns: Written = NOTHING
    returns_each: WrittenList = NO_LIST
    raises: Raised | ExceptionName | None = None

    def __post_init__(self) -> None:
        self.raised  # noqa: B018 - a name that is no exception is told now
        said = self.said()
        if len(said) > 1:
            raise ConfigurationError(f"{' and '.join(said)} exclude each other", hint="keep one of them")

    @cached_property
    def raised(self) -> Raised | None:
        return Raised(self.raises) if isinstance(self.raises, ExceptionName) else self.raises

    def said(self) -> list[str]:
        """Which of its options are written."""
        return [one.name for one in fields(self) if _is_said(getattr(self, one.name))]


def _is_said(value: Any) -> bool:
    return value.is_written if isinstance(value, Written) else bool(value)


@dataclass(frozen=True)
class StepStandIn(Answer):
    """What stands in for a step; where nothing is said it passes the baton on as it is.

    Args:
        returns: what it passes on in place of the baton.
        returns_each: what it passes on the first time, the second time, and so on; it may not run more often.
        raises: what it fails with: the full name of an exception, or a mapping.
        set: values that it puts into the baton, by their paths.
    """

    set: dict[str, Written] = field(default_factory=dict)


@dataclass(frozen=True)
class CallStandIn(Answer):
    """What stands in for something that is called.

    Args:
        is_awaited: the caller awaits what it gets.
    """

    is_awaited: bool = False

    def said(self) -> list[str]:
        return [name for name in super().said() if name != "is_awaited"]


@dataclass(frozen=True)
class ResourceStandIn(CallStandIn):
    """What stands in for a resource; `returns`, `returns_each` and `raises` are for one that is itself called.

    Args:
        value: the resource itself.
        methods: what its methods give, by their names.
        pipeline: the pipeline that is called in its place.
    """

    value: Written = NOTHING
    methods: dict[str, CallStandIn] = field(default_factory=dict)
    pipeline: PipelineName | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.said():
            hint = "write what it gives: value, methods, pipeline, returns, returns_each or raises"
            raise ConfigurationError("it stands in for nothing", hint=hint)


@dataclass(frozen=True)
class ExpectedError:
    """The failure that is expected.

    Args:
        type_: the full name of the exception or of a base of it; a bare name is a built-in one.
        message: a regular expression that is found in its text.
    """

    type_: ExceptionName = ANY_EXCEPTION
    message: MessagePattern | None = None

    def __post_init__(self) -> None:
        self.type_.found()
        try:
            re.compile(self.message or "")
        except re.error as error:
            what = f"{self.message!r} is no regular expression: {error}"
            raise ConfigurationError(problems=[Problem(what, self.where)]) from error

    @property
    def where(self) -> Mark | None:
        return self.type_.where or (self.message.where if self.message else None)

    @property
    def described(self) -> str:
        """What it is in words, such as "KeyError with a text like 'x'"."""
        return self.type_ + (f" with a text like {str(self.message)!r}" if self.message else "")

    def fits(self, error: BaseException, text: str) -> bool:
        """Whether this is the error that was expected."""
        return isinstance(error, self.type_.found()) and re.search(self.message or "", text) is not None


_EXPECTATIONS = ("result", "results", "contains", "error")


@dataclass(frozen=True)
class Case:
    """One case: a baton that is sent through a pipeline, and what is expected to come out.

    Nothing is started and no port is opened: what comes from outside is stood in for. Time stands still but for
    `advance`; a persisted context begins with its `initial_data`. Names in expected mappings are compared as text.

    Args:
        name: what it shows, in a few words; each has another.
        pipeline: the full name of the pipeline.
        baton_: what is sent into it.
        result: the last result, exactly.
        results: all results in the order of their completion, exactly.
        contains: a part of the last result: mappings may have more names than are written here.
        error: how the pipeline fails: the full name of an exception or of a base of it, or a mapping.
        processors: what stands in for steps: for all that a processor makes, by its name; for one of this pipeline, by
            its id or node_name; for one of another pipeline, as `pipeline.step`, also where that is inlined.
        resources: what stands in for resources, by their paths.
        now: the time when the baton is sent.
        advance: how far the time moves while the pipeline waits.
        timeout: how long steps may really take that do not go by that time, such as those of asyncio.

    Example:
        pipelines:
            greet:
                - fetch-context: {context: users}
                - eval-lambda: {lambda: "baton: 'Hello ' + baton['users'][0]", output_path: text}
                - wait: {delay: 1}
        contexts: {users: [Ada]}
        tests:
            -   name: the first user is greeted
                pipeline: greet
                advance: 1
                contains: {text: Hello Ada}
            -   name: nobody can be greeted
                pipeline: greet
                resources: {context.users: {value: []}}
                error: {type: IndexError, message: out of range}
    """

    name: CaseName
    pipeline: PipelineName
    baton_: Written = NO_BATON  # the checker takes `baton` for what a function is about
    result: Written = NOTHING
    results: WrittenList = NO_LIST
    contains: Written = NOTHING
    error: ExpectedError | ExceptionName | None = None
    processors: dict[StandInName, StepStandIn] = field(default_factory=dict)
    resources: dict[StandInName, ResourceStandIn] = field(default_factory=dict)
    now: Moment = EPOCH
    advance: Seconds = 0
    timeout: Seconds = 5

    def __post_init__(self) -> None:
        self.expected_error  # noqa: B018 - a name that is no exception is told now
        written = [name for name in _EXPECTATIONS if _is_said(getattr(self, name))]
        if not written:
            raise ConfigurationError("it expects nothing", hint=f"add one of: {', '.join(_EXPECTATIONS)}")
        if self.expected_error and len(written) > 1:
            what = f"a pipeline that fails has no results: {' and '.join(written)} exclude each other"
            raise ConfigurationError(problems=[Problem(what, self.expected_error.where, "keep one of them")])

    @cached_property
    def expected_error(self) -> ExpectedError | None:
        return ExpectedError(self.error) if isinstance(self.error, ExceptionName) else self.error

    @property
    def expectation(self) -> Mark | None:
        """The place of the first thing that is expected."""
        places = [each.where for each in (self.result, self.results, self.contains, self.expected_error) if each]
        return next(filter(None, places), self.name.where)
