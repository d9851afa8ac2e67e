"""Faults of rows in plain sentences, in the place of the words of the library that checks them."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from turnpoint.dialogue.types import short
from turnpoint.errors import DataError

Record = TypeVar("Record", bound=BaseModel)

_BOOLEAN, _NUMBER, _OBJECT, _LIST = "must be true or false", "must be a number", "must be an object", "must be a list"
_RULES: Mapping[str, str] = {
    "missing": "is missing; give it",
    "extra_forbidden": "is a key that has no place here; leave it out",
    "string_type": "must be a string",
    **dict.fromkeys(("bool_type", "bool_parsing"), _BOOLEAN),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), _OBJECT),
    **dict.fromkeys(("tuple_type", "list_type"), _LIST),
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt:g}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
}
"""Rules by the type of the fault, with what the fault says of itself in braces."""

_ROLE = "unknown role; use system, user, assistant or tool"
_OF_ABOUT = ("str", "int")  # what a value of `about` may be: each is tried, and named as if it were a field
_OWN = "Value error, "
_ERRNO = re.compile(r"\[Errno -?\d+\] ")


def parse(kind: type[Record], raw: Mapping[str, Any], where: str, field: str = "") -> Record:
    """Build a dialogue, a pair or a message from plain values.

    Args:
        kind: `Dialogue`, `PreferencePair`, or another type of `turnpoint.dialogue`.
        raw: its fields.
        where: file and line, for the error.
        field: field of the row that holds `raw`, for the error; empty for the row itself.

    Raises:
        DataError: one line: where, field, rule, value.
    """
    try:
        return kind.model_validate(dict(raw))
    except UnicodeEncodeError as error:  # of a rule of ours that names it
        half = error.object[error.start]
        raise DataError(f"{_at(where, field)}: holds half of a surrogate pair; take it out (got {half!r})") from None
    except ValidationError as error:
        fault: Mapping[str, Any] = error.errors(include_url=False)[0]
    # A whole dialogue would bury the line.
    value = "" if isinstance(fault["input"], Mapping) else f" (got {short(fault['input'])})"
    raise DataError(f"{_at(where, _place(field, fault['loc']))}: {_rule(fault)}{value}")


def reason_of(error: Exception) -> str:
    """What an error of a library or of the system says, in one line, without the number of the system's."""
    return _ERRNO.sub("", " ".join(str(error).split())) or type(error).__name__


def _at(where: str, place: str) -> str:
    return f"{where}: {place}" if place else where


def _place(field: str, way: tuple[Any, ...]) -> str:
    if way[:1] == ("about",) and way[-1] in _OF_ABOUT:
        way = way[:-1]
    return (field + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in way)).lstrip(".")


def _rule(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "literal_error" and fault["loc"][-1] == "role":
        return _ROLE
    if fault["loc"][:1] == ("about",) and fault["loc"][-1] in _OF_ABOUT:
        return "must be a string or a whole number"
    rule = _RULES.get(fault["type"])
    return fault["msg"].removeprefix(_OWN) if rule is None else rule.format(**fault.get("ctx", {}))
