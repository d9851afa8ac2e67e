"""Data that is used as it comes trains the same model as data that lies on disk."""

import json
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, IterableDataset
from tests.training.test_tokenized import row_of
from transformers import PreTrainedModel

from turnpoint.data import Source
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.template import Renderer
from turnpoint.training import stream as stream_module
from turnpoint.training.stream import StreamSteps

ModelFactory = Callable[..., PreTrainedModel]
SETTINGS: dict[str, Any] = {"train_sampling_strategy": "sequential", "precompute_ref_log_probs": False}


@pytest.fixture
def rows(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    return [row_of(pair) for pair in pairs]


def streamed(rows: list[dict[str, Any]]) -> IterableDataset:
    return Dataset.from_list(rows).to_iterable_dataset()


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("batch", [8, 6])
def test_the_update_is_that_of_the_same_data_on_disk(
    stages: Any, tiny_model: ModelFactory, rows: list[dict[str, Any]], batch: int
) -> None:
    """Two passes; with six pairs a step the third step of each holds the last four."""
    steps = 2 * -(-16 // batch)
    settings = SETTINGS | {"per_device_train_batch_size": batch, "max_steps": steps}
    whole = stages.dpo(tiny_model(), Dataset.from_list(rows), **settings)
    whole.train()
    settings.pop("precompute_ref_log_probs")
    stream = stages.dpo(tiny_model(), streamed(rows), **settings)
    stream.train()
    assert not stream.precomputes
    assert stream.state.global_step == steps
    assert torch.equal(weights(stream), weights(whole))
    assert not torch.equal(weights(stream), torch.cat([p.detach().flatten() for p in tiny_model().parameters()]))


def test_a_file_can_be_streamed(stages: Any, tiny_model: ModelFactory, rows: Any, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = SETTINGS | {"max_steps": 2}
    stream = stages.dpo(tiny_model(), Source(str(file), streaming=True), **settings)
    stream.train()
    whole = stages.dpo(tiny_model(), str(file), **settings)
    whole.train()
    assert torch.equal(weights(stream), weights(whole))


def test_what_was_left_out_is_counted_once(
    stages: Any, tiny_model: ModelFactory, rows: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows[3]["chosen"][0]["content"] = "ask " * 100
    stream = stages.dpo(tiny_model(), streamed(rows), max_steps=4, max_length=90)
    stream.train()
    stream.save_model()
    report = json.loads((stages.folder / "data_report.json").read_text())["splits"]["train"]
    assert (report["read"], report["kept"]) == (16, 15)
    assert report["left_out"] == {"longer than max_length 90": {"count": 1, "first": ["row 3"]}}
    assert "train data: kept 15 of 16, left out 1 longer than max_length 90 (row 3)" in caplog.text


def test_processes_share_out_the_steps_of_one_pass_after_the_other() -> None:
    def one_pass(number: int) -> range:
        return range(10 * number, 10 * number + 7)

    def steps(rank: int, processes: int, drop_last: bool) -> list[list[int]]:
        return list(StreamSteps(one_pass, 3, 4, rank=rank, processes=processes, drop_last=drop_last))

    assert [steps(rank, 2, drop_last=False) for rank in range(2)] == [
        [[0, 1], [4, 5], [10, 11]],
        [[2, 3], [6], [12, 13]],
    ]
    assert steps(0, 1, drop_last=True) == [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]


def test_passes_too_short_for_a_step_stop(stages: Any, tiny_model: ModelFactory, rows: Any) -> None:
    settings = {"max_steps": 2, "per_device_train_batch_size": 20, "dataloader_drop_last": True}
    trainer = stages.dpo(tiny_model(), streamed(rows), **settings)
    with pytest.raises(DataError) as error:
        trainer.train()
    assert str(error.value) == (
        "dataloader_drop_last: leaves nothing of a pass, whose rows are fewer than the 20 of a step; set it to false or"
        " lower the batch size"
    )


def test_a_finished_run_is_not_trained_further(stages: Any, tiny_model: ModelFactory, rows: Any) -> None:
    settings = SETTINGS | {"max_steps": 3}
    whole = stages.dpo(tiny_model(), streamed(rows), **settings, save_strategy="steps", save_steps=3)
    whole.train()
    again = stages.dpo(tiny_model(), streamed(rows), **settings)
    again.train(resume_from_checkpoint=str(stages.folder / "checkpoint-3"))
    assert again.state.global_step == 3
    assert torch.equal(weights(again), weights(whole))


def test_splits_are_looked_into(stages: Any, tiny_model: ModelFactory, rows: Any) -> None:
    told: list[int] = []

    class Shuffled(list[Any]):
        def set_epoch(self, number: int) -> None:
            told.append(number)

    stages.dpo(tiny_model(), Source({"train": Shuffled(rows)}, streaming=True), max_steps=1).train()
    assert told == [0, 0]
    with pytest.raises(ConfigError, match="is a stream"):
        stages.dpo(tiny_model(), rows, given={"eval_dataset": Source({"train": streamed(rows)})})


def test_a_shuffled_stream_is_told_the_number_of_the_pass(stages: Any, tiny_model: ModelFactory, rows: Any) -> None:
    told: list[int] = []

    class Shuffled(list[Any]):
        def set_epoch(self, number: int) -> None:
            told.append(number)

    trainer = stages.dpo(tiny_model(), Source(Shuffled(rows), streaming=True), max_steps=5)
    trainer.train()
    assert told == [0, 0, 1, 2]  # the first for the probe


def test_a_resumed_run_goes_on_in_the_middle_of_a_pass(stages: Any, tiny_model: ModelFactory, rows: Any) -> None:
    """Six pairs a step, three steps a pass: the checkpoint is in the second one."""
    settings = SETTINGS | {"per_device_train_batch_size": 6, "max_steps": 7}
    whole = stages.dpo(tiny_model(), streamed(rows), **settings, save_strategy="steps", save_steps=5)
    whole.train()
    resumed = stages.dpo(tiny_model(), streamed(rows), **settings)
    resumed.train(resume_from_checkpoint=str(stages.folder / "checkpoint-5"))
    assert torch.equal(weights(resumed), weights(whole))


def test_dialogues_are_streamed_too(stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]) -> None:
    """Cut so that one of them keeps a single scored token."""
    data = [{"messages": [message.openai() for message in dialogue.messages]} for dialogue in dialogues]
    cut = Renderer(stages.tokenizer).tokenize(dialogues[0]).turns[0].start + 1
    settings = {"max_steps": 2, "train_sampling_strategy": "sequential", "overflow": "keep_start", "max_length": cut}
    stream = stages.sft(tiny_model(), streamed(data), **settings)
    stream.train()
    whole = stages.sft(tiny_model(), Dataset.from_list(data), **settings)
    whole.train()
    assert any(len(item.scored) == 1 for item in whole.train_dataset)
    assert torch.equal(weights(stream), weights(whole))


@pytest.mark.parametrize("endless", [False, True])
def test_a_stream_of_which_nothing_is_left_stops(
    stages: Any, tiny_model: ModelFactory, rows: Any, endless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_HOPELESS", 64)

    class Rows:
        def __iter__(self) -> Iterator[Any]:
            return cycle(rows) if endless else iter(rows)

    trainer = stages.dpo(tiny_model(), Source(Rows(), streaming=True), max_steps=2, max_length=5)
    with pytest.raises(DataError) as error:
        trainer.train()
    count = 64 if endless else 16
    assert str(error.value) == (
        f"Rows: nothing is left to train on of {count} rows; left out {count} longer than max_length 5"
        " (row 0, row 1, …)"
    )


def test_what_can_be_read_once_only_is_no_stream(stages: Any, tiny_model: ModelFactory, rows: Any) -> None:
    with pytest.raises(DataError, match="list_iterator: can be read once only; give a file"):
        stages.dpo(tiny_model(), Source(iter(rows), streaming=True), max_steps=2)


def test_evaluation_needs_an_end(stages: Any, tiny_model: ModelFactory, rows: Any, pairs: Any) -> None:
    with pytest.raises(ConfigError, match="is a stream, which only train_dataset may be; give a file or a Dataset"):
        stages.dpo(tiny_model(), pairs, given={"eval_dataset": streamed(rows)})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "max_steps: is needed for a stream, which has no known end; set it to the optimiser steps you want"),
        (
            {"max_steps": 2, "precompute_ref_log_probs": True},
            "precompute_ref_log_probs: a stream is not known before training (got True); leave it out",
        ),
        (
            {"max_steps": 2, "group_by": "dialogue"},
            "group_by: a stream keeps the order in which it comes (got 'dialogue'); leave it out",
        ),
    ],
)
def test_what_a_stream_cannot_honour_is_refused(
    stages: Any, tiny_model: ModelFactory, rows: Any, settings: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError) as error:
        stages.dpo(tiny_model(), streamed(rows), **settings)
    assert str(error.value) == f"DPOConfig: {line}"
