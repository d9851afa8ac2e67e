"""Attention along a token tree, without the square of the row: each chain of nodes sees its ancestors and itself.

It is an attention function of transformers (`TREE_ATTENTION`), for models that attend by SDPA. The blocks of the tree
come to it as a keyword argument of the model's forward; without them it is SDPA. Small matrix products beat SDPA on
CPU, where a mask costs the square of the row (benchmarks/RESULTS.md).

Shapes: T nodes of the tree, H heads of queries, J heads of keys and values, D size of a head, G = H / J, L queries and
S keys of one block.
"""

import inspect
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from turnpoint.tree.build import Indexes, TokenTree, build_tree
from turnpoint.tree.evaluating import evaluating
from turnpoint.tree.mask import LAYER_LIMITS, layer_kinds, sees_everything_before

TREE_ATTENTION = "turnpoint_tree"

_NOT_COVERED = ("position_bias", "softcap", "s_aux", "indices")  # arguments that change the weights
_TRIAL_TOKENS = 12
_LONGEST_BLOCK = 256  # queries that share their keys: more of them waste half a square, fewer make small products


class Block(NamedTuple):
    """Consecutive nodes of one chain, as queries, and the keys that the last of them sees.

    Args:
        start: first node of the block.
        end: node after the last one.
        keys: ranges of nodes in order of depth; the last one ends with the block, and its nodes are seen causally.
    """

    start: int
    end: int
    keys: tuple[tuple[int, int], ...]


def attend_along_tree(model: Any) -> bool:
    """Let a model of transformers attend along the blocks of a tree from now on, where it attends by SDPA.

    Its configuration names `TREE_ATTENTION` then, until it is saved. Elsewhere than in the forward of a token tree
    (`turnpoint.tree.forward`) it attends by SDPA as before. A model whose own code asks for the name of its attention,
    or hands it more than a mask, may compute something else then: three short forwards tell, and it is left alone.

    Args:
        model: bare, as `turnpoint.tree.forward.bare_model` gives it.

    Returns:
        Whether the model does.
    """
    if model.config._attn_implementation == TREE_ATTENTION:
        return True
    if not _may_attend_along_tree(model):
        return False
    AttentionInterface.register(TREE_ATTENTION, _attention)
    AttentionMaskInterface.register(TREE_ATTENTION, sdpa_mask)
    try:
        attends = _gives_the_same_along_tree(model)
    except Exception:  # a model's own code may refuse in any way
        attends = False
    if not attends:
        model.config._attn_implementation = "sdpa"
    return attends


def _gives_the_same_along_tree(model: Any) -> bool:
    """Switch the model over and compare logits of a few tokens, with and without blocks, with those of SDPA."""
    length, config = _TRIAL_TOKENS, model.config.get_text_config()
    while not sees_everything_before(torch.arange(length), config):
        length -= 1
    tree = build_tree([range(1, 1 + length)])
    inputs = {"input_ids": torch.from_numpy(tree.input_ids).to(model.device)[None], "use_cache": False}
    with torch.no_grad(), evaluating(model):
        expected = given_everywhere(model, **inputs)
        model.config._attn_implementation = TREE_ATTENTION
        blocks = attention_blocks(tree)
        found = [given_everywhere(model, **inputs, **options) for options in ({}, {"tree_blocks": blocks})]
    # Roundings of one layer grow in the next: in float32 two ways to the same logits differ by thousands of them, in
    # bfloat16 by tens, which is half of the largest logit.
    rounding = torch.finfo(expected.dtype).eps
    noise = max(64 * rounding, rounding**0.5) * expected.abs().amax()
    return all(bool(((logits - expected).abs() <= noise).all()) for logits in found)


def given_everywhere(model: Any, **inputs: Any) -> Tensor:
    """Logits of a model, [1, T, V]; of a reward model, which gives those of one token, its hidden states, [1, T, D]."""
    if hasattr(model, "score"):
        hidden: Tensor = model.base_model(**inputs).last_hidden_state
        return hidden
    logits: Tensor = model(**inputs).logits
    return logits


