"""The stage dpo: preference pairs, a reference, an objective.

Legend: B pairs of a row, T turns of the longest side, S scored tokens of one side.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from turnpoint.cache import cache_folder
from turnpoint.errors import ConfigError
from turnpoint.objectives import Objective, Turns
from turnpoint.template import TokenizedDialogue, TokenizedPair
from turnpoint.training.configs import DPOConfig
from turnpoint.training.executor import RowResult
from turnpoint.training.records import PAIRS, Examples, Tokenized
from turnpoint.training.reference import Reference, frozen, frozen_copy
from turnpoint.training.reference_cache import Key, ReferenceCache, weights_hash
from turnpoint.training.stream import Stream
from turnpoint.training.trainer import StageTrainer
from turnpoint.tree import ScoredSequence, TokenScores, evaluating, sequence_logprobs

logger = logging.getLogger(__name__)


class Side(NamedTuple):
    """One side of a pair, ready to be scored.

    Args:
        sequence: token ids, and the indexes of the S scored tokens.
        turn_of: turn of each scored token, numbered from 0 among the turns that count, int64 [S].
    """

    sequence: ScoredSequence
    turn_of: NDArray[np.int64]


@dataclass
class PairExample:
    """A pair as the stage trains on it.

    Args:
        chosen: the preferred side.
        rejected: the other side.
        reference: log-probs of the scored tokens of both sides under the reference, [S] each, once they are computed.
    """

    chosen: Side
    rejected: Side
    reference: tuple[Tensor, Tensor] | None = None


def pair_example(pair: TokenizedPair, *, first_turn: int) -> PairExample:
    """Choose which turns count.

    Args:
        pair: the tokenised pair.
        first_turn: turns before it neither count nor are scored: `pair.shared_turns` from the fork on, 0 for all.
    """
    return PairExample(_side(pair.chosen, first_turn), _side(pair.rejected, first_turn))


def _side(dialogue: TokenizedDialogue, first_turn: int) -> Side:
    """Turns without a scored token do not count: those with `train: false`, and one that is cut off."""
    ranges = [np.arange(max(turn.start, 1), turn.end) for turn in dialogue.turns[first_turn:] if turn.train]
    ranges = [each for each in ranges if len(each)]
    assert ranges, "a side without scored tokens is left out when pairs are prepared"
    turn_of = np.repeat(np.arange(len(ranges)), [len(each) for each in ranges])
    return Side(ScoredSequence(dialogue.input_ids, np.concatenate(ranges)), turn_of)


def turns_of(sides: Sequence[Side], logps: Sequence[Tensor]) -> Turns:
    """Sum log-probs of scored tokens, [S] for each of B sides, into turns [B, T]."""
    device = logps[0].device
    width = max(int(side.turn_of[-1]) + 1 for side in sides)
    cells = np.concatenate([row * width + side.turn_of for row, side in enumerate(sides)])
    cell_of = torch.from_numpy(cells).to(device)
    sums = logps[0].new_zeros(len(sides) * width).index_add(0, cell_of, torch.cat(list(logps)))
    tokens = torch.bincount(cell_of, minlength=len(sides) * width).view(len(sides), width)
    return Turns(sums.view(len(sides), width), tokens > 0, tokens)


_METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
)
# Statistic of tokens -> name; a pair adds the mean over the scored tokens of each of its sides.
_TOKEN_METRICS = {"entropy": "entropy", "top1": "mean_token_accuracy", "mean_logit": "logits"}


@dataclass
class DPOStage:
    """What the executor runs for a preference pair, and what it makes of the log-probs.

    Args:
        objective: reduction and loss.
        reference: where the reference's log-probs come from; None: the examples carry them, or none are needed.
        statistics: of tokens; those of `_TOKEN_METRICS`, or none.
        shared: whether sequences of a row share their tree.
        chunked: whether some rows of logits are made at a time.
        sequences_per_item: two sides.
        metrics_by_weight: every pair counts as one.
    """

    objective: Objective
    reference: Reference | None
    statistics: tuple[str, ...] = ()
    shared: bool = True
    chunked: bool = False
    sequences_per_item: int = 2
    metrics_by_weight: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the sums that `row` returns."""
        names = (f"{_TOKEN_METRICS[name]}/{side}" for side in ("chosen", "rejected") for name in self.statistics)
        return *_METRICS, *names

    def sequences(self, item: PairExample) -> Sequence[ScoredSequence]:
        """Chosen, rejected."""
        return item.chosen.sequence, item.rejected.sequence

    def weight(self, item: PairExample) -> float:
        """A pair counts as one."""
        return 1.0

    def row(self, model: nn.Module, items: Sequence[PairExample], scores: Sequence[Sequence[TokenScores]]) -> RowResult:
        """Summed loss and metrics of the pairs of a row."""
        logps = [[side.logps for side in pair] for pair in scores]
        policy = self._turns(items, logps)
        reference = self._turns(items, self._reference_logps(model, items, logps))
        losses, chosen, rejected = self.objective(policy, reference)
        columns = (chosen, rejected, (chosen > rejected).to(chosen.dtype), chosen - rejected, *_totals(policy))
        of_tokens = [torch.stack([pair[side].statistics.mean(0) for pair in scores]).sum(0) for side in (0, 1)]
        of_pairs = torch.stack([column.sum() for column in columns]).detach()
        return RowResult(losses.sum(), torch.cat([of_pairs, *of_tokens]))

    def run_beside(self, model: nn.Module, sequences: Sequence[ScoredSequence]) -> None:
        """The forward of the reference, where rows run one."""
        if self.reference is not None:
            self._under_reference(self.reference, model, sequences)

    def _turns(self, items: Sequence[PairExample], logps: Sequence[Sequence[Tensor]]) -> tuple[Turns, Turns]:
        chosen = turns_of([item.chosen for item in items], [each[0] for each in logps])
        rejected = turns_of([item.rejected for item in items], [each[1] for each in logps])
        return chosen, rejected

    def _reference_logps(
        self, model: nn.Module, items: Sequence[PairExample], like: Sequence[Sequence[Tensor]]
    ) -> Sequence[Sequence[Tensor]]:
        """Log-probs under the reference, in the same arrangement as those of the policy, `like`."""
        if not self.objective.loss_fact.needs_reference:
            return [[torch.zeros_like(each) for each in item] for item in like]
        if self.reference is None:
            known = [item.reference for item in items if item.reference is not None]
            assert len(known) == len(items), "the examples carry no reference, and there is no reference model"
            return [[each.to(like[0][0]) for each in item] for item in known]
        flat = self._under_reference(self.reference, model, [each for item in items for each in self.sequences(item)])
        return [flat[2 * i : 2 * i + 2] for i in range(len(items))]

    def _under_reference(
        self, reference: Reference, policy: nn.Module, sequences: Sequence[ScoredSequence]
    ) -> list[Tensor]:
        with torch.no_grad(), reference.of(policy) as model:
            return sequence_logprobs(model, sequences, shared=self.shared, chunked=self.chunked)


