"""Settings: defaults that are promised, and the text of what is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig

from turnpoint.errors import ConfigError
from turnpoint.training import DPOConfig, RewardConfig, SFTConfig, configs
from turnpoint.training.configs import StageConfig
from turnpoint.training.of_trl import ArgumentsOfTRL


def test_defaults(tmp_path: Path) -> None:
    dpo, sft, reward = (config(output_dir=str(tmp_path)) for config in (DPOConfig, SFTConfig, RewardConfig))
    assert (dpo.learning_rate, sft.learning_rate, reward.learning_rate) == (1e-6, 2e-5, 1e-5)
    assert (reward.margin, reward.label_smoothing, reward.center_rewards_coefficient) == (0, 0, None)
    assert (dpo.report_to, dpo.num_train_epochs, dpo.bf16, dpo.turns_from) == ([], 1, False, "fork")
    assert DPOConfig().output_dir == "turnpoint_output"


@pytest.mark.parametrize("config", [StageConfig, DPOConfig, RewardConfig, SFTConfig])
def test_every_field_of_ours_has_help_with_its_default(config: type) -> None:
    inherited = {field.name for base in (StageConfig.__mro__[1], ArgumentsOfTRL) for field in dataclasses.fields(base)}
    for field in dataclasses.fields(config):
        if field.name not in inherited:
            assert "Default: " in field.metadata["help"], field.name


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"truncation_mode": "keep_end"},
            "truncation_mode: would cut the start of the prompt, tools included (got 'keep_end'); use overflow:"
            " trim_history, which removes the oldest exchanges whole, or overflow: drop",
        ),
        ({"truncation_mode": "middle"}, "truncation_mode: must be keep_start or unset (got 'middle'); use `overflow`"),
        (
            {"overflow": "cut"},
            "overflow: must be one of drop, trim_history, keep_start, error (got 'cut'); the default is drop",
        ),
        ({"max_length": 0}, "max_length: must be at least 1 (got 0); leave it out for the default"),
        (
            {"gradient_accumulation_steps": 0},
            "gradient_accumulation_steps: must be at least 1 (got 0); leave it out for the default",
        ),
        ({"learning_rate": -1.0}, "learning_rate: must not be negative (got -1.0); leave it out for the default"),
        (
            {"fp16": True, "use_cpu": True},
            "fp16: float16 autocast needs a GPU (got True); use bf16: true, or neither for float32",
        ),
        (
            {"activation_checkpointing_kwargs": {"offload": True}, "use_cpu": True},
            "activation_checkpointing_kwargs: offload needs a GPU to move from (got {'offload': True}); leave it out",
        ),
        (
            {"label_smoothing_factor": 0.1},
            "label_smoothing_factor: smooths classes, which no stage has (got 0.1); use label_smoothing",
        ),
        (
            {"auto_find_batch_size": True},
            "auto_find_batch_size: would change the update (got True); lower max_tokens_per_row, which does not",
        ),
        (
            {"include_num_input_tokens_seen": True},
            "include_num_input_tokens_seen: is not counted (got True); read tokens_per_second, which is logged always",
        ),
        (
            {"train_sampling_strategy": "group_by_length"},
            "train_sampling_strategy: must be one of random, sequential (got 'group_by_length'); rows are packed by"
            " their tokens whatever the order is",
        ),
        ({"seed": -1}, "seed: must be in 0 … 4294967295 (got -1); leave it out for the default"),
        (
            {"per_device_eval_batch_size": 0},
            "per_device_eval_batch_size: must be at least 1 (got 0); leave it out for the default",
        ),
        ({"num_train_epochs": -1.0}, "num_train_epochs: must be above 0 (got -1.0); leave it out for the default"),
        ({"max_steps": 0}, "max_steps: must be at least 1, or -1 for num_train_epochs (got 0); leave it out"),
        *[
            ({name: value}, f"{name}: has nothing to do, items come as token ids (got {value}); leave it out")
            for name, value in (
                ("dataloader_num_workers", 2),
                ("dataloader_prefetch_factor", 2),
                ("dataloader_persistent_workers", True),
                ("dataloader_pin_memory", True),
            )
        ],
        ({"turns_from": "prompt"}, "turns_from: must be one of fork, dialogue (got 'prompt'); the default is fork"),
        (
            {"turns_from": "dialogue"},
            "turns_from: reduction 'sum' scores the turns after the fork only (got 'dialogue'); use reduction dmpo or"
            " diatool, or fork",
        ),
        ({"beta": -0.1}, "beta: must be a number above 0 (got -0.1); 0.1 is usual"),
        (
            {"gamma": 0.5},
            "gamma: reduction 'sum' has no turn discount (got 0.5); leave gamma out or use a reduction that has one:"
            " dmpo, diatool",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        DPOConfig(**settings)
    assert str(error.value) == f"DPOConfig: {text}"


@pytest.mark.parametrize("named", ["foo", ["tensorboard", "foo"]])
def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, named: str | list[str]) -> None:
    monkeypatch.setattr(configs, "get_available_reporting_integrations", lambda: ["tensorboard"])
    with pytest.raises(ConfigError) as error:
        SFTConfig(report_to=named)
    assert str(error.value) == (
        f"SFTConfig: report_to: must name installed trackers: tensorboard (got {named!r}); install it, or leave it"
        " out: metrics.jsonl holds all logs"
    )
    assert SFTConfig(report_to="tensorboard").report_to == ["tensorboard"]


def test_evaluation_needs_data() -> None:
    with pytest.raises(ConfigError) as error:
        SFTConfig(eval_strategy="epoch").check_beside(None, None)
    assert str(error.value) == (
        "SFTConfig: eval_strategy: needs data to evaluate on (got 'epoch'); give eval_dataset, or leave it out"
    )
    SFTConfig(eval_strategy="epoch").check_beside(None, "dev.jsonl")


def test_dropout_of_an_adapter_that_is_switched_off_is_refused() -> None:
    adapter = LoraConfig(lora_dropout=0.5)
    with pytest.raises(ConfigError) as error:
        SFTConfig().check_beside(adapter, None)
    assert str(error.value) == (
        "peft_config: lora_dropout: disable_dropout sets it to 0 (got 0.5); set lora_dropout to 0, or"
        " disable_dropout: false"
    )
    SFTConfig(disable_dropout=False).check_beside(adapter, None)
    SFTConfig().check_beside(LoraConfig(), None)


def test_what_only_this_machine_decided_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU and no terminal here say nothing of the next machine."""
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    config = SFTConfig()
    assert (config.use_cpu, config.disable_tqdm) == (True, True)
    assert not {"use_cpu", "disable_tqdm"} & set(config.resolved())
    asked = SFTConfig(use_cpu=True, disable_tqdm=True).resolved()
    assert (asked["use_cpu"], asked["disable_tqdm"]) == (True, True)


def test_the_name_of_trl_for_keeping_the_start_is_taken() -> None:
    assert DPOConfig(truncation_mode="keep_start").overflow == "keep_start"
