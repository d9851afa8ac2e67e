"""The policy before training: its name, its new adapter, its dropout."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from peft import PeftModel, get_peft_model
from torch import nn
from transformers import set_seed

from turnpoint.errors import ConfigError
from turnpoint.models import loadable_name
from turnpoint.tree.forward import bare_model


def name_of_model(model: Any) -> str:
    """The name of a model, or of what was loaded by it; empty where it has none."""
    return model if isinstance(model, str) else str(getattr(model, "name_or_path", ""))


def merged(model: PeftModel) -> nn.Module:
    """The model with the adapter it has merged into the weights below, in their precision.

    Raises:
        ConfigError: those weights are quantised, so that a merge would round them.
    """
    base: Any = model.get_base_model()
    if getattr(base, "is_quantized", False):
        raise ConfigError(
            "peft_config: the model has an adapter already, over quantised weights into which it cannot be merged"
            " exactly; leave peft_config out to train that adapter on"
        )
    whole: nn.Module = model.merge_and_unload()
    if hasattr(whole, "peft_config"):
        del whole.peft_config  # peft leaves it behind, and transformers would take it for an adapter
    return whole


def save_base(model: PeftModel, folder: Path) -> None:
    """Write the model below the adapter, so that the adapter can be loaded with what it was trained on."""
    added = (model.base_model.prefix, ".modules_to_save.")
    weights = {
        name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", "."): tensor
        for name, tensor in model.state_dict().items()
        if not any(part in name for part in added)
    }
    base: Any = model.get_base_model()
    base.save_pretrained(folder, state_dict=weights)


def with_adapter(model: nn.Module, peft_config: Any, seed: int, base_name: str) -> PeftModel:
    """The model with a new adapter, whose random start depends on the seed alone.

    Args:
        model: without an adapter.
        peft_config: of the adapter.
        seed: of its start.
        base_name: the name or folder by which whoever loads the adapter finds the model.

    Raises:
        ConfigError: peft cannot make this adapter for the model.
    """
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
        each.base_model_name_or_path = loadable_name(base_name) or None
    return cast("PeftModel", adapted)


def check_trainable(model: nn.Module) -> None:
    """Refuse a model of which nothing would move.

    Raises:
        ConfigError: no parameter takes a gradient.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            "model: none of its parameters takes a gradient, so that nothing would be trained; load an adapter with"
            " is_trainable=True, or set requires_grad"
        )


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


@contextmanager
def sparse_embedding_gradient(model: nn.Module) -> Iterator[None]:
    """Let the input embedding's gradient hold the tokens of a row, not a row for each token there is.

    For embeddings that are tied to the head alone, whose gradient is whole: both are summed before an optimiser sees
    them. Zeros for the whole vocabulary, once a row, take 4% of a step of a model of 135M.
    """
    bare = bare_model(model)
    embedding, head = bare.get_input_embeddings(), bare.get_output_embeddings()
    tied = isinstance(embedding, nn.Embedding) and head is not None and head.weight is embedding.weight
    if not tied or embedding.sparse:
        yield
        return
    embedding.sparse = True
    try:
        yield
    finally:
        embedding.sparse = False


def disable_dropout(model: nn.Module) -> None:
    """Set dropout to 0, that of modules and that which attention functions are handed as a number."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
