"""A mix of sources: a YAML file that lists data, and how much of each an epoch takes.

- data: calls.jsonl        # seen from the folder of this file; or a name on the hub
  weight: 2                # how many times each record counts in an epoch; 0.5 takes a stable half
- data: owner/name
  format: preference
  split: test
  limit: 1000
  columns: {prompt: question}   # ours: theirs
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from turnpoint.data.rows import Row
from turnpoint.errors import ConfigError, DataError

_SUFFIXES = (".yaml", ".yml")
_BITS = 64


class Entry(NamedTuple):
    """One source of a mix."""

    data: str
    format: str | None = None
    split: str = "train"
    limit: int | None = None
    columns: Mapping[str, str] = {}
    weight: float = 1.0


class _Rule(NamedTuple):
    holds: Callable[[Any], bool]
    says: str


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _are_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for pair in value.items() for each in pair)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_RULES: Mapping[str, _Rule] = {
    "data": _Rule(_is_text, "must name a file, a folder or a data set on the hub"),
    "format": _Rule(_is_text, "must be the name of a format"),
    "split": _Rule(_is_text, "must be the name of a split"),
    "limit": _Rule(_is_count, "must be a whole number of rows from 1"),
    "columns": _Rule(_are_names, "must give names of columns, {ours: theirs}"),
    "weight": _Rule(_is_weight, "must be a number above 0, how many times each record counts in an epoch"),
}


def is_mix(origin: Any) -> bool:
    """Whether an origin is the file of a mix, by its name."""
    return isinstance(origin, str | Path) and Path(origin).suffix.lower() in _SUFFIXES


def read_mix(file: Path) -> tuple[Entry, ...]:
    """The entries of a mix, as they are written.

    Raises:
        DataError: there is no such file, or it is no YAML.
        ConfigError: it is no list of entries; one line that says which key and why.
    """
    try:
        listed = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is no YAML: {' '.join(str(error).split()):.200}") from None
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"{file}: a mix must be a list of entries, each with `data` (got {listed!r:.80})")
    return tuple(_entry(raw, f"{file.name}[{i}]") for i, raw in enumerate(listed))


def _entry(raw: Any, where: str) -> Entry:
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: an entry must have keys, such as `data: FILE` (got {raw!r:.80})")
    unknown = next((key for key in raw if key not in _RULES), None)
    if unknown is not None:
        raise ConfigError(f"{where}: unknown key {unknown!r}; use {', '.join(_RULES)}")
    if "data" not in raw:
        raise ConfigError(f"{where}: data: {_RULES['data'].says}; there is none")
    for key, value in raw.items():
        if not _RULES[key].holds(value):
            raise ConfigError(f"{where}: {key}: {_RULES[key].says} (got {value!r:.80})")
    if is_mix(raw["data"]):
        raise ConfigError(f"{where}: data: a mix cannot hold another; list its entries here (got {raw['data']!r})")
    theirs = list((raw.get("columns") or {}).values())
    if twice := next((name for name in theirs if theirs.count(name) > 1), None):
        raise ConfigError(f"{where}: columns: {twice!r} stands for two names of ours; give it to one")
    return Entry(**raw)


def weighted(rows: Callable[[int], Iterable[Row]], weight: float) -> Iterator[Row]:
    """Rows as many times as they count, one pass after the other.

    Args:
        rows: of a pass, by its number.
        weight: how many times each counts; of a fraction, the rows of a stable choice by their places.
    """
    for number in range(math.ceil(weight)):
        share = min(weight - number, 1.0)
        yield from rows(number) if share == 1 else (row for row in rows(number) if _in_share(row.where, share))


def _in_share(where: str, share: float) -> bool:
    digest = hashlib.blake2b(where.encode(errors="surrogatepass"), digest_size=_BITS // 8).digest()
    return int.from_bytes(digest, "big") < share * (1 << _BITS)
