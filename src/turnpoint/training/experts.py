"""Mixtures of experts: the auxiliary loss that keeps their routers balanced."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from turnpoint.errors import ConfigError
from turnpoint.tree.forward import bare_model


def auxiliary_weight(model: nn.Module, wanted: float | None) -> float:
    """Weight of the auxiliary loss: the one asked for, or the model's own where it asks for the loss itself.

    Args:
        model: bare or wrapped.
        wanted: `router_aux_loss_coef` of the settings; None leaves it to the model's configuration.

    Raises:
        ConfigError: a weight for a model without experts.
    """
    config = bare_model(model).config.get_text_config()
    if not hasattr(config, "output_router_logits"):
        if wanted:
            raise ConfigError(
                f"router_aux_loss_coef: {type(bare_model(model)).__name__} has no experts whose routers could be"
                f" balanced (got {wanted}); leave it out"
            )
        return 0.0
    if wanted is not None:
        return wanted
    return float(getattr(config, "router_aux_loss_coef", 0.0)) if config.output_router_logits else 0.0


@contextmanager
def auxiliary_losses(model: nn.Module) -> Iterator[list[Tensor]]:
    """Let the model compute its auxiliary loss in each forward, and collect what it gives, with its graph."""
    found: list[Tensor] = []

    def ask(module: nn.Module, inputs: Any, options: dict[str, Any]) -> Any:
        return inputs, options | {"output_router_logits": True}

    def take(module: nn.Module, inputs: Any, output: Any) -> None:
        if getattr(output, "aux_loss", None) is None:
            raise ConfigError(
                f"router_aux_loss_coef: {type(module).__name__} computes no auxiliary loss of its experts; leave it out"
            )
        found.append(output.aux_loss)

    bare = bare_model(model)
    handles = [bare.register_forward_pre_hook(ask, with_kwargs=True), bare.register_forward_hook(take)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
