"""Settings of the stages: the fields of the transformers `TrainingArguments` and those of turnpoint.

Field names are those of TRL where it has the setting. Every field is checked when the object is made; a setting that
cannot be honoured is a `ConfigError`.
"""

import sys
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, get_args

import torch
from transformers import TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations
from transformers.trainer_utils import IntervalStrategy

from turnpoint.errors import ConfigError
from turnpoint.objectives import REDUCTIONS, Objective
from turnpoint.template import Overflow

OVERFLOWS: tuple[str, ...] = get_args(Overflow)
TURNS_FROM = ("fork", "dialogue")
GROUP_BY = ("none", "dialogue")
SAMPLING = ("random", "sequential")
_MOST_SEED = 2**32 - 1  # numpy's
_AT_LEAST_ONE = (
    "max_length",
    "max_tokens_per_row",
    "dataset_num_proc",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "torch_empty_cache_steps",
)
# Settings of a loader that reads, converts and copies batches; here they come as token ids.
_OF_THE_LOADER = (
    "dataloader_num_workers",
    "dataloader_prefetch_factor",
    "dataloader_persistent_workers",
    "dataloader_pin_memory",
)
# A secret, what belongs to one start of a run, objects that YAML does not hold, and deprecated names of other fields.
_NOT_WRITTEN = (
    "hub_token",
    "resume_from_checkpoint",
    "local_rank",
    "parallelism_config",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
)


