"""What torch and the C library keep in memory on CPU. Only glibc can be told; elsewhere its part does nothing."""

import ctypes
import os
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_OLD_LIMIT = 2**25  # the largest mapping threshold that older versions take
_KEPT_KERNELS = 64  # several times what one row of tokens uses
_KERNEL_CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")  # of torch, and of oneDNN below it


def keep_few_kernels() -> None:
    """Let torch keep fewer kernels of matrix products on CPU, unless the environment says how many, or one has run.

    A kernel is made for each shape, torch and oneDNN keep 1024 each, and rows of tokens have as many shapes as lengths:
    after 120 rows they hold 0.6 GB. Making one anew costs no time that can be told (benchmarks/RESULTS.md).
    """
    for name in _KERNEL_CACHES:
        os.environ.setdefault(name, str(_KEPT_KERNELS))


def keep_freed_memory() -> None:
    """Let this process use freed blocks of up to 1 GiB again.

    By default each large tensor is mapped from the system and given back when it is freed, and a third of a training
    step on CPU goes into fresh pages, which the system has to clear (benchmarks/RESULTS.md).
    """
    if _call("mallopt", _M_MMAP_THRESHOLD, 2**30) or _call("mallopt", _M_MMAP_THRESHOLD, _OLD_LIMIT):
        _call("mallopt", _M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give what is free at this moment back to the system."""
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> int:
    with suppress(AttributeError, OSError, TypeError):  # no such function, no such library, Windows
        return int(getattr(ctypes.CDLL(None), function)(*arguments))
    return 0
