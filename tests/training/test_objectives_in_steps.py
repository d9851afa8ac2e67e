"""Objectives in steps: coupled losses however cut, weights and margins of pairs, BCO's mean, experts, health."""

import copy
import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MixtralConfig, MixtralForCausalLM, PreTrainedModel

from turnpoint.dialogue import PreferencePair
from turnpoint.errors import ConfigError
from turnpoint.objectives import LOSSES
from turnpoint.training.policy import sparse_embedding_gradient

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # by peft

ModelFactory = Callable[..., PreTrainedModel]

CUTS: list[dict[str, Any]] = [
    {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
    {"max_tokens_per_row": 60},
    {"max_tokens_per_row": 100_000},
]
SMOOTHED = {"exo_pair": {"label_smoothing": 0.1}, "robust": {"label_smoothing": 0.1}}
SOME: list[dict[str, Any]] = [
    {"ld_alpha": 0.3},
    {"use_weighting": True, "loss_type": "kto_pair"},
    {"loss_type": "aot_pair", "ld_alpha": 0.3},
    {"loss_type": "kto_pair", "reduction": "diatool"},
    {"f_divergence_type": "forward_kl"},
    {"loss_type": "sigmoid,bco_pair,sft", "loss_weights": [0.8, 0.2, 1.0]},
    {"loss_type": "hinge", "reduction": "dmpo"},
]


def weights(model: PreTrainedModel) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def logs(trainer: Any) -> list[dict[str, Any]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    "settings", [*({"loss_type": name} for name, fact in LOSSES.items() if not fact.rated), *SOME], ids=str
)
def test_updates_do_not_depend_on_the_cut(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], settings: dict[str, Any]
) -> None:
    """Two steps of eight pairs in float64, whatever the rows and the accumulation."""
    settings = settings | SMOOTHED.get(settings.get("loss_type", ""), {})
    runs = [stages.dpo(tiny_model("gpt2"), pairs, optim="sgd", **settings | cut) for cut in [{}, *CUTS]]
    for trainer in runs:
        trainer.train()
    assert len(logs(runs[0])) == 2
    for other in runs[1:]:
        assert [log["loss"] for log in logs(other)] == pytest.approx([log["loss"] for log in logs(runs[0])], abs=1e-6)
        torch.testing.assert_close(weights(other.model), weights(runs[0].model), atol=1e-9, rtol=0)
    assert (weights(runs[0].model) - weights(tiny_model("gpt2"))).abs().max() > 1e-6


@pytest.mark.parametrize("loss_type", ["aot", "aot_pair", "kto_pair"])
def test_coupled_losses_under_autocast(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], loss_type: str
) -> None:
    """In bfloat16 both passes round alike: the loss of one row is that of float32 up to rounding, and it learns."""
    found = []
    for bf16 in (False, True):
        trainer = stages.dpo(
            tiny_model("gpt2", torch.float32), pairs[:8], loss_type=loss_type, bf16=bf16, num_train_epochs=6
        )
        trainer.train()
        found.append([log["loss"] for log in logs(trainer)])
    assert found[1] == pytest.approx(found[0], abs=0.02)
    assert all(losses[-1] < losses[0] - 0.05 for losses in found)


