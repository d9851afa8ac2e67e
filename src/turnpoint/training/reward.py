"""The stage reward: a score of whole dialogues, learnt from preference pairs."""

import copy
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import PeftModel, TaskType
from torch import Tensor, nn
from transformers import EvalPrediction, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from turnpoint.models import (
    Loader,
    check_one_score,
    holds_reward_model,
    load_model,
    load_reward_model,
    reward_loader,
    with_reward_head,
)
from turnpoint.template import ensure_pad_token, tokenizer_of
from turnpoint.training.configs import RewardConfig, StageConfig
from turnpoint.training.pair_trainer import PairTrainer
from turnpoint.training.records import PAIRS, Examples, Tokenized
from turnpoint.training.reward_stage import RewardExample, RewardStage, reward_example
from turnpoint.training.stream import Stream
from turnpoint.tree import ScoredSequence
from turnpoint.tree.forward import bare_model

logger = logging.getLogger(__name__)


class RewardTrainer(PairTrainer[RewardExample]):
    """Training of a reward model on pairs: the chosen side is to score higher than the rejected one (Bradley-Terry).

    The model is a sequence classifier of transformers with one label, which reads a dialogue at its last token.

    Args:
        model: a causal language model, which gets a new head; a reward model; or the name of either. An adapter of a
            language model is merged into its weights.
        args: settings.
        data_collator: a `DataCollatorForPreference`, which is not used: nothing is padded.
        train_dataset: pairs: a list of `PreferencePair`, a `datasets.Dataset`, a file, anything `data.load` takes.
        eval_dataset: the same, or a dict of them by name.
        processing_class: the tokenizer; None loads that of the model. Where its padding may end a turn, it gets
            another one.
        compute_metrics: gets an `EvalPrediction` with the scores of chosen and rejected sides of an evaluation set,
            float64 [N, 2], and zeros [N] as labels; returns metrics by name.
        callbacks: of transformers.
        optimizers: optimiser and schedule, instead of those the settings name.
        quantization_config: of transformers, for a reward model given by name.
        peft_config: trains a new adapter and the head instead of the model.

    Raises:
        ConfigError: settings that exclude each other, or a model that can get no head.
        DataError: the data breaks a rule, or nothing is left to train on.
    """

    stage_name = "reward"
    config: RewardConfig
    config_class = RewardConfig
    kind = PAIRS
    stage: RewardStage

    def __init__(
        self,
        model: PreTrainedModel | nn.Module | str,
        args: RewardConfig | None = None,
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
        super().__init__(
            model,
            args or RewardConfig(),
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
        bare_model(self.model).config.get_text_config().pad_token_id = self._pad_token_id
        config = self.config
        self.stage = RewardStage(config.margin, config.label_smoothing, config.center_rewards_coefficient or 0.0)

    @classmethod
    def load(cls, name: str, config: StageConfig, **how: Any) -> PreTrainedModel:
        """A reward model, or a language model that can become one."""
        of_config = {key: how[key] for key in ("trust_remote_code", "revision") if key in how}
        return (load_reward_model if holds_reward_model(name, **of_config) else load_model)(name, **how)

    @classmethod
    def make_ready(cls, processing_class: PreTrainedTokenizerBase | ProcessorMixin) -> None:
        """As for all stages; and padding that is not the end of a turn, at which the model reads."""
        super().make_ready(processing_class)
        if line := ensure_pad_token(processing_class):
            logger.info(line)

    def loader(self) -> Loader:
        """What loads the run folder."""
        return reward_loader(adapter=self.trains_adapter, pad_token_id=self._pad_token_id)

    @property
    def _pad_token_id(self) -> int | None:
        found: int | None = tokenizer_of(self._data.processing_class).pad_token_id
        return found

    def _start_policy(self, model: nn.Module) -> nn.Module:
        """The reward model; of a language model, its layers under a new head."""
        if hasattr(bare_model(model), "score"):
            check_one_score(model, "RewardTrainer: model")
            return model
        whole: Any = self._without_adapter(model) if isinstance(model, PeftModel) else model
        logger.info("the model gets a new head, drawn by the seed, in the place of its output layer")
        classifier: nn.Module = with_reward_head(whole, self.config.seed)
        return classifier

    def _with_new_adapter(self, model: nn.Module, peft_config: Any) -> PeftModel:
        """An adapter of a classifier, which peft saves with the head."""
        peft_config = copy.deepcopy(peft_config)
        peft_config.task_type = TaskType.SEQ_CLS
        return super()._with_new_adapter(model, peft_config)

    def _examples(self, records: Tokenized) -> Examples[RewardExample]:
        return Examples(records, partial(reward_example, pad_token_id=self._pad_token_id, images=records.image_inputs))

    def _judged(self, of_items: list[Tensor]) -> tuple[Tensor, Tensor]:
        scores = torch.stack(of_items).to(torch.float64)
        return scores, torch.zeros(len(scores), dtype=torch.float64)

    def _tried(self, items: Examples[RewardExample] | Stream[RewardExample]) -> tuple[list[ScoredSequence], str]:
        """As for all stages, read at every token: one score of a sequence would tell too little."""
        sequences, lacking = super()._tried(items)
        return [each._replace(scored=np.arange(len(each.input_ids))) for each in sequences], lacking
