"""The provider of suites of status tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from piped import RuntimeEnvironment, provider
from piped_status_testing.suites import Suite, SuiteName, SuiteOptions, SuiteService


@provider("status_tests", dict[str, SuiteOptions])
class StatusTestProvider:
    """Tests of the running system, from within: each failure is logged, and the last report kept.

    The tests of a suite run one after another in the reactor of the process; they may wait, and must not block. See
    `piped_status_testing.statustest.StatusTestCase` for how they are written, and `report-status-tests` for how to
    ask for the report over HTTP.

    Resources: `status_tests.<name>`, with `run()`, which gives a Deferred of the report, and `last_report`.

    Example:
        status_tests:
            smoke:
                cases: [piped_status_testing.readiness]
                interval: 60
    """

    prefixes = (SuiteName.prefix,)

    @staticmethod
    def offers(options: dict[str, SuiteOptions]) -> Iterable[str]:
        return (f"{SuiteName.prefix}{name}" for name in options)

    def __init__(self) -> None:
        #: By their names.
        self.suites: dict[str, Suite] = {}

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        for name, options in runtime_environment.get_options(self).items():
            self.suites[name] = suite = Suite(name, options)
            suite.configure(runtime_environment)
            service = SuiteService(suite)
            service.configure(runtime_environment)
            service.setServiceParent(runtime_environment.application)
            runtime_environment.resource_manager.register(suite.name, self)

    def add_consumer(self, resource_dependency: Any) -> None:
        name = resource_dependency.provider.removeprefix(SuiteName.prefix)
        resource_dependency.on_resource_ready(self.suites[name])
