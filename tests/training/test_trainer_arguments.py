"""What the transformers Trainer offers beside training: trackers, hub, best checkpoint, early stopping; samples."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.training.conftest import BEST_LOSS
from transformers import EarlyStoppingCallback, PreTrainedModel

from turnpoint.dialogue import PreferencePair
from turnpoint.errors import ConfigError

ModelFactory = Callable[..., PreTrainedModel]


def test_the_best_checkpoint_is_what_is_left(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], swapped: list[PreferencePair]
) -> None:
    """Evaluated on swapped sides, so that the first checkpoint is the best."""
    trainer = stages.dpo(
        tiny_model(dtype=torch.float32),
        pairs,
        given={"eval_dataset": swapped},
        num_train_epochs=3,
        **BEST_LOSS,
    )
    trainer.train()
    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    assert trainer.state.best_global_step == min(losses, key=losses.__getitem__) == 2
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[2], abs=1e-6)


def test_a_run_stops_early(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], swapped: list[PreferencePair]
) -> None:
    trainer = stages.dpo(
        tiny_model(dtype=torch.float32),
        pairs,
        given={"eval_dataset": swapped, "callbacks": [EarlyStoppingCallback(early_stopping_patience=1)]},
        num_train_epochs=10,
        **BEST_LOSS | {"metric_for_best_model": "eval_rewards/accuracies", "greater_is_better": True},
    )
    trainer.train()
    assert trainer.state.global_step < 20


def test_tensorboard_gets_the_metrics(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = stages.dpo(tiny_model(dtype=torch.float32), pairs, report_to="tensorboard")
    trainer.train()
    [events] = stages.folder.glob("**/events.out.tfevents.*")
    found = EventAccumulator(str(events.parent))
    found.Reload()
    steps = [event.step for event in found.Scalars("train/rewards/margins")]
    assert steps == [1, 2]


def test_wandb_gets_the_metrics(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    trainer = stages.dpo(tiny_model(dtype=torch.float32), pairs, report_to="wandb")
    trainer.train()
    found, settings = dict(wandb.run.summary), dict(wandb.run.config)
    wandb.finish()
    assert found["train/rewards/margins"] == logged(trainer)[-1]["rewards/margins"]
    assert settings["loss_type"] == "sigmoid"


def test_trackio_gets_the_metrics(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read when it is imported
    pytest.importorskip("trackio")
    trainer = stages.dpo(tiny_model(dtype=torch.float32), pairs, report_to="trackio")
    trainer.train()
    [file] = tmp_path.rglob("*.db")
    with sqlite3.connect(file) as kept:
        rows = [json.loads(row) for (row,) in kept.execute("SELECT metrics FROM metrics")]
    found = [row["train/rewards/margins"] for row in rows if "train/rewards/margins" in row]
    assert found == [log["rewards/margins"] for log in logged(trainer)]


def logged(trainer: Any) -> list[dict[str, Any]]:
    return [log for log in trainer.state.log_history if "loss" in log]


def test_a_run_folder_goes_to_the_hub(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload itself is replaced: what it would send is the run folder."""
    sent: list[tuple[str, list[str]]] = []

    def upload(**options: Any) -> None:
        folder = Path(options["folder_path"])
        sent.append((options["repo_id"], sorted(file.name for file in folder.iterdir())))

    hub = SimpleNamespace(create_repo=lambda *_, **__: SimpleNamespace(repo_id="me/model"), upload_folder=upload)
    monkeypatch.setattr("transformers.trainer.hf_api", lambda: hub)
    trainer = stages.dpo(
        tiny_model(dtype=torch.float32), pairs, push_to_hub=True, hub_model_id="me/model", num_train_epochs=2
    )
    trainer.train()
    trainer.save_model()
    repo, files = sent[-1]
    assert repo == "me/model"
    assert {"model.safetensors", "README.md", "config.yaml", "health.json", "tokenizer.json"} <= set(files)
    assert "turnpoint" in (stages.folder / "README.md").read_text()


def test_replies_are_written_at_each_evaluation(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    trainer = stages.dpo(
        tiny_model(dtype=torch.float32),
        pairs,
        given={"eval_dataset": pairs[:2]},
        eval_strategy="epoch",
        generate_during_eval=True,
        num_train_epochs=2,
    )
    trainer.train()
    rows = [json.loads(line) for line in (stages.folder / "samples.jsonl").read_text().splitlines()]
    assert [(row["step"], row["source"]) for row in rows] == [(step, f"pairs:{i}") for step in (2, 4) for i in range(2)]
    assert rows[0]["chosen"] == pairs[0].chosen[0].content
    assert rows[0]["rejected"] == pairs[0].rejected[0].content
    assert all(isinstance(row["reply"], str) for row in rows)


def test_replies_need_prompts(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    with pytest.raises(ConfigError, match=r"generate_during_eval: needs prompts \(got True\); give eval_dataset"):
        stages.dpo(tiny_model(), pairs, generate_during_eval=True)


@pytest.mark.parametrize("library", ["unsloth", "liger_kernel"])
def test_models_patched_by_libraries_train(
    library: str, stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    """Liger patches a loaded model; unsloth patches transformers when it is imported. Both need a GPU."""
    pytest.importorskip(library)
    if not torch.cuda.is_available():
        pytest.skip("its kernels need a GPU")
    model = tiny_model(dtype=torch.float32)
    if library == "liger_kernel":
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model)
    plain, patched = (stages.dpo(each, pairs) for each in (tiny_model(dtype=torch.float32), model))
    for trainer in (plain, patched):
        trainer.train()
    losses = [[log["loss"] for log in each.state.log_history if "loss" in log] for each in (plain, patched)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
