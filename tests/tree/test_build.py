"""The layout of the trie, held against definitions written out token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnpoint.tree import TokenTree, build_tree

# Three kinds of token and short sequences: duplicates, prefixes of one another and forks at every depth are common.
sequence_sets = st.lists(st.lists(st.integers(0, 2), max_size=6), max_size=8)


def prefixes_in_preorder(sequences: list[list[int]]) -> list[tuple[int, ...]]:
    """The nodes of the trie, each as the tokens up to it: sorted tuples are in preorder, parents before children."""
    return sorted({tuple(ids[: n + 1]) for ids in sequences for n in range(len(ids))})


@given(sequence_sets)
def test_nodes_are_the_distinct_prefixes_in_preorder(sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    nodes = prefixes_in_preorder(sequences)
    assert tree.input_ids.tolist() == [node[-1] for node in nodes]
    assert tree.position_ids.tolist() == [len(node) - 1 for node in nodes]
    assert tree.parent.tolist() == [nodes.index(node[:-1]) if len(node) > 1 else -1 for node in nodes]
    for ids, path in zip(sequences, tree.paths, strict=True):
        assert path.tolist() == [nodes.index(tuple(ids[: n + 1])) for n in range(len(ids))]


@given(sequence_sets)
def test_a_subtree_ends_after_its_last_descendant(sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    nodes = prefixes_in_preorder(sequences)
    last = [max(i for i, below in enumerate(nodes) if below[: len(node)] == node) for node in nodes]
    assert tree.subtree_end.tolist() == [i + 1 for i in last]


def test_a_pair_is_a_chain_with_two_branches() -> None:
    tree = build_tree([[5, 6, 9, 1], [5, 6, 7]])
    assert tree.input_ids.tolist() == [5, 6, 7, 9, 1]
    assert tree.position_ids.tolist() == [0, 1, 2, 2, 3]
    assert tree.subtree_end.tolist() == [5, 5, 3, 5, 5]
    assert tree.parent.tolist() == [-1, 0, 1, 1, 3]
    assert [path.tolist() for path in tree.paths] == [[0, 1, 3, 4], [0, 1, 2]]


@pytest.mark.parametrize("sequences", [[], [[]], [[], []]])
def test_nothing_gives_an_empty_tree(sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    assert [len(part) for part in tree[:4]] == [0, 0, 0, 0]
    assert [len(path) for path in tree.paths] == [0] * len(sequences)


def test_token_ids_are_ordered_as_numbers_up_to_32_bits() -> None:
    """255 < 256 < 65,536 < 4,294,967,295: an order by text or by low byte first would fork twice at the root."""
    largest = 2**32 - 1
    tree = build_tree([[256, 1], [largest], [65_536], [255], [256, 2]])
    assert tree.input_ids.tolist() == [255, 256, 1, 2, 65_536, largest]


def test_millions_of_tokens_take_no_loop_over_tokens() -> None:
    """2,000 sequences of 1,000 tokens; 100 prompts of 900, each with 20 tails of 100 that differ at their first."""
    rng = np.random.default_rng(0)
    prompts = rng.integers(0, 50_000, (100, 900))
    tails = rng.integers(0, 50_000, (2_000, 100))
    tails[:, 0] = np.arange(2_000)
    sequences = [np.concatenate([prompts[i // 20], tails[i]]) for i in range(2_000)]
    tree: TokenTree = build_tree(sequences)
    assert len(tree.input_ids) == 100 * 900 + 2_000 * 100
    for ids, path in zip(sequences, tree.paths, strict=True):
        assert (tree.input_ids[path] == ids).all()
