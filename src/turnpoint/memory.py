"""What the C library does with freed memory. Only glibc can be told; elsewhere nothing happens."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_OLD_LIMIT = 2**25  # the largest mapping threshold that older versions take


class _Malloc(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def keep_freed_memory() -> None:
    """Let this process use freed blocks of up to 1 GiB again.

    By default each large tensor is mapped from the system and given back when it is freed, and a third of a training
    step on CPU goes into fresh pages, which the system has to clear (benchmarks/RESULTS.md).
    """
    if _call("mallopt", _M_MMAP_THRESHOLD, 2**30) or _call("mallopt", _M_MMAP_THRESHOLD, _OLD_LIMIT):
        _call("mallopt", _M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory(beyond: int = 0) -> None:
    """Give what is free at this moment back to the system.

    Rows differ in length, so freed activations leave holes that the next row does not fit into, and a process on CPU
    would grow far beyond what it uses.

    Args:
        beyond: bytes that may be kept: nothing is returned while no more than these are free and in memory.
    """
    if _free_in_memory() >= beyond:
        _call("malloc_trim", 0)


def _free_in_memory() -> int:
    """Bytes in memory that are not in use: those of this process less those asked for; a lot where unknown."""
    with suppress(AttributeError, OSError, TypeError, ValueError):
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Malloc
        found = library.mallinfo2()
        resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE") - int(found.uordblks + found.hblkhd)
    return sys.maxsize


def _call(function: str, *arguments: int) -> int:
    with suppress(AttributeError, OSError, TypeError):  # no such function, no such library, Windows
        return int(getattr(ctypes.CDLL(None), function)(*arguments))
    return 0
