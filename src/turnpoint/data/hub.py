"""Rows of data sets of the `datasets` library: from the hub, from a folder it saved, or handed over."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from turnpoint.data.arrow import strip_none
from turnpoint.data.changes import Changes
from turnpoint.data.rows import Row
from turnpoint.dialogue.faults import reason_of
from turnpoint.errors import DataError
from turnpoint.hub import reachable


def given_rows(rows: Iterable[Any], changes: Changes) -> Iterator[Row]:
    """Rows of any iterable of mappings; those of the `datasets` library free of keys that Arrow filled with None."""
    through_arrow = any(kind.__module__.partition(".")[0] == "datasets" for kind in type(rows).__mro__)
    for i, row in enumerate(rows):
        where = f"row {i}"
        if through_arrow and isinstance(row, Mapping):
            row, count = strip_none(row)
            changes.add("stripped keys filled with None (Arrow)", where, count)
        yield Row(where, row)


def saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def saved_dataset(folder: Path) -> Any:
    """The Dataset, or the mapping of splits to Datasets, that `save_to_disk` wrote.

    Raises:
        DataError: the folder is not whole; says why in one line.
    """
    from datasets import load_from_disk

    try:
        return load_from_disk(str(folder))
    except Exception as error:  # whatever reading its files runs into
        raise DataError(
            f"{folder}: what save_to_disk wrote cannot be read: {reason_of(error):.200}; write it anew"
        ) from None


def hub_dataset(name: str, split: str, hint: str = "", streaming: bool = False) -> Any:
    """A data set of the hub.

    Args:
        name: `owner/name`, or `owner/name:configuration`.
        split: split of it, slices such as `train[:100]` included.
        hint: what to add to the error, such as the nearest local name.
        streaming: fetch rows while they are read.

    Raises:
        DataError: it cannot be loaded; says why in one line.
    """
    import datasets

    path, _, configuration = name.partition(":")
    missing = f"{name}: no file or folder of that name, and not found on the hub as split {split!r}"
    if not _cached(path, datasets.config.HF_DATASETS_CACHE) and not reachable():
        raise DataError(f"{missing} (the hub cannot be reached){hint}")
    try:
        return datasets.load_dataset(path, configuration or None, split=split, streaming=streaming)
    except Exception as error:  # the library raises whatever its network layer and builders raise
        raise DataError(f"{missing} ({reason_of(error):.200}){hint}") from None


def _cached(path: str, cache: str | Path) -> bool:
    """Whether the library holds a copy, under the folder name that it gives a data set."""
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = path.rpartition("/")
    folder = "___".join(filter(None, [owner, camelcase_to_snakecase(name)]))
    return (Path(cache) / folder).is_dir()


def pick_split(splits: Mapping[str, Any], split: str) -> Any:
    """One split of a DatasetDict.

    Raises:
        DataError: there is no such split.
    """
    if split not in splits:
        raise DataError(f"split: no split {split!r}; found: {', '.join(map(str, splits))}")
    return splits[split]
