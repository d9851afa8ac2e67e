"""The stage sft: next-token loss on what the assistant wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from turnpoint.data import load_dialogues
from turnpoint.template import Prepared, Renderer, TokenizedDialogue, prepare_dialogues
from turnpoint.training.configs import SFTConfig
from turnpoint.training.executor import RowResult
from turnpoint.training.trainer import StageTrainer
from turnpoint.tree import ScoredSequence


@dataclass
class SFTStage:
    """What the executor runs for a dialogue: minus the log-prob of its scored tokens.

    Args:
        metrics: names of the sums that `row` returns: none beside the loss.
        sequences_per_item: one.
    """

    metrics: tuple[str, ...] = ()
    sequences_per_item: int = 1

    def sequences(self, item: ScoredSequence) -> Sequence[ScoredSequence]:
        """The dialogue."""
        return (item,)

    def weight(self, item: ScoredSequence) -> float:
        """Every scored token counts as one."""
        return float(len(item.scored))

    def row(self, model: nn.Module, items: Sequence[ScoredSequence], logps: Sequence[Sequence[Tensor]]) -> RowResult:
        """Summed loss of the dialogues of a row, nats."""
        return RowResult(-torch.cat([each[0] for each in logps]).sum(), logps[0][0].new_zeros(0))

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

    def __init__(self, model: Any, args: SFTConfig | None = None, **options: Any) -> None:
        super().__init__(model, args or SFTConfig(), **options)
        self.stage = SFTStage()

    def _read(self, source: Any) -> tuple[list[Any], tuple[str, ...]]:
        return load_dialogues(source)

    def _prepare(self, records: list[Any], renderer: Renderer) -> Prepared:
        return prepare_dialogues(
            records,
            renderer,
            max_length=self.config.max_length,
            overflow=self.config.overflow,
            processes=self.config.dataset_num_proc,
        )

    def _example(self, tokenized: TokenizedDialogue) -> ScoredSequence:
        return ScoredSequence(tokenized.input_ids, np.array(tokenized.scored(), dtype=np.int64))
