"""Freed memory is kept or goes back to the system, where glibc manages it; few kernels are kept."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from turnpoint.memory import keep_few_kernels, keep_freed_memory, return_freed_memory

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


def test_large_blocks_are_used_again(tmp_path: Path) -> None:
    """In a process of its own: the setting is one of the process."""
    code = (
        "import resource, sys\n"
        "from turnpoint.memory import keep_freed_memory\n"
        "if sys.argv[1] == 'keep': keep_freed_memory()\n"
        "for _ in range(20): bytearray(b'1') * 40_000_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
    )
    faults = {
        how: int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, check=True, text=True).stdout)
        for how in ("keep", "default")
    }
    assert faults["keep"] < faults["default"] / 4


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="products do not go through oneDNN")
def test_kernels_of_many_shapes_are_not_all_kept() -> None:
    """In a process of its own, which runs its first product after the setting."""
    code = (
        "import sys, torch\n"
        "from tests.test_memory import resident\n"
        "from turnpoint.memory import keep_few_kernels\n"
        "if sys.argv[1] == 'few': keep_few_kernels()\n"
        "layer = torch.nn.Linear(256, 256, bias=False).bfloat16()\n"
        "layer(torch.zeros(1, 256).bfloat16())\n"
        "before = resident()\n"
        "for length in range(2, 602): layer(torch.zeros(length, 256).bfloat16())\n"
        "print(resident() - before)"
    )
    clean = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    grown = {
        how: int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, check=True, env=clean).stdout)
        for how in ("few", "default")
    }
    assert grown["few"] < grown["default"] / 4


def test_what_the_environment_says_of_kernels_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    keep_few_kernels()
    assert (os.environ["LRU_CACHE_CAPACITY"], os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) == ("7", "64")


@pytest.mark.parametrize(
    ("call", "names"), [(return_freed_memory, ["malloc_trim"]), (keep_freed_memory, ["mallopt"] * 2)]
)
def test_nothing_happens_without_glibc(
    call: Callable[[], None], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Library:
        """A C library that has no function at all."""

        def __getattr__(self, name: str) -> None:
            asked.append(name)
            raise AttributeError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    call()
    assert asked == names
