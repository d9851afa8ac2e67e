"""Tokenised data as it lies in Arrow columns, and what a stage makes of it.

Columns: of each side its token ids, its turns, four numbers a turn, and its images, three numbers an image: the range
of its tokens and its place among the images of the record; of the record these images, each once, and what else a pair
carries.

Shapes: N records.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from turnpoint.dialogue import Dialogue, Image, PreferencePair
from turnpoint.template import (
    Fit,
    PlacedImage,
    TokenizedDialogue,
    TokenizedPair,
    Turn,
    fit_dialogues,
    fit_pairs,
    fit_rated,
)
from turnpoint.training.images import ImageInputsOf

Example = TypeVar("Example", covariant=True)

OTHERS = {
    "shared_turns": pa.int32(),
    "id": pa.string(),
    "dialogue_id": pa.string(),
    "source": pa.string(),
    "weight": pa.float64(),
    "margin": pa.float64(),
    "label": pa.bool_(),
}


IMAGES = pa.list_(pa.large_binary())  # offsets of 64 bits
_NUMBERS_OF_IMAGE = 3


class Kind(NamedTuple):
    """What differs between dialogues and pairs.

    Args:
        name: for progress.
        record: what is read.
        fit: how it is tokenised.
        side_count: how many sides it has.
        sides: tokenised -> its sides.
        others: tokenised -> what else is kept of it, in the order of `OTHERS`.
        tokenized: from sides and others.
    """

    name: str
    record: type[Dialogue] | type[PreferencePair]
    fit: Callable[..., Fit]
    side_count: int
    sides: Callable[[Any], tuple[TokenizedDialogue, ...]]
    others: Callable[[Any], tuple[Any, ...]]
    tokenized: Callable[..., Any]


DIALOGUES = Kind(
    "dialogues",
    Dialogue,
    fit_dialogues,
    1,
    lambda dialogue: (dialogue,),
    lambda dialogue: (0, "", "", "", 1.0, None, dialogue.label),
    lambda sides, others: sides[0]._replace(label=others[-1]),
)
RATED = DIALOGUES._replace(name="rated dialogues", fit=fit_rated)
PAIRS = Kind(
    "pairs",
    PreferencePair,
    fit_pairs,
    2,
    lambda pair: pair[:2],
    lambda pair: (*pair[2:], None),
    lambda sides, others: TokenizedPair(*sides, *others[:-1]),
)


@dataclass
class Facts:
    """What became of a source.

    Args:
        source: its name.
        settings: what its tokens depend on beside it.
        read: rows.
        kept: records.
        longest: tokens of the longest side.
        content: hash of the tokens and turns of all records, in order.
        left_out: of each reason how many, and the first of them.
        shortened: the same of records that are kept, but lost something to `max_length`.
        notes: what reading changed, one line each.
        image_files: of each file of an image its size, bytes, and time of change, ns.
    """

    source: str
    settings: dict[str, Any]
    read: int = 0
    kept: int = 0
    longest: int = 0
    content: str = ""
    left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    shortened: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    image_files: dict[str, list[int]] = field(default_factory=dict)


class Tokenized(Sequence[Any]):
    """Tokenised dialogues or pairs, made from disk when they are asked for. `tokenize` makes it.

    Attributes:
        facts: what became of the source.
        kind: `DIALOGUES`, `PAIRS` or `RATED`.
        image_inputs: what a model's forward takes of images; None where a tokenizer made the records.
    """

    def __init__(self, table: pa.Table, facts: Facts, kind: Kind, image_inputs: ImageInputsOf | None = None) -> None:
        self.facts = facts
        self.kind = kind
        self.image_inputs = image_inputs
        self._columns = {name: table.column(name) for name in table.column_names}

    def __len__(self) -> int:
        return len(self._columns["source"])

    def __repr__(self) -> str:
        return f"<{len(self)} {self.kind.name} of {self.facts.read} rows of {self.facts.source}>"

    def __getitem__(self, i: Any) -> Any:
        """Record `i`, counted from the start or, below 0, from the end; no slices."""
        i = range(len(self))[i]
        images = self._columns["images"][i].values
        sides = (
            TokenizedDialogue(
                self._ints(f"ids_{side}", i),
                _turns(self._ints(f"turns_{side}", i)),
                images=_placed(self._ints(f"images_{side}", i), images) if len(images) else (),
            )
            for side in range(self.kind.side_count)
        )
        return self.kind.tokenized(tuple(sides), tuple(self._columns[name][i].as_py() for name in OTHERS))

    def scored_counts(self, *, from_fork: bool) -> NDArray[np.int64]:
        """Scored tokens of each side of each record, [N, sides].

        Args:
            from_fork: of the turns after the shared prompt only.
        """
        counts = np.zeros((len(self), self.kind.side_count), np.int64)
        for side in range(self.kind.side_count):
            start = 0
            for turns, shared in zip(
                self._columns[f"turns_{side}"].chunks, self._columns["shared_turns"].chunks, strict=True
            ):
                numbers = turns.flatten().to_numpy().reshape(-1, len(Turn._fields))  # of all turns of the chunk
                turns_of = turns.value_lengths().to_numpy() // len(Turn._fields)
                record = np.repeat(np.arange(len(turns)), turns_of)
                number = np.arange(len(record)) - np.repeat(np.cumsum(turns_of) - turns_of, turns_of)
                first = np.repeat(shared.to_numpy(), turns_of) if from_fork else 0
                begin, end, _, train = numbers.T
                scored = np.maximum(end - np.maximum(begin, 1), 0) * train * (number >= first)
                counts[start : start + len(turns), side] = np.bincount(record, scored, len(turns))
                start += len(turns)
        return counts

    def groups(self) -> NDArray[np.int64]:
        """Of each record the number of its dialogue; one of its own where it names none, [N]."""
        encoded = self._columns["dialogue_id"].combine_chunks().dictionary_encode()
        numbers = np.asarray(encoded.indices, dtype=np.int64)
        nameless = np.asarray([name == "" for name in encoded.dictionary.to_pylist()], dtype=bool)[numbers]
        return np.where(nameless, len(numbers) + np.arange(len(numbers)), numbers)

    def with_images(self) -> NDArray[np.int64]:
        """Indexes of the records that hold an image, increasing."""
        counts = [chunk.value_lengths().to_numpy() for chunk in self._columns["images"].chunks]
        return np.flatnonzero(np.concatenate([*counts, np.empty(0, np.int32)]))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """The weights or the margins of all records, NaN where one has none, [N]."""
        found: NDArray[np.float64] = self._columns[name].to_numpy()
        return found

    def _ints(self, name: str, i: int) -> NDArray[np.int32]:
        found: NDArray[np.int32] = self._columns[name][i].values.to_numpy()
        return found


class Examples(Sequence[Example]):
    """Records as a stage trains on them, made when they are asked for.

    Args:
        records: tokenised.
        make: an example of a record.
    """

    def __init__(self, records: Tokenized, make: Callable[[Any], Example]) -> None:
        self.records = records
        self._make = make

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: Any) -> Any:
        return self._make(self.records[i])

    @property
    def longest(self) -> int | None:
        """Tokens of the longest sequence; None where it is not known."""
        return self.records.facts.longest


def _turns(numbers: NDArray[np.int32]) -> tuple[Turn, ...]:
    rows = numbers.reshape(-1, len(Turn._fields)).tolist()
    return tuple(Turn(start, end, message, bool(train)) for start, end, message, train in rows)


def image_numbers(dialogue: TokenizedDialogue, of_record: Sequence[Image]) -> NDArray[np.int32]:
    """The numbers of a side's images; `_placed` reads them."""
    numbers = [(start, end, of_record.index(image)) for start, end, image in dialogue.images]
    return np.asarray(numbers, np.int32).reshape(-1)


def _placed(numbers: NDArray[np.int32], images: pa.Array) -> tuple[PlacedImage, ...]:
    rows = numbers.reshape(-1, _NUMBERS_OF_IMAGE).tolist()
    return tuple(PlacedImage(start, end, Image(images[i].as_py())) for start, end, i in rows)


def image_files(record: Dialogue | PreferencePair) -> list[str]:
    """Files that the images of a record were read from."""
    parts = [record.messages] if isinstance(record, Dialogue) else [record.prompt, record.chosen, record.rejected]
    images = (image for messages in parts for message in messages for image in message.images)
    return [image.file for image in images if image.file is not None]
