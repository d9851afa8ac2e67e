"""Tokenised data: made once for a source and its settings, kept on disk, read through a memory map.

An entry is a folder named by the hash of all that the tokens depend on:

    records.arrow   a dialogue or a pair and its images in each row, in the order of the source, without those left out
    facts.json      what became of the source

Rows that were handed over without a fingerprint stay in memory: nothing tells them apart from others but to read them.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property, partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, ProcessorMixin

import turnpoint
from turnpoint.cache import cache_folder, digest, made_whole
from turnpoint.data import Source
from turnpoint.data.changes import Changes
from turnpoint.data.rows import Row
from turnpoint.data.split import Part
from turnpoint.dialogue import Dialogue, Image, PreferencePair
from turnpoint.errors import CheckpointError, ConfigError
from turnpoint.progress import with_progress
from turnpoint.template import Fit, Overflow, Renderer, tokenizer_of
from turnpoint.training.images import image_inputs_of
from turnpoint.training.records import IMAGES, OTHERS, Facts, Kind, Tokenized, image_files, image_numbers
from turnpoint.workers import cores_of_machine, cores_of_rank, map_in_order

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 64  # that a process reads and tokenises
_ROWS_TOGETHER = 4096  # in one piece of the file, or
_BYTES_TOGETHER = 1 << 28
_OF_ANOTHER_STAGE = "for another stage (data_split)"
_BAD_ROW = "breaks a rule of the data"
_SOURCES_NAMED = 5  # for each reason
_ROOMS = ("dialogue", "data", "template")  # whose code decides on the tokens


@dataclass
class Tokenizing:
    """How the data of a run is tokenised.

    Args:
        processing_class: a tokenizer with its chat template, or a processor, which reads images as well.
        kind: `DIALOGUES` or `PAIRS`.
        max_length: most tokens of a side; None for no limit.
        overflow: see `turnpoint.template.fit_pairs`.
        part: of the dialogues that is wanted; None for all.
        processes: that read and tokenise; None: one for each core where there is much to do (`turnpoint.workers`).

    Attributes:
        fit: tokenises a record.
        image_inputs: what a model's forward takes of images; None for a tokenizer.

    Raises:
        ConfigError: a setting cannot be honoured.
        TemplateError: a slow tokenizer.
    """

    processing_class: PreTrainedTokenizerBase | ProcessorMixin
    kind: Kind
    max_length: int | None
    overflow: Overflow
    processes: int | None = None
    part: Part | None = None

    def __post_init__(self) -> None:
        renderer = Renderer(self.processing_class)
        self.fit: Fit = self.kind.fit(renderer, max_length=self.max_length, overflow=self.overflow)
        self._reads_images = tokenizer_of(self.processing_class) is not self.processing_class
        self.image_inputs = image_inputs_of(self.processing_class) if self._reads_images else None
        if self._reads_images:  # image processors compute with torch, whose threads a fork does not have
            if (self.processes or 1) > 1:
                logger.warning("%d processes are asked for and 1 is used: images are read in one", self.processes)
            self.processes = 1

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What tokens depend on beside the source, as plain values."""
        tokenizer: Any = tokenizer_of(self.processing_class)
        template = str(getattr(self.processing_class, "chat_template", None) or tokenizer.chat_template)
        # What a call asked for last is not what this one asks for.
        backend = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        return {
            "tokenizer": digest([_as_json([backend, tokenizer.special_tokens_map])]),
            "chat template": digest([template.encode()]),
            "date": date.today().isoformat() if "strftime_now" in template else None,
            "versions": {name: version(name) for name in ("transformers", "tokenizers", "jinja2")},
            "max_length": self.max_length,
            "overflow": self.overflow,
            "data_split": None if self.part is None else [*self.part.shares, self.part.stage],
        } | (self._of_processor if self._reads_images else {})

    @property
    def _of_processor(self) -> dict[str, Any]:
        processor: Any = self.processing_class
        settings = processor.to_dict() | {"image_processor": processor.image_processor.to_dict()}
        return {"processor": digest([_as_json(settings)])}


