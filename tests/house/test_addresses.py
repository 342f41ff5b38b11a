"""Documented names are at their documented addresses, with the documented signatures."""

import inspect

import pytest
from twisted.application.service import MultiService
from twisted.python.reflect import namedAny
from twisted.web.resource import Resource

import piped

#: Address -> parameters of the constructor, and the bases that are documented.
CLASSES = {
    "piped.providers.context_provider.ContextProvider": ([], ()),
    "piped.providers.context_provider.PersistedContextProvider": ([], ()),
    "piped.providers.pipeline_provider.PipelineProvider": ([], ()),
    "piped.providers.smtp_provider.SMTPProvider": ([], (MultiService,)),
    "piped.providers.spread_provider.PBClientProvider": ([], (MultiService,)),
    "piped.providers.spread_provider.PBServerProvider": ([], (MultiService,)),
    "piped.providers.system_events_provider.SystemEventsProvider": ([], ()),
    "piped.providers.tick_provider.TickProvider": ([], (MultiService,)),
    "piped.providers.web_provider.WebResourceProvider": ([], (MultiService,)),
    "piped.providers.web_provider.WebSite": (["site_name", "site_configuration"], (MultiService,)),
    "piped.providers.web_provider.WebResource": (["site", "routing"], (Resource,)),
    "piped_amqp.providers.AMQPConnection": (
        ["name", "servers", "max_idle_time", "reconnect_interval", "parameters"],
        (MultiService,),
    ),
    "piped_amqp.providers.AMQPConnectionProvider": ([], (MultiService,)),
    "piped_amqp.providers.AMQPConsumer": (
        [
            "name",
            "processor",
            "connection",
            "queue",
            "qos",
            "no_ack",
            "exclusive",
            "ack_after_failed_processing",
            "ack_after_successful_processing",
            "nack_after_failed_processing",
            "channel_reopen_interval",
            "log_processor_exceptions",
        ],
        (MultiService,),
    ),
    "piped_amqp.providers.AMQPConsumerProvider": (["connections"], (MultiService,)),
    "piped_amqp.rpc.RPCClientBase": (
        ["name", "connection", "reopen_consumer_channel_interval", "consumer"],
        (MultiService,),
    ),
    "piped_amqp.rpc.RPCClientProvider": ([], (MultiService,)),
    "piped_cyclone.providers.CycloneProvider": ([], ()),
    "piped_manhole.providers.ManholeProvider": ([], (MultiService,)),
    "piped_zmq.providers.ZMQProcessorFeederProvider": ([], (MultiService,)),
    "piped_zmq.providers.ZMQSocketProvider": ([], ()),
    "piped_zookeeper.providers.ZookeeperClientProvider": ([], (MultiService,)),
}

FACE = ["Processor", "InputOutputProcessor", "MappingProcessor", "processor", "provider", "RuntimeEnvironment"]

#: Methods of what a component is given in configure(), as the documents call them.
ENVIRONMENT = {
    "dependency_manager.add_dependency": ["consumer", "dependency"],
    "dependency_manager.create_dependency_map": ["consumer", "dependencies"],
    "dependency_manager.resolve_initial_states": [],
    "resource_manager.register": ["path", "provider"],
    "configuration_manager.get": ["path", "fallback"],
    "configuration_manager.set": ["path", "value"],
    "get_configuration_value": ["path", "fallback"],
    "create_dependency_map": ["consumer", "dependencies"],
}


@pytest.mark.parametrize("address", CLASSES)
def test_a_documented_class_is_at_its_address(address):
    """Code that imports or subclasses a documented class finds it, with its bases and its constructor."""
    parameters, bases = CLASSES[address]
    found = namedAny(address)
    assert issubclass(found, bases or object)
    if parameters:
        assert list(inspect.signature(found).parameters)[: len(parameters)] == parameters
    else:
        found()


@pytest.mark.parametrize("name", FACE)
def test_what_a_user_imports_is_in_the_face(name):
    """`from piped import …` is all that a processor or provider needs."""
    assert hasattr(piped, name)
    assert name in piped.__all__


@pytest.mark.parametrize("path", ENVIRONMENT)
def test_the_environment_has_its_documented_methods(path):
    """What is documented about the runtime environment can be called as documented."""
    method = piped.RuntimeEnvironment()
    for name in path.split("."):
        method = getattr(method, name)
    assert list(inspect.signature(method).parameters) == ENVIRONMENT[path]


def test_exceptions_have_their_names_of_piped_0_7():
    """`from piped import exceptions` works as before."""
    from piped import exceptions

    for name in [
        "PipedError",
        "PipedWarning",
        "ConfigurationError",
        "ConfigurationNotLoaded",
        "ConfigurationAlreadyLoaded",
        "InvalidConfigurationError",
        "ConfigurationWarning",
        "ProcessorGraphError",
        "InvalidPipelineError",
        "PluginError",
        "ValidatorError",
        "ForcedError",
        "UnsafeThreadingError",
        "MissingCallback",
        "ResourceError",
        "ReplayedLost",
        "InitiallyLost",
        "ProviderConflict",
        "UnprovidedResourceError",
        "UnsatisfiedDependencyError",
        "CircularDependencyGraph",
        "AlreadyExistingDependency",
        "KeyAlreadyExists",
        "AllPipelinesFailedError",
        "TimeoutError",
    ]:
        assert issubclass(getattr(exceptions, name), exceptions.PipedError), name
