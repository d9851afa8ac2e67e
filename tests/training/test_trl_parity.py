"""Losses beside those of TRL 1.16.0, in float64, on a tiny model: what the loss code of TRL gives for the same pairs.

TRL's own head makes float32 of whatever the model computes, so its loss function is called with a model around the tiny
one that returns the same fields in the model's own precision.
"""

import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel

from turnpoint.dialogue import PreferencePair
from turnpoint.objectives import LOSSES
from turnpoint.training.pair_examples import PairExample

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dpo_trainer = pytest.importorskip("trl.trainer.dpo_trainer", reason="TRL is for development only")

ModelFactory = Callable[..., PreTrainedModel]

OF_TRL = [
    *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired"),
    *("apo_zero", "apo_down", "discopop", "sigmoid_norm"),
]
DIVERGING = ["sigmoid", "hinge", "exo_pair", "robust", "discopop"]
WITHIN = {"exo_pair": 1e-7}  # TRL makes float32 of epsilon
BETA = 0.3


class Fused(nn.Module):
    """A model that returns, for each token after the first, what TRL's head returns, in its own precision."""

    is_gradient_checkpointing = False

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, **_: Any) -> Any:
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits[:, :-1]
        logps = logits.log_softmax(-1)
        tokens, counted = input_ids[:, 1:], labels[:, 1:] != -100
        of_tokens = logps.gather(-1, tokens[..., None])[..., 0]
        return SimpleNamespace(
            log_probs=of_tokens * counted,
            entropy=-(logps.exp() * logps).sum(-1) * counted,
            log_sum_sq_probs=(2 * logps).logsumexp(-1) * counted,
            mean_logits=logits.mean(-1) * counted,
            is_top1=(logits.argmax(-1) == tokens) & counted,
        )


def batch(items: Sequence[PairExample]) -> dict[str, Tensor]:
    """What TRL's collator makes of the pairs: chosen sides, then rejected ones, padded on the right."""
    sides = [item.chosen for item in items] + [item.rejected for item in items]
    longest = max(len(side.sequence.input_ids) for side in sides)
    made = {
        name: torch.zeros(len(sides), longest, dtype=torch.long)
        for name in ("input_ids", "attention_mask", "completion_mask")
    }
    for row, side in enumerate(sides):
        length = len(side.sequence.input_ids)
        made["input_ids"][row, :length] = torch.tensor(side.sequence.input_ids)
        made["attention_mask"][row, :length] = 1
        made["completion_mask"][row, torch.from_numpy(side.sequence.scored)] = 1
    return made


def loss_of_trl(policy: PreTrainedModel, reference: PreTrainedModel, items: Sequence[PairExample], **of: Any) -> Tensor:
    settings: dict[str, Any] = {
        "model": Fused(policy),
        "ref_model": Fused(reference),
        "accelerator": Accelerator(cpu=True),
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "ld_alpha": None,
        "loss_types": ["sigmoid"],
        "loss_weights": [1.0],
        "beta": BETA,
        "label_smoothing": 0.0,
        "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": 0.5,
        "use_weighting": False,
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05),
        "_metrics": {mode: {name: [] for name in NAMES} for mode in ("train", "eval")},
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    trainer = SimpleNamespace(**settings | of)
    trainer.model.train()
    found: Tensor = dpo_trainer.DPOTrainer._compute_loss(trainer, trainer.model, batch(items), return_outputs=False)
    return found


NAMES = (
    *("entropy", "num_tokens", "logits/chosen", "logits/rejected", "mean_token_accuracy"),
    *("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"),
)


def both(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], of_trl: dict[str, Any], **settings: Any
) -> tuple[tuple[float, Tensor], tuple[float, Tensor]]:
    """Loss and gradient of one step of ours and of TRL's; our rows hold two pairs at most."""
    policy, reference = tiny_model("gpt2"), tiny_model("gpt2", seed=1)
    trainer = stages.dpo(policy, pairs, given={"ref_model": reference}, beta=BETA, max_tokens_per_row=70, **settings)
    items = list(trainer.train_dataset)
    ours = trainer.executor.train(trainer.stage, policy, items).loss
    gradient = torch.cat([p.grad.flatten() for p in policy.parameters()])
    policy.zero_grad()
    theirs = loss_of_trl(policy, reference, items, **of_trl)
    theirs.backward()
    return (ours.item(), gradient), (theirs.item(), torch.cat([p.grad.flatten() for p in policy.parameters()]))


