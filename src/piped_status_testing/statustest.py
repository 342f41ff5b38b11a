"""StatusTestCase: a test case whose tests run inside the running process, and how such cases are found."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import DottedName, Problem

if TYPE_CHECKING:
    from piped import RuntimeEnvironment
    from piped.resources.dependency_map import DependencyMap

#: What the names of tests begin with.
PREFIX: Final = "statustest"


class StatusTestCase(unittest.TestCase):
    """A test case for a system that runs: each method whose name begins with `statustest` is a test.

    Tests, `setUp`, `tearDown`, `setUpClass`, `tearDownClass` and cleanups may return Deferreds or be `async def`, and
    wait for Twisted and asyncio alike. They run in the reactor of the process, and nothing is tidied up after them:
    what a test has opened it closes. `setUp` gets those values of the namespace that it names as parameters.

    `skip`, `todo` and `timeout` may be set on the class or on a test; the decorators of unittest work too.

    Example:
        class Front(StatusTestCase):
            timeout = 2

            def setUp(self, url):
                self.url = url

            async def statustest_answers(self):
                response = await Agent(self.runtime_environment.reactor).request(b"GET", self.url)
                self.assertEqual(response.code, 200)
    """

    #: Seconds that each test, and each method around it, may take; None for what the suite says.
    timeout: ClassVar[float | None] = None
    #: Why the tests are not run.
    skip: ClassVar[str | None] = None
    #: Why the tests are expected to fail; `(ValueError, "why")` names how.
    todo: ClassVar[str | tuple[type[BaseException] | tuple[type[BaseException], ...], str] | None] = None

    # Set before `setUp`, for a case of a suite:
    runtime_environment: RuntimeEnvironment
    #: What the suite names as its dependencies, read as attributes.
    dependencies: DependencyMap

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        self.method_name = methodName
        #: What is to be called after the test, the last one first.
        self.cleanups: list[Callable[[], Any]] = []

    # As unittest's own, but what the function returns is waited for.
    def addCleanup(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Have a function called after the test and its `tearDown`; those added last come first."""
        self.cleanups.append(lambda: function(*args, **kwargs))

    def assertFailure(self, deferred: Deferred[Any], *expected: type[BaseException]) -> Deferred[Any]:
        """A Deferred of the error that a Deferred fails with; the test fails if that is none of those expected."""

        def succeeded(result: Any) -> Any:
            names = " or ".join(error.__name__ for error in expected)
            raise self.failureException(f"expected {names}, got the result {result!r}")

        def failed(failure: Failure) -> BaseException | None:
            if failure.check(*expected):
                return failure.value
            names = " or ".join(error.__name__ for error in expected)
            raise self.failureException(f"expected {names}, got {failure.value!r}") from failure.value

        return deferred.addCallbacks(succeeded, failed)


class NamedCases(tuple[type[StatusTestCase], ...]):
    """The full name of a StatusTestCase, or of a module that defines some."""

    __slots__ = ()
    __shape__ = DottedName

    @classmethod
    def __check__(cls, checker: Any, node: Any) -> NamedCases | None:
        name = checker.value(DottedName, node, owner="a name of test cases")
        if name is None:
            return None
        found = cases_of(name.load())
        if not any(map(statustests_of, found)):
            what = f"{name} has no test: a method of a StatusTestCase whose name begins with {PREFIX!r}"
            checker.problems.append(Problem(what, node.where, "name a class with some, or the module that defines it"))
        return cls(found)


def cases_of(holder: object) -> list[type[StatusTestCase]]:
    """The test cases that something stands for: a case, a module that defines some, or an object that has some.

    They come in the order of writing, those of base classes first.
    """
    if isinstance(holder, type) and issubclass(holder, StatusTestCase):
        return [holder]
    found: dict[str, type[StatusTestCase]] = {}
    for name, value in _members(holder):
        if isinstance(value, type) and issubclass(value, StatusTestCase):
            if not isinstance(holder, ModuleType) or value.__module__ == holder.__name__:
                found[name] = value
        else:
            found.pop(name, None)
    return list(dict.fromkeys(found.values()))


def _members(holder: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(holder, ModuleType):
        for owner in reversed(type(holder).__mro__):
            yield from vars(owner).items()
    yield from getattr(holder, "__dict__", {}).items()


def statustests_of(case: type[StatusTestCase]) -> list[str]:
    """The names of the tests of a case, in the order of writing, those of base classes first."""
    names = (name for owner in reversed(case.__mro__) for name in vars(owner))
    return [name for name in dict.fromkeys(names) if name.startswith(PREFIX) and callable(getattr(case, name, None))]
