"""The run folder: what a finished run leaves, and how it is written so that nothing half-written looks finished."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from safetensors import SafetensorError

from turnpoint.errors import CheckpointError
from turnpoint.training.data_report import DataReport
from turnpoint.training.model_card import RunFacts, model_card

# Without these a folder is no model to any loader; they go first and come last.
_MARKS = ("config.json", "adapter_config.json")
# What an earlier save may have left of a model, an adapter or a tokenizer.
_OF_A_MODEL = (
    "model*.safetensors*",
    "pytorch_model*.bin*",
    "adapter_model*",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
)
_TORCH_WRITER = ("inline_container", "PytorchStreamWriter")  # named in the RuntimeError of torch.save on a full disk
_STATE = "trainer_state.json"  # the last file of a checkpoint that transformers writes


def write_reports(folder: Path, facts: RunFacts, report: DataReport) -> None:
    """Write config.yaml, data_report.json and README.md into `folder`."""
    config = yaml.safe_dump({"model": facts.model} | facts.settings, sort_keys=False, allow_unicode=True)
    head = "# All settings of this run."
    if "dataset" in facts.settings:
        head += f" To repeat it: turnpoint {facts.stage} --config {facts.settings['output_dir']}/config.yaml"
    (folder / "config.yaml").write_text(f"{head}\n{config}", encoding="utf-8")
    (folder / "data_report.json").write_text(
        json.dumps(report.as_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "README.md").write_text(model_card(facts, report), encoding="utf-8")


def started_from(folder: Path) -> str | None:
    """The name of the model that the run of a folder started from; None where the folder does not say."""
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    name = config.get("model") if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


def keep_one_adapter(folder: Path, adapter: str) -> None:
    """Leave of the adapters that peft wrote into `folder` the one that was trained, where loaders look for it."""
    for other in [each.parent for each in folder.glob("*/adapter_config.json")]:
        if other.name == adapter:
            for file in other.iterdir():
                os.replace(file, folder / file.name)
        shutil.rmtree(other)


def make_output_folder(output_dir: str) -> None:
    """Make the run folder.

    Raises:
        CheckpointError: it cannot be made.
    """
    try:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"output_dir: {output_dir} cannot be made ({error.strerror}); name another one") from None


@contextmanager
def written_aside(folder: Path, *, main: bool, wait: Callable[[], None]) -> Iterator[Path]:
    """A scratch folder whose files are moved into `folder` when all are written.

    Args:
        folder: where the files end up. A new model replaces the one it holds; what else is there stays.
        main: whether this process writes; the others only take part in gathering weights.
        wait: waits for all processes.

    Raises:
        CheckpointError: the files cannot be written; nothing of them is left.
    """
    aside = folder / ".saving"
    try:
        if main:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
        wait()
        yield aside
        if main:
            _make_readable(aside)
            if any((aside / mark).exists() for mark in _MARKS):
                _remove_model(folder)
            for file in sorted(aside.iterdir(), key=lambda file: (file.name in _MARKS, file.name)):
                _move(file, folder / file.name)
    except (OSError, SafetensorError, RuntimeError) as error:
        _raise_disk_fault(folder, error)
        raise
    finally:
        if main:
            shutil.rmtree(aside, ignore_errors=True)
    wait()


@contextmanager
def removed_on_failure(folder: Path, *, main: bool) -> Iterator[None]:
    """Remove `folder`, a checkpoint, if writing it fails.

    Raises:
        CheckpointError: it cannot be written; nothing of it is left.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if main:
            shutil.rmtree(folder, ignore_errors=True)
        _raise_disk_fault(folder, error)
        raise


def checkpoint_to_resume(wanted: str | bool, output_dir: str) -> str:
    """The folder to resume from: the one named, or the last complete checkpoint of the run folder.

    Raises:
        CheckpointError: there is none.
    """
    if isinstance(wanted, str):
        if not (Path(wanted) / _STATE).is_file():
            raise CheckpointError(
                f"resume_from_checkpoint: {wanted} is no complete checkpoint (it has no {_STATE}); name another one"
            )
        return wanted
    last = last_checkpoint(output_dir)
    if last is None:
        raise CheckpointError(
            f"resume_from_checkpoint: {output_dir} holds no complete checkpoint; leave it out to start anew"
        )
    return str(last)


def last_checkpoint(output_dir: str) -> Path | None:
    """The last complete checkpoint of a run folder."""
    complete = [state.parent for state in Path(output_dir).glob(f"checkpoint-*/{_STATE}")]
    return max(complete, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def remove_checkpoints(output_dir: str) -> int:
    """Remove the checkpoints of a run folder, complete or not, and count them."""
    found = [folder for folder in Path(output_dir).glob("checkpoint-*") if folder.is_dir()]
    for folder in found:
        shutil.rmtree(folder)
    return len(found)


def _make_readable(folder: Path) -> None:
    """Give files the mode that the umask asks for; safetensors writes them for their owner alone."""
    mode = folder.stat().st_mode & 0o666
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)


def _remove_model(folder: Path) -> None:
    """Remove the files of the model in `folder`, so that no loader can mix them with new ones."""
    for pattern in (*_MARKS, *_OF_A_MODEL):
        for file in folder.glob(pattern):
            if file.is_file():
                file.unlink()


def _move(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(source, target)


def _raise_disk_fault(folder: Path, error: Exception) -> None:
    """Raise the one line for a disk that is full or not writable; do nothing if that is not what failed."""
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    if isinstance(error, RuntimeError):
        if not any(name in reason for name in _TORCH_WRITER):
            return
        reason = "torch could not write the whole of a file"
    raise CheckpointError(
        f"{folder}: cannot be written ({reason}); free some space or name another output_dir;"
        " nothing half-written was left there"
    ) from error