def test_weights_of_pairs_are_those_of_a_mean(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """A pair of weight 2 counts as two of them."""
    twice = [pairs[0], pairs[0], *pairs[1:7]]
    weighted = [pairs[0].model_copy(update={"weight": 2.0}), *pairs[1:7]]
    runs = []
    for data in (twice, weighted):
        trainer = stages.dpo(tiny_model("gpt2"), data, given={"ref_model": tiny_model("gpt2", seed=1)}, optim="sgd")
        trainer.train()
        runs.append(trainer)
    assert logs(runs[1])[0]["loss"] == pytest.approx(logs(runs[0])[0]["loss"], abs=1e-6)
    torch.testing.assert_close(weights(runs[1].model), weights(runs[0].model), atol=1e-9, rtol=0)


def test_margins_of_pairs_take_the_place_of_the_setting(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """At the reference the loss of a pair is log(1 + exp(beta margin)), beta 0.5."""
    data = [pairs[0].model_copy(update={"margin": 2.0}), *pairs[1:4]]
    trainer = stages.dpo(tiny_model(), data, margin=1.0)
    trainer.train()
    by_hand = (math.log1p(math.exp(1)) + 3 * math.log1p(math.exp(0.5))) / 4
    assert logs(trainer)[0]["loss"] == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize(
    ("column", "loss", "text"),
    [
        (
            "weight",
            "aot",
            "DPOTrainer: weight: loss 'aot' sorts the pairs of a step, so that none has a loss of its own to weigh (1"
            " of 2 pairs of list in memory carry one); take the column out",
        ),
        (
            "margin",
            "bco_pair",
            "DPOTrainer: margin: has no meaning in loss 'bco_pair' (1 of 2 pairs of list in memory carry one); take the"
            " column out",
        ),
    ],
)
def test_columns_that_a_loss_cannot_honour_are_refused(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], column: str, loss: str, text: str
) -> None:
    data = [pairs[0].model_copy(update={column: 2.0}), pairs[1]]
    with pytest.raises(ConfigError) as error:
        stages.dpo(tiny_model(), data, loss_type=loss)
    assert str(error.value) == text


def test_weights_and_margins_are_read_from_rows(stages: Any, tiny_model: ModelFactory, tmp_path: Path) -> None:
    rows = [
        {"prompt": "ask", "chosen": "call a tool", "rejected": "sorry", "weight": 2, "margin": 0.5},
        {"prompt": "ask", "chosen": "book", "rejected": "sorry no"},
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    trainer = stages.dpo(tiny_model(), str(file))
    assert [(item.weight, item.margin) for item in trainer.train_dataset] == [(2.0, 0.5), (1.0, None)]


def test_bco_moves_its_mean_once_a_step_and_keeps_it(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """The mean before a step shifts its rewards; a resumed run goes on from the checkpoint's."""
    whole = stages.dpo(tiny_model("gpt2"), pairs, loss_type="bco_pair", num_train_epochs=2, max_steps=4)
    whole.train()
    means = [(log["rewards/chosen"] + log["rewards/rejected"]) / 2 for log in logs(whole)]
    assert means[0] == 0
    assert whole.stage.rewards.mean == pytest.approx(sum(means) / 4, abs=1e-6)
    assert whole.stage.rewards.count == 32
    half = stages.dpo(tiny_model("gpt2"), pairs, loss_type="bco_pair", max_steps=4, save_strategy="steps", save_steps=2)
    half.train()
    resumed = stages.dpo(
        tiny_model("gpt2"), pairs, loss_type="bco_pair", max_steps=4, save_strategy="steps", save_steps=2
    )
    resumed.train(resume_from_checkpoint=str(stages.folder / "checkpoint-2"))
    assert resumed.stage.rewards == half.stage.rewards
    assert torch.equal(weights(resumed.model), weights(half.model))


def test_compute_metrics_gets_the_rewards_of_all_pairs(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    def metrics(prediction: Any) -> dict[str, float]:
        chosen, rejected = prediction.predictions.T
        return {"pairs": len(chosen), "won": float((chosen > rejected).mean()), "margin": (chosen - rejected).mean()}

    trainer = stages.dpo(tiny_model(), pairs, given={"eval_dataset": pairs, "compute_metrics": metrics})
    trainer.train()
    found = trainer.evaluate()
    assert found["eval_pairs"] == 16
    assert found["eval_won"] == found["eval_rewards/accuracies"]
    assert found["eval_margin"] == pytest.approx(found["eval_rewards/margins"], abs=1e-12)


def test_a_run_without_signal_is_told_so(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = stages.dpo(tiny_model(), pairs, learning_rate=0.0, num_train_epochs=3)
    with caplog.at_level("INFO"):
        trainer.train()
    saved = {each["check"]: each for each in json.loads((stages.folder / "health.json").read_text())}
    assert not saved["no_signal"]["good"]
    assert "The learning rate is 0 at every log" in saved["no_signal"]["says"]
    assert saved["no_signal"]["says"] in caplog.text
    assert saved["far_from_reference"]["good"]
    assert "checks are good" in caplog.text


@pytest.mark.parametrize("stage", ["dpo", "sft"])
def test_experts_are_kept_in_balance(stages: Any, pairs: list[PreferencePair], stage: str, caplog: Any) -> None:
    """The mean over items of the model's own auxiliary loss of their sequences, times its weight."""
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        output_router_logits=False,
    )
    model = MixtralForCausalLM(config).eval()
    data = pairs[:4] if stage == "dpo" else [pair.side("chosen") for pair in pairs[:4]]
    found = {}
    for coefficient in (0.0, 0.5):
        trainer = getattr(stages, stage)(copy.deepcopy(model), data, router_aux_loss_coef=coefficient)
        trainer.train()
        [found[coefficient]] = logs(trainer)
    losses = []
    for item in trainer.train_dataset:
        for each in trainer.stage.sequences(item):
            output = model(torch.tensor([list(each.input_ids)]), output_router_logits=True)
            losses.append((output.aux_loss.item(), trainer.stage.weight(item)))
    mean = sum(loss * weight for loss, weight in losses) / sum(weight for _, weight in losses)
    assert found[0.5]["aux_loss"] == pytest.approx(mean, abs=1e-5)
    assert found[0.5]["loss"] - found[0.0]["loss"] == pytest.approx(0.5 * mean, abs=1e-5)
    assert "aux_loss" not in found[0.0]
    assert "the auxiliary loss of the experts is that of plain sequences" in caplog.text


def test_models_without_experts_have_no_auxiliary_loss(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    with pytest.raises(ConfigError, match=r"router_aux_loss_coef: LlamaForCausalLM has no experts .* \(got 0.1\)"):
        stages.dpo(tiny_model(), pairs, router_aux_loss_coef=0.1)


def test_the_gradient_of_a_tied_embedding_may_be_sparse(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """The same gradient, whole when an optimiser sees it; the embedding is as it was afterwards."""
    trainer = stages.dpo(tiny_model("gpt2"), pairs[:8], max_tokens_per_row=60)
    trainer.train()
    model = trainer.model
    grads: list[Tensor] = []
    for context in (nullcontext(), sparse_embedding_gradient(model)):
        model.zero_grad()
        with context:
            assert model.get_input_embeddings().sparse == bool(grads)
            trainer.executor.train(trainer.stage, model, list(trainer.train_dataset))
        grads.append(model.get_input_embeddings().weight.grad.clone())
    assert not grads[1].is_sparse
    torch.testing.assert_close(grads[1], grads[0], atol=1e-12, rtol=0)
    assert not model.get_input_embeddings().sparse
