"""What the C library does with freed memory. Only glibc can be told; elsewhere nothing happens."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> None:
    """Let this process keep what it frees, up to 1 GiB a block, and use it again.

    By default each large tensor is mapped from the system and given back when it is freed. On CPU a third of a
    training step went into these fresh pages, which the system has to clear (benchmarks/RESULTS.md).
    """
    _call("mallopt", _M_MMAP_THRESHOLD, 2**30)
    _call("mallopt", _M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give what is freed at this moment back to the system."""
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    with suppress(AttributeError, OSError, TypeError):  # no such function, no such library, Windows
        getattr(ctypes.CDLL(None), function)(*arguments)
