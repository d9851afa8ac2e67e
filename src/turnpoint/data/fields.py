"""Fields that rows of several formats have in common."""

import json
import re
from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.schemas import with_json_types
from turnpoint.errors import DataError

WEIGHT_KEYS = ("weight", "loss_weight")
_DECODER = json.JSONDecoder()
_NEXT = re.compile(r"\s*(?P<value>\S)")


def row_id(row: Mapping[str, Any], where: str, key: str = "id") -> str:
    """The id that the row gives itself, else where it stands."""
    value = row.get(key)
    return where if value is None else str(value)


def tools(row: Mapping[str, Any], where: str, changes: Changes) -> Any:
    """The tools of a row with the types of JSON schema; `dialogue` brings them into one form."""
    return with_json_types(row.get("tools") or row.get("functions"), where, changes)


def rating(row: Mapping[str, Any]) -> bool | None:
    """Whether a row was liked: its `label`, or `kto_tag` (LLaMA-Factory). None where nobody said so.

    A column of that name that holds something else is none of ours.
    """
    value = row.get("label", row.get("kto_tag"))
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower())
    return bool(value) if value in (0, 1) and isinstance(value, bool | int | float) else None


def trained(message: Mapping[str, Any], where: str, field: str) -> Any:
    """Whether a message may be trained on: its `train`, or a weight of 0 or 1."""
    if message.get("train") is not None:
        return message["train"]
    for key in WEIGHT_KEYS:
        weight = message.get(key)
        if weight is not None:
            if weight not in (0, 1):
                raise DataError(f"{where}: {field}.{key}: must be 0 or 1, to leave out or to train on (got {weight!r})")
            return bool(weight)
    return True


def from_json(value: Any, where: str, field: str) -> Any:
    """The value that a string holds as JSON; any other value, and an empty string, as it is."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {field}: a string here must be JSON: {_fault(error)} (got {value!r:.80})") from None


def json_values(text: str) -> list[Any]:
    """The values of JSON that stand one after the other in a text; none where anything else stands there."""
    values, at = [], 0
    try:
        while found := _NEXT.match(text, at):
            value, at = _DECODER.raw_decode(text, found.start("value"))
            values.append(value)
    except (ValueError, RecursionError):
        return []
    return values


def _fault(error: Exception) -> str:
    """Why a string is not read as JSON; one that is well formed may be nested too deep, or hold too long a number."""
    return f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
