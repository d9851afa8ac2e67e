"""What a run leaves: a model that loads, reports, nothing that looks finished and is not; and how it resumes."""

import copy
import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM, LoraConfig
from tests.training.conftest import CHATML
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import CheckpointError, ConfigError, DataError
from turnpoint.models import load_model
from turnpoint.template import ensure_tool_template
from turnpoint.training import DPOConfig, RewardConfig, SFTConfig, run_folder

ModelFactory = Callable[..., PreTrainedModel]

IDS = torch.tensor([[5, 6, 7, 8, 9]])
RUN_FILES = {
    "README.md",
    "chat_template.jinja",
    "config.yaml",
    "data_report.json",
    "metrics.jsonl",
    "tokenizer.json",
    "tokenizer_config.json",
}

MODEL_FILES = {"config.json", "generation_config.json", "model.safetensors"}
ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors"}
# peft reads a property that this version of transformers has renamed.
PEFT_WARNS = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def test_a_saved_model_loads_in_transformers(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = stages.sft(tiny_model(dtype=torch.float32), dialogues)
    trainer.train()
    trainer.save_model()
    assert names(stages.folder) == RUN_FILES | MODEL_FILES
    assert len({file.stat().st_mode for file in stages.folder.iterdir()}) == 1
    loaded = AutoModelForCausalLM.from_pretrained(stages.folder)
    assert torch.equal(loaded(IDS).logits, trainer.model.eval()(IDS).logits)
    tokenizer = AutoTokenizer.from_pretrained(stages.folder)
    assert tokenizer.chat_template == stages.tokenizer.chat_template
    assert capsys.readouterr().out == ""


@PEFT_WARNS
def test_a_saved_adapter_loads_in_peft(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    trainer = stages.dpo(base, pairs, given={"peft_config": LoraConfig(r=4, target_modules=["q_proj"])})
    trainer.train()
    trainer.save_model()
    assert names(stages.folder) == RUN_FILES | ADAPTER_FILES
    loaded = AutoPeftModelForCausalLM.from_pretrained(stages.folder)
    assert torch.equal(loaded(IDS).logits, trainer.model.eval()(IDS).logits)


def test_reports_say_what_was_trained_on_what(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = stages.dpo(tiny_model(), pairs, reduction="diatool", max_length=30, gradient_accumulation_steps=2)
    trainer.train()
    trainer.save_model()
    report = json.loads((stages.folder / "data_report.json").read_text())["splits"]["train"]
    (reason,) = report["left_out"]
    count = report["left_out"][reason]["count"]
    assert count > 2
    assert (report["read"], report["kept"]) == (16, 16 - count)
    assert report["left_out"][reason]["first"][0].startswith("pairs:")
    assert f"train data: kept {16 - count} of 16, left out {count} {reason}" in caplog.text

    config = yaml.safe_load((stages.folder / "config.yaml").read_text())
    resolved = {
        "model": "LlamaForCausalLM",
        "gamma": 0.5,
        "margin": 0.5,
        "beta": 0.5,
        "turns_from": "fork",
        "max_length": 30,
    }
    assert {name: config[name] for name in resolved} == resolved
    assert (config["per_device_train_batch_size"], config["gradient_accumulation_steps"]) == (8, 2)

    card = (stages.folder / "README.md").read_text()
    assert f"- train: {16 - count} of 16 records of `list in memory`; left out {count} {reason}" in card
    assert "- reduction: diatool\n" in card

    lines = [json.loads(line) for line in (stages.folder / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "loss", "rewards/margins", "tokens_per_second", "tree_tokens_per_second"} <= set(lines[0])
    assert lines[0]["tree_tokens_per_second"] < lines[0]["tokens_per_second"]


def test_what_was_shortened_is_counted(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = stages.sft(tiny_model(), dialogues, max_length=30, overflow="keep_start")
    assert all(len(item.input_ids) <= 30 for item in trainer.train_dataset)
    report = trainer.data_report.as_dict()["splits"]["train"]
    ((how, found),) = report["shortened"].items()
    assert (found["count"] > 2, found["first"][0][:6]) == (True, "pairs:")
    assert f"train data: shortened {found['count']} {how} ({found['first'][0]}, {found['first'][1]}, …)" in caplog.text


@pytest.mark.parametrize("config", [DPOConfig, RewardConfig, SFTConfig])
def test_the_settings_of_a_run_make_the_same_settings(tmp_path: Path, config: Any) -> None:
    first = config(output_dir=str(tmp_path), learning_rate=3e-5, max_tokens_per_row=77)
    again = config(**yaml.safe_load(yaml.safe_dump(first.resolved())))
    assert again.resolved() == first.resolved()


def load(folder: Path) -> Any:
    """The model of a folder in evaluation mode, whatever kind it is."""
    return load_model(str(folder))


ADAPTER = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)


@pytest.fixture
def base(tiny_model: ModelFactory, tmp_path: Path) -> Path:
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@PEFT_WARNS
def test_a_model_saved_over_another_kind_is_the_only_one(
    stages: Any, base: Path, tiny_model: ModelFactory, dialogues: list[Dialogue]
) -> None:
    adapter = stages.sft(load(base), dialogues, given={"peft_config": ADAPTER})
    adapter.save_model()
    (stages.folder / "notes.md").write_text("mine")
    (stages.folder / "model-00002-of-00002.safetensors").write_text("of an older, larger model")
    (stages.folder / "model.safetensors.index.json").write_text("{}")

    whole = stages.sft(tiny_model(dtype=torch.float32, seed=1), dialogues)
    whole.save_model()
    assert names(stages.folder) == RUN_FILES - {"metrics.jsonl"} | MODEL_FILES | {"notes.md"}
    assert torch.equal(load(stages.folder)(IDS).logits, whole.model.eval()(IDS).logits)

    again = stages.sft(load(base), dialogues, given={"peft_config": ADAPTER})
    again.save_model()
    assert names(stages.folder) == RUN_FILES - {"metrics.jsonl"} | ADAPTER_FILES | {"notes.md"}
    assert torch.equal(load(stages.folder)(IDS).logits, again.model.eval()(IDS).logits)


def test_a_save_that_stops_between_two_files_leaves_no_model(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather no model than the old config with new weights."""
    trainer = stages.sft(tiny_model(dtype=torch.float32), dialogues)
    trainer.save_model()

    def stopped(source: Path, target: Path) -> None:
        if source.name == "model.safetensors":
            raise KeyboardInterrupt
        source.replace(target)

    monkeypatch.setattr(run_folder, "_move", stopped)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_model()
    assert not names(stages.folder) & {"config.json", "adapter_config.json", "model.safetensors"}


@PEFT_WARNS
def test_an_adapter_is_not_saved_over_the_model_it_needs(stages: Any, base: Path, dialogues: list[Dialogue]) -> None:
    with pytest.raises(ConfigError) as error:
        stages.sft(load(base), dialogues, given={"peft_config": ADAPTER}, output_dir=f"{base}/")
    assert str(error.value) == (
        f"output_dir: holds the model that the adapter needs below it (got '{base}/'); name another folder"
    )


@PEFT_WARNS
def test_an_adapter_names_a_base_that_every_loader_knows(
    stages: Any, base: Path, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`demo` is a name for people; reports keep it."""
    monkeypatch.setattr("turnpoint.models.load.embedded_model_file", lambda: Path("demo.gguf"))
    monkeypatch.setattr("turnpoint.models.load.converted", lambda file: base)
    trainer = stages.sft(load_model("demo"), dialogues, given={"peft_config": ADAPTER})
    trainer.save_model()
    assert json.loads((stages.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert yaml.safe_load((stages.folder / "config.yaml").read_text())["model"] == "demo"
    expected = trainer.model.eval()(IDS).logits
    assert torch.equal(AutoPeftModelForCausalLM.from_pretrained(stages.folder)(IDS).logits, expected)
    assert torch.equal(load(stages.folder)(IDS).logits, expected)


@PEFT_WARNS
@pytest.mark.parametrize("peft_config", [None, ADAPTER])
def test_a_stage_names_the_folder_of_the_stage_before(
    stages: Any, base: Path, dialogues: list[Dialogue], pairs: list[PreferencePair], tmp_path: Path, peft_config: Any
) -> None:
    model = load(base)
    first = stages.sft(model, dialogues, given={"peft_config": peft_config})
    first.save_model()
    first.save_model(str(tmp_path / "copy"))
    second = stages.dpo(first.model, pairs, output_dir=str(tmp_path / "dpo"))
    second.save_model()
    folders = (stages.folder, tmp_path / "copy", tmp_path / "dpo")
    written = [yaml.safe_load((folder / "config.yaml").read_text())["model"] for folder in folders]
    assert written == [str(base), str(base), str(tmp_path / "copy")]
    assert f"# Preference optimisation of {tmp_path / 'copy'}\n" in (tmp_path / "dpo" / "README.md").read_text()


@pytest.mark.parametrize("put_by_us", [True, False])
def test_the_built_in_template_is_reported_whoever_put_it_there(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], put_by_us: bool
) -> None:
    stages.tokenizer = copy.deepcopy(stages.tokenizer)
    stages.tokenizer.chat_template = CHATML
    if not put_by_us:
        assert ensure_tool_template(stages.tokenizer)
    assert stages.sft(tiny_model(), dialogues).data_report.general == [
        "the chat template is turnpoint's ChatML template with tools; it is saved with the model"
    ]


def test_the_last_steps_are_logged(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    """Steps 1 to 5, one log every three: the last one holds steps 4 and 5."""
    settings = {"per_device_train_batch_size": 4, "max_steps": 5}
    each = stages.dpo(tiny_model(), pairs, **settings)
    each.train()
    rare = stages.dpo(tiny_model(), pairs, **settings, logging_steps=3)
    rare.train()
    by_step = {log["step"]: log for log in each.state.log_history if "loss" in log}
    logged = {log["step"]: log for log in rare.state.log_history if "loss" in log}
    assert list(logged) == [3, 5]
    for name in ("loss", "rewards/margins"):
        assert logged[5][name] == pytest.approx((by_step[4][name] + by_step[5][name]) / 2, abs=1e-6)


def test_a_log_that_a_full_disk_cut_short_is_left_out(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]
) -> None:
    stages.sft(tiny_model(), dialogues, save_strategy="steps", save_steps=1).train()
    file = stages.folder / "metrics.jsonl"
    whole = file.read_text().splitlines(keepends=True)
    file.write_text(whole[0] + '{"step": 2, "lo')
    stages.sft(tiny_model(), dialogues).train(resume_from_checkpoint=str(stages.folder / "checkpoint-1"))
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2, 2]


def full_disk(self: Any, folder: str, **options: Any) -> None:
    """Writes what a loader looks for first, then finds the disk full."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "config.json").write_text("{}")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_that_looks_finished(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = stages.sft(tiny_model(), dialogues)
    trainer.train()
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full_disk)
    with pytest.raises(CheckpointError) as error:
        trainer.save_model()
    assert str(error.value) == (
        f"{stages.folder}: cannot be written (No space left on device); free some space or name another output_dir;"
        " nothing half-written was left there"
    )
    assert names(stages.folder) == {"metrics.jsonl"}


def test_a_failed_save_keeps_the_model_that_was_there(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = stages.sft(tiny_model(dtype=torch.float32), dialogues)
    trainer.save_model()
    before = {file.name: file.read_bytes() for file in stages.folder.iterdir()}
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full_disk)
    with pytest.raises(CheckpointError):
        trainer.save_model()
    assert {file.name: file.read_bytes() for file in stages.folder.iterdir()} == before


def test_a_full_disk_leaves_no_half_a_checkpoint(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = stages.sft(tiny_model(), dialogues, save_strategy="steps", save_steps=1)
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full_disk)
    with pytest.raises(
        CheckpointError, match=r"checkpoint-1: cannot be written \(No space left on device\); free some"
    ):
        trainer.train()
    assert names(stages.folder) == {"metrics.jsonl"}


def test_a_checkpoint_that_torch_cuts_short_is_a_full_disk(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(*args: Any, **options: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 140992 vs 140884")

    trainer = stages.sft(tiny_model(), dialogues, save_strategy="steps", save_steps=1)
    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(CheckpointError, match=r"cannot be written \(torch could not write the whole of a file\); free"):
        trainer.train()
    assert names(stages.folder) == {"metrics.jsonl"}


def test_metrics_that_cannot_be_written_say_how_to_go_on(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]
) -> None:
    trainer = stages.sft(tiny_model(), dialogues)
    (stages.folder / "metrics.jsonl").mkdir()
    with pytest.raises(CheckpointError) as error:
        trainer.train()
    assert str(error.value) == (
        f"{stages.folder}: metrics.jsonl cannot be written (Is a directory); free some space, then go on from the last"
        " checkpoint with resume_from_checkpoint: true"
    )


def test_a_run_folder_that_cannot_be_made_is_refused(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError) as error:
        stages.sft(tiny_model(), dialogues, output_dir=str(tmp_path / "file" / "run"))
    assert str(error.value) == f"output_dir: {tmp_path}/file/run cannot be made (Not a directory); name another one"


def test_a_mistake_of_ours_while_saving_is_not_called_a_full_disk(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("shapes do not match")

    trainer = stages.sft(tiny_model(), dialogues)
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        trainer.save_model()
    assert names(stages.folder) == set()


@pytest.mark.parametrize("precompute", [True, False])
def test_a_resumed_run_is_the_uninterrupted_one(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], precompute: bool
) -> None:
    """Interrupted in the second epoch; the reference stays the model that the run began with."""
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 6, "lr_scheduler_type": "linear"}
    settings |= {"precompute_ref_log_probs": precompute}
    whole = stages.dpo(tiny_model("gpt2"), pairs, **settings)
    whole.train()
    expected = (stages.folder / "metrics.jsonl").read_text().splitlines()

    first = stages.dpo(tiny_model("gpt2"), pairs, **settings, save_strategy="steps", save_steps=4)
    first.train()
    (stages.folder / "checkpoint-6" / "trainer_state.json").unlink()  # as if killed while it was saving
    resumed = stages.dpo(tiny_model("gpt2"), pairs, **settings)
    resumed.train(resume_from_checkpoint=True)
    torch.testing.assert_close(weights(resumed), weights(whole), atol=1e-12, rtol=0)

    found = (stages.folder / "metrics.jsonl").read_text().splitlines()
    compared = ("step", "loss", "rewards/margins", "learning_rate", "epoch")
    assert len(found) == len(expected) == 7
    for a, b in zip(found, expected, strict=True):
        values = json.loads(b)
        assert {k: v for k, v in json.loads(a).items() if k in compared} == pytest.approx(
            {k: v for k, v in values.items() if k in compared}, abs=1e-6
        )


def test_checkpoints_that_cannot_be_resumed_from_are_refused(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    trainer = stages.sft(tiny_model(), dialogues)
    with pytest.raises(CheckpointError) as error:
        trainer.train(resume_from_checkpoint=True)
    assert str(error.value) == (
        f"resume_from_checkpoint: {stages.folder} holds no complete checkpoint; leave it out to start anew"
    )
    with pytest.raises(CheckpointError) as error:
        trainer.train(resume_from_checkpoint=str(tmp_path))
    assert str(error.value) == (
        f"resume_from_checkpoint: {tmp_path} is no complete checkpoint (it has no trainer_state.json); name another one"
    )


def test_nothing_to_train_on_is_an_error(stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]) -> None:
    with pytest.raises(DataError, match=r"^SFTTrainer: train data: nothing is left to train on; left out 16 longer"):
        stages.sft(tiny_model(), dialogues, max_length=4)
    with pytest.raises(DataError) as error:
        stages.sft(tiny_model(), None).train()
    assert str(error.value) == "SFTTrainer: train_dataset: is missing; give it the data to train on"
    with pytest.raises(DataError, match=r"dataloader_drop_last: leaves nothing of 2 items \(a step holds 8\); set it"):
        stages.sft(tiny_model(), dialogues[:2], dataloader_drop_last=True).train()
