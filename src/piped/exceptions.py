"""The exceptions of Piped under the names that they have had since Piped 0.7."""

from __future__ import annotations

from piped.ground.errors import (
    AllPipelinesFailedError,
    AlreadyExistingDependency,
    CircularDependencyGraph,
    ConfigurationError,
    InitiallyLost,
    InvalidPipelineError,
    KeyAlreadyExists,
    NotReadyError,
    PipedError,
    ProviderConflict,
    Rejected,
    ReplayedLost,
    ResourceError,
    TimeoutError,  # noqa: A004 - the documented name
    UnprovidedResourceError,
    UnsatisfiedDependencyError,
)


class PipedWarning(PipedError, UserWarning):
    """The base of warnings."""


class ConfigurationWarning(PipedWarning):
    """Something in a configuration looks odd."""


class ConfigurationNotLoaded(ConfigurationError):
    """No configuration was loaded."""


class ConfigurationAlreadyLoaded(ConfigurationError):
    """A configuration was loaded before."""


class InvalidConfigurationError(ConfigurationError):
    """A configuration that cannot be used."""


class ProcessorGraphError(PipedError):
    """A graph of processors that makes no sense."""


class PluginError(PipedError):
    """A plugin that cannot be used."""


class ValidatorError(PipedError):
    """Something did not pass a validation."""


class ForcedError(PipedError):
    """An error that was asked for."""


class UnsafeThreadingError(PipedError):
    """Something was called in a thread where it must not be."""


class MissingCallback(PipedError):
    """A pipeline let go of the Deferred that somebody waits for without firing it."""


__all__ = [
    "AllPipelinesFailedError",
    "AlreadyExistingDependency",
    "CircularDependencyGraph",
    "ConfigurationAlreadyLoaded",
    "ConfigurationError",
    "ConfigurationNotLoaded",
    "ConfigurationWarning",
    "ForcedError",
    "InitiallyLost",
    "InvalidConfigurationError",
    "InvalidPipelineError",
    "KeyAlreadyExists",
    "MissingCallback",
    "NotReadyError",
    "PipedError",
    "PipedWarning",
    "PluginError",
    "ProcessorGraphError",
    "ProviderConflict",
    "Rejected",
    "ReplayedLost",
    "ResourceError",
    "TimeoutError",
    "UnprovidedResourceError",
    "UnsafeThreadingError",
    "UnsatisfiedDependencyError",
    "ValidatorError",
]
