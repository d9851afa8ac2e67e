"""Data that is used as it comes: read and tokenised while a stage trains on it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Generic

import pyarrow as pa
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from turnpoint.data import Source
from turnpoint.template import Overflow
from turnpoint.training.records import Example, Examples, Facts, Kind, Tokenized
from turnpoint.training.sampler import share_of
from turnpoint.training.tokenized import Making, how


class Stream(Generic[Example]):
    """Examples of a source that is read and tokenised anew in each pass; neither memory nor disk holds them.

    Args:
        source: that can be read more than once, if there is to be more than one pass.
        tokenizer: with its chat template.
        kind: `DIALOGUES` or `PAIRS`.
        make: examples of some tokenised records.
        max_length: most tokens of a side; None for no limit.
        overflow: see `turnpoint.template.fit_pairs`.
        processes: that read and tokenise, ahead of what is used; None: this one, when it is needed.

    Attributes:
        facts: what became of the rows of the first pass, so far.
    """

    def __init__(
        self,
        source: Source,
        tokenizer: PreTrainedTokenizerBase,
        kind: Kind,
        make: Callable[[Tokenized], Examples[Example]],
        *,
        max_length: int | None,
        overflow: Overflow,
        processes: int | None = None,
    ) -> None:
        self._fit, settings = how(tokenizer, kind, max_length, overflow)
        self._source = source
        self._kind = kind
        self._make = make
        self._processes = processes or 1
        self.facts = Facts(source.name, settings)

    def __iter__(self) -> Iterator[Example]:
        making = Making(self._source, self.facts.settings, self._kind)
        for piece in making.pieces(self._fit, self._processes, progress=False):
            if making.facts.read > self.facts.read:
                self.facts = making.facts
            yield from self._make(Tokenized(pa.Table.from_batches([piece]), making.facts, self._kind))


class StreamSteps(IterableDataset[Any]):
    """The items of each optimiser step that fall to this process, from a stream that every process reads.

    Args:
        items: the stream.
        items_per_step: over all processes.
        rank: number of this process.
        processes: number of processes.
        drop_last: leave out a last step that is not full.
    """

    def __init__(
        self, items: Iterable[Any], items_per_step: int, *, rank: int, processes: int, drop_last: bool
    ) -> None:
        self.items = items
        self.items_per_step = items_per_step
        self.rank = rank
        self.processes = processes
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        items = iter(self.items)
        while step := list(islice(items, self.items_per_step)):
            if len(step) == self.items_per_step or not self.drop_last:
                yield share_of(step, self.rank, self.processes)
