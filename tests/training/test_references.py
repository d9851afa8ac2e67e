"""References beside the ones of test_dpo: adapters by name, adapters over adapters, references that follow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from tests.training.conftest import BEST_LOSS
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from turnpoint.dialogue import PreferencePair
from turnpoint.errors import ConfigError
from turnpoint.models import load_model
from turnpoint.tree import sequence_logprobs

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # by peft

ModelFactory = Callable[..., PreTrainedModel]

REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


def lora() -> LoraConfig:
    return LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)


def logs(trainer: Any) -> list[dict[str, Any]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def of_first(trainer: Any, model: nn.Module) -> Tensor:
    return torch.cat(sequence_logprobs(model, trainer.stage.sequences(trainer.train_dataset[0])))


def reference_of_first(trainer: Any) -> Tensor:
    with torch.no_grad(), trainer.stage.reference.of(trainer.model) as model:
        return of_first(trainer, model)


@pytest.fixture
def sft_folder(tmp_path: Path, tiny_model: ModelFactory, stages: Any) -> Path:
    """An adapter as SFT leaves it, over a base model on disk."""
    base = tmp_path / "base"
    tiny_model().save_pretrained(base)
    stages.tokenizer.save_pretrained(base)
    torch.manual_seed(1)
    adapted = PeftModel(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64), lora())
    adapted.save_pretrained(tmp_path / "sft")
    return tmp_path / "sft"


def loaded(folder: Path, *names: str) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(folder.parent / "base", dtype=torch.float64)
    model = PeftModel.from_pretrained(base, folder, adapter_name=names[0], is_trainable=True)
    for name in names[1:]:
        model.load_adapter(folder, adapter_name=name)
    return model


@pytest.mark.parametrize("precompute", [False, True])
def test_an_adapter_loaded_twice_is_policy_and_reference(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair], precompute: bool
) -> None:
    model = loaded(sft_folder, "policy", "reference")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = stages.dpo(
        model,
        pairs,
        model_adapter_name="policy",
        ref_adapter_name="reference",
        precompute_ref_log_probs=precompute,
    )
    sft = of_first(trainer, model).detach()
    trainer.train()
    assert [logs(trainer)[0][name] for name in REWARDS] == [0, 0, 0]
    assert logs(trainer)[1]["rewards/margins"] != 0
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert all(".policy." in name for name in moved)
    if not precompute:
        torch.testing.assert_close(reference_of_first(trainer), sft, atol=1e-12, rtol=0)
        assert model.active_adapter == "policy"
        assert {name for name, p in model.named_parameters() if p.requires_grad} == moved


def test_only_the_trained_adapter_is_saved_where_loaders_look(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair]
) -> None:
    trainer = stages.dpo(
        loaded(sft_folder, "policy", "reference"), pairs, model_adapter_name="policy", ref_adapter_name="reference"
    )
    trainer.train()
    trainer.save_model()
    assert sorted(file.name for file in stages.folder.glob("**/adapter_model.safetensors")) == [
        "adapter_model.safetensors"
    ]
    again = load_model(str(stages.folder), dtype="float64")
    torch.testing.assert_close(of_first(trainer, again), of_first(trainer, trainer.model), atol=1e-12, rtol=0)


def test_an_adapter_trained_on_keeps_a_copy_of_itself_as_reference(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair]
) -> None:
    """No second model: the copy is an adapter too. The run is that of log-probs computed once."""
    runs = {}
    for precompute in (False, True):
        model = loaded(sft_folder, "default")
        trainer = stages.dpo(model, pairs, precompute_ref_log_probs=precompute)
        sft = of_first(trainer, model).detach()
        trainer.train()
        runs[precompute] = [[log[name] for name in REWARDS] for log in logs(trainer)]
        if not precompute:
            assert set(model.peft_config) == {"default", "reference"}
            torch.testing.assert_close(reference_of_first(trainer), sft, atol=1e-12, rtol=0)
            assert not torch.allclose(of_first(trainer, model), sft, atol=1e-4)
    for a, b in zip(runs[False], runs[True], strict=True):
        assert a == pytest.approx(b, abs=1e-6)


def test_a_new_adapter_over_an_adapter_is_measured_against_sft(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair], caplog: pytest.LogCaptureFixture
) -> None:
    """What peers get wrong: the reference is the SFT model, not the base below it, and the result loads as trained."""
    sft = loaded(sft_folder, "default")
    with caplog.at_level("INFO"):
        trainer = stages.dpo(
            loaded(sft_folder, "default"), pairs, given={"peft_config": LoraConfig(r=2, target_modules=["q_proj"])}
        )
    assert "the adapter that the model has is merged into its weights" in caplog.text
    torch.testing.assert_close(reference_of_first(trainer), of_first(trainer, sft), atol=1e-9, rtol=0)
    trainer.train()
    assert [logs(trainer)[0][name] for name in REWARDS] == [0, 0, 0]
    torch.testing.assert_close(reference_of_first(trainer), of_first(trainer, sft), atol=1e-9, rtol=0)
    trainer.save_model()
    settings = json.loads((stages.folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(stages.folder / "base")
    again = load_model(str(stages.folder), dtype="float64")
    torch.testing.assert_close(of_first(trainer, again), of_first(trainer, trainer.model), atol=1e-9, rtol=0)


def test_a_reference_that_follows_is_a_mean_of_itself_and_the_policy(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """One step, then 0.75 of the start and 0.25 of the policy."""
    trainer = stages.dpo(
        tiny_model(), pairs[:8], sync_ref_model=True, ref_model_mixup_alpha=0.25, ref_model_sync_steps=1
    )
    trainer.train()
    for reference, start, policy in zip(
        trainer.stage.reference.model.parameters(), tiny_model().parameters(), trainer.model.parameters(), strict=True
    ):
        torch.testing.assert_close(reference, 0.75 * start + 0.25 * policy, atol=1e-12, rtol=0)


def test_an_adapter_that_follows_moves_alone(stages: Any, sft_folder: Path, pairs: list[PreferencePair]) -> None:
    model = loaded(sft_folder, "default")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = stages.dpo(model, pairs[:8], sync_ref_model=True, ref_model_mixup_alpha=0.25, ref_model_sync_steps=1)
    trainer.train()
    weights = dict(model.named_parameters())
    for name, start in before.items():
        if ".default." in name:
            expected = 0.75 * start + 0.25 * weights[name]
            torch.testing.assert_close(weights[name.replace(".default.", ".reference.")], expected, atol=1e-12, rtol=0)
            assert not torch.equal(weights[name], start)


def test_it_follows_every_so_many_steps(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    """Steps 1 and 3 leave it; rewards of step 3 are 0 where it is the policy of step 2."""
    trainer = stages.dpo(
        tiny_model(), pairs, num_train_epochs=2, sync_ref_model=True, ref_model_mixup_alpha=1.0, ref_model_sync_steps=2
    )
    trainer.train()
    margins = [log["rewards/margins"] for log in logs(trainer)]
    assert margins[0] == 0
    assert margins[1] != 0
    assert margins[2] == 0
    assert margins[3] != 0


@pytest.mark.parametrize("adapter", [False, True])
def test_a_resumed_run_has_the_reference_that_followed(
    stages: Any, tiny_model: ModelFactory, sft_folder: Path, pairs: list[PreferencePair], adapter: bool
) -> None:
    def trainer() -> Any:
        model = loaded(sft_folder, "default") if adapter else tiny_model()
        settings: dict[str, Any] = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
        return stages.dpo(model, pairs, sync_ref_model=True, ref_model_sync_steps=1, **settings)

    whole, resumed = trainer(), trainer()
    whole.train()
    resumed.train(resume_from_checkpoint=str(stages.folder / "checkpoint-2"))
    assert torch.equal(reference_of_first(resumed), reference_of_first(whole))
    assert torch.equal(of_first(resumed, resumed.model), of_first(whole, whole.model))


def test_a_reference_given_by_name_is_loaded(
    stages: Any, tiny_model: ModelFactory, sft_folder: Path, pairs: list[PreferencePair]
) -> None:
    trainer = stages.dpo(tiny_model(dtype=torch.float32), pairs, given={"ref_model": str(sft_folder.parent / "base")})
    torch.testing.assert_close(
        reference_of_first(trainer), of_first(trainer, tiny_model(dtype=torch.float32)).detach(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"model_adapter_name": "x"},
            "model_adapter_name: the model has no such adapter (got 'x'; it has default); load it with"
            " model.load_adapter(folder, name)",
        ),
        (
            {"ref_adapter_name": "default"},
            "ref_adapter_name: is the adapter that training moves (got 'default'); load the adapter twice and name the"
            " other one model_adapter_name",
        ),
        (
            {"sync_ref_model": True, "precompute_ref_log_probs": True},
            "DPOConfig: sync_ref_model: log-probs that are computed once before training cannot follow (got True);"
            " leave out sync_ref_model or precompute_ref_log_probs",
        ),
        (
            {"sync_ref_model": True, "loss_type": "simpo"},
            "DPOConfig: sync_ref_model: loss 'simpo' reads no reference (got True); leave it out",
        ),
    ],
)
def test_references_that_exclude_each_other_are_refused(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair], settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError) as error:
        stages.dpo(loaded(sft_folder, "default"), pairs, **settings)
    assert str(error.value) == text


def test_the_model_without_its_adapter_cannot_follow(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    with pytest.raises(
        ConfigError, match="the reference is the model with its adapter off, whose weights cannot follow"
    ):
        stages.dpo(tiny_model(), pairs, given={"peft_config": lora()}, sync_ref_model=True)


def test_a_reference_that_no_loss_reads_is_refused(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    with pytest.raises(ConfigError, match="ref_model: loss 'simpo' reads no reference; leave ref_model out"):
        stages.dpo(tiny_model(), pairs, given={"ref_model": tiny_model(seed=1)}, loss_type="simpo")


def test_the_best_adapter_is_loaded_by_its_own_name(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair], swapped: list[PreferencePair]
) -> None:
    """The reference is called `default`, and lies where loaders look in a checkpoint."""
    trainer = stages.dpo(
        loaded(sft_folder, "policy", "default"),
        pairs,
        given={"eval_dataset": swapped},
        model_adapter_name="policy",
        ref_adapter_name="default",
        num_train_epochs=2,
        **BEST_LOSS,
    )
    trainer.train()
    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    assert trainer.state.best_global_step == 2
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[2], abs=1e-6)
    assert trainer.evaluate()["eval_rewards/margins"] != 0


@pytest.mark.parametrize("other", ["ref_model", "peft_config"])
def test_two_references_are_refused(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair], tiny_model: ModelFactory, other: str
) -> None:
    given = {"ref_model": tiny_model(seed=1), "peft_config": lora()}[other]
    with pytest.raises(ConfigError, match=f"ref_adapter_name: is one reference and {other} leads to another"):
        stages.dpo(loaded(sft_folder, "policy", "reference"), pairs, given={other: given}, ref_adapter_name="reference")


def test_a_second_run_with_the_same_model_has_a_reference_of_its_own(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair]
) -> None:
    model = loaded(sft_folder, "default")
    for _ in range(2):
        trainer = stages.dpo(model, pairs, precompute_ref_log_probs=False)
        start = of_first(trainer, model).detach()
        trainer.train()
        assert logs(trainer)[0]["rewards/margins"] == 0
        torch.testing.assert_close(reference_of_first(trainer), start, atol=1e-12, rtol=0)


def test_a_base_below_a_module_that_is_saved_whole_is_complete(
    stages: Any, sft_folder: Path, pairs: list[PreferencePair]
) -> None:
    peft_config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    trainer = stages.dpo(loaded(sft_folder, "default"), pairs, given={"peft_config": peft_config})
    trainer.train()
    trainer.save_model()
    again = load_model(str(stages.folder), dtype="float64")
    torch.testing.assert_close(of_first(trainer, again), of_first(trainer, trainer.model), atol=1e-9, rtol=0)


def test_a_model_without_anything_to_train_is_refused(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    with pytest.raises(ConfigError, match="model: none of its parameters takes a gradient"):
        stages.dpo(tiny_model().requires_grad_(False), pairs)


def test_quantisation_needs_a_gpu(stages: Any, sft_folder: Path, pairs: list[PreferencePair]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="quantization_config: needs a CUDA GPU, and there is none"):
        stages.dpo(str(sft_folder.parent / "base"), pairs, given={"quantization_config": object()})
