"""Load a data set into memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

from turnpoint.data.source import OnBadRows, Source
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import DataError


class Loaded(NamedTuple):
    """What was loaded."""

    records: list[Dialogue] | list[PreferencePair]
    """All of one kind, in the order of the source."""
    format: str
    """Name of the format, of several in a mix, or `records` where dialogues or pairs were handed over as they are."""
    notes: tuple[str, ...]
    """One line for each kind of change made to the data, with counts."""
    broken: tuple[str, ...]
    """Of each row that was left out because it breaks a rule, where it stands and which rule."""


def load(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
    on_bad_rows: OnBadRows = "error",
) -> Loaded:
    """Load dialogues or preference pairs into memory. Arguments and errors: those of `Source` and its `open`."""
    return _load(Source(source, format, split, limit, on_bad_rows=on_bad_rows), None)


def load_dialogues(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
    on_bad_rows: OnBadRows = "error",
) -> tuple[list[Dialogue], tuple[str, ...]]:
    """Load dialogues, and the notes on what was changed. Arguments and errors of `load`; pairs are a DataError."""
    loaded = _load(Source(source, format, split, limit, on_bad_rows=on_bad_rows), Dialogue)
    return cast(list[Dialogue], loaded.records), loaded.notes


def load_pairs(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
    on_bad_rows: OnBadRows = "error",
) -> tuple[list[PreferencePair], tuple[str, ...]]:
    """Load pairs, and the notes on what was changed. Arguments and errors of `load`.

    Rated dialogues are paired, those of one prompt, liked with disliked; other dialogues are a DataError.
    """
    loaded = _load(Source(source, format, split, limit, on_bad_rows=on_bad_rows), PreferencePair)
    return cast(list[PreferencePair], loaded.records), loaded.notes


def _load(source: Source, kind: type[Dialogue] | type[PreferencePair] | None) -> Loaded:
    opened = source.open(kind)
    read = (opened.read(row, opened.changes) for row in opened.rows)
    records = [record for record in read if record is not None]
    if not records:
        why = opened.changes.notes() or ("the weights of its entries take none, raise them",)
        raise DataError(f"{source.name}: no row is left; {why[0]}")
    return Loaded(
        cast(list[Dialogue] | list[PreferencePair], records),
        opened.format,
        opened.changes.notes(),
        tuple(opened.changes.broken),
    )
