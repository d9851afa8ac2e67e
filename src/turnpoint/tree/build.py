"""The trie of token sequences, laid out in depth-first preorder.

Shapes: T nodes of the tree, L tokens of one sequence.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Indexes: TypeAlias = NDArray[np.int64]
TokenIds: TypeAlias = Sequence[int] | NDArray[np.integer[Any]]


class TokenTree(NamedTuple):
    """Nodes of a trie in preorder; a node stands for a token in its place after everything before it."""

    input_ids: Indexes  # [T]
    position_ids: Indexes  # [T], depth in the tree: the token's index in every sequence through it
    subtree_end: Indexes  # [T], first index after the node's subtree
    parent: Indexes  # [T], index of the token before; -1 at roots
    paths: list[Indexes]  # per sequence, in the order given: the node of each of its tokens, [L]


def build_tree(sequences: Sequence[TokenIds]) -> TokenTree:
    """The trie of `sequences`.

    In lexicographic order each sequence shares with all those before it exactly what it shares with the last one, so
    its remaining tokens are appended to the layout as one chain, and preorder comes about by itself.

    Args:
        sequences: token ids, or negative numbers that stand for images (`turnpoint.tree.images`); any lengths; equal
            sequences and prefixes of others are fine.
    """
    tokens = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    keys = [sort_key(ids) for ids in tokens]
    suffixes: list[Indexes] = []
    depths: list[Indexes] = []
    paths: list[Indexes] = [np.empty(0, np.int64)] * len(tokens)
    size, previous_ids, previous_path = 0, np.empty(0, np.int64), np.empty(0, np.int64)
    in_order = sorted(range(len(tokens)), key=keys.__getitem__)
    for i in in_order:
        ids = tokens[i]
        common = common_prefix(previous_ids, ids)
        suffixes.append(ids[common:])
        depths.append(np.arange(common, len(ids)))
        paths[i] = np.concatenate([previous_path[:common], np.arange(size, size + len(ids) - common)])
        size += len(ids) - common
        previous_ids, previous_path = ids, paths[i]
    return TokenTree(
        input_ids=np.concatenate([*suffixes, np.empty(0, np.int64)]),
        position_ids=np.concatenate([*depths, np.empty(0, np.int64)]),
        subtree_end=_subtree_end([paths[i] for i in in_order], size),
        parent=_parent(paths, size),
        paths=paths,
    )


def sort_key(ids: Indexes) -> bytes:
    """Bytes (eight a token) that compare as token ids do, images last; a prefix comes before what begins with it."""
    return ids.astype(">u8").tobytes()


def common_prefix(left: Indexes, right: Indexes) -> int:
    """Tokens that both begin with."""
    shorter = min(len(left), len(right))
    different = left[:shorter] != right[:shorter]
    return int(different.argmax()) if different.any() else shorter


def _subtree_end(paths_in_order: list[Indexes], size: int) -> Indexes:
    """Of each node the end of the layout after the last sequence through it."""
    end = np.zeros(size, np.int64)
    laid_out = 0
    for path in paths_in_order:
        laid_out = max(laid_out, int(path[-1]) + 1) if len(path) else laid_out
        end[path] = laid_out
    return end


def _parent(paths: list[Indexes], size: int) -> Indexes:
    parent = np.full(size, -1, np.int64)
    for path in paths:
        parent[path[1:]] = path[:-1]
    return parent
