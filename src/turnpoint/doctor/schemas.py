"""JSON schemas of tools as validators: what a schema says of the arguments of a call, and what is wrong with itself."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from turnpoint.dialogue import Tool, ToolCall

_DISTINCT_SCHEMAS = 4096  # kept ready


class Breach(NamedTuple):
    """One way in which the arguments of a call break the schema of the tool.

    Attributes:
        rule: the keyword of JSON schema that is broken: `type`, `enum`, `required`, …
        path: the parameter, and the place in its value: `items[0].price`; empty for the arguments as a whole.
        value: what stands there.
        message: what JSON schema says about it.
    """

    rule: str
    path: str
    value: Any
    message: str


def breaches(call: ToolCall, tool: Tool) -> list[Breach]:
    """How the arguments of a call break the schema of its tool; nothing where that schema is broken itself."""
    text = json.dumps(tool.parameters)
    if _fault_of(text):
        return []
    errors = _validator(text).iter_errors(call.arguments)
    return [Breach(str(e.validator), e.json_path[1:].lstrip("."), e.instance, e.message) for e in errors]


def fault(tool: Tool) -> str:
    """What is wrong with the schema of a tool, "" where nothing is."""
    return _fault_of(json.dumps(tool.parameters))


@lru_cache(_DISTINCT_SCHEMAS)
def _validator(text: str) -> Validator:
    schema = json.loads(text)
    # An empty registry, since the default one would fetch what a schema refers to from the network.
    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


@lru_cache(_DISTINCT_SCHEMAS)
def _fault_of(text: str) -> str:
    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    # With formats, since a pattern that is no regular expression would fail later.
    broken = best_match(kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER).iter_errors(schema))
    if broken is not None:
        return f"{broken.json_path.removeprefix('$.')}: {broken.message}"
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            return f"$ref: {reference!r} leads nowhere"
    return ""


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
