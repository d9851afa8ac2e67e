"""Sources without chance."""

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.pairs.dialogues import BOOK, SEND, PlainWriter

from turnpoint.pairs.sources import Sources


class Picks(Random):
    """No chance at all: of a choice the one of this index, else the last; of a sample the first, of a range the end."""

    def __init__(self, index: int = 0) -> None:
        super().__init__(0)
        self.index = index

    def choice(self, seq: Any) -> Any:
        return seq[min(self.index, len(seq) - 1)]

    def sample(self, population: Any, k: int, *, counts: Any = None) -> list[Any]:
        return list(population)[:k]

    def randint(self, a: int, b: int) -> int:
        return b


def sources(
    index: int = 0, values: dict[tuple[str, str], list[Any]] | None = None, tools: Sequence[Any] = (BOOK, SEND)
) -> Sources:
    return Sources(PlainWriter(), Picks(index), tools, values or {})
