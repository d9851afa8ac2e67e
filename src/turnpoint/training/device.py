"""What the device asks for: how a model attends, what is kept in memory, how long rows are."""

import logging
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from turnpoint.memory import keep_few_kernels, keep_freed_memory
from turnpoint.tree import attend_along_tree, attend_by_blocks
from turnpoint.tree.forward import bare_model

logger = logging.getLogger(__name__)

_ROW_TOKENS_ON_GPU = 8192
_ROW_TOKENS_ON_CPU = 1536
_ROW_FULL_ON_CPU = 512


class RowLimits(NamedTuple):
    """Tree tokens of a row.

    Args:
        tokens: most of them.
        full_at: beyond which only items join that share with the row; None for no such limit. On CPU more cost memory.
    """

    tokens: int
    full_at: int | None


def row_limits(given: int | None, device: torch.device) -> RowLimits:
    """Limits on a device, or what the user gives."""
    if given is not None:
        return RowLimits(given, None)
    return (
        RowLimits(_ROW_TOKENS_ON_CPU, _ROW_FULL_ON_CPU) if device.type == "cpu" else RowLimits(_ROW_TOKENS_ON_GPU, None)
    )


def attend_as_fits(model: nn.Module, accelerator: Accelerator) -> None:
    """On CPU, small matrix products in memory that is used again; on GPUs, kernels that skip what nobody sees."""
    bare = bare_model(model)
    if accelerator.device.type == "cpu":
        keep_few_kernels()
        keep_freed_memory()
        if not attend_along_tree(bare):
            logger.info("attention along the token tree does not fit this model; it attends as it is configured to")
    elif bare.device.type == "cuda" and not has_image_encoder(bare):  # elsewhere an engine will put it there, in parts
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision, bare.dtype)
        with accelerator.autocast():
            if not attend_by_blocks(bare, half):
                logger.info("FlexAttention does not fit this model or GPU; it attends as it is configured to")


def has_image_encoder(bare: Any) -> bool:
    """Whether the configuration of a model of transformers is of more than a text model.

    Its encoder would get the tree's mask too, and rows without images do not run it.
    """
    return bool(bare.config.get_text_config() is not bare.config)
