"""Catalog -> JSON Schema (draft 2020-12) of a whole configuration, for editors to complete and check with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from twisted.python.filepath import FilePath

from piped.ground.batons import BatonPath
from piped.ground.units import Located, ResourcePath
from piped.spec.shapes import (
    bounds_in,
    fields_of,
    is_list,
    is_mapping,
    is_union,
    item_of,
    parted,
    words_of,
    written_shape,
)
from piped.spec.spec import Parameter, Spec

if TYPE_CHECKING:
    from piped.catalog.catalog import Catalog

Schema = dict[str, Any]

_SCALARS: Final = {int: "integer", float: "number", bool: "boolean"}
_KEYWORDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
_CHAINS: Final = ("consumers", "error_consumers", "chained_consumers", "chained_error_consumers")
_TEXT: Final[Schema] = {"type": "string"}


def configuration_schema(catalog: Catalog, framework: Mapping[str, Any]) -> Schema:
    """The schema of a configuration for everything that a catalog holds; closed houses are not in it.

    Args:
        framework: the shapes of the top-level keys that no provider reads.
    """
    schemas = _Schemas()
    top: Schema = {"properties": {}}
    for key, shape in framework.items():
        _put(top, key, schemas.of(shape), "")
    for entry in catalog.providers:
        if entry.section and entry.section != "pipelines":
            _put(top, entry.section, schemas.of(entry.shape), entry.spec.summary)
    specs = {name: catalog.processors[name].spec for name in sorted(catalog.processors)}
    schemas.add_pipelines(specs)
    _put(top, "pipelines", {"$ref": "#/$defs/pipelines"}, "")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A configuration of Piped",
        "type": "object",
        "properties": top["properties"],
        "$defs": schemas.definitions,
    }


def _put(schema: Schema, path: str, section: Schema, summary: str) -> None:
    """Put the schema of a section at its dotted path; what another provider reads there too is joined with it."""
    *above, last = path.split(".")
    for name in above:
        schema = schema["properties"].setdefault(name, {})
        schema.setdefault("properties", {})
    known = schema["properties"].get(last, {})
    schema["properties"][last] = known | ({"description": summary} if summary else {}) | section


class _Schemas:
    """The schemas of shapes; what is used more than once or contains itself is defined by name."""

    def __init__(self) -> None:
        self.definitions: Schema = {
            "environment": {
                "type": "string",
                "pattern": r"\$\{",
                "description": "Filled in from the environment: ${NAME} or ${NAME:-default}.",
            }
        }

    def of(self, shape: Any) -> Schema:
        """The schema of any shape."""
        inner, said = parted(shape)
        if said:
            return self._annotated(shape, inner, said)
        if shape in (Any, object):
            return {}
        if is_union(shape):
            return _any_of(map(self.of, get_args(shape)))
        if get_origin(shape) is Literal:
            return {"enum": list(get_args(shape))}
        if fields := fields_of(shape):
            return self._reference(*fields)
        if (told := written_shape(shape)) is not None:
            return self._keys(shape, told) if isinstance(told, dict) else self.of(told)
        if is_mapping(shape):
            return {"type": ["object", "null"], "additionalProperties": self.of((*get_args(shape), Any, Any)[1])}
        if is_list(shape):
            return {"type": ["array", "null"], "items": self.of(item_of(shape))}
        return self._scalar(shape)

    def _scalar(self, shape: Any) -> Schema:
        if shape in _SCALARS:
            return _any_of([{"type": _SCALARS[shape]}, {"$ref": "#/$defs/environment"}])
        if shape in (str, bytes, BatonPath, FilePath):
            return dict(_TEXT)
        if shape is NoneType:
            return {"type": "null"}
        if isinstance(shape, type) and issubclass(shape, Enum):
            return {"enum": [member.value for member in shape]}
        if isinstance(shape, type) and issubclass(shape, Located):
            return self._located(shape)
        return {}

    def _located(self, kind: type[Located]) -> Schema:
        text = _TEXT | {"description": words_of(kind)}
        if not issubclass(kind, ResourcePath) or kind.prefix:
            return text
        return _any_of([text, {"type": "object", "properties": {"provider": _TEXT}, "required": ["provider"]}])

    def _annotated(self, shape: Any, inner: Any, said: tuple[Any, ...]) -> Schema:
        schema = self.of(inner)
        kind = schema["anyOf"][0] if "anyOf" in schema else schema  # the number, not ${NAME}
        for name, bound in bounds_in(said):
            if name in _KEYWORDS:
                kind[_KEYWORDS[name]] = bound
        return schema | {"description": words_of(shape)}

    def _keys(self, cls: type, shapes: dict[Any, Any]) -> Schema:
        name = _name_of(cls)
        if name not in self.definitions:
            self.definitions[name] = {}  # it may contain itself
            self.definitions[name] = {
                "type": "object",
                "description": words_of(cls),
                "properties": {key: self.of(shape) for key, shape in shapes.items() if key is not ...},
                "additionalProperties": self.of(shapes[...]) if ... in shapes else False,
            }
        return {"$ref": f"#/$defs/{name}"}

    def _reference(self, cls: type, not_options: tuple[str, ...]) -> Schema:
        name = _name_of(cls)
        if name not in self.definitions:
            self.definitions[name] = {}  # it may contain itself
            self.definitions[name] = self._options(Spec.of(cls).without(*not_options), {})
        return {"$ref": f"#/$defs/{name}"}

    def _options(self, spec: Spec, more: Schema) -> Schema:
        """A mapping of options, with `more` keys that are none."""
        schema: Schema = {
            "type": ["object", "null"],
            "properties": more | {one.name: self._option(one) for one in spec.parameters},
            "additionalProperties": spec.takes_any,
        }
        if spec.summary:
            schema["description"] = spec.summary
        if spec.required:
            schema["type"] = "object"
            schema["required"] = [one.name for one in spec.required]
        return schema

    def _option(self, option: Parameter) -> Schema:
        schema = self.of(option.annotation)
        words = words_of(option.annotation)
        told = [option.text, f"Must be {words}." if words != "anything" else ""]
        schema = schema | {"description": "\n\n".join(filter(None, told))}
        return schema | ({"default": option.default} if _is_json(option.default) else {})

    def add_pipelines(self, processors: Mapping[str, Spec]) -> None:
        """Define `pipelines`: mappings of names to pipelines, or to further such mappings."""
        steps = {"$ref": "#/$defs/steps"}
        for name, spec in processors.items():
            keys = _step_keys(steps) | {"__processor__": {"const": name}, "node_name": _TEXT}
            self.definitions[f"processor.{name}"] = self._options(spec, keys)
        chains = dict.fromkeys(_CHAINS, steps)
        inheriting = {"inherits": _TEXT, "overrides": steps}
        pipeline = {
            "type": "object",
            "properties": chains | inheriting,
            "additionalProperties": False,
            "minProperties": 1,
        }
        self.definitions |= {
            "pipelines": {
                "type": ["object", "null"],
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/pipeline"}, {"$ref": "#/$defs/pipelines"}]},
            },
            "pipeline": {"anyOf": [steps, pipeline]},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
            "step": {"anyOf": [{"enum": list(processors)}, _step(processors, steps)]},
        }


def _step_keys(steps: Schema) -> Schema:
    return {"id": _TEXT} | dict.fromkeys(_CHAINS, steps)


def _step(processors: Mapping[str, Spec], steps: Schema) -> Schema:
    """A step that is a mapping: `{name: options}`, or `__processor__: name` beside its options."""
    names = list(processors)
    inlined: Schema = {"inline-pipeline": _TEXT, "existing": _TEXT, "__processor__": {"enum": names}}
    properties = _step_keys(steps) | inlined | {name: _reference_to(name) for name in names}
    explicit = [
        {"if": {"properties": {"__processor__": {"const": name}}}, "then": _reference_to(name)} for name in names
    ]
    return {
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "if": {"required": ["__processor__"]},
        "then": {"allOf": explicit},
        # Beside other keys a name may be an option of the step.
        "else": {"anyOf": [{"propertyNames": {"enum": list(properties)}}, {"minProperties": 2}]},
    }


def _reference_to(processor: str) -> Schema:
    return {"$ref": f"#/$defs/processor.{processor}"}


def _name_of(cls: type) -> str:
    return re.sub(r"[^\w.]", "_", f"{cls.__module__}.{cls.__qualname__}")


def _any_of(schemas: Iterable[Schema]) -> Schema:
    """One of several; each once, and those that are choices themselves dissolved."""
    found: list[Schema] = []
    for schema in schemas:
        choices = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
        found += [choice for choice in choices if choice not in found]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _is_json(value: Any) -> bool:
    """Whether JSON can say a default; a subclass of a plain type says something else than it is."""
    if type(value) is dict:
        return all(type(key) is str and _is_json(member) for key, member in value.items())
    if type(value) is list:
        return all(map(_is_json, value))
    return value is None or type(value) in (str, bool, int, float)
