"""Which items run in one row: those that share most, under a budget of tree tokens."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from turnpoint.tree.build import Indexes, TokenIds, common_prefix, sort_key


def pack_rows(
    items: Sequence[Sequence[TokenIds]], max_tokens_per_row: int, *, full_at: int | None = None
) -> list[list[int]]:
    """Rows of items, filled one after the other in lexicographic order, so that items with equal beginnings meet.

    The largest row comes first: what it frees has room for all that the later ones need, so that a step on CPU grows
    no more after it and asks the system for no memory again (benchmarks/RESULTS.md).

    Args:
        items: of each the token sequences that must stay in one row (a pair: its two sides).
        max_tokens_per_row: budget of a row in nodes of its token tree; an item that is larger gets a row of its own.
        full_at: nodes beyond which only items join a row that share at least half of their own tree with it; None: no
            such limit below the budget.

    Returns:
        Item indexes of each row; every index once, increasing within a row, rows by falling size.
    """
    trees = [[np.asarray(sequence, dtype=np.int64) for sequence in item] for item in items]
    order = sorted(range(len(items)), key=lambda i: [sort_key(ids) for ids in trees[i]])
    rows: list[list[int]] = []
    sizes: list[int] = []
    row = _RowSize()
    for i in order:
        alone = _RowSize()
        alone.add(trees[i])
        before = row.tokens
        row.add(trees[i])
        over = full_at is not None and row.tokens > full_at and row.tokens - before > alone.tokens / 2
        if not rows or row.tokens > max_tokens_per_row or over:
            rows.append([])
            sizes.append(0)
            row = alone
        rows[-1].append(i)
        sizes[-1] = row.tokens
    return [sorted(rows[n]) for n in sorted(range(len(rows)), key=lambda n: -sizes[n])]


class _RowSize:
    """Tree tokens of a growing set of sequences, without building the tree."""

    def __init__(self) -> None:
        self.tokens = 0
        self._keys: list[bytes] = []
        self._sequences: list[Indexes] = []

    def add(self, sequences: Sequence[Indexes]) -> None:
        """Count what `sequences` add: of each the tokens beyond the longest prefix that is there already.

        In lexicographic order that prefix is shared with a neighbour.
        """
        for ids in sequences:
            key = sort_key(ids)
            at = bisect_left(self._keys, key)
            neighbours = self._sequences[max(at - 1, 0) : at + 1]
            self.tokens += len(ids) - max((common_prefix(other, ids) for other in neighbours), default=0)
            self._keys.insert(at, key)
            self._sequences.insert(at, ids)
