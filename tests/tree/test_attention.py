"""Attention along the blocks of a tree: who sees whom, when it takes over, and SDPA as before elsewhere."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from turnpoint.tree import ScoredSequence, attend_along_tree, attention, build_tree, sequence_logprobs, tree_mask

Build = Callable[..., Any]
SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=5)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Blocks of each call of the tree's own attention."""
    counted: list[int] = []
    real = attention.tree_attention

    def count(query: Any, key: Any, value: Any, blocks: Sequence[attention.Block], scaling: float) -> Any:
        counted.append(len(blocks))
        return real(query, key, value, list(blocks), scaling)

    monkeypatch.setattr(attention, "tree_attention", count)
    return counted


@pytest.mark.parametrize("longest", [2, 256])
@settings(deadline=None)
@given(sequences=SEQUENCES)
def test_blocks_see_what_the_mask_lets_them_see(longest: int, sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_LONGEST_BLOCK", longest)
        blocks = attention.attention_blocks(tree)
    seen = torch.zeros(len(tree.input_ids), len(tree.input_ids), dtype=torch.bool)
    for start, end, keys in blocks:
        assert end - start <= longest
        columns = torch.cat([torch.arange(first, last) for first, last in keys])
        for row in range(start, end):
            seen[row, columns[: len(columns) - (end - 1 - row)]] = True
    assert torch.equal(seen, tree_mask(torch.from_numpy(tree.subtree_end)))


def test_a_longer_chain_than_a_block_keeps_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tree = build_tree([[1, 2, 3, 4, 5, 6], [1, 2, 3, 7, 8]])
    query, key, value = (
        torch.randn(heads, len(tree.input_ids), size, dtype=torch.float64, requires_grad=True)
        for heads, size in ((4, 4), (2, 4), (2, 3))
    )
    monkeypatch.setattr(attention, "_LONGEST_BLOCK", 2)
    blocks = attention.attention_blocks(tree)
    assert len(blocks) == 5
    assert torch.autograd.gradcheck(lambda q, k, v: attention.tree_attention(q, k, v, blocks, 0.5), (query, key, value))


def test_it_is_used_for_trees_and_chains_and_nowhere_else(tiny_model: Build, calls: list[int]) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    plain = model(input_ids=torch.tensor([[3, 4, 5]])).logits
    assert attend_along_tree(model)
    calls.clear()
    assert torch.equal(model(input_ids=torch.tensor([[3, 4, 5]])).logits, plain)
    assert model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=2, do_sample=False).shape == (1, 5)
    assert not calls
    fork = [ScoredSequence([3, 4, 5], np.array([2])), ScoredSequence([3, 4, 6], np.array([2]))]
    sequence_logprobs(model, fork)
    sequence_logprobs(model, fork[:1])
    assert calls == [3, 3, 1, 1]  # one call a layer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_is_taken_on_once_and_found_again(tiny_model: Build, dtype: torch.dtype) -> None:
    model = copy.deepcopy(tiny_model("llama")).to(dtype)
    for _ in range(2):
        assert attend_along_tree(model)
        assert model.config._attn_implementation == attention.TREE_ATTENTION


def test_roundings_of_large_activations_are_no_difference(tiny_model: Build) -> None:
    """Weights that make logits swing by more than a few roundings between two ways to compute them."""
    model = copy.deepcopy(tiny_model("llama")).float()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(300)
    assert attend_along_tree(model)


def test_windows_that_hide_something_are_left_to_the_mask(tiny_model: Build, calls: list[int]) -> None:
    model = copy.deepcopy(tiny_model("mistral"))  # a window of four tokens
    assert attend_along_tree(model)
    calls.clear()
    sequence_logprobs(model, [ScoredSequence([3, 4, 5, 6], np.array([3]))])
    assert calls == [1, 1]
    sequence_logprobs(model, [ScoredSequence([3, 4, 5, 6, 7], np.array([3]))])
    assert calls == [1, 1]


def test_models_that_attend_otherwise_are_left_alone(tiny_model: Build) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    model.set_attn_implementation("eager")
    assert not attend_along_tree(model)
    assert model.config._attn_implementation == "eager"


def test_a_model_that_computes_something_else_then_is_left_alone(tiny_model: Build) -> None:
    """Its code asks for the name of its attention, and scales otherwise where it is not SDPA."""
    model = copy.deepcopy(tiny_model("llama"))
    for layer in model.model.layers:
        real = layer.self_attn.forward

        def forward(*arguments: Any, real: Any = real, **options: Any) -> Any:
            output, weights = real(*arguments, **options)
            return output * (1 if model.config._attn_implementation == "sdpa" else 2), weights

        layer.self_attn.forward = forward
    assert not attend_along_tree(model)
    assert model.config._attn_implementation == "sdpa"