def tokenize(
    source: Source,
    how: Tokenizing,
    *,
    first: Callable[[], Any] = nullcontext,
    title: str | None = None,
    bar: bool = True,
) -> Tokenized:
    """Read, render and tokenise a source; or find on disk what came of it before.

    Args:
        source: dialogues or pairs, that come to an end.
        how: it is tokenised.
        first: makes a context that the first process of a machine enters before the others, where all share an entry.
        title: stands before the count of rows; None shows nothing.
        bar: whether a terminal shows a bar.

    Raises:
        ConfigError: the source is a stream.
        DataError: the source is missing, or a row breaks a rule.
        TemplateError: the template cannot render a record exactly.
        CheckpointError: the result cannot be written or read.
    """
    if source.streams:
        raise ConfigError(f"{source.name}: is a stream, which only train_dataset may be; give a file or a Dataset")

    def counted(rows: Iterable[Row]) -> Iterable[Row]:
        return with_progress(rows, title, total=source.size, bar=bar)

    content = source.content
    if content is None:
        making = Making(source, how)
        pieces = _joined(making.pieces(how.processes or cores_of_rank(), counted))
        return Tokenized(pa.Table.from_batches(pieces, making.schema), making.facts, how.kind, how.image_inputs)
    key = [how.kind.name, content, source.format, source.split, source.limit, how.settings, _code()]
    entry = cache_folder() / "tokenized" / digest([_as_json(key)])
    with first():
        if entry.exists() and _is_whole(entry, how.kind):
            logger.info("%s: tokenised before, read from %s", source.name, entry)
        else:
            making = Making(source, how)
            _write(entry, making, making.pieces(how.processes or cores_of_machine(), counted))
            logger.info("%s: tokenised, kept in %s", source.name, entry)
    found = _read(entry, how.kind)
    found.image_inputs = how.image_inputs
    found.facts.source = source.name
    return found


class _Batch(NamedTuple):
    """What came of some rows, as a process sends it."""

    records: pa.RecordBatch
    read: int
    longest: int
    image_files: dict[str, list[int]]
    left_out: list[tuple[str, str]]  # reason, source
    shortened: list[tuple[str, str]]  # how, source
    changes: Changes


class Making:
    """Tokenises a source piece by piece and keeps account of it.

    Attributes:
        facts: of what was tokenised so far.
        schema: of the pieces.
    """

    def __init__(self, source: Source, how: Tokenizing) -> None:
        self.facts = Facts(source.name, how.settings)
        sides = range(how.kind.side_count)
        lists = [(f"{what}_{side}", pa.list_(pa.int32())) for side in sides for what in ("ids", "turns", "images")]
        self.schema = pa.schema([*lists, ("images", IMAGES), *OTHERS.items()])
        self._source = source
        self._how = how
        self._opened = source.open(how.kind.record)
        hashed = [*(f"{part} of {name}" for name, _ in lists for part in ("lengths", "values"))]
        hashed += ["shared_turns", "images"]
        self._hashes = {name: hashlib.blake2b() for name in hashed}

    def pieces(
        self, processes: int, counted: Callable[[Iterable[Row]], Iterable[Row]] = iter
    ) -> Iterator[pa.RecordBatch]:
        """The records, those of some rows at a time; afterwards `facts` are complete.

        Args:
            processes: that read and tokenise.
            counted: passes the rows on and says how far it has come.
        """
        how = self._how
        read = self._opened.read
        work = partial(_tokenized, read=read, part=how.part, fit=how.fit, kind=how.kind, schema=self.schema)
        for batch in map_in_order(work, _some_at_once(counted(self._opened.rows)), processes):
            self._account(batch)
            yield batch.records
        self.facts.content = digest(each.digest() for each in self._hashes.values())

    def _account(self, batch: _Batch) -> None:
        self.facts.read += batch.read
        self.facts.kept += len(batch.records)
        self.facts.longest = max(self.facts.longest, batch.longest)
        self.facts.image_files |= batch.image_files
        self._opened.changes.merge(batch.changes)
        self.facts.notes = list(self._opened.changes.notes())
        for counted, found in ((self.facts.left_out, batch.left_out), (self.facts.shortened, batch.shortened)):
            for reason, source in found:
                entry = counted.setdefault(reason, {"count": 0, "first": []})
                entry["count"] += 1
                entry["first"] += [source] * (len(entry["first"]) < _SOURCES_NAMED)
        for name in batch.records.schema.names:
            column = batch.records.column(name)
            if name == "images":
                for image in column.flatten():
                    self._hashes[name].update(Image(image.as_py()).digest)
            elif name in self._hashes:
                self._hashes[name].update(column.to_numpy().tobytes())
            elif pa.types.is_list(column.type):
                self._hashes[f"lengths of {name}"].update(np.diff(column.offsets.to_numpy()).tobytes())
                self._hashes[f"values of {name}"].update(column.values.to_numpy().tobytes())


