"""Data that is used as it comes: read and tokenised while a stage trains on it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Generic

import pyarrow as pa
from torch.utils.data import IterableDataset

from turnpoint.data import Source
from turnpoint.training.records import Example, Examples, Facts, Tokenized
from turnpoint.training.sampler import share_of
from turnpoint.training.tokenized import Making, Tokenizing


class Stream(Generic[Example]):
    """Examples of a source that is read and tokenised anew in each pass; neither memory nor disk holds them.

    Args:
        source: that can be read more than once, if there is to be more than one pass.
        how: it is tokenised; by this process when it is needed, or by as many as are asked for, ahead of that.
        make: examples of some tokenised records.

    Attributes:
        facts: what became of the rows of the first pass, so far.
    """

    def __init__(self, source: Source, how: Tokenizing, make: Callable[[Tokenized], Examples[Example]]) -> None:
        self.facts = Facts(source.name, how.settings)
        self._source = source
        self._how = how
        self._make = make

    def __iter__(self) -> Iterator[Example]:
        making = Making(self._source, self._how)
        for piece in making.pieces(quietly=True):
            if making.facts.read > self.facts.read:
                self.facts = making.facts
            yield from self._make(Tokenized(pa.Table.from_batches([piece]), making.facts, self._how.kind))


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
