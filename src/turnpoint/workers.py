"""One function over many items, in several processes, with the results in order."""

import logging
import multiprocessing
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import Any, TypeVar

from turnpoint.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

FEW = 16  # items up to which processes are not worth starting
_FEWER = "lower the number of processes, dataset_num_proc in training"
_WAITING = 4  # items of each process that are worked on, or done and not yet taken

_work: Callable[[Any], Any]  # in a worker


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Generator[Result, None, None]:
    """Results of a function for the items, in their order; the first error ends them.

    The processes are forks of this one: they inherit the function, and only items and results are sent. Items are taken
    a few ahead of the results, so that endless ones take bounded memory.

    Args:
        function: without side effects; computes nothing with torch, whose threads a fork does not have.
        items: to work through, each worth some milliseconds.
        processes: how many; with 1, and where there are no more than `FEW` items, all is done here. Only Linux forks
            safely; elsewhere all is done here too, and a number above 1 is said to be ignored.

    Raises:
        ConfigError: a process was killed, or cannot be started.
    """
    if sys.platform != "linux" and processes > 1:
        logger.warning("%d processes are asked for and 1 is used: only Linux forks safely", processes)
        processes = 1
    items = iter(items)
    first = list(islice(items, FEW + 1)) if processes > 1 else []
    items = chain(first, items)
    if len(first) <= FEW:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _begin, (function,))
    waiting: deque[Future[Result]] = deque()
    try:
        _start(pool)
        for item in items:
            waiting.append(pool.submit(_do, item))
            if len(waiting) >= processes * _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise ConfigError(
            f"one of {processes} processes was killed, most likely for want of memory; {_FEWER}"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def cores_of_machine() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def cores_of_rank() -> int:
    """The same, divided among the ranks of this machine."""
    return max(cores_of_machine() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def _start(pool: ProcessPoolExecutor) -> None:
    """Fork all processes now."""
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that a fork lacks: here those of torch, which are not used.
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        try:
            pool.submit(int).result()
        except OSError as error:
            raise ConfigError(f"processes cannot be started ({error.strerror}); {_FEWER}") from error


def _begin(function: Callable[[Any], Any]) -> None:
    global _work
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads are not in a fork either
    _work = function


def _do(item: Any) -> Any:
    return _work(item)
