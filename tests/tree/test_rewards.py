"""Rewards and gradients along the tree against the classifiers of transformers, one sequence at a time."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import Tensor, nn

from turnpoint.models import with_reward_head
from turnpoint.tree import ScoredSequence, attend_along_tree, check_sharing, read_at_end, sequence_rewards
from turnpoint.tree.attention import given_everywhere

Build = Callable[..., Any]

NAMES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2", "opt", "phi3", "gemma2")
# Beginnings shared in several depths, a sequence that is the beginning of another, one that shares nothing.
IDS = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 11], [5, 6, 7], [5, 6, 12, 13, 14, 15, 16], [20, 21, 22]]


@pytest.fixture(params=NAMES)
def classifier(request: pytest.FixtureRequest, tiny_model: Build) -> Any:
    model = with_reward_head(copy.deepcopy(tiny_model(request.param)), seed=1)
    with torch.no_grad():
        model.score.weight.mul_(10)
    return model


def at_end(ids: Sequence[Sequence[int]] = IDS) -> list[ScoredSequence]:
    return [ScoredSequence(each, np.array([len(each) - 1])) for each in ids]


def plain_rewards(model: nn.Module, ids: Sequence[Sequence[int]] = IDS) -> Tensor:
    return torch.cat([model(input_ids=torch.tensor([each])).logits[0] for each in ids])


def gradients(model: nn.Module, rewards: Tensor) -> list[Tensor]:
    """Of all parameters that train, for a weighted sum in which every sequence has a weight of its own."""
    loss = (rewards * torch.linspace(-1, 2, len(rewards), dtype=rewards.dtype)).sum()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True))


def assert_exact(model: nn.Module, shared: bool) -> None:
    expected = plain_rewards(model)
    found = torch.cat([each.values for each in sequence_rewards(model, at_end(), shared=shared)])
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert expected.std() > 0.1
    for ours, theirs in zip(gradients(model, found), gradients(model, expected), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("shared", [True, False])
def test_rewards_are_those_of_plain_forwards(
    classifier: Any, shared: bool, double_throughout: Callable[[], AbstractContextManager[None]]
) -> None:
    with double_throughout():
        assert_exact(classifier, shared)


def test_rewards_with_attention_along_the_tree(
    tiny_model: Build, double_throughout: Callable[[], AbstractContextManager[None]]
) -> None:
    model = with_reward_head(copy.deepcopy(tiny_model("llama")), seed=1)
    shape = given_everywhere(model, input_ids=torch.tensor([IDS[0]])).shape
    assert shape == (1, len(IDS[0]), model.score.in_features)  # what the trial compares
    assert attend_along_tree(model)
    with double_throughout():
        assert_exact(model, shared=True)


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_rewards_of_an_adapter_and_its_own_head(
    tiny_model: Build, double_throughout: Callable[[], AbstractContextManager[None]]
) -> None:
    torch.manual_seed(2)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type=TaskType.SEQ_CLS)
    model = get_peft_model(with_reward_head(copy.deepcopy(tiny_model("llama")), seed=1), config)
    head = model.base_model.model.score.modules_to_save["default"]
    with torch.no_grad():
        head.weight.mul_(-10)
    with double_throughout():
        assert_exact(model, shared=True)
        [gradient] = torch.autograd.grad(sequence_rewards(model, at_end())[0].values.sum(), [head.weight])
    assert gradient.abs().max() > 0
    assert head.forward.__name__ == "forward"  # the model's own again
    assert "forward" not in vars(model.base_model.model.score)


def test_tokens_anywhere_are_read(tiny_model: Build) -> None:
    """The reward of a token is that of the sequence that ends with it, the first one's too."""
    model = with_reward_head(copy.deepcopy(tiny_model("gpt2")), seed=1)
    [found] = sequence_rewards(model, [ScoredSequence(IDS[0], np.arange(6))])
    expected = plain_rewards(model, [IDS[0][: end + 1] for end in range(6)])
    torch.testing.assert_close(found.values, expected, atol=1e-12, rtol=0)
    assert found.statistics.shape == (6, 0)


@pytest.mark.parametrize("pad", [None, 1, 10, 63])
def test_a_sequence_is_read_where_the_classifier_reads_it(tiny_model: Build, pad: int | None) -> None:
    """Padding in the middle is not the end, and what ends with it is read before it."""
    model = with_reward_head(copy.deepcopy(tiny_model("gpt2")), seed=1)
    model.config.pad_token_id = pad
    ids = [[5, 1, 7, 1, 1], [5, 1, 10], [1, 1, 1], [63, 10, 10, 9]]
    found = sequence_rewards(model, [read_at_end(each, pad) for each in at_end(ids)])
    torch.testing.assert_close(
        torch.cat([each.values for each in found]), plain_rewards(model, ids), atol=1e-12, rtol=0
    )


def test_where_a_sequence_is_read() -> None:
    sequence = ScoredSequence([5, 1, 7, 1, 1], np.array([2, 4]))
    found = {pad: read_at_end(sequence, pad) for pad in (None, 1, 7)}
    assert {pad: (list(each.input_ids), each.scored.tolist()) for pad, each in found.items()} == {
        None: ([5, 1, 7, 1, 1], [4]),
        1: ([5, 1, 7], [2]),
        7: ([5, 1, 7, 1, 1], [4]),
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_probe_finds_no_difference(tiny_model: Build, dtype: torch.dtype) -> None:
    model = with_reward_head(copy.deepcopy(tiny_model("llama", dtype)), seed=1)
    everywhere = [ScoredSequence(each, np.arange(len(each))) for each in IDS[:2]]
    assert check_sharing(model, everywhere, score=sequence_rewards).shared


def test_under_autocast_a_reward_is_not_rounded(tiny_model: Build) -> None:
    model = with_reward_head(copy.deepcopy(tiny_model("llama", torch.float32)), seed=1)
    expected = plain_rewards(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.cat([each.values for each in sequence_rewards(model, at_end())])
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
    found.sum().backward()


def test_rewards_are_in_float32_at_least(tiny_model: Build) -> None:
    model = with_reward_head(copy.deepcopy(tiny_model("llama", torch.bfloat16)), seed=1)
    assert model.score.weight.dtype == torch.bfloat16
    assert sequence_rewards(model, at_end())[0].values.dtype == torch.float32
