"""Log-probs of the reference are computed once, found again, and never taken for those of something else."""

import copy
import errno
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from turnpoint.data.write import write_pairs
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import CheckpointError
from turnpoint.training import reference_cache
from turnpoint.training.executor import Executor

ModelFactory = Callable[..., PreTrainedModel]
WHY = "list in memory: log-probs of the reference are computed anew: "


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Items of each call that computes log-probs of the reference."""
    counted: list[int] = []
    real = Executor.logprobs

    def count(self: Executor, stage: Any, model: nn.Module, items: Sequence[Any]) -> list[list[Tensor]]:
        counted.append(len(items))
        return real(self, stage, model, items)

    monkeypatch.setattr(Executor, "logprobs", count)
    return counted


def test_a_later_run_reads_what_an_earlier_one_computed(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], computed: list[int]
) -> None:
    first = stages.dpo(tiny_model(), pairs)
    first.train()
    assert sum(computed) == len(pairs)
    again = stages.dpo(tiny_model(), pairs)
    again.train()
    other_objective = stages.dpo(tiny_model(), pairs, reduction="diatool", num_train_epochs=2)
    other_objective.train()
    assert sum(computed) == len(pairs)
    assert losses(again) == losses(first)


def test_the_base_model_under_an_adapter_is_the_base_model(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], computed: list[int]
) -> None:
    stages.dpo(tiny_model(), pairs).train()
    adapted = {"precompute_ref_log_probs": True, "given": {"peft_config": LoraConfig(r=2, target_modules="all-linear")}}
    stages.dpo(tiny_model(), pairs, **adapted).train()
    assert sum(computed) == len(pairs)


def test_another_model_other_data_and_other_precision_are_computed_anew(
    stages: Any,
    tiny_model: ModelFactory,
    pairs: list[PreferencePair],
    computed: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="turnpoint")
    other_data = "the data changed, or its order, its template, or what is scored"
    whole = {"turns_from": "dialogue", "reduction": "dmpo"}
    runs: tuple[tuple[Any, list[PreferencePair], dict[str, Any], str | None], ...] = (
        (tiny_model(), pairs, {}, None),
        (tiny_model(seed=1), pairs, {}, "the weights of the reference changed"),
        (tiny_model(), pairs[1:], {}, other_data),
        (tiny_model(), pairs, whole, other_data),
        (tiny_model(), pairs, {"bf16": True}, "the precision changed"),
    )
    for model, data, settings, reason in runs:
        computed.clear()
        caplog.clear()
        stages.dpo(model, data, **settings).train()
        assert sum(computed) == len(data)
        said = [record.message for record in caplog.records if record.message.startswith(WHY)]
        assert said == ([] if reason is None else [WHY + reason])


def test_data_to_evaluate_on_is_no_change_of_the_data(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="turnpoint")
    files = tmp_path / "train.jsonl", tmp_path / "eval.jsonl"
    for file, some in zip(files, (pairs[:8], pairs[8:]), strict=True):
        write_pairs(some, file)
    stages.dpo(tiny_model(), str(files[0]), given={"eval_dataset": str(files[1])}).train()
    assert "computed anew" not in caplog.text
    write_pairs(pairs[:7], files[0])
    stages.dpo(tiny_model(), str(files[0]), given={"eval_dataset": str(files[1])}).train()
    assert caplog.text.count("computed anew") == 1
    assert f"{files[0]}: log-probs of the reference are computed anew: the data changed" in caplog.text


def test_an_interrupted_pass_goes_on_where_it_stopped(
    stages: Any,
    tiny_model: ModelFactory,
    pairs: list[PreferencePair],
    computed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = stages.dpo(tiny_model(), pairs[::-1])  # an entry of its own
    whole.train()
    computed.clear()
    settings = {"per_device_eval_batch_size": 4}
    counting = Executor.logprobs

    def interrupted(self: Executor, *arguments: Any) -> list[list[Tensor]]:
        if len(computed) == 2:
            raise KeyboardInterrupt
        return counting(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Executor, "logprobs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stages.dpo(tiny_model(), pairs, **settings).train()
    assert computed == [4, 4]
    computed.clear()
    resumed = stages.dpo(tiny_model(), pairs, **settings)
    resumed.train()
    assert sum(computed) == len(pairs) - 8
    for item, same in zip(resumed.train_dataset, reversed(whole.train_dataset), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(item.reference, same.reference, strict=True))


def test_weights_that_differ_in_one_number_have_another_hash(tiny_model: ModelFactory) -> None:
    model = tiny_model()
    other = copy.deepcopy(model)
    same = reference_cache.weights_hash(model, adapter=True)
    assert reference_cache.weights_hash(other, adapter=True) == same
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1e-9
    assert reference_cache.weights_hash(other, adapter=True) != same
    other = copy.deepcopy(model)
    other.config.rms_norm_eps *= 2
    assert reference_cache.weights_hash(other, adapter=True) != same


def test_a_full_disk_is_one_line(
    stages: Any,
    tiny_model: ModelFactory,
    pairs: list[PreferencePair],
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    trainer = stages.dpo(tiny_model(), pairs)
    monkeypatch.setattr(reference_cache, "_sync", full)
    with pytest.raises(CheckpointError) as error:
        trainer.train()
    assert str(error.value).startswith(f"{own_cache}")
    assert str(error.value).endswith(
        "log-probs of the reference cannot be kept (No space left on device); free some space or set TURNPOINT_CACHE"
        " to another folder"
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers 5 for it
def test_an_adapter_with_another_scale_is_another_reference(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], computed: list[int]
) -> None:
    """Its tensors are the same; what they are multiplied by is in its configuration."""
    for alpha, items in ((2, len(pairs)), (4, len(pairs)), (4, 0)):
        torch.manual_seed(0)
        config = LoraConfig(r=2, lora_alpha=alpha, target_modules=["v_proj", "q_proj"], init_lora_weights=False)
        model = tiny_model()
        torch.manual_seed(0)
        computed.clear()
        stages.dpo(get_peft_model(model, config), pairs).train()
        assert sum(computed) == items


def test_two_runs_that_begin_together_share_an_entry(tmp_path: Path) -> None:
    folder = tmp_path / "entries"
    key = reference_cache.Key("weights", "data", "float32")
    counts = np.array([[2, 1], [3, 0]])
    first = reference_cache.ReferenceCache(folder, key, counts, torch.float32)
    first.add([(0, [torch.tensor([1.0, 2.0]), torch.tensor([3.0])])])
    second = reference_cache.ReferenceCache(folder, key, counts, torch.float32)
    assert second.missing() == [1]
    second.add([(1, [torch.tensor([4.0, 5.0, 6.0]), torch.tensor([])])])
    assert [[each.tolist() for each in item] for item in (first[0], first[1])] == [[[1, 2], [3]], [[4, 5, 6], []]]
    assert [file.name for file in folder.iterdir()] == [key.name]
