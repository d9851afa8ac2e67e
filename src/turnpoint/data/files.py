"""Files and folders of a source: which are read, what tells them apart from others, and how many rows they hold."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from turnpoint.data.changes import Changes
from turnpoint.data.containers import container_of, file_rows, holds_lines, readable
from turnpoint.errors import ConfigError, DataError

_SPLIT_NAMES = {"train": "train", "test": "test", "validation": "validation", "valid": "validation"} | {
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
}
_SPLIT_WORD = re.compile(rf"(?:^|[-_.])({'|'.join(_SPLIT_NAMES)})(?=[-_.]|$)")


def files_of(folder: Path, split: str, changes: Changes) -> list[Path]:
    """The files of a folder that hold rows, by name.

    Where files are named for splits (train.jsonl, test.jsonl), only those of `split` are read, and the rest is noted.

    Raises:
        DataError: there is no such file, or none of that split.
        ConfigError: no file is named for a split, and another than `train` is asked for.
    """
    with readable(str(folder)):
        files = sorted(path for path in folder.iterdir() if container_of(path) is not None and path.is_file())
    if not files:
        raise DataError(f"{folder}: this folder holds no .json, .jsonl, .csv, .tsv or .parquet file")
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


def content_hash(files: Sequence[Path], limit: int | None, beside: Iterable[Path] = ()) -> str:
    """Hash of the names and the bytes of files; of JSON lines only of the first `limit` rows.

    Args:
        files: of the data.
        limit: how many of their rows are read; None for all.
        beside: files of tables that are joined to the rows, hashed whole.

    Raises:
        DataError: a file cannot be read.
    """
    found = hashlib.blake2b(digest_size=16)
    whole = [*files, *beside]
    if limit is not None and all(map(holds_lines, files)):
        rows = chain.from_iterable(file_rows(path, path.name, Changes()) for path in files)
        for row in islice(rows, limit):
            found.update(f"{row.where}\0{row.value}\0".encode(errors="surrogatepass"))
        whole = list(beside)
    for path in whole:
        with readable(path.name), path.open("rb") as file:
            found.update(path.name.encode(errors="surrogateescape") + b"\0")
            found.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return found.hexdigest()


def check_no_split(name: str, split: str) -> None:
    """Refuse a split that is asked of a source without splits; `train`, the default, is what such a source is."""
    if split != "train":
        raise ConfigError(f"split: {name} has no splits (got {split!r}); leave split out, or give another file")


def split_of(file_name: str) -> str | None:
    """The split that a file is named for: train, test or validation; None where it is named for none."""
    word = _SPLIT_WORD.search(file_name.lower())
    return _SPLIT_NAMES[word.group(1)] if word else None


def path_of(name: str | Path) -> Path:
    """The path that a name is, `~` and `~user` as their home folders.

    Raises:
        DataError: there is no such user, or no file can have the name.
    """
    try:
        path = Path(name).expanduser()
        path.exists()  # an error where no file can have the name
    except RuntimeError:
        user = Path(name).parts[0]
        raise DataError(f"{name}: {user} is the home folder of no user here; give the whole path") from None
    except OSError as error:
        raise DataError(f"{name!s:.80}: cannot be looked for: {error.strerror}; give another path") from None
    return path


def nearest(path: Path) -> str:
    """A hint at the existing name nearest to a missing path; empty where none is near."""
    folder = path.parent
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:  # no such folder, or none that may be listed
        return ""
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean {folder / near[0]}?" if near else ""
