"""Settings of the stages: the fields of the transformers `TrainingArguments` and those of turnpoint.

Field names are those of TRL where it has the setting. Every field is checked when the object is made; a setting that
cannot be honoured is a `ConfigError`.
"""

import math
import sys
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self, get_args

import torch
from transformers import TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations
from transformers.trainer_utils import IntervalStrategy

from turnpoint.data.split import StagePart
from turnpoint.errors import ConfigError
from turnpoint.objectives import COEFFICIENTS, DIVERGENCES, LOSSES, REDUCTIONS, LossFact, Objective
from turnpoint.template import Overflow
from turnpoint.training.of_trl import NOTHING_LEFT, REFUSED, ArgumentsOfTRL

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
    "model_init_kwargs",
    "trust_remote_code",
    *NOTHING_LEFT,
    *REFUSED,
)


@dataclass
class StageConfig(TrainingArguments):
    """What all stages have in common. `SFTConfig`, `RewardConfig` and `DPOConfig` are what a user makes."""

    part: ClassVar[StagePart]  # of a data set that stages share

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
    data_split: list[int] | None = field(
        default=None,
        metadata={
            "help": "Shares of the dialogues for SFT, reward model and DPO, such as 5,0,5: the stage trains on its own,"
            " told by a hash of each dialogue, so that no two stages see one. Default: unset, the stage takes all."
        },
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
    router_aux_loss_coef: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the auxiliary loss that balances experts; sequences run one by one with it. Default: the"
            " model's own where its configuration sets output_router_logits, else none."
        },
    )
    model_init_kwargs: Any = field(
        default=None,
        metadata={"help": "Options of `turnpoint.models.load_model` for a model given by name, a dict. Default: none."},
    )
    trust_remote_code: Any = field(
        default=None, metadata={"help": "Run Python code that comes with a model given by name. Default: False."}
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
        self._check_split()
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

    def _check_split(self) -> None:
        shares = self.data_split
        if shares is None:
            return
        stages = [name.value for name in StagePart]
        if len(shares) != len(stages) or not all(isinstance(each, int) and each >= 0 for each in shares):
            rule = f"must be a whole number from 0 for each of {', '.join(stages)}"
            raise self._fault("data_split", rule, "write 5,0,5")
        if not shares[stages.index(self.part)]:
            raise self._fault(
                "data_split", f"leaves nothing for {self.part}", "give this stage a share, or leave it out"
            )

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

    part = StagePart.SFT

    learning_rate: float = field(
        default=2e-5, metadata={"help": "Peak learning rate. Default: 2e-5; with LoRA 1e-4 to 2e-4 is usual."}
    )


@dataclass
class PairsConfig(StageConfig):
    """What the stages have in common that train on preference pairs."""

    label_smoothing: float = field(
        default=0.0, metadata={"help": "Share of pairs taken to be labelled the wrong way round, [0, 0.5). Default: 0."}
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

    def _check(self) -> None:
        super()._check()
        self._check_choice("group_by", GROUP_BY)

    def check_stream(self) -> None:
        """As for all stages; and what needs to know all pairs before the first step."""
        super().check_stream()
        if self.group_by != "none":
            raise self._fault("group_by", "a stream keeps the order in which it comes", "leave it out")


@dataclass
class RewardConfig(ArgumentsOfTRL, PairsConfig):
    """Settings of `RewardTrainer`."""

    part = StagePart.REWARD

    learning_rate: float = field(
        default=1e-5, metadata={"help": "Peak learning rate. Default: 1e-5; with LoRA 1e-4 is usual."}
    )
    margin: float = field(
        default=0.0,
        metadata={
            "help": "Lead that the chosen score must have, in units of the score; a pair's own margin takes its place."
            " Default: 0."
        },
    )
    center_rewards_coefficient: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the square of the sum of both scores, which draws their mean to 0; 0.01 is usual."
            " Default: it is left alone."
        },
    )

    def _check(self) -> None:
        super()._check()
        self.explain(self._name)
        if not 0 <= self.label_smoothing < 0.5:
            raise self._fault("label_smoothing", "must lie in [0, 0.5)", "use 0.1 for noisy labels")
        if not math.isfinite(self.margin):
            raise self._fault("margin", "must be a finite number", "leave it out for 0")
        if not 0 <= (self.center_rewards_coefficient or 0) < math.inf:
            raise self._fault("center_rewards_coefficient", "must be a number from 0", "0.01 is usual")
        if self.token_metrics:
            raise self._fault("token_metrics", "a reward is one number of a sequence", "leave it out")


