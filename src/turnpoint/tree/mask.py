"""Who sees whom in a token tree, and the form in which a model's attention takes it.

Shapes: T nodes of the tree.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ATTENTIONS = ("sdpa", "eager")  # attention implementations of transformers that take a mask of any pattern


def tree_mask(subtree_end: Tensor) -> Tensor:
    """Whether query i sees key j: j <= i < subtree_end[j]. Causality, packing and prefix sharing in one line.

    Args:
        subtree_end: first index after each node's subtree, [T].

    Returns:
        Bool [T, T], queries in rows.
    """
    index = torch.arange(len(subtree_end), device=subtree_end.device)
    return (index[None, :] <= index[:, None]) & (index[:, None] < subtree_end[None, :])


def in_window(position_ids: Tensor, config: Any) -> Tensor:
    """Whether query i is less than `config.sliding_window` positions after key j, bool [T, T].

    Positions, not indexes: other branches of the tree may stand between the two.
    """
    return position_ids[:, None] - position_ids[None, :] < int(config.sliding_window)


def in_chunk(position_ids: Tensor, config: Any) -> Tensor:
    """Whether query i and key j are in the same chunk of `config.attention_chunk_size` positions, bool [T, T]."""
    chunk = position_ids // int(config.attention_chunk_size)
    return chunk[:, None] == chunk[None, :]


LAYER_LIMITS: dict[str, Callable[[Tensor, Any], Tensor] | None] = {
    "full_attention": None,
    "sliding_attention": in_window,
    "chunked_attention": in_chunk,
}
"""What each kind of layer (names of `config.layer_types`) sees of the tree; None: all of it."""


def layer_kinds(config: Any) -> list[str]:
    """The different kinds of layers of a text model, keys of `LAYER_LIMITS` where the tree knows them."""
    if getattr(config, "layer_types", None):
        return sorted(set(config.layer_types))
    return ["full_attention" if getattr(config, "sliding_window", None) is None else "sliding_attention"]


def sees_everything_before(position_ids: Tensor, config: Any) -> bool:
    """Whether no kind of layer hides a token from those after it, at these positions [T]."""
    first_and_last = torch.stack([torch.zeros_like(position_ids.amax()), position_ids.amax()])
    limits = [LAYER_LIMITS[kind] for kind in layer_kinds(config)]
    return all(limit is None or bool(limit(first_and_last, config)[1, 0]) for limit in limits)


def model_mask(
    subtree_end: Tensor, position_ids: Tensor, config: Any, dtype: torch.dtype
) -> Tensor | dict[str, Tensor]:
    """The tree's mask as the model's forward takes it: [1, 1, T, T], by kind of layer where a model mixes kinds.

    Args:
        subtree_end: [T].
        position_ids: [T].
        config: configuration of the text model.
        dtype: what eager attention adds the mask to; it computes no boolean mask.
    """
    visible = tree_mask(subtree_end)
    masks = {}
    for kind in layer_kinds(config):
        limit = LAYER_LIMITS[kind]
        seen = visible if limit is None else visible & limit(position_ids, config)
        masks[kind] = (_additive(seen, dtype) if config._attn_implementation == "eager" else seen)[None, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where the key is seen, the lowest number of `dtype` elsewhere."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
