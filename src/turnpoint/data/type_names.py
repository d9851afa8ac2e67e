"""Types as Python, Java and JavaScript name them, and the JSON schemas that say the same."""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

_TYPES: Mapping[str, str | None] = {
    **dict.fromkeys(("dict", "Dict", "Mapping", "hashmap", "HashMap", "Hashtable"), "object"),
    **dict.fromkeys(("float", "double", "Double", "Float", "Number", "decimal"), "number"),
    **dict.fromkeys(("int", "Integer", "long", "Long", "short", "byte"), "integer"),
    **dict.fromkeys(("str", "String", "char"), "string"),
    **dict.fromkeys(("bool", "Boolean"), "boolean"),
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "Array", "ArrayList"), "array"),
    **dict.fromkeys(("tuple", "Tuple", "set", "Set"), "array"),
    **dict.fromkeys(("None", "NoneType"), "null"),
    **dict.fromkeys(("any", "Any"), None),  # a schema without a type takes anything
}
_OF_JSON = ("object", "number", "integer", "string", "boolean", "array", "null")
_LONGEST = 200  # characters of a type that is read
_AFTER_TYPE = re.compile(r",\s*(?:optional\b|default\b).*\Z", re.DOTALL | re.IGNORECASE)


def schema_of(name: str) -> Schema | None:
    """The schema of a type such as `str`, `List[int]`, `int | None` or `str, optional`.

    None where the name is one of JSON schema already, or says nothing that a schema could say. What may be left out
    is no matter of the type: "optional" and a default after it are not in the schema.
    """
    if name in _OF_JSON or len(name) > _LONGEST:
        return None
    if name in _TYPES:
        return _named(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python thinks of a text that is no code
            return _schema(ast.parse(_AFTER_TYPE.sub("", name).strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_optional(name: str) -> bool:
    """Whether a type says of itself that a value may be left out: `str, optional`."""
    return _AFTER_TYPE.search(name) is not None


def _named(name: str) -> Schema | None:
    if name in _OF_JSON:
        return {"type": name}
    if name not in _TYPES:
        return None
    made = _TYPES[name]
    return {} if made is None else {"type": made}


def _schema(node: ast.expr) -> Schema | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _named(name)
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _any_of([left, right])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _generic(name, inner.elts if isinstance(inner, ast.Tuple) else [inner])
    return None


def _generic(name: str, inner: Sequence[ast.expr]) -> Schema | None:
    """The schema of a type with others in brackets."""
    if name == "Literal":
        values = [ast.literal_eval(each) for each in inner]
        return {"enum": values} if all(isinstance(value, str | int | None) for value in values) else None
    if name == "Union":
        return _any_of(inner)
    if name == "Optional":
        return _any_of([*inner, ast.Constant(value=None)])
    outer = _named(name)
    given = [node for node in inner if not (isinstance(node, ast.Constant) and node.value is ...)]
    within = [_schema(node) for node in given]
    if outer is None or None in within:
        return None
    if outer.get("type") == "array" and all(each == within[0] for each in within):
        return outer | ({"items": within[0]} if within[0] else {})
    if outer.get("type") == "object" and len(within) == 2 and within[1]:
        return outer | {"additionalProperties": within[1]}
    return outer if outer.get("type") in ("array", "object") else None


def _any_of(nodes: Sequence[ast.expr]) -> Schema | None:
    """The schema of what may be of any of several types; those inside one another are on one level."""
    made = [_schema(node) for node in nodes]
    known = [each for each in made if each is not None]
    if len(known) < len(made):
        return None
    if {} in known:
        return {}
    flat = [inner for each in known for inner in each.get("anyOf", [each])]
    if all(list(each) == ["type"] for each in flat):
        types = dict.fromkeys(
            name for each in flat for name in (each["type"] if isinstance(each["type"], list) else [each["type"]])
        )
        return {"type": list(types) if len(types) > 1 else next(iter(types))}
    return {"anyOf": flat}
