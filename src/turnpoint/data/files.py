"""Rows of local files: JSON lines read line by line, JSON lists, and folders of both.

Files are read as the JSON they are and never through Arrow, whose structs would fill every missing key with None.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.data.changes import Changes
from turnpoint.errors import ConfigError, DataError

_SUFFIXES = (".json", ".jsonl")
_BLOCK = 1 << 20  # bytes
_SPLIT_NAMES = {"train": "train", "test": "test", "validation": "validation", "valid": "validation"} | {
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
}
_SPLIT_WORD = re.compile(rf"(?:^|[-_.])({'|'.join(_SPLIT_NAMES)})(?=[-_.]|$)")


class Line(str):
    """The JSON of a row, not parsed yet, so that the processes which read rows share that work too."""


class Row(NamedTuple):
    """One row of a source: `file.jsonl:12` by line, `file.json[12]` by index in a list, or `row 12`."""

    where: str
    value: Any

    def parsed(self) -> Any:
        """The value.

        Raises:
            DataError: it is a line that holds no JSON; says where.
        """
        if not isinstance(self.value, Line):
            return self.value
        try:
            return json.loads(self.value)
        except json.JSONDecodeError as error:
            raise DataError(f"{self.where}: {_fault(error)}; each line must hold one row") from None


def file_rows(path: Path, name: str) -> Iterator[Row]:
    """Rows of a .jsonl or .json file.

    Args:
        path: the file.
        name: how rows and errors call it.

    Raises:
        DataError: the file is of another kind, is not UTF-8, or does not hold JSON; says where.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(
            f"{name}: only .json and .jsonl files are read (got {path.suffix or 'no suffix'});"
            " load it with the datasets library and hand over the Dataset"
        )
    with _readable(name):
        yield from _line_rows(path, name) if _holds_lines(path) else _whole_rows(path, name)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None


def files_of(folder: Path, split: str, changes: Changes) -> list[Path]:
    """The .json and .jsonl files of a folder, by name.

    Where files are named for splits (train.jsonl, test.jsonl), only those of `split` are read, and the rest is noted.

    Raises:
        DataError: there is no such file, or none of that split.
        ConfigError: no file is named for a split, and another than `train` is asked for.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not files:
        raise DataError(f"{folder}: this folder holds no .json or .jsonl file")
    splits = {path: split_of(path.name) for path in files}
    if any(splits.values()):
        files = [path for path in files if splits[path] == _SPLIT_NAMES.get(split, split)]
        if not files:
            found = ", ".join(sorted({name for name in splits.values() if name}))
            raise DataError(f"{folder}: no file is named for split {split!r}; splits found: {found}")
        others = ", ".join(path.name for path in splits if path not in files)
        if others:
            changes.say(f"left out files of {folder.name} that are not of split {split!r}: {others}")
    else:
        check_no_split(str(folder), split)
    return files


def content_hash(files: Sequence[Path], limit: int | None) -> str:
    """Hash of the names and the bytes of files; of JSON lines only of the first `limit` rows.

    Raises:
        DataError: a file cannot be read.
    """
    found = hashlib.blake2b(digest_size=16)
    if limit is not None and hold_lines(files):
        rows = chain.from_iterable(file_rows(path, path.name) for path in files)
        for row in islice(rows, limit):
            found.update(f"{row.where}\0{row.value}\0".encode(errors="surrogatepass"))
        return found.hexdigest()
    for path in files:
        with _readable(path.name), path.open("rb") as file:
            found.update(path.name.encode(errors="surrogateescape") + b"\0")
            found.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return found.hexdigest()


def hold_lines(files: Sequence[Path]) -> bool:
    """Whether each line of each file is a row."""
    return all(path.suffix.lower() == ".jsonl" and _holds_lines(path) for path in files)


def count_lines(path: Path) -> int:
    """Lines of a file, the last one included where nothing ends it."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")


def check_no_split(name: str, split: str) -> None:
    """Refuse a split that is asked of a source without splits; `train`, the default, is what such a source is."""
    if split != "train":
        raise ConfigError(f"split: {name} has no splits (got {split!r}); leave split out, or give another file")


def split_of(file_name: str) -> str | None:
    """The split that a file is named for: train, test or validation; None where it is named for none."""
    word = _SPLIT_WORD.search(file_name.lower())
    return _SPLIT_NAMES[word.group(1)] if word else None


def nearest(path: Path) -> str:
    """A hint at the existing name nearest to a missing path; empty where none is near."""
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean {folder / near[0]}?" if near else ""


def _holds_lines(path: Path) -> bool:
    """Whether the file is JSON lines, as opposed to one JSON value over many lines or a list."""
    with _readable(path.name), path.open(encoding="utf-8-sig") as lines:
        first = next((line.strip() for line in lines if line.strip()), "{}")
    if path.suffix.lower() == ".jsonl":
        return not first.startswith("[")
    try:
        return isinstance(json.loads(first), dict)
    except json.JSONDecodeError:
        return False


def _whole_rows(path: Path, name: str) -> Iterator[Row]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{name}:{error.lineno}: {_fault(error)}") from None
    for i, row in enumerate(value if isinstance(value, list) else [value]):
        yield Row(f"{name}[{i}]", row)


def _line_rows(path: Path, name: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield Row(f"{name}:{number}", Line(line.rstrip("\r\n")))


def _fault(error: json.JSONDecodeError) -> str:
    return f"broken JSON at column {error.colno}: {error.msg.removesuffix(' at')}"
