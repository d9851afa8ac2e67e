"""Rated completions: rows of prompt, completion and label train with kto and bco."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from turnpoint.errors import ConfigError, DataError
from turnpoint.objectives import Objective, Turns
from turnpoint.tree import sequence_logprobs

ModelFactory = Callable[..., PreTrainedModel]

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"book a table for {who}"}],
        "completion": [{"role": "assistant", "content": reply}],
        "label": liked,
    }
    for who, reply, liked in [
        ("two", "which city", True),
        ("four", "sorry no tool", False),
        ("a", "call", True),
        ("no", "ask at noon", True),
        ("two", "no", False),
        ("four", "sorry", False),
    ]
]


def file_of(folder: Path, rows: list[dict[str, Any]]) -> str:
    file = folder / "rated.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def turns(values: list[float]) -> Turns:
    logps = torch.tensor(values, dtype=torch.float64)[:, None]
    return Turns(logps, torch.ones_like(logps, dtype=torch.bool), torch.ones_like(logps, dtype=torch.int64))


def weights(model: PreTrainedModel) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def logs(trainer: Any) -> list[dict[str, Any]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    ("loss", "other", "shift", "liked", "value"),
    [
        ("kto", 0.0, 0.0, True, 1 - 1 / (1 + math.exp(-0.5))),
        ("kto", 0.0, 0.0, False, 1 / (1 + math.exp(-0.5))),
        ("kto", -3.0, 0.0, True, 1 - 1 / (1 + math.exp(-0.5))),
        ("kto", 1.0, 0.0, True, 0.5),
        ("kto", 1.0, 0.0, False, 0.5),
        ("bco", 0.0, 0.0, True, math.log1p(math.exp(-0.5))),
        ("bco", 0.0, 0.0, False, math.log1p(math.exp(0.5))),
        ("bco", 0.0, 0.5, True, math.log(2)),
        ("bco", 0.0, 0.5, False, math.log(2)),
    ],
)
def test_loss_by_hand(loss: str, other: float, shift: float, liked: bool, value: float) -> None:
    """Log-ratio 1, beta 0.5; `other` is the log-ratio of a completion under a prompt it was not written for."""
    policy, reference = (turns([1.0]), turns([other])), (turns([0.0]), turns([0.0]))
    found = Objective(loss_type=loss, beta=0.5)(policy, reference, liked=torch.tensor([liked]), shift=shift).losses
    assert found.tolist() == pytest.approx([value], abs=1e-15)


def test_a_completion_stands_beside_its_prompt_with_the_next_one(
    stages: Any, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    trainer = stages.dpo(tiny_model(), file_of(tmp_path, ROWS), loss_type="kto")
    items = list(trainer.train_dataset)
    assert [item.liked for item in items] == [True, False, True, True, False, False]
    read = [[stages.tokenizer.decode(s.input_ids) for s in trainer.stage.sequences(item)] for item in items]
    for i, (own, other) in enumerate(read):
        prompt = own.split("<|im_start|>assistant\n")[0]
        assert other == f"{prompt}<|im_start|>assistant\n" + read[(i + 1) % 6][0].split("<|im_start|>assistant\n")[1]
        scored = items[i].rejected.sequence
        text = stages.tokenizer.decode([scored.input_ids[j] for j in scored.scored])
        assert other.endswith(f"assistant\n{text}\n")
    assert trainer.train_dataset.counts().tolist() == [
        [len(s.scored) for s in trainer.stage.sequences(item)] for item in items
    ]


@pytest.mark.parametrize("loss", ["kto", "bco"])
@pytest.mark.parametrize("precompute", [True, False])
def test_updates_do_not_depend_on_the_cut(
    stages: Any, tiny_model: ModelFactory, tmp_path: Path, loss: str, precompute: bool
) -> None:
    runs = []
    for cut in ({}, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3}, {"max_tokens_per_row": 30}):
        settings: dict[str, Any] = {"per_device_train_batch_size": 3, "optim": "sgd", "num_train_epochs": 2} | cut
        trainer = stages.dpo(
            tiny_model("gpt2"),
            file_of(tmp_path, ROWS),
            loss_type=loss,
            precompute_ref_log_probs=precompute,
            **settings,
        )
        trainer.train()
        runs.append(trainer)
    for other in runs[1:]:
        torch.testing.assert_close(weights(other.model), weights(runs[0].model), atol=1e-9, rtol=0)
    first = logs(runs[0])[0]
    assert first["loss"] == pytest.approx(0.5 if loss == "kto" else math.log(2), abs=1e-6)
    assert first["kl"] == 0


@pytest.mark.parametrize("loss", ["kto", "bco"])
def test_what_is_liked_becomes_likelier(stages: Any, tiny_model: ModelFactory, tmp_path: Path, loss: str) -> None:
    trainer = stages.dpo(
        tiny_model(),
        file_of(tmp_path, ROWS),
        given={"eval_dataset": file_of(tmp_path, ROWS)},
        loss_type=loss,
        num_train_epochs=10,
        learning_rate=1e-3,
    )
    trainer.train()
    for item in trainer.train_dataset:
        own = trainer.stage.sequences(item)[:1]
        moved = sequence_logprobs(trainer.model, own)[0].sum() - sequence_logprobs(tiny_model(), own)[0].sum()
        assert (moved > 0) == item.liked
    found = trainer.evaluate()
    assert found["eval_rewards/accuracies"] == 1
    assert found["eval_rewards/chosen"] > 0 > found["eval_rewards/rejected"]
    assert found["eval_rewards/margins"] == found["eval_rewards/chosen"] - found["eval_rewards/rejected"]


def test_beside_a_prompt_stands_a_completion_of_another_one(
    stages: Any, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    """Two completions of one prompt follow each other; what is beside is cut at max_length."""
    rows = [ROWS[0], ROWS[0] | {"completion": ROWS[1]["completion"]}, ROWS[3]]
    for max_length in (None, 24):
        trainer = stages.dpo(tiny_model(), file_of(tmp_path, rows), loss_type="kto", max_length=max_length)
        items = list(trainer.train_dataset)
        beside = [stages.tokenizer.decode(item.rejected.sequence.input_ids) for item in items]
        assert all("ask at noon"[: len(text.split("assistant\n")[1])] in text for text in beside[:2])
        assert trainer.train_dataset.counts().tolist() == [
            [len(item.chosen.turn_of), len(item.rejected.turn_of)] for item in items
        ]
        assert max_length is None or all(len(item.rejected.sequence.input_ids) <= max_length for item in items)


def test_rows_without_a_label_are_left_out_and_counted(stages: Any, tiny_model: ModelFactory, tmp_path: Path) -> None:
    rows = [*ROWS, {name: value for name, value in ROWS[0].items() if name != "label"}]
    trainer = stages.dpo(tiny_model(), file_of(tmp_path, rows), loss_type="kto")
    assert len(trainer.train_dataset) == 6
    left_out = trainer.data_report.splits["train"].left_out
    assert left_out["no label that says whether it was liked"]["count"] == 1


def test_pairs_are_no_rated_completions(stages: Any, tiny_model: ModelFactory, pairs: Any) -> None:
    with pytest.raises(DataError, match=r"preference pairs .* where dialogues are needed"):
        stages.dpo(tiny_model(), pairs, loss_type="kto")


def test_losses_of_pairs_and_of_completions_do_not_mix() -> None:
    with pytest.raises(ConfigError, match="kto and sigmoid train on different data, rated completions and pairs"):
        Objective(loss_type=["kto", "sigmoid"])


def test_a_label_must_be_true_or_false(stages: Any, tiny_model: ModelFactory, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rated.jsonl:1: label: .* \(got 'great'\)"):
        stages.dpo(tiny_model(), file_of(tmp_path, [ROWS[0] | {"label": "great"}]), loss_type="kto")