def _some_at_once(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some


def _tokenized(
    rows: list[Row],
    *,
    read: Callable[[Row, Changes], Dialogue | PreferencePair | None],
    part: Part | None,
    fit: Fit,
    kind: Kind,
    schema: pa.Schema,
) -> _Batch:
    """Read, render and tokenise some rows."""
    changes = Changes()
    kept: list[Any] = []
    files: dict[str, list[int]] = {}
    left_out: list[tuple[str, str]] = []
    shortened: list[tuple[str, str]] = []
    for row in rows:
        record = read(row, changes)
        if record is None:
            left_out.append((_BAD_ROW, row.where))
            continue
        source = record.source or record.id
        if part is not None and not part.holds(record):
            left_out.append((_OF_ANOTHER_STAGE, source))
            continue
        files |= {file: _state(file) for file in image_files(record)}
        tokenized, fault, cut = fit(record)
        if fault is not None:
            left_out.append((fault, source))
            continue
        if cut is not None:
            shortened.append((cut, source))
        thoughts = sum(side.thoughts_left_out for side in kind.sides(tokenized))
        changes.add("reasoning that the chat template does not write", source, thoughts)
        kept.append(tokenized)
    longest = max((len(side.input_ids) for each in kept for side in kind.sides(each)), default=0)
    return _Batch(_arrow(kept, kind, schema), len(rows), longest, files, left_out, shortened, changes)


def _arrow(kept: list[Any], kind: Kind, schema: pa.Schema) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {}
    images = [list({placed.image: None for side in kind.sides(each) for placed in side.images}) for each in kept]
    for side in range(kind.side_count):
        dialogues = [kind.sides(each)[side] for each in kept]
        columns[f"ids_{side}"] = _list_array([np.asarray(each.input_ids, np.int32) for each in dialogues])
        columns[f"turns_{side}"] = _list_array([np.asarray(each.turns, np.int32).reshape(-1) for each in dialogues])
        numbers = zip(dialogues, images, strict=True)
        columns[f"images_{side}"] = _list_array([image_numbers(each, of_record) for each, of_record in numbers])
    columns["images"] = pa.array([[image.data for image in of_record] for of_record in images], IMAGES)
    for n, name in enumerate(OTHERS):
        columns[name] = pa.array([_storable(kind.others(each)[n]) for each in kept], schema.field(name).type)
    return pa.record_batch([columns[name] for name in schema.names], schema)


def _storable(value: Any) -> Any:
    """The value without lone surrogates, which a JSON string may hold and UTF-8 may not."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _list_array(lists: list[NDArray[np.int32]]) -> pa.ListArray:
    ends = np.cumsum([0, *map(len, lists)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, np.concatenate([*lists, np.empty(0, np.int32)]))


def _joined(pieces: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Few large pieces in the place of many small ones, among which a record would have to be searched."""
    together: list[pa.RecordBatch] = []
    for piece in pieces:
        together.append(piece)
        if sum(map(len, together)) >= _ROWS_TOGETHER or sum(each.nbytes for each in together) >= _BYTES_TOGETHER:
            yield pa.concat_batches(together)
            together = []
    if together:
        yield pa.concat_batches(together)


def _write(entry: Path, making: Making, pieces: Iterable[pa.RecordBatch]) -> None:
    try:
        with made_whole(entry) as aside:
            with (aside / "records.arrow").open("wb") as file, pa.ipc.new_file(file, making.schema) as writer:
                for piece in _joined(pieces):
                    writer.write_batch(piece)
            (aside / "facts.json").write_text(json.dumps(asdict(making.facts)), encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"{entry}: tokenised data cannot be kept ({error.strerror or error}); free some space or set"
            " TURNPOINT_CACHE to another folder"
        ) from error


def _is_whole(entry: Path, kind: Kind) -> bool:
    """Whether an entry can be read and its images are those it was made of; else it is removed, and it is said."""
    try:
        files = _read(entry, kind).facts.image_files
        changed = next((file for file, state in files.items() if _state(file) != state), None)
        fault = None if changed is None else f"{changed}: changed since the data was tokenised"
    except CheckpointError as error:
        fault = str(error)
    if fault is not None:
        logger.warning("%s; it is made anew", fault)
        shutil.rmtree(entry, ignore_errors=True)
    return fault is None


def _state(file: str) -> list[int]:
    """Size and time of change of a file; empty where it is gone."""
    path = Path(file).expanduser()
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else []


def _read(entry: Path, kind: Kind) -> Tokenized:
    try:
        facts = Facts(**json.loads((entry / "facts.json").read_text(encoding="utf-8")))
        with pa.memory_map(str(entry / "records.arrow")) as file:
            return Tokenized(pa.ipc.open_file(file).read_all(), facts, kind)
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise CheckpointError(
            f"{entry}: tokenised data cannot be read ({' '.join(str(error).split()):.200})"
        ) from error


def _code() -> str:
    """Hash of the code that decides on the tokens, and on how they lie on disk."""
    root = Path(next(iter(turnpoint.__path__)))
    files = [file for room in _ROOMS for file in (root / room).rglob("*") if file.suffix in (".py", ".jinja")]
    files += [root / "training" / f"{name}.py" for name in ("images", "records", "tokenized")]
    return digest(file.read_bytes() for file in sorted(files))


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
