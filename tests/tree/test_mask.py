"""Masks of a tree against the definition: a query sees the tokens of its own sequence up to itself."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnpoint.tree import TokenTree, build_tree, tree_mask
from turnpoint.tree.mask import layer_kinds, model_mask

sequence_sets = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=6)
WINDOW = 2


def ancestors(tree: TokenTree, node: int) -> list[int]:
    """The node and all nodes before it on its way from the root."""
    found = []
    while node >= 0:
        found.append(node)
        node = int(tree.parent[node])
    return found


def seen_by_definition(tree: TokenTree, limit: str = "none") -> torch.Tensor:
    size = len(tree.input_ids)
    seen = torch.zeros(size, size, dtype=torch.bool)
    for query in range(size):
        for key in ancestors(tree, query):
            at_query, at_key = tree.position_ids[query], tree.position_ids[key]
            near = {
                "none": True,
                "window": at_query - at_key < WINDOW,
                "chunk": at_query // WINDOW == at_key // WINDOW,
            }
            seen[query, key] = bool(near[limit])
    return seen


def config(attention: str = "sdpa", **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(_attn_implementation=attention, **fields)


def masks_of(tree: TokenTree, of: SimpleNamespace) -> torch.Tensor | dict[str, torch.Tensor]:
    return model_mask(torch.from_numpy(tree.subtree_end), torch.from_numpy(tree.position_ids), of, torch.float32)


@given(sequence_sets)
def test_a_query_sees_its_ancestors_and_itself(sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    assert tree_mask(torch.from_numpy(tree.subtree_end)).equal(seen_by_definition(tree))


@given(sequence_sets)
def test_windows_and_chunks_count_positions_of_the_sequence(sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    kinds = ["sliding_attention", "full_attention", "chunked_attention", "full_attention"]
    masks = masks_of(tree, config(layer_types=kinds, sliding_window=WINDOW, attention_chunk_size=WINDOW))
    assert isinstance(masks, dict)
    assert masks.keys() == {"sliding_attention", "full_attention", "chunked_attention"}
    assert masks["full_attention"][0, 0].equal(seen_by_definition(tree))
    assert masks["sliding_attention"][0, 0].equal(seen_by_definition(tree, "window"))
    assert masks["chunked_attention"][0, 0].equal(seen_by_definition(tree, "chunk"))


def test_packed_sequences_do_not_see_each_other() -> None:
    mask = tree_mask(torch.from_numpy(build_tree([[1, 2], [3, 4]]).subtree_end))
    assert mask.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, True, True],
    ]


def test_eager_attention_gets_numbers_to_add() -> None:
    mask = masks_of(build_tree([[1], [2]]), config("eager"))
    lowest = torch.finfo(torch.float32).min
    assert isinstance(mask, torch.Tensor)
    assert mask.tolist() == [[[[0.0, lowest], [lowest, 0.0]]]]


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({}, ["full_attention"]),
        ({"sliding_window": None}, ["full_attention"]),
        ({"sliding_window": 4}, ["sliding_attention"]),
        ({"sliding_window": 4, "layer_types": ["full_attention", "full_attention"]}, ["full_attention"]),
    ],
)
def test_kinds_of_layers_are_read_from_the_configuration(fields: dict[str, Any], kinds: list[str]) -> None:
    assert layer_kinds(config(**fields)) == kinds
