"""The stage dpo: preference pairs, a reference, an objective."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from peft import PeftModel
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights
from torch import Tensor, nn
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations import is_deepspeed_zero3_enabled

from turnpoint.cache import cache_folder
from turnpoint.errors import CheckpointError, ConfigError
from turnpoint.evaluation.preferences import length_bias
from turnpoint.models import load_model
from turnpoint.training.configs import DPOConfig, StageConfig
from turnpoint.training.device import attend_as_fits
from turnpoint.training.dpo_stage import TOKEN_METRICS, DPOStage, PairFacts, RunningMean
from turnpoint.training.executor import Tally
from turnpoint.training.health import Health
from turnpoint.training.pair_examples import PairExample, PairExamples, RatedExamples
from turnpoint.training.pair_trainer import PairTrainer, columns
from turnpoint.training.records import PAIRS, RATED, Examples, Kind, Tokenized
from turnpoint.training.reference import Reference, copied_adapter, frozen, frozen_copy, use_adapter
from turnpoint.training.reference_cache import Key, ReferenceCache, weights_hash
from turnpoint.training.samples import EvaluationSamples
from turnpoint.training.stream import Stream
from turnpoint.tree import evaluating

logger = logging.getLogger(__name__)

_STATE = "dpo_state.json"
_REFERENCE = "reference.safetensors"


class FollowPolicy(TrainerCallback):
    """Moves the reference towards the policy every so many optimiser steps (TR-DPO, arXiv 2404.09656)."""

    def __init__(self, reference: Reference, share: float, every: int) -> None:
        self.reference = reference
        self.share = share
        self.every = every

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """After an optimiser step."""
        if state.global_step % self.every == 0:
            self.reference.follow(model, self.share)


class DPOTrainer(PairTrainer[PairExample]):
    """Preference optimisation of a language model on pairs.

    Args:
        model: the policy: a causal language model, or a name that `turnpoint.models.load_model` knows.
        ref_model: the reference, or its name; None: the model as handed over. Nothing is kept in memory for it where
            the model gets a new adapter (the adapter is off for the reference) or where `precompute_ref_log_probs` is
            in force; a model that has an adapter already gets a frozen copy of it.
        args: settings.
        data_collator: a `DataCollatorForPreference`, which is not used: nothing is padded.
        train_dataset: pairs: a list of `PreferencePair`, a `datasets.Dataset`, a file, anything `data.load` takes; for
            the losses kto and bco dialogues with a label, such as rows of prompt, completion and label.
        eval_dataset: the same, or a dict of them by name.
        processing_class: the tokenizer; None loads that of the model.
        compute_metrics: gets an `EvalPrediction` with the rewards of chosen and rejected sides of an evaluation set,
            float64 [N, 2], and zeros [N] as labels, or with the rewards of rated completions [N] and whether they were
            liked [N]; returns metrics by name.
        callbacks: of transformers.
        optimizers: optimiser and schedule, instead of those the settings name.
        quantization_config: of transformers, for a model given by name.
        peft_config: trains a new adapter instead of the model; over the adapter that the model has, which is merged
            into its weights first, if it has one.

    Raises:
        ConfigError: settings that exclude each other.
        DataError: the data breaks a rule, or nothing is left to train on.
    """

    stage_name = "dpo"
    config: DPOConfig
    config_class = DPOConfig
    kind = PAIRS
    stage: DPOStage

    def __init__(
        self,
        model: PreTrainedModel | nn.Module | str,
        ref_model: nn.Module | str | None = None,
        args: DPOConfig | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
    ) -> None:
        self.ref_model: nn.Module | None = None if isinstance(ref_model, str) else ref_model
        super().__init__(
            model,
            args or DPOConfig(),
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
        )
        if isinstance(ref_model, str):
            self.ref_model = load_model(ref_model, **self._loading(ref_model))
        self._reference = self._make_reference()
        config = self.config
        self.stage = DPOStage(
            config.objective,
            None if self.precomputes else self._reference,
            tuple(TOKEN_METRICS) if config.token_metrics else (),
            config.use_weighting,
        )
        self.add_callback(Health)
        if config.generate_during_eval:
            self.add_callback(EvaluationSamples(self._first_evaluation_set().records, self.processing_class))
        if config.sync_ref_model:
            self.add_callback(self._follower())

    @property
    def precomputes(self) -> bool:
        """Whether the reference's log-probs are computed once, before training."""
        if not self.config.objective.needs_reference:
            return False
        if self.config.precompute_ref_log_probs is None:
            in_memory = self.ref_model is not None or self.new_adapter or self.config.ref_adapter_name is not None
            return not (in_memory or self.config.sync_ref_model or isinstance(self.train_dataset, Stream))
        return self.config.precompute_ref_log_probs

    def _start_policy(self, model: nn.Module) -> nn.Module:
        use_adapter(model, self.config.model_adapter_name, self.config.ref_adapter_name)
        return model

    def _make_reference(self) -> Reference | None:
        named = self.config.ref_adapter_name
        for other, given in (("ref_model", self.ref_model is not None), ("peft_config", self.new_adapter)):
            if named is not None and given:
                raise ConfigError(
                    f"DPOTrainer: ref_adapter_name: is one reference and {other} leads to another (got {named!r});"
                    " leave one of them out"
                )
        if not self.config.objective.needs_reference:
            if self.ref_model is not None:
                raise ConfigError(
                    f"DPOTrainer: ref_model: loss {self.config.loss_type!r} reads no reference; leave ref_model out"
                )
            return None
        if self.ref_model is not None:
            if self.ref_model is self.model:
                raise ConfigError(
                    "DPOTrainer: ref_model: is the model itself, which training moves; leave ref_model out for the"
                    " model as it is now"
                )
            reference = frozen(self.ref_model).to(self.args.device)
            attend_as_fits(reference, self.accelerator)
            return Reference(reference)
        if self.config.ref_adapter_name is not None:
            return Reference(adapter=self.config.ref_adapter_name)
        if self.new_adapter:
            return Reference()
        if self.precomputes:
            return None
        policy: nn.Module = self.model
        return (
            Reference(adapter=copied_adapter(policy))
            if isinstance(policy, PeftModel)
            else Reference(frozen_copy(policy))
        )

    def _first_evaluation_set(self) -> Examples[PairExample]:
        for each in self._evaluation_sets():
            return each
        raise ConfigError(
            "DPOConfig: generate_during_eval: needs prompts (got True); give eval_dataset, or leave it out"
        )

    def _follower(self) -> FollowPolicy:
        """What moves the reference.

        Raises:
            ConfigError: nothing can.
        """
        assert self._reference is not None
        if self.is_fsdp_enabled or is_deepspeed_zero3_enabled():
            raise ConfigError(
                "DPOTrainer: sync_ref_model: cannot mix weights that are sharded over processes (got True); use DDP, or"
                " ZeRO-1 or 2, or leave it out"
            )
        self._reference.check_can_follow(self.model)
        return FollowPolicy(self._reference, self.config.ref_model_mixup_alpha, self.config.ref_model_sync_steps)

    def _refuse_idle_columns(self, records: Tokenized) -> None:
        """Refuse weights and margins of pairs that the objective cannot honour.

        Raises:
            ConfigError: a column has no meaning in the objective.
        """
        counts, terms = columns(records), self.config.objective.terms
        sorting = next((term.name for term in terms if term.loss.sorts), None)
        if counts["weight"] and sorting:
            raise ConfigError(
                f"DPOTrainer: weight: loss {sorting!r} sorts the pairs of a step, so that none has a loss of its own to"
                f" weigh ({counts['weight']} of {len(records)} pairs of {records.facts.source} carry one); take the"
                " column out"
            )
        if counts["margin"] and not any(term.loss.margin for term in terms):
            raise ConfigError(
                f"DPOTrainer: margin: has no meaning in loss {self.config.loss_type!r} ({counts['margin']} of"
                f" {len(records)} pairs of {records.facts.source} carry one); take the column out"
            )

    @classmethod
    def kind_of(cls, config: StageConfig) -> Kind:
        """Pairs, or rated completions where the loss is for them."""
        assert isinstance(config, DPOConfig)
        return RATED if config.objective.rated else PAIRS

    def _examples(self, records: Tokenized) -> Examples[PairExample]:
        self._refuse_idle_columns(records)
        objective = self.config.objective
        if objective.rated:
            return RatedExamples(records, mismatched=objective.coupled, max_length=self.config.max_length)
        return PairExamples(records, from_fork=self.config.turns_from == "fork")

    def _models(self) -> list[nn.Module]:
        return [*super()._models(), *([] if self.ref_model is None else [self.ref_model])]

    def _before_run(self, sets: Sequence[Examples[PairExample]]) -> None:
        """Compute what the reference says of the pairs, if that is done once."""
        self.stage.shared, self.stage.chunked = self.executor.shared, self.executor.chunked
        missing = [each for each in cast(Sequence[PairExamples], sets) if each.reference is None]
        if not self.precomputes or not missing:
            return
        if self.trained and self._reference is None:
            raise ConfigError(
                "DPOTrainer: precompute_ref_log_probs: the reference's log-probs of this data set were not computed"
                " before training moved the model; pass it as eval_dataset to the trainer, or set"
                " precompute_ref_log_probs: false"
            )
        policy = self.accelerator.unwrap_model(self.model)
        reference = self._reference or Reference(model=policy)
        with evaluating(policy), reference.of(policy) as model:
            weights = weights_hash(model, adapter=self._reference != Reference())
            for each in missing:
                each.reference = self._precomputed(model, weights, each)

    def _after_step(self, tally: Tally) -> None:
        """Move the running mean of rewards, if a loss reads it."""
        objective = self.stage.objective
        if objective.shifted:
            facts = PairFacts(*torch.stack(self._everywhere(tally), -1).to(torch.float64))
            rewards = facts.chosen_reward if objective.rated else (facts.chosen_reward + facts.rejected_reward) / 2
            rewards = rewards[rewards.isfinite()]
            if len(rewards):
                self.stage.rewards.add(rewards.mean().item(), len(rewards))

    def _metrics_of_items(self, of_items: list[Tensor]) -> dict[str, float]:
        """How far the policy is from the reference per token, and how much of the margin is length."""
        if not of_items or not self.config.objective.needs_reference:
            return {}
        facts = PairFacts(*torch.stack(of_items, -1).to(torch.float64))
        tokens = facts.chosen_tokens + facts.rejected_tokens
        metrics = {
            "logratios/chosen": (facts.chosen_logratio.sum() / facts.chosen_tokens.sum()).item(),
            "kl": (facts.divergence.sum() / tokens.sum()).item(),
        }
        if self.config.objective.rated:
            return metrics | _rewards_of_rated(facts)
        margins, lengths = facts.chosen_reward - facts.rejected_reward, facts.chosen_tokens - facts.rejected_tokens
        bias = length_bias(margins.numpy(), lengths.numpy())
        return metrics if bias is None else metrics | {"length_bias": bias}

    def _judged(self, of_items: list[Tensor]) -> tuple[Tensor, Tensor]:
        """As for all pairs; of rated completions their rewards [N], and whether they were liked [N]."""
        facts = PairFacts(*torch.stack(of_items, -1).to(torch.float64))
        if self.config.objective.rated:
            return facts.chosen_reward, facts.liked
        return torch.stack([facts.chosen_reward, facts.rejected_reward], -1), torch.zeros_like(facts.liked)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """What else a run needs to go on: the running mean of rewards, and a reference that moves."""
        super()._save_optimizer_and_scheduler(output_dir)
        if not self.args.should_save:
            return
        (Path(output_dir) / _STATE).write_text(json.dumps(asdict(self.stage.rewards)), encoding="utf-8")
        if self.config.sync_ref_model and self._reference is not None and self._reference.model is not None:
            save_weights(self._reference.model, str(Path(output_dir) / _REFERENCE))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        state, weights = Path(checkpoint) / _STATE, Path(checkpoint) / _REFERENCE
        moves = self.config.sync_ref_model and self._reference is not None and self._reference.model is not None
        for file, needed in ((state, self.stage.objective.shifted), (weights, moves)):
            if needed and not file.exists():
                raise CheckpointError(
                    f"{checkpoint}: holds no {file.name}, which this run goes on from; it was saved with"
                    " save_only_model, so start anew, or resume from another"
                )
        if state.exists():
            self.stage.rewards = RunningMean(**json.loads(state.read_text(encoding="utf-8")))
        if moves:
            assert self._reference is not None
            assert self._reference.model is not None
            load_weights(self._reference.model, weights)

    def _precomputed(self, model: nn.Module, weights: str, pairs: "PairExamples") -> ReferenceCache:
        """What the reference says of the pairs, once all of it is in the cache."""
        dtype = next(model.parameters()).dtype
        autocast = {"fp16": "float16", "bf16": "bfloat16"}.get(self.accelerator.mixed_precision, dtype)
        facts = pairs.records.facts
        data = f"{facts.content} {pairs.key} {facts.settings.get('processor', '')}".rstrip()
        key = Key(weights, data, f"{autocast} over {dtype}")
        counts = pairs.counts()
        with self.accelerator.local_main_process_first():
            cache = ReferenceCache(cache_folder() / "reference", key, counts, dtype, facts.source)
        missing = np.unique(np.concatenate(gather_object([cache.missing()])))
        if len(missing) and cache.reason:
            logger.info("%s: log-probs of the reference are computed anew: %s", facts.source, cache.reason)
        for found in self._logprobs(model, pairs, missing):
            if self.accelerator.is_local_main_process:
                cache.add(found)
        self.accelerator.wait_for_everyone()
        assert not len(cache.missing()), "the pass computed everything, and a process of this machine wrote it down"
        return cache


def _rewards_of_rated(facts: PairFacts) -> dict[str, float]:
    """The metrics of pairs for completions that were liked (chosen) or not (rejected), as far as there are both."""
    liked = facts.liked > 0
    accuracy = ((facts.chosen_reward > 0) == liked).to(torch.float64).mean().item()
    metrics = {"rewards/accuracies": accuracy}
    for name, of_these in (("chosen", liked), ("rejected", ~liked)):
        if of_these.any():
            metrics[f"rewards/{name}"] = facts.chosen_reward[of_these].mean().item()
    if len(metrics) == 3:
        metrics["rewards/margins"] = metrics["rewards/chosen"] - metrics["rewards/rejected"]
    return metrics
