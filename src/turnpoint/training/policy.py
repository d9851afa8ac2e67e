"""The policy before training: its name, its new adapter, its dropout."""

import copy
import warnings
from pathlib import Path
from typing import Any, cast

from peft import PeftModel, get_peft_model
from torch import nn
from transformers import set_seed

from turnpoint.errors import ConfigError
from turnpoint.models import loadable_name


def name_of_model(model: Any) -> str:
    """The name of a model, or of what was loaded by it; empty where it has none."""
    return model if isinstance(model, str) else str(getattr(model, "name_or_path", ""))


def with_adapter(model: nn.Module, peft_config: Any, seed: int) -> PeftModel:
    """The model with a new adapter, whose random start depends on the seed alone.

    Raises:
        ConfigError: the model has an adapter already, or peft cannot make this one for it.
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
        try:
            adapted = get_peft_model(model, copy.deepcopy(peft_config))  # peft writes into it
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"peft_config: {reason}; mend its settings (target_modules all-linear takes every linear layer)"
            ) from error
    # Whoever loads the adapter looks for its base by this name.
    for each in adapted.peft_config.values():
        each.base_model_name_or_path = loadable_name(name_of_model(model)) or None
    return cast("PeftModel", adapted)


def check_base_is_kept(model: nn.Module, output_dir: str) -> None:
    """Refuse a run folder that holds the model below the adapter.

    Raises:
        ConfigError: saving the adapter would remove that model.
    """
    if not isinstance(model, PeftModel):
        return
    bases = [each.base_model_name_or_path for each in model.peft_config.values()]
    if Path(output_dir).resolve() in [Path(base).resolve() for base in bases if base]:
        raise ConfigError(
            f"output_dir: holds the model that the adapter needs below it (got {output_dir!r}); name another folder"
        )


def disable_dropout(model: nn.Module) -> None:
    """Set dropout to 0, that of modules and that which attention functions are handed as a number."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
