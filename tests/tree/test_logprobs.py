"""Tree log-probs and gradients against each sequence run by itself through the model's plain forward."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from turnpoint.tree import (
    ScoredSequence,
    attend_along_tree,
    check_sharing,
    head,
    logprobs,
    sequence_logprobs,
    sequence_scores,
)
from turnpoint.tree.head import can_score_in_head, scoring_head
from turnpoint.tree.token_logprobs import token_scores

Build = Callable[..., Any]
MANY = settings(max_examples=25, deadline=None)


@st.composite
def scored_sequences(draw: st.DrawFn) -> list[ScoredSequence]:
    """Sequences of 1 to 16 tokens that begin as an earlier one did, in part or in whole, each scored in some places."""
    known: list[list[int]] = [[]]
    for _ in range(draw(st.integers(1, 5))):
        earlier = draw(st.sampled_from(known))
        start = earlier[: draw(st.integers(0, len(earlier)))]
        tail = draw(st.lists(st.integers(3, 63), min_size=0 if start else 1, max_size=16 - len(start)))
        known.append(start + tail)
    return [ScoredSequence(ids, draw(places(len(ids)))) for ids in known[1:]]


def places(length: int) -> st.SearchStrategy[np.ndarray]:
    """Increasing indexes of tokens that have one before them."""
    chosen = st.lists(st.booleans(), min_size=length - 1, max_size=length - 1)
    return chosen.map(lambda wanted: 1 + np.flatnonzero(np.asarray(wanted, dtype=bool)))


def plain_logprobs(model: nn.Module, sequences: Sequence[ScoredSequence]) -> list[Tensor]:
    """The independent reference: one forward a sequence, no positions, no mask, all logits."""
    found = []
    for ids, scored, _ in sequences:
        logps = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
        found.append(torch.stack([logps[i - 1, ids[i]] for i in scored]) if len(scored) else logps[0, :0])
    return found


def gradients(model: nn.Module, logps: list[Tensor]) -> list[Tensor]:
    """Of all parameters that train, for a weighted sum in which every scored token has a weight of its own."""
    flat = torch.cat(logps)
    loss = (flat * torch.linspace(-1, 2, len(flat), dtype=flat.dtype)).sum()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return list(found)


def assert_agreement(
    model: nn.Module,
    sequences: Sequence[ScoredSequence],
    logps_within: float,
    gradients_within: float,
    shared: bool,
    chunked: bool = False,
) -> None:
    other = copy.deepcopy(model)  # dynamic rotary scaling remembers what it has seen
    expected = plain_logprobs(other, sequences)
    found = sequence_logprobs(model, sequences, shared=shared, chunked=chunked)
    for logps, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(logps, plain, atol=logps_within, rtol=0)
    if not sum(map(len, found)):
        return
    for of_tree, of_plain in zip(gradients(model, found), gradients(other, expected), strict=True):
        torch.testing.assert_close(of_tree, of_plain, atol=gradients_within, rtol=0)


@pytest.mark.parametrize("along_tree", [False, True])
@pytest.mark.parametrize(
    "name", ["llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "gpt2", "llama4", "opt", "phi3", "qwen3_moe"]
)
@MANY
@given(sequences=scored_sequences())
def test_tree_is_exact(
    tiny_model: Build,
    double_throughout: type[TorchFunctionMode],
    name: str,
    along_tree: bool,
    sequences: list[ScoredSequence],
) -> None:
    model = copy.deepcopy(tiny_model(name))
    if name == "qwen3_moe":
        model.set_experts_implementation("eager")  # grouped products refuse float64
    with double_throughout():
        if along_tree:
            assert attend_along_tree(model) == (name != "gemma2")  # eager
        assert_agreement(model, sequences, 1e-9, 1e-8, shared=True)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3", "gpt2", "opt", "phi3", "gemma2", "granite", "cohere"])
@MANY
@given(sequences=scored_sequences())
def test_logits_made_two_rows_at_a_time_are_exact(
    tiny_model: Build, double_throughout: type[TorchFunctionMode], name: str, sequences: list[ScoredSequence]
) -> None:
    model = tiny_model(name)
    with double_throughout(), pytest.MonkeyPatch.context() as patch:
        assert can_score_in_head(model)
        patch.setattr(head, "LOGITS_AT_ONCE", 2)
        patch.setattr(logprobs, "LOGITS_AT_ONCE", 2)
        assert_agreement(model, sequences, 1e-9, 1e-8, shared=True, chunked=True)
    assert "forward" not in vars(model.get_output_embeddings())


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [("gemma2", "final_logit_softcapping", 3.0), ("granite", "logits_scaling", 4.0), ("cohere", "logit_scale", 0.25)],
)
def test_a_cap_or_scale_after_the_head_is_the_models_own_again(
    tiny_model: Build, name: str, attribute: str, value: float
) -> None:
    model = tiny_model(name)
    assert can_score_in_head(model)
    with pytest.raises(KeyboardInterrupt), scoring_head(model, torch.tensor([0]), torch.tensor([4])):
        raise KeyboardInterrupt
    assert getattr(model if name == "cohere" else model.config, attribute) == value
    assert "forward" not in vars(model.get_output_embeddings())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers 5 for it
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_an_adapter_on_the_head_is_seen_through(
    tiny_model: Build, double_throughout: type[TorchFunctionMode], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LoraConfig(r=2, target_modules=["lm_head", "q_proj"], init_lora_weights=False)
    adapted = get_peft_model(copy.deepcopy(tiny_model("llama")), config).double()
    sequences = [ScoredSequence([3, 4, 5, 6], np.array([1, 2, 3])), ScoredSequence([3, 4, 7], np.array([2]))]
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", 2)
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", 2)
    with double_throughout():
        assert can_score_in_head(adapted)
        assert_agreement(adapted, sequences, 1e-9, 1e-8, shared=True, chunked=True)


def test_no_more_logits_than_those_of_some_rows_are_made(tiny_model: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", 2)
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", 2)
    rows: list[int] = []

    def count(logits: Tensor, *wanted: Any) -> Tensor:
        rows.append(len(logits))
        return token_scores(logits, *wanted)

    monkeypatch.setattr(head, "token_scores", count)
    sequence = ScoredSequence([3, 4, 5, 6, 7, 8], np.arange(1, 6))
    [logps] = sequence_logprobs(model, [sequence], chunked=True)
    assert rows == [2, 2, 1]
    logps.sum().backward()
    assert sorted(rows) == [1, 1, 2, 2, 2, 2]


def test_what_is_not_known_after_the_head_is_found(tiny_model: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    model.register_forward_hook(lambda module, inputs, output: output.__setitem__("logits", output.logits * 2))
    assert not can_score_in_head(model)


@pytest.mark.parametrize(
    ("name", "dtype", "logps_within", "gradients_within"),
    [("gemma2", torch.float64, 1e-6, 1e-5), ("qwen3_moe", torch.float32, 5e-6, 1e-4)],
)
@MANY
@given(sequences=scored_sequences())
def test_tree_is_as_exact_as_float32_parts_allow(
    tiny_model: Build,
    name: str,
    dtype: torch.dtype,
    logps_within: float,
    gradients_within: float,
    sequences: list[ScoredSequence],
) -> None:
    """As they are: Gemma-2 with norms and softmax in float32, experts as grouped products with all of it in float32.

    Log-probs near 10 have roundings of 1e-6 in float32, gradients reach 30.
    """
    model = tiny_model(name, dtype=dtype)
    if name == "qwen3_moe":
        model.set_experts_implementation("grouped_mm")
    assert_agreement(model, sequences, logps_within, gradients_within, shared=True)


@pytest.mark.parametrize("name", ["mamba", "longrope", "dynamic"])
@MANY
@given(sequences=scored_sequences())
def test_models_that_break_the_premise_fall_back_and_agree(
    tiny_model: Build, double_throughout: type[TorchFunctionMode], name: str, sequences: list[ScoredSequence]
) -> None:
    model = copy.deepcopy(tiny_model(name))
    with double_throughout():
        sharing = check_sharing(model, sequences)
        assert not sharing.shared
        assert_agreement(model, sequences, 1e-9, 1e-8, shared=sharing.shared)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers 5 for it
@pytest.mark.parametrize("shared", [True, False])
def test_adapters_are_seen_through(tiny_model: Build, double_throughout: type[TorchFunctionMode], shared: bool) -> None:
    adapted = get_peft_model(
        copy.deepcopy(tiny_model("llama")), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    )
    sequences = [ScoredSequence([3, 4, 5, 6], np.array([2, 3])), ScoredSequence([3, 4, 7], np.array([2]))]
    with double_throughout():
        assert_agreement(adapted.double(), sequences, 1e-9, 1e-8, shared=shared)


def test_a_shared_token_is_scored_once_and_counts_for_every_sequence(tiny_model: Build) -> None:
    """The head runs on two predecessors: of the shared token and of both tokens that follow it."""
    model = tiny_model("llama")
    rows: list[int] = []
    handle = model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append(output.shape[1]))
    pair = [ScoredSequence([3, 4, 5], np.array([1, 2])), ScoredSequence([3, 4, 6], np.array([1, 2]))]
    chosen, rejected = sequence_logprobs(model, pair)
    handle.remove()
    assert rows == [2]
    assert chosen[0].item() == rejected[0].item()
    assert chosen[1].item() != rejected[1].item()


def test_one_forward_for_a_row_and_one_a_sequence_without_sharing(tiny_model: Build) -> None:
    model = tiny_model("llama")
    lengths: list[int] = []
    handle = model.model.norm.register_forward_hook(lambda module, inputs, output: lengths.append(output.shape[1]))
    pair = [ScoredSequence([3, 4, 5], np.array([2])), ScoredSequence([3, 4, 6, 7], np.array([2]))]
    sequence_logprobs(model, pair)
    sequence_logprobs(model, pair, shared=False)
    handle.remove()
    assert lengths == [5, 3, 4]


def test_bfloat16_logits_become_float32_before_they_are_summed(tiny_model: Build) -> None:
    """Sum of p over the vocabulary, 64 times a number near 1/64: bfloat16 sums would be off by 1e-2."""
    model = tiny_model("llama", dtype=torch.bfloat16)
    every_token = [ScoredSequence([3, 4, token], np.array([2])) for token in range(64)]
    logps = torch.cat(sequence_logprobs(model, every_token))
    assert logps.dtype == torch.float32
    assert logps.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_the_first_token_cannot_be_scored(tiny_model: Build) -> None:
    with pytest.raises(AssertionError, match="first token"):
        sequence_logprobs(tiny_model("llama"), [ScoredSequence([3, 4], np.array([0]))])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_statistics_are_those_of_the_whole_distribution(
    tiny_model: Build, monkeypatch: pytest.MonkeyPatch, shared: bool, chunked: bool
) -> None:
    """Against the definitions: -sum p log p, log sum p^2, the mean logit, and whether the token is the likeliest."""
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", 2)
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", 2)
    model = tiny_model("llama")
    sequences = [ScoredSequence([3, 4, 5, 6, 7], np.array([1, 3, 4])), ScoredSequence([3, 4, 9, 8], np.array([2, 3]))]
    names = ("entropy", "log_sum_p2", "mean_logit", "top1")
    found = sequence_scores(model, sequences, statistics=names, shared=shared, chunked=chunked)
    for (ids, scored, _), scores in zip(sequences, found, strict=True):
        logits = model(input_ids=torch.tensor([list(ids)])).logits[0, scored - 1].detach()
        tokens = torch.tensor(list(ids))[scored]
        p = logits.softmax(-1)
        expected = [-(p * p.log()).sum(-1), p.square().sum(-1).log(), logits.mean(-1), logits.argmax(-1) == tokens]
        torch.testing.assert_close(scores.statistics, torch.stack([each.double() for each in expected], -1))
        torch.testing.assert_close(scores.values, p.log()[range(len(tokens)), tokens])
        assert scores.values.requires_grad
        assert not scores.statistics.requires_grad
