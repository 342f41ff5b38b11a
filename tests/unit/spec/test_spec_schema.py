"""The JSON Schema of a whole configuration, for editors."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from piped.catalog.catalog import Catalog, ProcessorEntry, ProviderEntry
from piped.ground.code import Lambda
from piped.ground.units import OrPath, Port, ProcessorPath, Seconds
from piped.spec.schema import configuration_schema

Schema = dict[str, Any]


@dataclass
class Site:
    """One site.

    Args:
        port: where it listens.
    """

    processor: ProcessorPath
    port: Port = 8080
    kind: Literal["a", "b"] = "a"
    inner: dict[str, "Site"] = field(default_factory=dict)
    tags: list[str] | None = None


class Web:
    """Web sites."""


class Clients:
    pass


def wait(baton, *, delay: OrPath[Seconds], lambda_: Lambda | None = None, note: Any = ...):
    """Hold the baton.

    Args:
        delay: how long.
    """


def passthrough(baton, **anything: Any): ...


@pytest.fixture(scope="module")
def schema() -> Schema:
    catalog = Catalog()
    catalog.processors = {one.__name__: ProcessorEntry(one.__name__, one) for one in (wait, passthrough)}
    catalog.providers = [
        ProviderEntry("web", dict[str, Site], Web),
        ProviderEntry("pb.clients", dict[str, Any], Clients),
        ProviderEntry("pb.servers", list[int], Clients),
        ProviderEntry("pipelines", Any, Clients),
        ProviderEntry(None, Any, Clients),
    ]
    return configuration_schema(catalog, {"drain": Seconds, "pipelines": Any})


def accepts(schema: Schema, value: Any, root: Schema) -> bool:
    """What the schema says about a value, for the keywords that are used here."""
    if "$ref" in schema and not accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root):
        return False
    types = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    allowed = schema.get("type", list(types))
    allowed = [allowed] if isinstance(allowed, str) else allowed
    if not any(isinstance(value, types[one]) for one in allowed):
        return False
    if "anyOf" in schema and not any(accepts(one, value, root) for one in schema["anyOf"]):
        return False
    if not all(accepts(one, value, root) for one in schema.get("allOf", [])):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "if" in schema:
        branch = "then" if accepts(schema["if"], value, root) else "else"
        if not accepts(schema.get(branch, {}), value, root):
            return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return all(accepts(schema.get("items", {}), one, root) for one in value)
    if isinstance(value, dict):
        return accepts_members(schema, value, root)
    if isinstance(value, int | float):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def accepts_members(schema: Schema, value: Schema, root: Schema) -> bool:
    if len(value) < schema.get("minProperties", 0) or not set(schema.get("required", ())) <= set(value):
        return False
    if not all(accepts(schema.get("propertyNames", {}), key, root) for key in value):
        return False
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, member in value.items():
        if key not in known and more is False:
            return False
        inner = known.get(key, more)
        if isinstance(inner, dict) and not accepts(inner, member, root):
            return False
    return True


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"drain": 3, "x-mine": 1, "mine": 2},
        {"drain": "${DRAIN:-3}"},
        {"web": {"a": {"processor": "pipeline.x", "port": 80, "inner": {"b": {"processor": "y"}}, "tags": None}}},
        {"web": {"a": {"processor": {"provider": "pipeline.x", "more": 1}}}},
        {"web": None, "pb": {"clients": {"x": 1}, "servers": [1]}},
        {"pipelines": {"p": ["passthrough", {"wait": {"delay": 1}}, {"passthrough": None}]}},
        {"pipelines": {"ns": {"p": {"consumers": [{"wait": {"delay": "a.b", "id": "x"}}], "error_consumers": []}}}},
        {"pipelines": {"p": [{"__processor__": "wait", "delay": 1, "consumers": ["passthrough"]}]}},
        {"pipelines": {"p": [{"inline-pipeline": ".q"}, {"existing": "x"}, {"chained_consumers": ["passthrough"]}]}},
        {"pipelines": {"p": {"inherits": "q", "overrides": [{"passthrough": {"any": 1, "node_name": "n"}}]}}},
    ],
)
def test_what_may_be_written_is_accepted(schema, configuration):
    """An editor finds no fault with a right configuration."""
    assert accepts(schema, configuration, schema)


@pytest.mark.parametrize(
    "configuration",
    [
        {"drain": -1},
        {"drain": "soon"},
        {"web": {"a": {}}},
        {"web": {"a": {"processor": "x", "port": 70000}}},
        {"web": {"a": {"processor": "x", "prot": 1}}},
        {"web": {"a": {"processor": "x", "kind": "c"}}},
        {"web": {"a": {"processor": "x", "inner": {"b": {}}}}},
        {"web": {"a": {"processor": {"provide": "x"}}}},
        {"pb": {"servers": ["x"]}},
        {"pipelines": {"p": ["nothing"]}},
        {"pipelines": {"p": [{"nothing": {}}]}},
        {"pipelines": {"p": [{"wait": {"dealy": 1}}]}},
        {"pipelines": {"p": [{"wait": {}}]}},
        {"pipelines": {"p": [{"__processor__": "wait"}]}},
        {"pipelines": {"p": [{"__processor__": "nothing"}]}},
        {"pipelines": {"p": [{"passthrough": {"consumers": [{"wait": {"delay": []}}]}}]}},
    ],
)
def test_what_may_not_be_written_is_refused(schema, configuration):
    """An editor marks the same mistakes as the check."""
    assert not accepts(schema, configuration, schema)


def test_the_schema_is_json_with_every_reference_defined(schema):
    """Any tool can load it."""
    text = json.dumps(schema)
    assert json.loads(text) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name in re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text):
        assert name in schema["$defs"]


def test_options_carry_their_texts_and_defaults(schema):
    """What an editor shows while one writes: meaning, unit and default; a default that is no JSON is left out."""
    options = schema["$defs"]["processor.wait"]["properties"]
    assert options["delay"]["description"] == "how long.\n\nMust be a number of at least 0 (s) or a !path."
    assert options["lambda"]["default"] is None
    assert "default" not in options["note"]
    site = next(one for name, one in schema["$defs"].items() if name.endswith(".Site"))
    assert site["description"] == "One site."
    assert site["properties"]["port"]["default"] == 8080
    assert schema["properties"]["web"]["description"] == "Web sites."


class Tree:
    """A name, and trees below it."""

    @classmethod
    def __check__(cls, checker: Any, node: Any) -> "Tree": ...


Tree.__shape__ = {"__config__": Site, ...: Tree}


def test_what_checks_itself_may_tell_what_is_written():
    """A class that checks itself names its keys, and editors complete them at any depth."""
    catalog = Catalog()
    catalog.providers = [ProviderEntry("tree", Tree, Web)]
    schema = configuration_schema(catalog, {})
    site = {"__config__": {"processor": "x"}}
    assert accepts(schema, {"tree": {"a": {"b": site}} | site}, schema)
    assert not accepts(schema, {"tree": {"a": {"b": {"__config__": {"prozessor": "x"}}}}}, schema)
    assert not accepts(schema, {"tree": {"a": 1}}, schema)
