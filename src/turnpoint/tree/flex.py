"""Attention along a token tree on GPUs: FlexAttention of transformers, which skips the blocks that nobody sees.

Its kernels are compiled for shapes, so rows are filled up to one of few lengths with nodes that see themselves alone.

Shapes: T nodes of the tree.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers.integrations.flex_attention import flex_attention_forward

from turnpoint.tree.attention import given_everywhere
from turnpoint.tree.build import TokenTree, build_tree
from turnpoint.tree.evaluating import evaluating
from turnpoint.tree.mask import LAYER_LIMITS, layer_kinds, model_mask, tree_mask

FLEX_ATTENTION = "flex_attention"

_BLOCK = 128  # nodes; smaller rows are filled up to one block
_LENGTHS_PER_DOUBLING = 8  # so that at most a ninth of a long row is filling

logger = logging.getLogger(__name__)

Visible = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def filled(tree: TokenTree) -> TokenTree:
    """The tree with roots of their own behind it, up to one of the lengths that rows have."""
    count = row_length(len(tree.input_ids)) - len(tree.input_ids)
    if not count:
        return tree
    ends = np.arange(len(tree.input_ids), len(tree.input_ids) + count) + 1
    zeros = np.zeros(count, np.int64)
    return TokenTree(
        input_ids=np.concatenate([tree.input_ids, zeros]),
        position_ids=np.concatenate([tree.position_ids, zeros]),
        subtree_end=np.concatenate([tree.subtree_end, ends]),
        parent=np.concatenate([tree.parent, zeros - 1]),
        paths=tree.paths,
    )


def row_length(nodes: int) -> int:
    """The least multiple of a block, of few in each doubling, that holds the nodes."""
    step = max(_BLOCK, 1 << max(nodes - 1, 1).bit_length() - 1 >> _LENGTHS_PER_DOUBLING.bit_length() - 1)
    return -(-nodes // step) * step


def flex_mask(subtree_end: Tensor, position_ids: Tensor, config: Any) -> BlockMask | dict[str, BlockMask]:
    """The tree's mask as FlexAttention takes it, by kind of layer where a model mixes kinds.

    Args:
        subtree_end: [T].
        position_ids: [T].
        config: configuration of the text model.
    """
    masks = {
        kind: _block_mask(_seen(kind, subtree_end, position_ids, config), subtree_end) for kind in layer_kinds(config)
    }
    return masks if len(masks) > 1 else next(iter(masks.values()))


def _seen(kind: str, subtree_end: Tensor, position_ids: Tensor, config: Any) -> Visible:
    """Whether a query sees a key: what `turnpoint.tree.mask` says of all pairs, for one pair of indexes."""
    visible = _along_tree(subtree_end)
    if kind == "full_attention":
        return visible
    if kind == "sliding_attention":
        window = int(config.sliding_window)
        return lambda batch, head, query, key: (
            visible(batch, head, query, key) & (position_ids[query] - position_ids[key] < window)
        )
    chunk = int(config.attention_chunk_size)
    return lambda batch, head, query, key: (
        visible(batch, head, query, key) & (position_ids[query] // chunk == position_ids[key] // chunk)
    )


def _along_tree(subtree_end: Tensor) -> Visible:
    return lambda batch, head, query, key: (key <= query) & (query < subtree_end[key])


def attend_by_blocks(model: Any, dtype: torch.dtype) -> bool:
    """Let a model of transformers that attends by SDPA attend by FlexAttention from now on, where that can be.

    It is tried first: kernels are compiled for the GPU at hand, forward and backward, and the model's logits compared.

    Args:
        model: bare, on its GPU.
        dtype: of queries and keys. Other than with half precision SDPA stays: it is exact, and FlexAttention no faster.

    Returns:
        Whether the model does.
    """
    config = model.config.get_text_config()
    if model.config._attn_implementation == FLEX_ATTENTION:
        return True
    if (
        not model._supports_flex_attn
        or dtype not in (torch.bfloat16, torch.float16)
        or {model.config._attn_implementation, config._attn_implementation} != {"sdpa"}
        or any(kind not in LAYER_LIMITS for kind in layer_kinds(config))
        or getattr(config, "attention_dropout", None)
    ):
        return False
    try:
        same = _gradients_agree(model, config, dtype) and _logits_agree(model, config)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever compilers raise
        logger.info("FlexAttention: %s: %s", type(error).__name__, str(error).partition("\n")[0])
        same = False
    model.set_attn_implementation(FLEX_ATTENTION if same else "sdpa")
    return same


def _logits_agree(model: Any, config: Any) -> bool:
    """Whether those of a forked row are what they are by SDPA; leaves the model switched over."""
    tokens = np.arange(60) % config.vocab_size
    tree = filled(build_tree([tokens[:40], np.concatenate([tokens[:20], tokens[40:]])]))
    ids, positions, ends = (
        torch.from_numpy(each).to(model.device) for each in (tree.input_ids, tree.position_ids, tree.subtree_end)
    )
    inputs = {"input_ids": ids[None], "position_ids": positions[None], "use_cache": False}
    with torch.no_grad(), evaluating(model):
        plain = model_mask(ends, positions, config, model.dtype)
        expected = given_everywhere(model, **inputs, attention_mask=plain)
        model.set_attn_implementation(FLEX_ATTENTION)
        found = given_everywhere(model, **inputs, attention_mask=flex_mask(ends, positions, config))
    return bool((found - expected).abs().amax() <= torch.finfo(torch.bfloat16).eps ** 0.5 * expected.abs().amax())


def _gradients_agree(model: Any, config: Any, dtype: torch.dtype) -> bool:
    """Whether outputs and gradients of one attention over a fork of random numbers are those of SDPA."""
    trunk = list(range(_BLOCK))
    tree = filled(build_tree([[*trunk, *trunk], [*trunk, *reversed(trunk)]]))
    ends = torch.from_numpy(tree.subtree_end).to(model.device)
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    query, key, value = (
        torch.randn(1, count, len(ends), size, device=model.device, dtype=dtype, requires_grad=True)
        for count in (heads, shared, shared)
    )
    flex, _ = flex_attention_forward(model, query, key, value, _block_mask(_along_tree(ends), ends))
    plain = functional.scaled_dot_product_attention(query, key, value, tree_mask(ends), enable_gqa=heads != shared)
    ways = (flex, plain.transpose(1, 2))
    gradients = (torch.autograd.grad(each.float().square().mean(), (query, key, value)) for each in ways)
    noise = 8 * torch.finfo(dtype).eps
    return all((a - b).abs().amax() <= noise * b.abs().amax() for a, b in [ways, *zip(*gradients, strict=True)])


def _block_mask(seen: Visible, like: Tensor) -> BlockMask:
    """For a row of as many nodes as `like`, on its device; the whole square is made on the way, one bit a byte."""
    return create_block_mask(seen, None, None, len(like), len(like), like.device)
