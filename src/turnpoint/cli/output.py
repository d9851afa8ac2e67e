"""Results on stdout: a table for people, JSON for machines; or in files. Progress on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from turnpoint.errors import ConfigError

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
    print(_as_json(value))


def writable(file: str | None, flag: str) -> Path | None:
    """The file that a flag names, its folder made; None where it names none.

    Raises:
        ConfigError: it cannot be written, which is told before the work is done.
    """
    if file is None:
        return None
    path = Path(file).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, flag, error.strerror) from None
    if path.is_dir():
        raise _unwritable(path, flag, "it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise _unwritable(path, flag, "its folder takes no files")
    return path


def write_text(path: Path, text: str, flag: str) -> None:
    """Write the file that a flag names; lone surrogates, which UTF-8 has no form for, as question marks.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unwritable(path, flag, error.strerror) from None


def write_json(path: Path, value: Any, flag: str) -> None:
    """Write a file of one JSON document; errors of `write_text`."""
    write_text(path, _as_json(value) + "\n", flag)


def _unwritable(path: Path, flag: str, why: str | None) -> ConfigError:
    return ConfigError(f"{flag}: cannot write {path}: {why}; check the path")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