def assert_equal(ours: tuple[float, Tensor], theirs: tuple[float, Tensor], within: float = 1e-9) -> None:
    assert ours[0] == pytest.approx(theirs[0], abs=within)
    torch.testing.assert_close(ours[1], theirs[1], atol=within, rtol=0)
    assert ours[1].abs().max() > 1e-4


@pytest.mark.parametrize("loss", OF_TRL)
def test_losses_are_those_of_trl(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], loss: str) -> None:
    smoothing = 0.1 if loss in ("exo_pair", "robust") else 0.0
    settings = {"loss_type": loss, "label_smoothing": smoothing}
    found = both(stages, tiny_model, pairs, {"loss_types": [loss], "label_smoothing": smoothing}, **settings)
    assert_equal(*found, within=WITHIN.get(loss, 1e-9))


def test_every_loss_of_trl_is_compared() -> None:
    """All that TRL names in its error, but sft, whose mean is another (docs/objectives.md)."""
    import inspect

    source = inspect.getsource(dpo_trainer.DPOTrainer._compute_loss)
    named = source.split("Should be one of [")[1].split("]")[0]
    theirs = {part.strip(" '\"\n") for part in named.replace('"', "").split(",")} - {"sft"}
    assert theirs == set(OF_TRL)
    assert set(OF_TRL) - {"aot_unpaired"} <= set(LOSSES)


@pytest.mark.parametrize("loss", ["aot", "aot_unpaired"])
def test_label_smoothing_is_that_of_trl(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], loss: str
) -> None:
    settings = {"loss_type": loss, "label_smoothing": 0.2}
    assert_equal(*both(stages, tiny_model, pairs, {"loss_types": [loss], "label_smoothing": 0.2}, **settings))


@pytest.mark.parametrize("divergence", ["forward_kl", "js_divergence"])
@pytest.mark.parametrize("loss", DIVERGING)
def test_divergences_are_those_of_trl(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], loss: str, divergence: str
) -> None:
    settings = {"f_divergence_type": divergence, "label_smoothing": 0.1 if loss in ("exo_pair", "robust") else 0.0}
    ours, theirs = both(stages, tiny_model, pairs, {"loss_types": [loss], **settings}, loss_type=loss, **settings)
    assert_equal(ours, theirs, within=WITHIN.get(loss, 1e-9))


def test_ld_dpo_is_that_of_trl(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    assert_equal(*both(stages, tiny_model, pairs, {"ld_alpha": 0.4}, ld_alpha=0.4))


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_wpo_is_that_of_trl(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], loss: str) -> None:
    of_trl = {"use_weighting": True, "loss_types": [loss]}
    assert_equal(*both(stages, tiny_model, pairs, of_trl, use_weighting=True, loss_type=loss))


def test_several_losses_are_those_of_trl(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    """One coupled loss among them, so that all go back through the scores of the step."""
    names, weights = ["sigmoid", "bco_pair", "aot"], [0.8, 0.2, 1.0]
    of_trl = {"loss_types": names, "loss_weights": weights}
    assert_equal(*both(stages, tiny_model, pairs, of_trl, loss_type=names, loss_weights=weights))


def test_sft_is_a_mean_over_pairs_where_that_of_trl_is_one_over_tokens(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """Equal on one pair; on several, ours is the mean of the pairs alone."""
    alone = [
        both(stages, tiny_model, [pair], {"loss_types": ["sft"]}, rpo_alpha=1.0, loss_type="sigmoid")[0][0]
        - both(stages, tiny_model, [pair], {})[0][0]
        for pair in pairs[:3]
    ]
    ours, theirs = both(stages, tiny_model, pairs[:3], {"loss_types": ["sft"]}, rpo_alpha=1.0)
    sigmoid = both(stages, tiny_model, pairs[:3], {})[0][0]
    assert ours[0] - sigmoid == pytest.approx(sum(alone) / 3, abs=1e-9)
    assert theirs[0] != pytest.approx(ours[0] - sigmoid, abs=1e-3)
