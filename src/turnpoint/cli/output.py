"""Results on stdout: a table for people, JSON for machines. Progress on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

Item = TypeVar("Item")

_PIPED_WIDTH = 100_000  # columns when stdout is no terminal: more than any line has, so that none is broken


def console() -> Console:
    """A console on stdout, as wide as the terminal."""
    # No emoji, since `data.jsonl:100: text` would be `data.jsonl💯 text`.
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=False, emoji=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table; numbers stand right."""
    rows = [list(row) for row in rows]
    table = Table()
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out = console()
    if title is not None:
        out.print(title, style="table.title", markup=False, soft_wrap=True)
    out.print(table, markup=False)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
