"""JSON Schema, the few keywords that our schemas use; any other keyword is an error, so that none is silently ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "enum", "const", "properties", "required",
    "additionalProperties", "propertyNames", "items", "minItems", "maxItems", "minimum", "maximum", "pattern", "anyOf",
}  # fmt: skip
TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list), "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool), "boolean": lambda v: isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool), "null": lambda v: v is None,
}  # fmt: skip


def faults(value: object, schema: Mapping, *, root: Mapping | None = None, at: str = "$") -> Iterator[str]:
    """Where the value breaks the schema, as paths and keywords."""
    root = root or schema
    if unknown := schema.keys() - KNOWN:
        raise AssertionError(f"{at}: keywords that this validator does not know: {sorted(unknown)}")
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        yield from faults(value, target, root=root, at=at)
    if "anyOf" in schema and all(list(faults(value, one, root=root, at=at)) for one in schema["anyOf"]):
        yield f"{at}: anyOf"
    yield from (f"{at}: {keyword}" for keyword, broken in _simple(value, schema) if broken)
    if isinstance(value, dict):
        yield from _object_faults(value, schema, root, at)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from faults(item, schema["items"], root=root, at=f"{at}[{index}]")


def _simple(value: object, schema: Mapping) -> Iterator[tuple[str, bool]]:
    types = schema.get("type", [])
    allowed = [types] if isinstance(types, str) else types
    yield "type", bool(allowed) and not any(TYPES[name](value) for name in allowed)
    yield "enum", "enum" in schema and value not in schema["enum"]
    yield "const", "const" in schema and value != schema["const"]
    if TYPES["number"](value):
        yield "minimum", value < schema.get("minimum", value)
        yield "maximum", value > schema.get("maximum", value)
    if isinstance(value, str):
        yield "pattern", re.search(schema.get("pattern", ""), value) is None
    if isinstance(value, list):
        yield "minItems", len(value) < schema.get("minItems", 0)
        yield "maxItems", len(value) > schema.get("maxItems", len(value))


def _object_faults(value: dict, schema: Mapping, root: Mapping, at: str) -> Iterator[str]:
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{at}.{name}: required" for name in schema.get("required", ()) if name not in value)
    for name, inner in value.items():
        yield from faults(name, schema.get("propertyNames", {}), root=root, at=f"{at}.{name} (its name)")
        if name in properties:
            yield from faults(inner, properties[name], root=root, at=f"{at}.{name}")
        elif rest is False:
            yield f"{at}.{name}: additionalProperties"
        elif isinstance(rest, dict):
            yield from faults(inner, rest, root=root, at=f"{at}.{name}")
