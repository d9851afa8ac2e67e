"""A row of a source: where it stands, and its value, parsed or not."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.errors import DataError

_PLACE = re.compile(r"(?::\d+|\[\d+\])(?![^\s:,;()])")  # of a row in its file


class Line(str):
    """The JSON of a row, not parsed yet, so that the processes which read rows share that work too."""


class Broken(str):
    """In the place of a value: the error that whoever reads the row gets, so that bad rows can be left out."""


class Row(NamedTuple):
    """One row of a source.

    Args:
        where: `file.jsonl:12` by line, `file.json[12]` by index, or `row 12`; and which record, of several.
        value: what it holds.
        file: that it was read from; None for rows that were handed over.
        entry: number of the entry of a mix that it comes from.
    """

    where: str
    value: Any
    file: Path | None = None
    entry: int = 0

    def parsed(self) -> Any:
        """The value.

        Raises:
            DataError: it is a line that holds no JSON, or broken in another way; says where.
        """
        if isinstance(self.value, Broken):
            raise DataError(self.value)
        if not isinstance(self.value, Line):
            return self.value
        try:
            return json.loads(self.value)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.where}: {json_fault(error)}; each line must hold one row") from None


def file_of(source: str) -> str:
    """The file that a source names (`Row.where` and what stands after it); empty for rows that were handed over."""
    place = _PLACE.search(source)
    return source[: place.start()] if place else ""


def json_fault(error: Exception) -> str:
    """Why JSON is not read; what is well formed may be nested too deep, or hold too long a number."""
    if isinstance(error, json.JSONDecodeError):
        return f"broken JSON at column {error.colno}: {error.msg.removesuffix(' at')}"
    return f"JSON that cannot be read: {' '.join(str(error).split())}"


def keys_of(row: Iterable[Any]) -> str:
    """The keys of a row, for a message; the first twelve of them."""
    keys = [str(key) for key in row]
    more = f" and {len(keys) - 12} more" if len(keys) > 12 else ""
    return (", ".join(keys[:12]) or "none") + more
