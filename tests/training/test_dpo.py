"""The reference stays where it was, metrics mean what they say, and the model learns."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import PreTrainedModel

from turnpoint.dialogue import PreferencePair
from turnpoint.errors import ConfigError
from turnpoint.tree import head, logprobs, sequence_logprobs, sequence_scores

ModelFactory = Callable[..., PreTrainedModel]

METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
)
REFERENCES: dict[str, dict[str, Any]] = {
    "precomputed": {},
    "copy": {"precompute_ref_log_probs": False},
    "adapter off": {"given": {"peft_config": LoraConfig(r=4, target_modules=["q_proj", "v_proj"])}},
    "adapter off, precomputed": {
        "given": {"peft_config": LoraConfig(r=4, target_modules=["q_proj", "v_proj"])},
        "precompute_ref_log_probs": True,
    },
}


def logs(trainer: Any) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_first_step_finds_the_policy_at_the_reference(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], kind: str, dtype: torch.dtype
) -> None:
    """Rewards are exactly 0 and the loss is log 2, whatever the reference is made of: both run the same rows."""
    trainer = stages.dpo(tiny_model(dtype=dtype), pairs[:8], **copy.deepcopy(REFERENCES[kind]))
    trainer.train()
    first = logs(trainer)[0]
    assert [first[name] for name in METRICS[:4]] == [0, 0, 0, 0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-7)


def test_all_references_give_the_same_run(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    """Full fine-tuning and LoRA each: at every step, or once before training."""
    runs = {}
    for kind, options in REFERENCES.items():
        trainer = stages.dpo(tiny_model(), pairs, num_train_epochs=2, **copy.deepcopy(options))
        trainer.train()
        runs[kind] = [[entry[name] for name in METRICS] for entry in logs(trainer)]
    assert len(runs["copy"]) == 4
    for once, each_step in (("precomputed", "copy"), ("adapter off, precomputed", "adapter off")):
        for a, b in zip(runs[once], runs[each_step], strict=True):
            assert a == pytest.approx(b, abs=1e-6)
    assert runs["copy"][-1] != pytest.approx(runs["adapter off"][-1], abs=1e-3)


def test_adapter_off_gives_the_log_probs_of_the_base_model(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    trainer = stages.dpo(tiny_model(), pairs, **copy.deepcopy(REFERENCES["adapter off"]))
    trainer.train()
    item = trainer.train_dataset[0]
    sequences = trainer.stage.sequences(item)
    policy = sequence_logprobs(trainer.model, sequences)
    (found,) = trainer.stage._reference_logps(trainer.model, [item], [policy])
    for reference, base, moved in zip(found, sequence_logprobs(tiny_model(), sequences), policy, strict=True):
        assert torch.equal(reference, base)
        assert not torch.allclose(reference, moved, atol=1e-4)


def test_the_copy_does_not_move(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    trainer = stages.dpo(tiny_model(), pairs, precompute_ref_log_probs=False)
    trainer.train()
    reference = trainer.stage.reference.model
    for kept, start, moved in zip(
        reference.parameters(), tiny_model().parameters(), trainer.model.parameters(), strict=True
    ):
        assert torch.equal(kept, start)
        assert kept.grad is None
        assert not torch.equal(kept, moved)


def test_an_adapter_that_is_trained_on_is_measured_against_itself(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """The reference is the model as handed over, its trained adapter on, not the base model under it."""
    first = stages.dpo(tiny_model(), pairs, **copy.deepcopy(REFERENCES["adapter off"]))
    first.train()
    second = stages.dpo(first.model, pairs[:8])
    second.train()
    assert [logs(second)[0][name] for name in METRICS[:4]] == [0, 0, 0, 0]


def test_swapped_sides_have_the_opposite_margin(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], swapped: list[PreferencePair]
) -> None:
    trainer = stages.dpo(tiny_model(), pairs, given={"eval_dataset": {"as": pairs, "swapped": swapped}})
    trainer.train()
    found = trainer.evaluate()
    assert found["eval_as_rewards/margins"] > 0.1
    assert found["eval_swapped_rewards/margins"] == pytest.approx(-found["eval_as_rewards/margins"], abs=1e-9)
    assert found["eval_swapped_rewards/accuracies"] == 1 - found["eval_as_rewards/accuracies"]
    assert found["eval_swapped_logps/chosen"] == pytest.approx(found["eval_as_logps/rejected"], abs=1e-9)


def test_a_pair_is_the_same_whatever_shares_its_step(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """The mean over pairs evaluated one by one is what one batch and one row of all give."""
    each = {str(i): [pair] for i, pair in enumerate(pairs)}
    trainer = stages.dpo(
        tiny_model("gpt2"),
        pairs,
        given={"eval_dataset": each | {"all": pairs}},
        reduction="diatool",
        per_device_eval_batch_size=16,
        max_tokens_per_row=100_000,
    )
    trainer.train()
    found = trainer.evaluate()
    for name in ("loss", *METRICS):
        mean = sum(found[f"eval_{i}_{name}"] for i in each) / len(each)
        assert found[f"eval_all_{name}"] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize(("turns_from", "counted"), [("fork", (1, 2)), ("dialogue", (2, 3))])
def test_which_turns_count(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], turns_from: str, counted: tuple[int, int]
) -> None:
    """Pair 3 has one turn in its prompt, one on its chosen side, two on its rejected side."""
    trainer = stages.dpo(tiny_model(), [pairs[3]], reduction="diatool", turns_from=turns_from)
    (item,) = trainer.train_dataset
    assert (item.chosen.turn_of.max() + 1, item.rejected.turn_of.max() + 1) == counted
    text = stages.tokenizer.decode([item.chosen.sequence.input_ids[i] for i in item.chosen.sequence.scored])
    said = [m.content for m in (pairs[3].prompt[-2:-1] if turns_from == "dialogue" else ()) + pairs[3].chosen]
    assert text == "".join(f"{content}<|im_end|>" for content in said)


@pytest.mark.parametrize("reduction", ["sum", "diatool"])
def test_eight_pairs_are_learnt(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], reduction: str
) -> None:
    trainer = stages.dpo(tiny_model(), pairs[:8], num_train_epochs=12, reduction=reduction)
    trainer.train()
    found = logs(trainer)
    assert found[-1]["rewards/accuracies"] == 1
    assert found[-1]["loss"] < found[0]["loss"] / 2


def test_bf16_rows_of_a_step_share_the_casts_of_the_weights(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """Gradients under one autocast context for all rows are those of a context for each row, to the last bit."""
    trainer = stages.dpo(tiny_model(dtype=torch.float32), pairs[:8], bf16=True, max_tokens_per_row=1)
    trainer.train()
    stage, executor, model = trainer.stage, trainer.executor, trainer.model
    model.zero_grad()
    executor.train(stage, model, list(trainer.train_dataset))
    together = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for [i] in executor._rows(stage, trainer.train_dataset):
        item = trainer.train_dataset[i]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = stage.row(model, [item], [sequence_scores(model, stage.sequences(item))])
        (result.loss / 8).backward()
    for one, alone in zip(together, model.parameters(), strict=True):
        assert torch.equal(one, alone.grad)
    assert together[0].abs().max() > 0


def test_an_evaluation_set_that_comes_too_late_is_refused(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    trainer = stages.dpo(tiny_model(), pairs[:8])
    trainer.train()
    with pytest.raises(ConfigError) as error:
        trainer.evaluate(pairs[8:])
    assert str(error.value) == (
        "DPOTrainer: precompute_ref_log_probs: the reference's log-probs of this data set were not computed before"
        " training moved the model; pass it as eval_dataset to the trainer, or set precompute_ref_log_probs: false"
    )


def test_the_model_is_no_reference_of_itself(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    model = tiny_model()
    with pytest.raises(ConfigError, match="ref_model: is the model itself, which training moves; leave ref_model out"):
        stages.dpo(model, pairs, given={"ref_model": model})


def test_group_by_puts_pairs_of_a_dialogue_into_one_step(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    named = [pair.model_copy(update={"dialogue_id": str(i % 4)}) for i, pair in enumerate(pairs)]
    trainer = stages.dpo(tiny_model(), named, group_by="dialogue", per_device_train_batch_size=4)
    steps = list(trainer.get_train_dataloader().batch_sampler)
    assert [len({named[i].dialogue_id for i in step}) for step in steps] == [1] * 4


def test_logits_made_some_rows_at_a_time_change_no_run(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for at_once in (256, 2):
        for module in (head, logprobs):
            monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
        trainer = stages.dpo(tiny_model(), pairs, given={"ref_model": tiny_model(seed=1)})
        trainer.train()
        assert trainer.stage.chunked
        runs.append([[entry[name] for name in METRICS] for entry in logs(trainer)])
    for whole, chunked in zip(*runs, strict=True):
        assert chunked == pytest.approx(whole, abs=1e-9)
