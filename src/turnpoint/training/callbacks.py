"""Callbacks of the transformers Trainer: metrics into a file, the last ones too; progress onto the terminal."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from turnpoint.errors import CheckpointError
from turnpoint.progress import tell

logger = logging.getLogger(__name__)

_SHOWN = ("loss", "rewards/margins", "rewards/accuracies", "eval_loss")


class MetricsFile(TrainerCallback):
    """Appends each log to `metrics.jsonl` of the run folder, one JSON object a line.

    A run that starts anew replaces the file; one that resumes keeps the lines up to the step it resumes from.
    """

    def __init__(self) -> None:
        self._opened = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the file."""
        if state.is_world_process_zero:
            with _disk_faults(args):
                self._open(args, state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a line."""
        if not state.is_world_process_zero or not logs:
            return
        with _disk_faults(args), self._open(args, state).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": state.global_step} | logs) + "\n")
        shown = ", ".join(f"{name} {logs[name]:.4g}" for name in _SHOWN if name in logs)
        if args.disable_tqdm and shown:
            tell(logger, f"step {state.global_step} of {state.max_steps}: {shown}")

    def _open(self, args: TrainingArguments, state: TrainerState) -> Path:
        file = Path(args.output_dir) / "metrics.jsonl"
        if not self._opened:
            self._opened = True
            kept = _lines_up_to(file, state.global_step) if state.global_step else []
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(kept), encoding="utf-8")
        return file


class LastLog(TrainerCallback):
    """Logs the steps since the last log when training ends."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an optimiser step."""
        if control.should_training_stop and args.logging_strategy != "no":
            control.should_log = True

    on_epoch_end = on_step_end  # an evaluation may end training too


class ProgressBar(ProgressCallback):
    """The bar of transformers, with the metrics on it instead of on standard output."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest metrics behind the bar."""
        if self.training_bar is not None and logs:
            self.training_bar.set_postfix({name: f"{logs[name]:.4g}" for name in _SHOWN if name in logs})


@contextmanager
def _disk_faults(args: TrainingArguments) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{args.output_dir}: metrics.jsonl cannot be written ({error.strerror}); free some space, then go on"
            " from the last checkpoint with resume_from_checkpoint: true"
        ) from error


def _lines_up_to(file: Path, step: int) -> list[str]:
    """The lines of `file` up to a step, without a last one that a full disk cut short."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
