"""Log-probs of a reference on disk: computed once for a model and a data set, read by every run and objective after.

An entry is a folder named by the hash of all that the numbers depend on:

    key.json     what they depend on, each part hashed by itself, and the name of the data
    logps        nats, float32 or float64: of every scored token, item by item, sequence by sequence
    done         one byte an item: 1 where its log-probs are there

Log-probs are written before the byte that vouches for them, so an interrupted pass goes on where it stopped.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import Tensor, nn

from turnpoint.cache import digest, made_whole
from turnpoint.errors import CheckpointError


class Key(NamedTuple):
    """What log-probs depend on, each part as a hash or a name.

    Args:
        weights: of the reference with its configuration and, where it is on, its adapter.
        data: the hash of all tokens and turns in order, and which of them are scored: file, template and settings at
            once.
        precision: of weights and arithmetic.
    """

    weights: str
    data: str
    precision: str

    @property
    def name(self) -> str:
        """The name of the entry's folder."""
        return digest([part.encode() for part in self])


_CHANGED = {
    "weights": "the weights of the reference changed",
    "data": "the data changed, or its order, its template, or what is scored",
    "precision": "the precision changed",
}


def weights_hash(model: nn.Module, *, adapter: bool) -> str:
    """Hash of all parameters and buffers that are saved, and of the configuration.

    Args:
        model: on one device, whole.
        adapter: whether the adapter of a peft model belongs to it.
    """
    bare: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    settings = bare.config.to_dict()
    adapters = _active(model) if adapter else []  # their scaling is no tensor
    settings["adapters"] = [each.to_dict() | {"base_model_name_or_path": None} for each in adapters]
    for changing in ("_name_or_path", "transformers_version", "dtype", "use_cache"):
        settings.pop(changing, None)
    off: list[str] = []  # parts of the names of what does not take part
    if isinstance(model, PeftModel):
        others = [f".{name}." for name in model.peft_config if name not in model.active_adapters]
        off = others if adapter else [model.base_model.prefix]
    return digest(_parts_of_weights(model.state_dict(), off, _settled(settings)))


class ReferenceCache:
    """One entry, made if it is not there.

    Args:
        folder: where entries are.
        key: of this one.
        counts: scored tokens of each sequence of each item, [N, sequences].
        dtype: of the log-probs.
        source: name of the data.

    Attributes:
        reason: why an entry that was there will not do, where one is near.

    Raises:
        CheckpointError: the folder cannot be written.
    """

    def __init__(self, folder: Path, key: Key, counts: NDArray[np.int64], dtype: torch.dtype, source: str = "") -> None:
        self._counts = counts
        self._dtype = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        self._ends = np.cumsum(counts.sum(1))
        self.entry = folder / key.name
        self.reason = _reason(folder, key, source) if not self.entry.exists() else None
        with self._kept():
            self._make(key, source)
            self._logps = np.memmap(self.entry / "logps", self._dtype, "c", shape=(int(self._ends[-1]),))

    def missing(self) -> NDArray[np.int64]:
        """Items whose log-probs are not there yet, increasing."""
        with self._kept():
            done = np.memmap(self.entry / "done", np.uint8, "r", shape=(len(self._counts),))
        return np.flatnonzero(done == 0)

    def add(self, found: Sequence[tuple[int, Sequence[Tensor]]]) -> None:
        """Keep the log-probs of items, [S] for each of their sequences."""
        with self._kept(), (self.entry / "logps").open("r+b") as logps, (self.entry / "done").open("r+b") as done:
            for i, tensors in found:
                logps.seek(self._start(i) * self._dtype.itemsize)
                logps.write(torch.cat(list(tensors)).numpy().astype(self._dtype).tobytes())
            _sync(logps)
            for i, _ in found:
                done.seek(i)
                done.write(b"\1")
            _sync(done)

    def __getitem__(self, i: int) -> list[Tensor]:
        """Log-probs of the sequences of item `i`, [S] each, read from disk when they are used."""
        values = torch.from_numpy(self._logps[self._start(i) : self._ends[i]])
        return list(values.split(self._counts[i].tolist()))

    def _start(self, item: int) -> int:
        return int(self._ends[item] - self._counts[item].sum())

    def _make(self, key: Key, source: str) -> None:
        """Make the files at their full size."""
        if self.entry.exists():
            return
        with made_whole(self.entry) as aside:
            for name, size in (("logps", int(self._ends[-1]) * self._dtype.itemsize), ("done", len(self._counts))):
                with (aside / name).open("wb") as file:
                    file.truncate(size)
            (aside / "key.json").write_text(json.dumps(key._asdict() | {"source": source}), encoding="utf-8")

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"{self.entry}: log-probs of the reference cannot be kept ({error.strerror}); free some space or set"
                " TURNPOINT_CACHE to another folder"
            ) from error


def _reason(folder: Path, key: Key, source: str) -> str | None:
    """What alone differs from an entry that is there; None where nothing is so near. Other data has another source."""
    for file in sorted(folder.glob("[!.]*/key.json"), key=lambda file: -file.stat().st_mtime):
        other = json.loads(file.read_text(encoding="utf-8"))
        differing = [text for part, text in _CHANGED.items() if other.get(part) != getattr(key, part)]
        if len(differing) == 1 and (differing != [_CHANGED["data"]] or other.get("source") == source):
            return differing[0]
    return None


def _active(model: Any) -> list[Any]:
    """Configurations of the adapters that are on, of peft or of transformers."""
    configs = getattr(model, "peft_config", None) or {}
    if not configs:
        return []
    names = model.active_adapters if isinstance(model, PeftModel) else model.active_adapters()
    return [configs[name] for name in names]


def _settled(settings: dict[str, Any]) -> str:
    """JSON that is the same in every process: sets in order."""
    return json.dumps(
        settings, sort_keys=True, default=lambda value: sorted(value) if isinstance(value, set) else str(value)
    )


def _parts_of_weights(weights: dict[str, Any], off: Sequence[str], settings: str) -> Iterator[bytes]:
    yield settings.encode()
    for name, tensor in weights.items():
        if not any(part in f"{name}." for part in off):
            plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".")  # as without an adapter
            yield f"{plain} {tensor.dtype} {tuple(tensor.shape)}".encode()
            yield tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
