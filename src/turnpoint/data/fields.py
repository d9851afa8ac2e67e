"""Fields that rows of several formats have in common."""

import json
from collections.abc import Mapping
from typing import Any

from turnpoint.errors import DataError

WEIGHT_KEYS = ("weight", "loss_weight")


def row_id(row: Mapping[str, Any], where: str, key: str = "id") -> str:
    """The id that the row gives itself, else where it stands."""
    value = row.get(key)
    return where if value is None else str(value)


def tools(row: Mapping[str, Any]) -> Any:
    """The tools of a row as it gives them; `dialogue` brings them into one form."""
    return row.get("tools") or row.get("functions")


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
    except json.JSONDecodeError as error:
        rule = f"a string here must be JSON: {error.msg} at character {error.pos}"
        raise DataError(f"{where}: {field}: {rule} (got {value!r:.80})") from None
