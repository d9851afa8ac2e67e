"""Data that is used as it comes trains the same model as data that lies on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, IterableDataset
from tests.training.test_tokenized import row_of
from transformers import PreTrainedModel

from turnpoint.data import Source
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import ConfigError
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


def test_processes_share_out_the_steps() -> None:
    shares = [list(StreamSteps(range(7), 4, rank=rank, processes=2, drop_last=False)) for rank in range(2)]
    assert shares == [[[0, 1], [4, 5]], [[2, 3], [6]]]
    assert list(StreamSteps(range(7), 4, rank=0, processes=1, drop_last=True)) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "max_steps: a stream has no known end (got -1); set it to the optimiser steps you want"),
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