@dataclass
class StageConfig(TrainingArguments):
    """What all stages have in common. `DPOConfig` and `SFTConfig` are what a user makes."""

    output_dir: str | None = field(
        default="turnpoint_output",
        metadata={"help": "Run folder: model, checkpoints, metrics and reports. Default: turnpoint_output."},
    )
    num_train_epochs: float = field(
        default=1.0, metadata={"help": "Passes over the data, unless max_steps is set. Default: 1."}
    )
    logging_steps: float = field(
        default=10, metadata={"help": "Log every so many optimiser steps; below 1, a share of all steps. Default: 10."}
    )
    logging_nan_inf_filter: bool = field(
        default=False,
        metadata={"help": "Hide losses that are not finite from the logged mean. Default: False, they are shown."},
    )
    report_to: str | list[str] | None = field(
        default="none", metadata={"help": "Trackers that get the logs, such as tensorboard or wandb. Default: none."}
    )
    disable_tqdm: bool | None = field(
        default=None, metadata={"help": "No progress bars. Default: bars on a terminal, none elsewhere."}
    )
    resume_from_checkpoint: str | bool | None = field(
        default=None,
        metadata={
            "help": "Folder of a checkpoint to go on from, or true for the last complete one of the run folder."
            " Default: unset, the run starts anew."
        },
    )
    use_cpu: bool = field(
        default=False, metadata={"help": "Leave GPUs alone. Default: False, a GPU is used where there is one."}
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Kept for scripts of transformers; columns are read by name here."}
    )
    dataloader_pin_memory: bool = field(
        default=False, metadata={"help": "Refused: a batch is a list of token ids. Default: False."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=False,
        metadata={"help": "Look for parameters that a row does not use, at a cost. Default: False; True for experts."},
    )
    max_length: int | None = field(
        default=2048,
        metadata={
            "help": "Longest sequence, tokens; `overflow` says what happens to longer ones. Default: 2048;"
            " null: no limit."
        },
    )
    overflow: Overflow = field(
        default="drop",
        metadata={
            "help": "What to do with a sequence longer than max_length: drop (leave out and count), trim_history"
            " (remove the oldest exchanges of the shared prompt), keep_start (cut the end), error. Default: drop.",
            "choices": OVERFLOWS,
        },
    )
    truncation_mode: str | None = field(
        default=None,
        metadata={"help": "TRL's name for `overflow`: keep_start is taken, keep_end is refused. Default: unset."},
    )
    dataset_num_proc: int | None = field(
        default=None,
        metadata={
            "help": "Processes that read and tokenise the data. Default: one for each core, from about 1000 rows on;"
            " one for a stream. Changes no token."
        },
    )
    max_tokens_per_row: int | None = field(
        default=None,
        metadata={
            "help": "Tokens of the token tree that one forward pass may hold; bounds memory, changes no update."
            " Default: 1536 on CPU, where rows that share little stop at 512, 8192 on a GPU; a longer pair or dialogue"
            " gets a row of its own."
        },
    )
    token_metrics: bool = field(
        default=False,
        metadata={
            "help": "Log what the scored tokens tell beside their log-probs: entropy (nats), the share that is the"
            " model's likeliest and, for dpo, the mean logit of each side. Costs a look at all logits. Default: False."
        },
    )
    disable_dropout: bool = field(
        default=True, metadata={"help": "Set every dropout of the model to 0. Default: True."}
    )

    def __post_init__(self) -> None:
        self._of_this_machine: set[str] = set()
        if self.disable_tqdm is None:
            self.disable_tqdm = not sys.stderr.isatty()
            self._of_this_machine.add("disable_tqdm")
        if not self.use_cpu and not torch.accelerator.is_available():
            self.use_cpu = True
            self._of_this_machine.add("use_cpu")
        self._check()
        super().__post_init__()

    @property
    def pairs_per_step(self) -> int:
        """Pairs (or dialogues) that one process adds to an optimiser step."""
        return int(self.per_device_train_batch_size * self.gradient_accumulation_steps)

    def with_one_batch_a_step(self) -> Self:
        """The settings that the transformers Trainer gets: its batch is a whole step, so it accumulates nothing.

        Made anew, not changed, so that a DeepSpeed configuration is filled in with these numbers.
        """
        numbers: dict[str, Any] = {
            "per_device_train_batch_size": self.pairs_per_step,
            "gradient_accumulation_steps": 1,
        }
        return replace(self, **numbers)

    def _check(self) -> None:
        """Refuse what cannot be honoured.

        Raises:
            ConfigError: one line: field, rule, value, fix.
        """
        if self.truncation_mode == "keep_end":
            raise ConfigError(
                f"{self._name}: truncation_mode: would cut the start of the prompt, tools included (got 'keep_end');"
                " use overflow: trim_history, which removes the oldest exchanges whole, or overflow: drop"
            )
        if self.truncation_mode not in (None, "keep_start"):
            raise self._fault("truncation_mode", "must be keep_start or unset", "use `overflow`")
        if self.truncation_mode == "keep_start":
            self.overflow, self.truncation_mode = "keep_start", None
        self._check_choice("overflow", OVERFLOWS)
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise self._fault(name, "must be at least 1", "leave it out for the default")
        if self.learning_rate < 0:
            raise self._fault("learning_rate", "must not be negative", "leave it out for the default")
        if not 0 <= self.seed <= _MOST_SEED:
            raise self._fault("seed", f"must be in 0 … {_MOST_SEED}", "leave it out for the default")
        if self.max_steps < 1 and self.max_steps != -1:
            raise self._fault("max_steps", "must be at least 1, or -1 for num_train_epochs", "leave it out")
        if self.max_steps == -1 and self.num_train_epochs <= 0:
            raise self._fault("num_train_epochs", "must be above 0", "leave it out for the default")
        self._check_trainer_settings()

    def _check_trainer_settings(self) -> None:
        """Settings of the transformers Trainer that the executor of turnpoint has no room for."""
        if self.fp16 and self.use_cpu:
            raise self._fault("fp16", "float16 autocast needs a GPU", "use bf16: true, or neither for float32")
        if self.label_smoothing_factor:
            raise self._fault("label_smoothing_factor", "smooths classes, which no stage has", "use label_smoothing")
        if self.auto_find_batch_size:
            raise self._fault(
                "auto_find_batch_size", "would change the update", "lower max_tokens_per_row, which does not"
            )
        if self.include_num_input_tokens_seen not in (False, "no"):
            raise self._fault(
                "include_num_input_tokens_seen", "is not counted", "read tokens_per_second, which is logged always"
            )
        if getattr(self, "train_sampling_strategy", "random") not in SAMPLING:
            raise self._fault(
                "train_sampling_strategy",
                f"must be one of {', '.join(SAMPLING)}",
                "rows are packed by their tokens whatever the order is",
            )
        for name in _OF_THE_LOADER:
            if getattr(self, name):
                raise self._fault(name, "has nothing to do, items come as token ids", "leave it out")
        how = self.activation_checkpointing_kwargs
        if self.use_cpu and isinstance(how, dict) and how.get("offload"):
            raise self._fault("activation_checkpointing_kwargs", "offload needs a GPU to move from", "leave it out")
        self._check_trackers()
        if getattr(self, "parallelism_config", None) is not None:
            raise self._fault("parallelism_config", "splits sequences, which the token tree cannot", "leave it out")

    def _check_trackers(self) -> None:
        named = self.report_to if isinstance(self.report_to, list) else [self.report_to]
        installed = get_available_reporting_integrations()
        if not set(named) <= {None, "none", "all", *installed}:
            raise self._fault(
                "report_to",
                f"must name installed trackers: {', '.join(installed) or 'there is none'}",
                "install it, or leave it out: metrics.jsonl holds all logs",
            )

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            raise self._fault(name, f"must be one of {', '.join(choices)}", f"the default is {choices[0]}")

    def _fault(self, name: str, rule: str, fix: str) -> ConfigError:
        return ConfigError(f"{self._name}: {name}: {rule} (got {getattr(self, name)!r}); {fix}")

    def check_beside(self, peft_config: Any, eval_dataset: Any) -> None:
        """Refuse settings that do not go with the adapter and the data that a trainer is given beside them.

        Raises:
            ConfigError: one line: field, rule, value, fix.
        """
        strategy = IntervalStrategy(self.eval_strategy)
        if strategy != IntervalStrategy.NO and eval_dataset is None:
            raise ConfigError(
                f"{self._name}: eval_strategy: needs data to evaluate on (got {strategy.value!r}); give eval_dataset,"
                " or leave it out"
            )
        dropped = {name: p for name, p in vars(peft_config).items() if "dropout" in name and p} if peft_config else {}
        for name, p in dropped.items():
            if self.disable_dropout:
                raise ConfigError(
                    f"peft_config: {name}: disable_dropout sets it to 0 (got {p!r}); set {name} to 0, or"
                    " disable_dropout: false"
                )

    def check_stream(self) -> None:
        """Refuse settings that do not go with data that is used as it comes.

        Raises:
            ConfigError: one line: field, rule, value, fix.
        """
        if self.max_steps < 1:
            raise ConfigError(
                f"{self._name}: max_steps: is needed for a stream, which has no known end; set it to the optimiser"
                " steps you want"
            )

    @property
    def _name(self) -> str:
        return type(self).__name__

    def resolved(self) -> dict[str, Any]:
        """The settings in force, defaults included, as plain values for YAML that make the same settings.

        A field that is unset by default and unset here is left out, and so is what only this machine decided.
        """
        values: dict[str, Any] = self.to_dict()
        unset = {item.name for item in fields(self) if item.default is None and values.get(item.name) is None}
        return {
            name: value for name, value in values.items() if name not in {*_NOT_WRITTEN, *unset, *self._of_this_machine}
        }


@dataclass
class SFTConfig(StageConfig):
    """Settings of `SFTTrainer`: the loss is a mean over the scored tokens of a step."""

    learning_rate: float = field(
        default=2e-5, metadata={"help": "Peak learning rate. Default: 2e-5; with LoRA 1e-4 to 2e-4 is usual."}
    )


@dataclass
class DPOConfig(StageConfig):
    """Settings of `DPOTrainer`."""

    learning_rate: float = field(
        default=1e-6, metadata={"help": "Peak learning rate. Default: 1e-6; with LoRA 1e-5 is usual."}
    )
    loss_type: str = field(default="sigmoid", metadata={"help": "Loss of a pair. Default: sigmoid."})
    reduction: str = field(
        default="sum",
        metadata={
            "help": "How the log-probs of a side become its score: sum (DPO), mean (per token), dmpo, diatool."
            " Default: sum.",
            "choices": tuple(REDUCTIONS),
        },
    )
    beta: float = field(
        default=0.1, metadata={"help": "How strongly the policy is held to the reference, 1 / nats. Default: 0.1."}
    )
    gamma: float | None = field(
        default=None,
        metadata={"help": "Turn discount in [0, 1] of dmpo and diatool. Default: 0.7 for dmpo, 0.5 for diatool."},
    )
    margin: float | None = field(
        default=None,
        metadata={"help": "Lead that the chosen score must have, nats, inside beta. Default: 0.5 for diatool, else 0."},
    )
    label_smoothing: float = field(
        default=0.0, metadata={"help": "Share of pairs taken to be labelled the wrong way round, [0, 0.5). Default: 0."}
    )
    turns_from: str = field(
        default="fork",
        metadata={
            "help": "Which turns the reductions dmpo and diatool count and score: those from where the sides part"
            " (fork), or those of the shared prompt too (dialogue, as in the DiaTool-DPO code). Default: fork.",
            "choices": TURNS_FROM,
        },
    )
    group_by: str = field(
        default="none",
        metadata={
            "help": "Which pairs share a step: any, as the sampling strategy puts them (none), or those of one dialogue"
            " or prompt one after the other, so that what they share in a row is computed once (dialogue)."
            " Default: none.",
            "choices": GROUP_BY,
        },
    )
    precompute_ref_log_probs: bool | None = field(
        default=None,
        metadata={
            "help": "Compute the reference's log-probs of all pairs once before training, instead of at each step."
            " Default: True where a step would need a second model in memory (full fine-tuning), False where the"
            " reference is the model with its adapter off or a ref_model is given."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        objective = self.objective
        if self.turns_from == "dialogue" and not objective.reduction_fact.by_turn:
            by_turn = " or ".join(name for name, fact in REDUCTIONS.items() if fact.by_turn)
            raise self._fault(
                "turns_from",
                f"reduction {self.reduction!r} scores the turns after the fork only",
                f"use reduction {by_turn}, or fork",
            )

    @property
    def objective(self) -> Objective:
        """The objective that these settings describe."""
        try:
            return Objective(
                loss_type=self.loss_type,
                reduction=self.reduction,
                beta=self.beta,
                gamma=self.gamma,
                margin=self.margin,
                label_smoothing=self.label_smoothing,
            )
        except ConfigError as error:
            raise ConfigError(f"{self._name}: {str(error).removeprefix('objective: ')}") from None

    def _check(self) -> None:
        super()._check()
        self._check_choice("turns_from", TURNS_FROM)
        self._check_choice("group_by", GROUP_BY)

    def check_stream(self) -> None:
        """As for all stages; and what needs to know all pairs before the first step."""
        super().check_stream()
        if self.precompute_ref_log_probs:
            raise self._fault("precompute_ref_log_probs", "a stream is not known before training", "leave it out")
        if self.group_by != "none":
            raise self._fault("group_by", "a stream keeps the order in which it comes", "leave it out")

    def resolved(self) -> dict[str, Any]:
        """Every field with the value that is in force, gamma and margin of the reduction included."""
        objective = self.objective
        return super().resolved() | {"gamma": objective.gamma, "margin": objective.margin}
