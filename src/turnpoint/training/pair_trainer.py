"""What the stages on preference pairs share: arguments of TRL's trainers, columns, groups, metrics of the user's."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import EvalPrediction

from turnpoint.errors import ConfigError
from turnpoint.training.collator import DataCollatorForPreference
from turnpoint.training.configs import PairsConfig
from turnpoint.training.records import Examples, Tokenized
from turnpoint.training.trainer import StageTrainer

logger = logging.getLogger(__name__)

Example = TypeVar("Example")
Config = TypeVar("Config", bound=PairsConfig)


class PairTrainer(StageTrainer[Example]):
    """A stage on preference pairs. Made by its subclasses; arguments and errors are theirs."""

    config: PairsConfig

    def __init__(
        self,
        model: Any,
        args: PairsConfig,
        *,
        data_collator: Any = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        quantization_config: Any = None,
        **options: Any,
    ) -> None:
        name = type(self).__name__
        args = _with_quantisation(args, quantization_config, name)
        _check_collator(data_collator, name)
        super().__init__(model, args, **options)
        self.compute_metrics = compute_metrics
        self._say_columns()

    def _judged(self, of_items: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What `compute_metrics` gets of an evaluation: rewards of chosen and rejected sides [N, 2], zeros [N]."""
        raise NotImplementedError

    def _groups(self) -> NDArray[np.int64] | None:
        if self.config.group_by == "none" or self.train_dataset is None:
            return None
        return cast("Examples[Example]", self.train_dataset).records.groups()

    def _evaluation_of_items(self, of_items: list[Tensor]) -> dict[str, float]:
        """As in training, and the user's own."""
        metrics = self._metrics_of_items(of_items)
        if self.compute_metrics is None or not of_items:
            return metrics
        rewards, labels = self._judged(of_items)
        return metrics | self.compute_metrics(EvalPrediction(predictions=rewards.numpy(), label_ids=labels.numpy()))

    def _evaluation_sets(self) -> list[Examples[Example]]:
        sets = self.eval_dataset.values() if isinstance(self.eval_dataset, dict) else [self.eval_dataset]
        return [cast("Examples[Example]", each) for each in sets if each is not None]

    def _say_columns(self) -> None:
        """Say how many pairs carry weights and margins of their own."""
        known = [self.train_dataset] if isinstance(self.train_dataset, Examples) else []
        for records in (each.records for each in (*known, *self._evaluation_sets())):
            for what, count in columns(records).items():
                if count:
                    logger.info("%s: %d of %d pairs carry a %s", records.facts.source, count, len(records), what)


def columns(records: Tokenized) -> dict[str, int]:
    """How many pairs carry a weight other than 1, and how many a margin."""
    weights, margins = records.numbers("weight"), records.numbers("margin")
    return {"weight": int((weights != 1).sum()), "margin": int((~np.isnan(margins)).sum())}


def _with_quantisation(args: Config, quantization_config: Any, name: str) -> Config:
    if quantization_config is None:
        return args
    given = dict(args.model_init_kwargs or {})
    if "quantization_config" in given:
        raise ConfigError(
            f"{name}: quantization_config: is given to the trainer and in model_init_kwargs; give it once"
        )
    return replace(args, model_init_kwargs=given | {"quantization_config": quantization_config})


def _check_collator(data_collator: Any, name: str) -> None:
    if isinstance(data_collator, DataCollatorForPreference):
        logger.warning("%s: data_collator has nothing left to do: nothing is padded", name)
    elif data_collator is not None:
        raise ConfigError(
            f"{name}: data_collator: would not be called, since nothing is padded (got"
            f" {type(data_collator).__name__}); leave it out, and change rows before you hand them over"
        )
