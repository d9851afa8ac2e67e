"""A reward model out of a language model: its layers as they are, and a head that makes a number of a hidden state."""

from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedModel

from turnpoint.errors import ConfigError

_LOAD_IT = "AutoModelForSequenceClassification.from_pretrained(..., num_labels=1)"


def with_reward_head(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The sequence classifier of transformers with one label over the layers of a language model, and a new head.

    The layers are those of `model`, which is not to be used any more: both have one configuration.

    Args:
        model: a causal language model of transformers, not quantised, without an adapter.
        seed: of the head, which is drawn as transformers draws it.

    Raises:
        ConfigError: transformers knows no sequence classifier with these layers, or the weights are quantised.
    """
    if getattr(model, "is_quantized", False):
        raise ConfigError(
            f"model: a reward head is not put over quantised weights here; load it with {_LOAD_IT} and hand it over"
        )
    classifier = _without_weights(model.config)
    prefix = None if classifier is None else classifier.base_model_prefix
    layers = getattr(model, prefix or "", None)
    if classifier is None or type(layers) is not type(getattr(classifier, prefix or "")):
        raise ConfigError(
            f"model: transformers has no sequence classifier for {type(model).__name__}; take a language model that"
            " has one, such as Llama, Qwen, Gemma or Mistral"
        )
    setattr(classifier, classifier.base_model_prefix, layers)
    classifier.score = _head(classifier, model, seed)
    return classifier.eval()


def check_one_score(model: Any, where: str) -> None:
    """Refuse a classifier of several labels.

    Args:
        model: a sequence classifier, bare or within an adapter.
        where: for the error.

    Raises:
        ConfigError: it has several.
    """
    if model.config.num_labels != 1:
        raise ConfigError(
            f"{where}: gives {model.config.num_labels} scores of a sequence, and a reward model gives one; load it with"
            f" {_LOAD_IT}"
        )


def _without_weights(config: Any) -> Any:
    """The classifier that transformers has for a configuration, which it shares; None where there is none."""
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return None
    config.num_labels = 1
    with torch.device("meta"):
        return MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)](config)


def _head(classifier: Any, model: PreTrainedModel, seed: int) -> nn.Linear:
    given = classifier.score
    head = nn.Linear(given.in_features, 1, bias=given.bias is not None, dtype=model.dtype, device=model.device)
    spread = getattr(classifier.config.get_text_config(), "initializer_range", 0.02)
    drawn = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(seed)) * spread
    with torch.no_grad():
        head.weight.copy_(drawn)
        if head.bias is not None:
            head.bias.zero_()
    return head
