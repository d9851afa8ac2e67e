"""The stage sft: next-token loss on what the assistant wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from turnpoint.template import TokenizedDialogue
from turnpoint.training.configs import SFTConfig
from turnpoint.training.executor import RowResult
from turnpoint.training.images import ImageInputsOf, scored_sequence
from turnpoint.training.records import DIALOGUES, Examples, Tokenized
from turnpoint.training.trainer import StageTrainer
from turnpoint.tree import ScoredSequence, TokenScores, sequence_scores

_METRICS = {"entropy": "entropy", "top1": "mean_token_accuracy"}  # statistic -> name, that of TRL


@dataclass
class SFTStage:
    """What the executor runs for a dialogue: minus the log-prob of its scored tokens.

    Args:
        statistics: of tokens, whose means over all scored tokens are the metrics.
        sequences_per_item: one.
        metrics_by_weight: they are.
        coupling: tokens do not enter each other's losses.
    """

    statistics: tuple[str, ...] = ()
    sequences_per_item: int = 1
    metrics_by_weight: bool = True
    coupling: None = None
    score: ClassVar = staticmethod(sequence_scores)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the sums that `row` returns."""
        return tuple(_METRICS[name] for name in self.statistics)

    def sequences(self, item: ScoredSequence) -> Sequence[ScoredSequence]:
        """The dialogue."""
        return (item,)

    def weight(self, item: ScoredSequence) -> float:
        """Every scored token counts as one."""
        return float(len(item.scored))

    def row(
        self, model: nn.Module, items: Sequence[ScoredSequence], scores: Sequence[Sequence[TokenScores]]
    ) -> RowResult:
        """Summed loss of the dialogues of a row, nats, and sums over their tokens."""
        sums = sum(each.statistics.sum(0) for [each] in scores)
        return RowResult(-torch.cat([each.values for [each] in scores]).sum(), torch.as_tensor(sums))

    def run_beside(self, model: nn.Module, sequences: Sequence[ScoredSequence]) -> None:
        """A row runs the policy only."""


class SFTTrainer(StageTrainer[ScoredSequence]):
    """Supervised fine-tuning of a language model on dialogues: all turns but those with `train: false` are scored.

    Args:
        model: a causal language model, or a name that `turnpoint.models.load_model` knows.
        args: settings.
        train_dataset: a list of `Dialogue`, a `datasets.Dataset`, a file, anything `data.load` takes.
        eval_dataset: the same, or a dict of them by name.
        processing_class: the tokenizer; None loads that of the model.
        peft_config: trains a new adapter instead of the model.
        callbacks: of transformers.
        optimizers: optimiser and schedule, instead of those the settings name.

    Raises:
        ConfigError: settings that exclude each other.
        DataError: the data breaks a rule, or nothing is left to train on.
    """

    stage_name = "sft"
    config: SFTConfig
    config_class = SFTConfig
    kind = DIALOGUES

    def __init__(self, model: Any, args: SFTConfig | None = None, **options: Any) -> None:
        super().__init__(model, args or SFTConfig(), **options)
        self.stage = SFTStage(tuple(_METRICS) if self.config.token_metrics else ())

    def _examples(self, records: Tokenized) -> Examples[ScoredSequence]:
        return Examples(records, partial(_with_all_turns, images=records.image_inputs))


def _with_all_turns(dialogue: TokenizedDialogue, images: ImageInputsOf | None) -> ScoredSequence:
    return scored_sequence(dialogue, np.array(dialogue.scored(), dtype=np.int64), images)
