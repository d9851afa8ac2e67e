"""What scored tokens tell beside their log-probs, against logits of whole sequences."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.tree import ScoredSequence

ModelFactory = Callable[..., PreTrainedModel]
ONE_STEP: dict[str, Any] = {"per_device_train_batch_size": 16, "token_metrics": True, "max_tokens_per_row": 60}


def of_tokens(model: PreTrainedModel, sequence: ScoredSequence) -> Tensor:
    """Entropy, whether the token is the likeliest, and mean logit of the scored tokens, [S, 3]."""
    ids = torch.tensor([int(i) for i in sequence.input_ids])
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0, sequence.scored - 1]
    p = logits.softmax(-1)
    top = (logits.argmax(-1) == ids[torch.from_numpy(sequence.scored)]).double()
    return torch.stack([-(p * p.log()).sum(-1), top, logits.mean(-1)], -1)


def logged(trainer: Any) -> dict[str, float]:
    trainer.train()
    first: dict[str, float] = trainer.state.log_history[0]
    return first


def test_sft_means_over_all_scored_tokens(stages: Any, tiny_model: ModelFactory, dialogues: Sequence[Dialogue]) -> None:
    trainer = stages.sft(tiny_model(), dialogues, **ONE_STEP)
    entropy, accuracy, _ = torch.cat([of_tokens(tiny_model(), item) for item in trainer.train_dataset]).mean(0).tolist()
    log = logged(trainer)
    assert log["entropy"] == pytest.approx(entropy, abs=1e-9)
    assert log["mean_token_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert 0 < log["entropy"] < 6


def test_dpo_means_over_pairs_of_the_mean_of_each_side(
    stages: Any, tiny_model: ModelFactory, pairs: Sequence[PreferencePair]
) -> None:
    trainer = stages.dpo(tiny_model(), pairs, **ONE_STEP)
    log = logged(trainer)
    for side in ("chosen", "rejected"):
        sides = [of_tokens(tiny_model(), getattr(item, side).sequence).mean(0) for item in trainer.train_dataset]
        expected = torch.stack(sides).mean(0).tolist()
        found = [log[f"{name}/{side}"] for name in ("entropy", "mean_token_accuracy", "logits")]
        assert found == pytest.approx(expected, abs=1e-9)


def test_they_change_no_update_and_are_off_by_default(
    stages: Any, tiny_model: ModelFactory, pairs: Sequence[PreferencePair]
) -> None:
    without, beside = (logged(stages.dpo(tiny_model(), pairs, token_metrics=each)) for each in (False, True))
    assert beside["loss"] == without["loss"]
    assert beside["grad_norm"] == without["grad_norm"]
    assert not any(name.startswith("entropy") for name in without)
    assert "entropy" not in logged(stages.dpo(tiny_model(), pairs))
