"""Which items an optimiser step holds, and which of them this process runs."""

from collections.abc import Callable, Iterator, Sequence

import torch
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
        groups: of each item the group whose items stay together; an empty name is no group. None: no groups.
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
        groups: Sequence[str] | None = None,
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
            items = order[step * self.items_per_step : (step + 1) * self.items_per_step]
            yield share_of(items, self.rank, self.processes)

    def _order(self) -> list[int]:
        members: dict[int | str, list[int]] = {}
        for i, group in enumerate(self.groups or [""] * self.size):
            members.setdefault(group or i, []).append(i)
        in_order = list(members.values())
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed + self.epoch())
            in_order = [in_order[i] for i in torch.randperm(len(in_order), generator=generator).tolist()]
        return [i for group in in_order for i in group]


def share_of(items: Sequence[int], rank: int, processes: int) -> list[int]:
    """The neighbours among `items` that fall to a process; all processes have all of them, in order."""
    start, end = (-(-len(items) * each // processes) for each in (rank, rank + 1))
    return list(items[start:end])
