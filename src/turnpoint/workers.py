"""One function over many items, in several processes, with the results in order."""

import logging
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_MANY = 2000  # items from which on processes are worth starting
_CHUNK = 64  # items that a process takes at a time

_work: Callable[[int], Any]  # in a worker: from the index of an item to its result


def map_in_order(
    function: Callable[[Item], Result], items: Sequence[Item], *, processes: int | None = None
) -> Iterator[Result]:
    """Results of a function for the items, in their order; the first error ends them.

    The processes are forks of this one: they inherit function and items, and only results are sent.

    Args:
        function: without side effects; computes nothing with torch, whose threads a fork does not have.
        items: to work through.
        processes: how many; 1 works here; None takes one for each core that falls to this rank, if items are many.
            Only Linux forks safely; elsewhere everything runs here, and a number above 1 is said to be ignored.
    """
    if sys.platform != "linux":
        if processes not in (None, 1):
            logger.warning("%d processes are asked for and 1 is used: only Linux forks safely", processes)
        processes = 1
    if processes is None:
        processes = _cores() if len(items) >= _MANY else 1
    if processes == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _begin, (function, items)) as pool:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads that a fork lacks: here those of torch, which are not used.
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            results = pool.map(_do, range(len(items)), chunksize=_CHUNK)
        yield from results


def _cores() -> int:
    """Cores of this process, divided among the ranks of this machine."""
    return max(len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def _begin(function: Callable[[Any], Any], items: Sequence[Any]) -> None:
    global _work
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads are not in a fork either
    _work = lambda i: function(items[i])  # noqa: E731


def _do(i: int) -> Any:
    return _work(i)
