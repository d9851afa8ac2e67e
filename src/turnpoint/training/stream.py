"""Data that is used as it comes: read and tokenised while a stage trains on it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from typing import Any, Generic

import pyarrow as pa
from torch.utils.data import IterableDataset

from turnpoint.data import Source
from turnpoint.errors import DataError
from turnpoint.training.data_report import in_words
from turnpoint.training.records import Example, Examples, Facts, Tokenized
from turnpoint.training.sampler import share_of
from turnpoint.training.tokenized import Making, Tokenizing

_HOPELESS = 10_000  # rows of which none is kept


class Stream(Generic[Example]):
    """Examples of a source that is read and tokenised anew in each pass; neither memory nor disk holds them.

    Args:
        source: that can be read from its start again.
        how: it is tokenised; by this process when it is needed, or by as many as are asked for, ahead of that.
        make: examples of some tokenised records.

    Attributes:
        facts: what became of the rows of the first pass, so far.

    Raises:
        DataError: the source can be read once only.
    """

    def __init__(self, source: Source, how: Tokenizing, make: Callable[[Tokenized], Examples[Example]]) -> None:
        if isinstance(source.given, Iterator):
            raise DataError(
                f"{source.name}: can be read once only; give a file, a data set, or an object that gives a new iterator"
                " each time"
            )
        self.facts = Facts(source.name, how.settings)
        self._source = source
        self._how = how
        self._make = make

    def one_pass(self, number: int) -> Iterator[Example]:
        """The examples from the start of the source; a data set that is shuffled is told the number of the pass.

        Raises:
            DataError: nothing is left of so many rows that nothing will be.
        """
        if hasattr(self._source.given, "set_epoch"):
            self._source.given.set_epoch(number)
        making = Making(self._source, self._how)
        for piece in making.pieces(self._how.processes or 1):
            if number == 0:
                self.facts = making.facts
            table = pa.Table.from_batches([piece])
            yield from self._make(Tokenized(table, making.facts, self._how.kind, self._how.image_inputs))
            if not making.facts.kept and making.facts.read >= _HOPELESS:
                break
        if not making.facts.kept:
            left_out = in_words(making.facts.left_out)
            raise DataError(
                f"{self._source.name}: nothing is left to train on of {making.facts.read} rows; left out {left_out}"
            )


class StreamSteps(IterableDataset[Any]):
    """The items of each optimiser step that fall to this process, from one pass after the other.

    Args:
        one_pass: items of a pass by its number, the same in every process.
        steps: how many there are to be.
        items_per_step: over all processes.
        rank: number of this process.
        processes: number of processes.
        drop_last: leave out a last step of a pass that is not full.
    """

    def __init__(
        self,
        one_pass: Callable[[int], Iterable[Any]],
        steps: int,
        items_per_step: int,
        *,
        rank: int,
        processes: int,
        drop_last: bool,
    ) -> None:
        self.one_pass = one_pass
        self.steps = steps
        self.items_per_step = items_per_step
        self.rank = rank
        self.processes = processes
        self.drop_last = drop_last

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Any]]:
        passes = chain.from_iterable(map(self._steps_of, count()))
        return (share_of(step, self.rank, self.processes) for step in islice(passes, self.steps))

    def _steps_of(self, number: int) -> Iterator[list[Any]]:
        items, found = iter(self.one_pass(number)), 0
        while step := list(islice(items, self.items_per_step)):
            if len(step) == self.items_per_step or not self.drop_last:
                found += 1
                yield step
        if not found:
            raise DataError(
                f"dataloader_drop_last: leaves nothing of a pass, whose rows are fewer than the {self.items_per_step}"
                " of a step; set it to false or lower the batch size"
            )
