"""The policy before training: its name, its new adapter, its dropout."""

import warnings
from typing import Any

from peft import PeftModel, get_peft_model
from torch import nn
from transformers import set_seed

from turnpoint.errors import ConfigError


def name_of_model(model: Any) -> str:
    """The name of a model, or of what was loaded by it."""
    return model if isinstance(model, str) else str(model.name_or_path)


def with_adapter(model: nn.Module, peft_config: Any, seed: int) -> nn.Module:
    """The model with a new adapter, whose random start depends on the seed alone.

    Raises:
        ConfigError: the model has an adapter already.
    """
    if isinstance(model, PeftModel):
        raise ConfigError(
            "peft_config: the model has an adapter already; leave peft_config out to train that one on,"
            " or merge it first with model.merge_and_unload()"
        )
    set_seed(seed)
    with warnings.catch_warnings():
        # peft asks a name that transformers 5.23 has deprecated.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted: nn.Module = get_peft_model(model, peft_config)
    return adapted


def disable_dropout(model: nn.Module) -> None:
    """Set dropout to 0, that of modules and that which attention functions are handed as a number."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