def _described(fact: LossFact) -> str:
    """A line on a loss: what it is, its usual beta, whether it reads a reference."""
    beta = "" if fact.beta == "none" else f"; beta {fact.beta}"
    return fact.about + beta + ("" if fact.needs_reference else "; no reference")


@dataclass
class DPOConfig(ArgumentsOfTRL, PairsConfig):
    """Settings of `DPOTrainer`."""

    part = StagePart.DPO

    learning_rate: float = field(
        default=1e-6, metadata={"help": "Peak learning rate. Default: 1e-6; with LoRA 1e-5 is usual."}
    )
    loss_type: str | list[str] = field(
        default="sigmoid",
        metadata={
            "help": "Loss of a pair; several, with commas between them, add up; your own is package.module:function."
            " Default: sigmoid.",
            "values": {name: _described(fact) for name, fact in LOSSES.items()},
        },
    )
    loss_weights: list[float] | None = field(
        default=None, metadata={"help": "Weight of each of several losses. Default: 1 each."}
    )
    reduction: str | None = field(
        default=None,
        metadata={
            "help": "How the log-probs of a side become its score: sum (DPO), mean (per token), dmpo, diatool."
            " Default: the loss's own, mean for ipo, sigmoid_norm, simpo and orpo, sum for the others.",
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
        metadata={
            "help": "Lead that the chosen score must have, nats, inside beta; a pair's own margin takes its place."
            " Default: 0.5 for diatool and simpo, else 0."
        },
    )
    f_divergence_type: str = field(
        default="reverse_kl",
        metadata={
            "help": "Divergence that holds the policy to the reference: reverse_kl (DPO), forward_kl, js_divergence,"
            " alpha_divergence. Default: reverse_kl.",
            "choices": tuple(DIVERGENCES),
        },
    )
    f_alpha_divergence_coef: float | None = field(
        default=None, metadata={"help": "Alpha of alpha_divergence. Default: 0.5."}
    )
    ld_alpha: float | None = field(
        default=None,
        metadata={"help": "Weight in [0, 1] of the tokens of the longer side beyond the shorter (LD-DPO). Default: 1."},
    )
    rpo_alpha: float | None = field(
        default=None, metadata={"help": "Adds the loss sft with this weight (RPO). Default: it is not added."}
    )
    use_weighting: bool = field(
        default=False,
        metadata={"help": "Weigh each pair by how likely its sides are under the policy (WPO). Default: False."},
    )
    discopop_tau: float | None = field(default=None, metadata={"help": "Temperature of discopop. Default: 0.05."})
    dpop_lambda: float | None = field(
        default=None, metadata={"help": "Price in dpop of a chosen side that becomes less likely. Default: 50."}
    )
    cpo_alpha: float | None = field(default=None, metadata={"help": "Weight of the SFT part of cpo. Default: 1."})
    slic_lambda: float | None = field(default=None, metadata={"help": "Weight of the SFT part of slic. Default: 1."})
    turns_from: str = field(
        default="fork",
        metadata={
            "help": "Which turns the reductions dmpo and diatool count and score: those from where the sides part"
            " (fork), or those of the shared prompt too (dialogue, as in the DiaTool-DPO code). Default: fork.",
            "choices": TURNS_FROM,
        },
    )
    precompute_ref_log_probs: bool | None = field(
        default=None,
        metadata={
            "help": "Compute the reference's log-probs of all pairs once before training, instead of at each step."
            " Default: True where a step would need a second model in memory (full fine-tuning), False where the"
            " reference is the model with its adapter off or with another one, moves, or a ref_model is given."
        },
    )
    generate_during_eval: bool = field(
        default=False,
        metadata={
            "help": "At each evaluation write replies to the first prompts of eval_dataset into samples.jsonl."
            " Default: False."
        },
    )
    model_adapter_name: str | None = field(
        default=None, metadata={"help": "Adapter to train, of a model with several. Default: the one that is on."}
    )
    ref_adapter_name: str | None = field(
        default=None, metadata={"help": "Adapter that makes the model its own reference. Default: see ref_model."}
    )
    sync_ref_model: bool = field(
        default=False, metadata={"help": "Let the reference follow the policy (TR-DPO). Default: False."}
    )
    ref_model_mixup_alpha: float = field(
        default=0.6, metadata={"help": "Share of the policy in the reference that follows it, (0, 1]. Default: 0.6."}
    )
    ref_model_sync_steps: int = field(
        default=512, metadata={"help": "Optimiser steps after which the reference follows. Default: 512."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        objective = self.objective
        if self.turns_from == "dialogue" and not objective.by_turn:
            by_turn = " or ".join(name for name, fact in REDUCTIONS.items() if fact.by_turn)
            raise self._fault(
                "turns_from",
                f"reduction {objective.terms[0].reduction!r} scores the turns after the fork only",
                f"use reduction {by_turn}, or fork",
            )
        if self.use_weighting and any(term.loss.sorts for term in objective.terms):
            raise self._fault(
                "use_weighting", f"loss {self.loss_type!r} sorts pairs, so none can be weighed", "leave it"
            )
        for name in ("generate_during_eval", "use_weighting"):
            if objective.rated and getattr(self, name):
                raise self._fault(name, "rated completions hold no pair", "leave it out")
        for name in ("group_by", "turns_from"):
            if objective.rated and getattr(self, name) == "dialogue":
                raise self._fault(name, "rated completions stand alone", "leave it out")
        self._check_reference(objective)

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
                loss_weights=self.loss_weights,
                f_divergence_type=self.f_divergence_type,
                f_alpha_divergence_coef=self.f_alpha_divergence_coef,
                ld_alpha=self.ld_alpha,
                rpo_alpha=self.rpo_alpha,
                coefficients={name: getattr(self, name) for name in COEFFICIENTS if getattr(self, name) is not None},
            )
        except ConfigError as error:
            raise ConfigError(f"{self._name}: {str(error).removeprefix('objective: ')}") from None

    def _check(self) -> None:
        super()._check()
        self.explain(self._name)
        self._check_choice("turns_from", TURNS_FROM)
        if not 0 < self.ref_model_mixup_alpha <= 1:
            raise self._fault("ref_model_mixup_alpha", "must lie in (0, 1]", "0.6 is usual")
        if self.ref_model_sync_steps < 1:
            raise self._fault("ref_model_sync_steps", "must be at least 1", "512 is usual")

    def _check_reference(self, objective: Objective) -> None:
        """Refuse settings of a reference that is not there, or that exclude each other."""
        for name in ("precompute_ref_log_probs", "sync_ref_model", "ref_adapter_name"):
            if getattr(self, name) and not objective.needs_reference:
                raise self._fault(name, f"loss {self.loss_type!r} reads no reference", "leave it out")
        for name in ("ref_model_mixup_alpha", "ref_model_sync_steps"):
            if not self.sync_ref_model and getattr(self, name) != self.__dataclass_fields__[name].default:
                raise self._fault(name, "has no effect without sync_ref_model", "set sync_ref_model: true")
        if self.sync_ref_model and self.precompute_ref_log_probs:
            raise self._fault(
                "sync_ref_model",
                "log-probs that are computed once before training cannot follow",
                "leave out sync_ref_model or precompute_ref_log_probs",
            )

    def check_stream(self) -> None:
        """As for all stages; and what needs to know all pairs before the first step."""
        super().check_stream()
        if self.precompute_ref_log_probs:
            raise self._fault("precompute_ref_log_probs", "a stream is not known before training", "leave it out")

    def resolved(self) -> dict[str, Any]:
        """Every field with the value that is in force; those of a single loss as they are in its row of the table."""
        values = super().resolved()
        terms = self.objective.terms
        if len(terms) > 1:
            return values
        [term] = terms
        in_force: dict[str, Any] = {"reduction": term.reduction}
        in_force |= {"gamma": term.gamma} if term.reduction_fact.gamma is not None else {}
        in_force |= {"margin": term.margin} if term.loss.margin else {}
        in_force |= {term.loss.coefficient.name: term.coefficient} if term.loss.coefficient else {}
        return values | in_force