def _totals(sides: tuple[Turns, Turns]) -> list[Tensor]:
    return [side.logps.sum(-1) for side in sides]


class DPOTrainer(StageTrainer[PairExample]):
    """Preference optimisation of a language model on pairs.

    Args:
        model: the policy: a causal language model, or a name that `turnpoint.models.load_model` knows.
        ref_model: the reference; None: the model as handed over. Nothing is kept in memory for it where the model gets
            a new adapter (the adapter is off for the reference) or where `precompute_ref_log_probs` is in force.
        args: settings.
        train_dataset: pairs: a list of `PreferencePair`, a `datasets.Dataset`, a file, anything `data.load` takes.
        eval_dataset: the same, or a dict of them by name.
        processing_class: the tokenizer; None loads that of the model.
        peft_config: trains a new adapter instead of the model.
        callbacks: of transformers.
        optimizers: optimiser and schedule, instead of those the settings name.

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
        ref_model: nn.Module | None = None,
        args: DPOConfig | None = None,
        **options: Any,
    ) -> None:
        args = args or DPOConfig()
        self.ref_model = ref_model
        super().__init__(model, args, **options)
        self._reference = self._make_reference()
        statistics = tuple(_TOKEN_METRICS) if args.token_metrics else ()
        self.stage = DPOStage(args.objective, None if self.precomputes else self._reference, statistics)

    @property
    def precomputes(self) -> bool:
        """Whether the reference's log-probs are computed once, before training."""
        if not self.config.objective.loss_fact.needs_reference:
            return False
        if self.config.precompute_ref_log_probs is None:
            return self.ref_model is None and not self.new_adapter and not isinstance(self.train_dataset, Stream)
        return self.config.precompute_ref_log_probs

    def _make_reference(self) -> Reference | None:
        if not self.config.objective.loss_fact.needs_reference:
            return None
        if self.ref_model is not None:
            if self.ref_model is self.model:
                raise ConfigError(
                    "DPOTrainer: ref_model: is the model itself, which training moves; leave ref_model out for the"
                    " model as it is now"
                )
            reference = frozen(self.ref_model).to(self.args.device)
            self._attend_along_tree(reference)
            return Reference(reference)
        if self.new_adapter:
            return Reference(None)
        return None if self.precomputes else Reference(frozen_copy(self.model))

    def _examples(self, records: Tokenized) -> Examples[PairExample]:
        return PairExamples(records, from_fork=self.config.turns_from == "fork")

    def _models(self) -> list[nn.Module]:
        return [*super()._models(), *([] if self.ref_model is None else [self.ref_model])]

    def _groups(self) -> NDArray[np.int64] | None:
        if self.config.group_by == "none" or self.train_dataset is None:
            return None
        return cast(PairExamples, self.train_dataset).records.groups()

    def _before_run(self, sets: Sequence[Examples[PairExample]]) -> None:
        """Compute what the reference says of the pairs, if that is done once."""
        self.stage.shared, self.stage.chunked = self.executor.shared, self.executor.chunked
        missing = [each for each in cast(Sequence[PairExamples], sets) if each.reference is None]
        if not self.precomputes or not missing:
            return
        if self.trained and self.ref_model is None and not self.new_adapter:
            raise ConfigError(
                "DPOTrainer: precompute_ref_log_probs: the reference's log-probs of this data set were not computed"
                " before training moved the model; pass it as eval_dataset to the trainer, or set"
                " precompute_ref_log_probs: false"
            )
        policy = self.accelerator.unwrap_model(self.model)
        reference = self._reference or Reference(policy)
        with evaluating(policy), reference.of(policy) as model:
            weights = weights_hash(model, adapter=self._reference != Reference(None))
            for each in missing:
                each.reference = self._precomputed(model, weights, each)

    def _precomputed(self, model: nn.Module, weights: str, pairs: "PairExamples") -> ReferenceCache:
        """What the reference says of the pairs, once all of it is in the cache."""
        dtype = next(model.parameters()).dtype
        autocast = {"fp16": "float16", "bf16": "bfloat16"}.get(self.accelerator.mixed_precision, dtype)
        key = Key(weights, f"{pairs.records.facts.content} {self.config.turns_from}", f"{autocast} over {dtype}")
        counts = pairs.records.scored_counts(from_fork=pairs.from_fork)
        with self.accelerator.local_main_process_first():
            cache = ReferenceCache(cache_folder() / "reference", key, counts, dtype)
        missing = np.unique(np.concatenate(gather_object([cache.missing()])))
        if len(missing) and cache.reason:
            logger.info("log-probs of the reference are computed anew: %s", cache.reason)
        for found in self._logprobs(model, pairs, missing):
            if self.accelerator.is_local_main_process:
                cache.add(found)
        self.accelerator.wait_for_everyone()
        assert not len(cache.missing()), "the pass computed everything, and a process of this machine wrote it down"
        return cache


class PairExamples(Examples[PairExample]):
    """Pairs, with what the reference says of them once that is known.

    Args:
        records: tokenised pairs.
        from_fork: turns of the shared prompt neither count nor are scored.
    """

    def __init__(self, records: Tokenized, *, from_fork: bool) -> None:
        super().__init__(records, lambda pair: pair_example(pair, first_turn=pair.shared_turns if from_fork else 0))
        self.from_fork = from_fork
        self.reference: ReferenceCache | None = None

    def __getitem__(self, i: Any) -> Any:
        example = super().__getitem__(i)
        if self.reference is not None:
            chosen, rejected = self.reference[i]
            example.reference = chosen, rejected
        return example
