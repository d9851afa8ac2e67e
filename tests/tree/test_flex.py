"""FlexAttention sees what the mask lets it see, and rows have few lengths."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import flex_attention
from transformers import LlamaConfig, LlamaForCausalLM

from turnpoint.tree import ScoredSequence, build_tree, check_sharing, flex, sequence_logprobs, tree_mask
from turnpoint.tree.mask import model_mask

Build = Callable[..., Any]
SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=5)


def test_rows_have_few_lengths_and_little_filling() -> None:
    lengths = {nodes: flex.row_length(nodes) for nodes in range(1, 20_000)}
    assert all(length >= nodes and length % 128 == 0 for nodes, length in lengths.items())
    assert all(length - nodes < max(128, nodes / 8) for nodes, length in lengths.items())
    assert len(set(lengths.values())) < 60
    assert (lengths[1], lengths[129], lengths[8192], lengths[8193]) == (128, 256, 8192, 9216)


@settings(deadline=None, max_examples=30)
@given(sequences=SEQUENCES)
def test_filling_hides_nothing_and_shows_nothing(sequences: list[list[int]]) -> None:
    tree = build_tree(sequences)
    filled = flex.filled(tree)
    size = len(tree.input_ids)
    seen = tree_mask(torch.from_numpy(filled.subtree_end))
    assert torch.equal(seen[:size, :size], tree_mask(torch.from_numpy(tree.subtree_end)))
    assert not seen[:size, size:].any()
    assert torch.equal(seen[size:], torch.eye(len(filled.input_ids), dtype=torch.bool)[size:])
    assert {len(each) for each in filled[:4]} == {flex.row_length(size)}


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "llama4"])
def test_blocks_see_what_the_mask_lets_them_see(tiny_model: Build, name: str) -> None:
    config = tiny_model(name).config.get_text_config()
    tree = build_tree([[1, 2, 3, 4, 5, 6], [1, 2, 3, 7, 8, 9, 10], [11, 12]])
    ends, positions = torch.from_numpy(tree.subtree_end), torch.from_numpy(tree.position_ids)
    expected = model_mask(ends, positions, config, torch.float32)
    found = flex.flex_mask(ends, positions, config)
    nodes = torch.arange(len(ends))
    masks = found.items() if isinstance(found, dict) else [(None, found)]
    for kind, mask in masks:
        seen = mask.mask_mod(torch.tensor(0), torch.tensor(0), nodes[:, None], nodes[None])
        of_kind = expected[str(kind)] if isinstance(expected, dict) else expected
        assert torch.equal(seen, of_kind[0, 0])


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen3"])
def test_log_probs_are_those_of_sdpa(tiny_model: Build, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gradients, which FlexAttention does not have on CPU, and without compiling it."""
    monkeypatch.setattr(
        "transformers.integrations.flex_attention.WrappedFlexAttention", lambda training: lambda: flex_attention
    )
    model = copy.deepcopy(tiny_model(name)).float()
    sequences = [
        ScoredSequence([3, 4, 5, 6, 7, 8], np.array([1, 3, 5])),
        ScoredSequence([3, 4, 5, 9, 8], np.array([3, 4])),
        ScoredSequence([10, 11, 12], np.array([1])),
    ]
    with torch.no_grad():
        expected = torch.cat(sequence_logprobs(model, sequences))
        model.set_attn_implementation(flex.FLEX_ATTENTION)
        found = torch.cat(sequence_logprobs(model, sequences))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert check_sharing(model, sequences).shared


def test_only_models_that_can_are_switched_over(tiny_model: Build) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    assert not flex.attend_by_blocks(model, torch.float32)
    assert not flex.attend_by_blocks(model, torch.bfloat16)  # no gradients on CPU
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="kernels of FlexAttention have gradients on GPUs only")
def test_gradients_on_a_gpu_are_those_of_sdpa() -> None:
    """In bfloat16, rows of several lengths, several times; what differs is rounding."""
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to("cuda", torch.bfloat16)
    rows = [
        [ScoredSequence([3, *(i % 60 for i in range(end)), last], np.arange(1, end)) for last in (5, 7)]
        for end in (20, 300, 900)
    ]

    def gradients() -> list[Any]:
        model.zero_grad()
        for row in rows * 2:
            torch.cat(sequence_logprobs(model, row)).mean().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    expected = gradients()
    assert flex.attend_by_blocks(model, torch.bfloat16)
    for found, wanted in zip(gradients(), expected, strict=True):
        assert (found - wanted).float().norm() < 0.05 * wanted.float().norm()
