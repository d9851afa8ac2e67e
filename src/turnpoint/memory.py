"""What the C library does with freed memory. Only glibc can be told; elsewhere nothing happens."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_OLD_LIMIT = 2**25  # the largest mapping threshold that older versions take


def keep_freed_memory() -> None:
    """Let this process use freed blocks of up to 1 GiB again.

    By default each large tensor is mapped from the system and given back when it is freed, and a third of a training
    step on CPU goes into fresh pages, which the system has to clear (benchmarks/RESULTS.md).
    """
    if _call("mallopt", _M_MMAP_THRESHOLD, 2**30) or _call("mallopt", _M_MMAP_THRESHOLD, _OLD_LIMIT):
        _call("mallopt", _M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give what is free at this moment back to the system.

    Rows differ in length, so freed activations leave holes that the next row does not fit into, and a process on CPU
    would grow far beyond what it uses.
    """
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> int:
    with suppress(AttributeError, OSError, TypeError):  # no such function, no such library, Windows
        return int(getattr(ctypes.CDLL(None), function)(*arguments))
    return 0
