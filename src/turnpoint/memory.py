"""Memory that the C library keeps for itself after it was freed."""

import ctypes
from contextlib import suppress


def return_freed_memory() -> None:
    """Give freed memory back to the system. Only glibc can; elsewhere nothing happens.

    Rows differ in length, so freed activations leave holes that the next row does not fit into, and a process on CPU
    grows far beyond what it uses.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such function, no such library, Windows
        ctypes.CDLL(None).malloc_trim(0)
