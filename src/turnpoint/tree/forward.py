"""One forward pass of a token tree through a model of transformers.

Shapes: T nodes of the tree, K nodes whose logits are needed, V vocabulary.
"""

import inspect
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel, is_compiled_module
from peft import PeftModel
from torch import Tensor, nn

from turnpoint.errors import ConfigError
from turnpoint.tree.attention import TREE_ATTENTION, attention_blocks
from turnpoint.tree.build import TokenTree
from turnpoint.tree.flex import FLEX_ATTENTION, filled, flex_mask
from turnpoint.tree.images import ImageInputs
from turnpoint.tree.mask import model_mask, sees_everything_before


def bare_model(model: nn.Module) -> Any:
    """The transformers model inside distributed engines, compilation and adapters.

    Raises:
        ConfigError: the adapter puts virtual tokens before the row, so that logits and tokens no longer line up.
    """
    bare = extract_model_from_parallel(model, keep_torch_compile=False)
    if not isinstance(bare, PeftModel):
        return bare
    if bare.active_peft_config.is_prompt_learning:
        kind = bare.active_peft_config.peft_type.value
        raise ConfigError(f"adapter: {kind} puts virtual tokens before each sequence; use LoRA or another kind without")
    return bare.get_base_model()


def logits_at(model: nn.Module, tree: TokenTree, keep: Tensor, images: ImageInputs | None = None) -> Tensor:
    """Logits after the nodes `keep` [K], from the model's own head: [K, V]."""
    inputs = tree_inputs(model, tree, images)
    logits: Tensor = model(**inputs, logits_to_keep=keep.to(inputs["input_ids"].device)).logits
    return logits[0]


def tree_inputs(model: nn.Module, tree: TokenTree, images: ImageInputs | None = None) -> dict[str, Any]:
    """What the model's forward takes of a tree; images come as further inputs.

    A tree that is one plain sequence goes in without mask and positions: every model knows what to do with it. But
    FlexAttention is always given the mask of a row of one of few lengths.
    """
    bare = bare_model(model)
    config = bare.config.get_text_config()
    if bare.config._attn_implementation == FLEX_ATTENTION:
        tree = filled(tree)
    weight = bare.get_input_embeddings().weight
    ids, positions, ends = (
        torch.from_numpy(each).to(weight.device) for each in (tree.input_ids, tree.position_ids, tree.subtree_end)
    )
    inputs: dict[str, Any] = {"input_ids": ids[None], "use_cache": False}
    if bare.config._attn_implementation == FLEX_ATTENTION:
        inputs |= {"position_ids": positions[None], "attention_mask": flex_mask(ends, positions, config)}
    elif not is_chain(tree):
        mask = model_mask(ends, positions, config, weight.dtype)
        inputs |= {"position_ids": positions[None], "attention_mask": mask}
    if images is not None:
        inputs |= _of_images(bare, ids[None], images)
    along_tree = bare.config._attn_implementation == TREE_ATTENTION and sees_everything_before(positions, config)
    along_tree &= images is None  # a model may hand what its forward gets to its image encoder as well
    if along_tree and not is_compiled_module(model):  # which would be compiled anew for the blocks of each row
        inputs["tree_blocks"] = attention_blocks(tree)
    return inputs


def is_chain(tree: TokenTree) -> bool:
    """Whether the tree has one root and no forks."""
    return bool((tree.parent == np.arange(-1, len(tree.parent) - 1)).all())


def _of_images(bare: Any, ids: Tensor, images: ImageInputs) -> dict[str, Tensor]:
    """What the forward takes of images; models that place them in two dimensions are told which tokens they are."""
    weight = bare.get_input_embeddings().weight
    inputs = {name: each.to(weight.device) for name, each in images().items()}
    if "mm_token_type_ids" in inspect.signature(bare.forward).parameters:
        inputs["mm_token_type_ids"] = (ids == bare.config.image_token_id).to(torch.int32)
    return inputs