def _may_attend_along_tree(model: Any) -> bool:
    """Whether its forward takes further arguments, it attends by SDPA, and the tree knows all kinds of its layers."""
    config = model.config.get_text_config()
    parameters = inspect.signature(model.forward).parameters.values()
    return (
        any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
        and model.config._attn_implementation == config._attn_implementation == "sdpa"
        and all(kind in LAYER_LIMITS for kind in layer_kinds(config))
        and all(parameter.numel() for parameter in model.parameters())  # sharded from the start
    )


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    tree_blocks: list[Block] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention function: query [1, H, T, D], key and value [1, J, T, ...] to [1, T, H, size of the values]."""
    biased = attention_mask is not None and attention_mask.dtype != torch.bool
    if tree_blocks is None or dropout or biased or any(options.get(name) is not None for name in _NOT_COVERED):
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    device = query.device.type
    if torch.is_autocast_enabled(device) and query.dtype != torch.float64:  # which autocast leaves alone
        dtype = torch.get_autocast_dtype(device)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    with torch.autocast(device, enabled=False):
        attended = tree_attention(query[0], key[0], value[0], tree_blocks, scaling)
    return attended.transpose(0, 1)[None], None


def attention_blocks(tree: TokenTree) -> list[Block]:
    """The blocks of a tree, in order of its layout; each node is in one."""
    blocks: list[Block] = []
    # Of the last node of each chain the ranges of it and its ancestors.
    lineages: dict[int, tuple[tuple[int, int], ...]] = {-1: ()}
    for start, end in _chains(tree.parent):
        ancestors = lineages[int(tree.parent[start])]
        lineages[end - 1] = _joined(ancestors, (start, end))
        for first in range(start, end, _LONGEST_BLOCK):
            last = min(first + _LONGEST_BLOCK, end)
            blocks.append(Block(first, last, _joined(ancestors, (start, last))))
    return blocks


def _chains(parent: Indexes) -> list[tuple[int, int]]:
    """Ranges of consecutive nodes that have one child each but the last."""
    children = np.bincount(parent[parent >= 0], minlength=len(parent))
    follows = (parent[1:] == np.arange(len(parent) - 1)) & (children[:-1] == 1)
    starts = [0, *(np.flatnonzero(~follows) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(parent)], strict=True))


def _joined(ranges: tuple[tuple[int, int], ...], last: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The ranges with one more, made one with the range that it follows on."""
    if ranges and ranges[-1][1] == last[0]:
        return (*ranges[:-1], (ranges[-1][0], last[1]))
    return (*ranges, last)


def tree_attention(query: Tensor, key: Tensor, value: Tensor, blocks: list[Block], scaling: float) -> Tensor:
    """Softmax attention of each block to its keys.

    Args:
        query: [H, T, D].
        key: [J, T, D].
        value: [J, T, any size].
        blocks: of the tree.
        scaling: of the scores.

    Returns:
        [H, T, size of the values].
    """
    attended: Tensor = _TreeAttention.apply(query, key, value, blocks, scaling)
    return attended


class _TreeAttention(torch.autograd.Function):
    """Block by block, the weights of a block computed anew in the backward pass.

    Scores are rounded to the dtype of the queries, as in eager attention; sums and the softmax are at least float32.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[Block], scaling: float) -> Tensor:
        attended = query.new_empty(*query.shape[:2], value.shape[-1])
        for block in blocks:
            queries = _folded(query, block, len(key))
            weights = _weights(queries, _gathered(key, block), block, scaling)
            attended[:, block.start : block.end] = torch.bmm(weights, _gathered(value, block)).view(
                len(query), block.end - block.start, -1
            )
        ctx.save_for_backward(query, key, value)
        ctx.blocks, ctx.scaling = blocks, scaling
        return attended

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value = ctx.saved_tensors
        of_query = torch.empty_like(query, memory_format=torch.contiguous_format)
        sums = torch.promote_types(key.dtype, torch.float32)  # a key gets a share from every block that sees it
        of_key, of_value = torch.zeros_like(key, dtype=sums), torch.zeros_like(value, dtype=sums)
        for block in ctx.blocks:
            queries, keys = _folded(query, block, len(key)), _gathered(key, block)
            weights = _weights(queries, keys, block, ctx.scaling)  # [J, GL, S]
            grads = _folded(grad, block, len(key))
            _scatter(of_value, block, torch.bmm(weights.transpose(1, 2), grads))
            of_weights = torch.bmm(grads, _gathered(value, block).transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scaling)
            of_query[:, block.start : block.end] = torch.bmm(of_scores, keys).view(
                len(query), block.end - block.start, -1
            )
            _scatter(of_key, block, torch.bmm(of_scores.transpose(1, 2), queries))
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None, None


def _folded(heads: Tensor, block: Block, groups: int) -> Tensor:
    """The block's rows of [H, T, D], heads of one group below each other: [J, GL, D]."""
    return heads[:, block.start : block.end].reshape(groups, -1, heads.shape[-1])


def _gathered(heads: Tensor, block: Block) -> Tensor:
    """The rows of [J, T, D] that the block sees: [J, S, D]."""
    parts = [heads[:, start:end] for start, end in block.keys]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _scatter(heads: Tensor, block: Block, rows: Tensor) -> None:
    """Add [J, S, D] to the rows of [J, T, D] that the block sees."""
    sizes = [end - start for start, end in block.keys]
    for (start, end), part in zip(block.keys, rows.split(sizes, 1), strict=True):
        heads[:, start:end] += part


def _weights(queries: Tensor, keys: Tensor, block: Block, scaling: float) -> Tensor:
    """What each query gives to each key, [J, GL, S]."""
    length, seen = block.end - block.start, keys.shape[1]
    scores = torch.baddbmm(queries.new_empty(()), queries, keys.transpose(1, 2), beta=0, alpha=scaling)
    later = scores.new_full((length, length), -torch.inf).triu_(1)
    scores.view(len(keys), -1, length, seen)[..., seen - length :] += later
    return scores.softmax(-1)
