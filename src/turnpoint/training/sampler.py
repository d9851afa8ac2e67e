"""Which items an optimiser step holds, and which of them this process runs."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler


class StepSampler(Sampler[list[int]]):
    """Batches of item indexes, one for each optimiser step.

    The order is a function of seed and epoch alone: accumulation and the number of processes cut the same steps in
    other ways. A process gets neighbours, so that what they share is computed once. A last step may be smaller, and a
    process may get nothing of it; no item is seen twice.

    Args:
        size: items of the data set.
        items_per_step: items of a step over all processes.
        rank: number of this process.
        processes: number of processes.
        seed: of the order; None keeps the order of the data.
        groups: of each item the number of the group whose items stay together, [N]; None: no groups.
        drop_last: leave out a last step that is not full.
        epoch: gives the epoch about to start.
    """

    def __init__(
        self,
        size: int,
        items_per_step: int,
        *,
        rank: int = 0,
        processes: int = 1,
        seed: int | None = None,
        groups: NDArray[np.int64] | None = None,
        drop_last: bool = False,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.size = size
        self.items_per_step = items_per_step
        self.rank = rank
        self.processes = processes
        self.seed = seed
        self.groups = groups
        self.drop_last = drop_last
        self.epoch = epoch

    def __len__(self) -> int:
        """Steps of an epoch."""
        full, rest = divmod(self.size, self.items_per_step)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        for step in range(len(self)):
            items = order[step * self.items_per_step : (step + 1) * self.items_per_step].tolist()
            yield share_of(items, self.rank, self.processes)

    def _order(self) -> NDArray[np.int64]:
        """Item indexes: groups in the order of the epoch, from each its items in the order of the data."""
        group_of = np.arange(self.size) if self.groups is None else _numbered(self.groups)
        if self.seed is None:
            return np.argsort(group_of, kind="stable")
        generator = torch.Generator().manual_seed(self.seed + self.epoch())
        shuffled = torch.randperm(int(group_of.max()) + 1, generator=generator).numpy()
        place = np.empty_like(shuffled)
        place[shuffled] = np.arange(len(shuffled))
        return np.argsort(place[group_of], kind="stable")


def _numbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The groups numbered from 0 by their first item."""
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group_of]


def share_of(items: Sequence[int], rank: int, processes: int) -> list[int]:
    """The neighbours among `items` that fall to a process; all processes have all of them, in order."""
    start, end = (-(-len(items) * each // processes) for each in (rank, rank + 1))
    return list(items[start:end])
