"""Which models may share a row's tree: known obstacles by their reason, unknown ones found by trying."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from peft import PromptTuningConfig

from turnpoint.errors import ConfigError
from turnpoint.training.policy import with_adapter
from turnpoint.tree import ScoredSequence, Sharing, check_sharing, sequence_logprobs

Build = Callable[..., Any]


def forked(length: int = 12) -> list[ScoredSequence]:
    """Two sequences of `length` tokens that fork in the middle."""
    rng = np.random.default_rng(0)
    prompt, chosen, rejected = (rng.integers(3, 64, length // 2).tolist() for _ in range(3))
    scored = np.arange(length // 2, length)
    return [ScoredSequence(prompt + chosen, scored), ScoredSequence(prompt + rejected, scored)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "gpt2", "opt", "qwen3_moe", "llama4"])
def test_differences_of_rounding_are_no_obstacle(tiny_model: Build, name: str, dtype: torch.dtype) -> None:
    assert check_sharing(tiny_model(name, dtype=dtype), forked()).shared


def test_autocast_of_the_caller_is_what_is_probed(tiny_model: Build) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = check_sharing(model, forked())
    assert mixed.shared
    assert rounding_of(mixed) > 1_000 * rounding_of(check_sharing(model, forked()))


def rounding_of(sharing: Sharing) -> float:
    """Nats that the reason says rounding accounts for."""
    return float(sharing.reason.split("rounding alone by ")[1].removesuffix(" nats").split()[0])


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("mamba", {}, "the model carries a recurrent state from token to token"),
        ("longrope", {}, "rotary scaling 'longrope' depends on the length of the whole row beyond 8 tokens"),
        ("dynamic", {}, "rotary scaling 'dynamic' depends on the length of the whole row beyond 8 tokens"),
        (
            "qwen3_moe",
            {"output_router_logits": True},
            "the auxiliary loss of the experts (output_router_logits) accepts no mask of the tree",
        ),
    ],
)
def test_known_obstacles_are_named(tiny_model: Build, name: str, changes: dict[str, Any], reason: str) -> None:
    model = copy.deepcopy(tiny_model(name, dtype=torch.float32))
    for field, value in changes.items():
        setattr(model.config, field, value)
    assert check_sharing(model, forked()) == Sharing(False, reason)


def changed(tiny_model: Build, **fields: Any) -> Any:
    """A tiny Llama whose configuration says something else; the probe is not reached."""
    model = copy.deepcopy(tiny_model("llama"))
    for field, value in fields.items():
        setattr(model.config, field, value)
    return model


def test_obstacles_that_only_the_configuration_shows(tiny_model: Build) -> None:
    convolution = changed(tiny_model, layer_types=["conv", "full_attention"])
    assert check_sharing(convolution, forked()).reason == "layers of the kind 'conv' do not attend along the tree"
    several = changed(tiny_model, rope_parameters={"rope_type": "default", "mrope_section": [2, 1, 1]})
    assert check_sharing(several, forked()).reason == "positions have several dimensions (mrope_section)"
    by_kind = {"full_attention": {"rope_type": "dynamic"}, "sliding_attention": {"rope_type": "default"}}
    assert "'dynamic'" in check_sharing(changed(tiny_model, rope_parameters=by_kind), forked()).reason
    flash = changed(tiny_model)
    flash.config._attn_implementation_internal = "flash_attention_2"
    assert check_sharing(flash, forked()).reason == (
        "attention 'flash_attention_2' takes no mask of the tree; load the model with attn_implementation='sdpa'"
    )


@pytest.mark.parametrize("name", ["longrope", "dynamic"])
def test_rotary_scaling_is_harmless_up_to_the_length_where_it_starts(tiny_model: Build, name: str) -> None:
    model = copy.deepcopy(tiny_model(name))
    assert check_sharing(model, forked(8), longest_sequence=8).shared
    assert not check_sharing(model, forked(8), longest_sequence=9).shared


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_model_that_ignores_the_mask_is_found_out(tiny_model: Build, dtype: torch.dtype) -> None:
    """Each branch would see the other: as wrong as a tree can be, and quiet."""
    model = copy.deepcopy(tiny_model("llama", dtype=dtype))
    honest = model.forward
    model.forward = lambda attention_mask=None, **inputs: honest(**inputs)
    sharing = check_sharing(model, forked())
    assert not sharing.shared
    assert sharing.reason.startswith("tree and plain scores differ by ")


def test_a_model_that_refuses_the_mask_is_quoted(tiny_model: Build) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    honest = model.forward

    def refuse(**inputs: Any) -> Any:
        if "attention_mask" in inputs:
            raise ValueError("mask must be 2-D\nand more")
        return honest(**inputs)

    model.forward = refuse
    assert check_sharing(model, forked()) == Sharing(False, "the model refuses the tree: ValueError: mask must be 2-D")


def test_the_probe_leaves_no_trace(tiny_model: Build) -> None:
    """Modes, gradients, hooks and the random state are as before; dropout, which would differ, is off inside."""
    model = copy.deepcopy(tiny_model("gpt2"))
    model.train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    assert check_sharing(model, forked()).shared
    assert [module.training for module in model.modules()] == modes
    assert torch.get_rng_state().equal(state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_an_adapter_of_virtual_tokens_is_refused(tiny_model: Build) -> None:
    virtual = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    model = with_adapter(copy.deepcopy(tiny_model("llama", dtype=torch.float32)), virtual, seed=0, base_name="")
    with pytest.raises(ConfigError, match="adapter: PROMPT_TUNING puts virtual tokens before each sequence"):
        sequence_logprobs(model, forked())
