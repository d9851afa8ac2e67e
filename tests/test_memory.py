"""Freed memory goes back to the system where glibc holds on to it."""

import ctypes
from pathlib import Path

import pytest

from turnpoint.memory import return_freed_memory

BLOCK, BLOCKS = 100_000, 1_000  # bytes; below the size that glibc maps by itself


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_lies_below_a_living_block_is_returned() -> None:
    blocks = [b"\1" * BLOCK for _ in range(BLOCKS)]
    last = blocks[-1]
    blocks.clear()
    before = resident()
    return_freed_memory()
    assert before - resident() > BLOCK * BLOCKS / 2
    assert last == b"\1" * BLOCK


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Library:
        """A C library that has no function at all."""

        def __getattr__(self, name: str) -> None:
            asked.append(name)
            raise AttributeError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    return_freed_memory()
    assert asked == ["malloc_trim"]
