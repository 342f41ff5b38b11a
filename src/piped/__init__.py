"""Piped: wire protocols to processing in YAML. What a user imports is here; docstrings say where it lives."""

from piped.catalog.houses import House
from piped.catalog.marking import processor, provider
from piped.ground.batons import BatonPath, get_path, remove_path, set_path
from piped.ground.code import Code, DottedName, Lambda, Namespace, load_name, load_namespace
from piped.ground.errors import (
    AllPipelinesFailedError,
    ConfigurationError,
    InvalidPipelineError,
    Mark,
    NotReadyError,
    PipedError,
    Problem,
    Rejected,
    TimeoutError,  # noqa: A004 - the documented name
    UnprovidedResourceError,
    did_you_mean,
)
from piped.ground.units import (
    Bytes,
    ContextName,
    Count,
    LevelName,
    OrPath,
    Path,
    PersistedContextName,
    PipelineName,
    Port,
    ProcessorPath,
    ResourcePath,
    Seconds,
    TickIntervalName,
)
from piped.pipelines.input_output import InputOutputProcessor
from piped.pipelines.mapping import MappingProcessor
from piped.pipelines.processor import Processor
from piped.resources.intake import Refusal, Ticket
from piped.runtime.backoff import Backoff
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.logs import told
from piped.runtime.running import Pipeline, current_failure
from piped.runtime.services import PipedDependencyService, PipedService
from piped.runtime.sources import Outcome, Source
from piped.spec.checking import Arguments

__all__ = [
    "AllPipelinesFailedError",
    "Arguments",
    "Backoff",
    "BatonPath",
    "Bytes",
    "Code",
    "ConfigurationError",
    "ContextName",
    "Count",
    "DottedName",
    "House",
    "InputOutputProcessor",
    "InvalidPipelineError",
    "Lambda",
    "LevelName",
    "MappingProcessor",
    "Mark",
    "Namespace",
    "NotReadyError",
    "OrPath",
    "Outcome",
    "Path",
    "PersistedContextName",
    "PipedDependencyService",
    "PipedError",
    "PipedService",
    "Pipeline",
    "PipelineName",
    "Port",
    "Problem",
    "Processor",
    "ProcessorPath",
    "Refusal",
    "Rejected",
    "ResourcePath",
    "RuntimeEnvironment",
    "Seconds",
    "Source",
    "TickIntervalName",
    "Ticket",
    "TimeoutError",
    "UnprovidedResourceError",
    "current_failure",
    "did_you_mean",
    "get_path",
    "load_name",
    "load_namespace",
    "processor",
    "provider",
    "remove_path",
    "set_path",
    "told",
]
