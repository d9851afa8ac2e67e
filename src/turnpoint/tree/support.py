"""Whether a model gives in the token tree what it gives one sequence at a time.

What is known to break the premise is read from the configuration; everything else is tried on real sequences.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from turnpoint.tree.attention import TREE_ATTENTION
from turnpoint.tree.evaluating import evaluating
from turnpoint.tree.flex import FLEX_ATTENTION
from turnpoint.tree.forward import bare_model
from turnpoint.tree.logprobs import ScoredSequence, ScoreRow, TokenScores, sequence_scores
from turnpoint.tree.mask import ATTENTIONS, LAYER_LIMITS, layer_kinds

# `_rounded_otherwise` moves every output, another arrangement only some: on tiny models in float32 and bfloat16, and on
# a Llama of 135M under bfloat16 autocast, the tree was off by at most 0.7 of that noise. The factor is for probes with
# a handful of scored tokens.
_NOISE_MARGIN = 2.0
_NOISE_DRAWS = 2


class Sharing(NamedTuple):
    """Whether the sequences of a row may share their tree, and why (not)."""

    shared: bool
    reason: str


def check_sharing(
    model: nn.Module,
    sequences: Sequence[ScoredSequence],
    *,
    longest_sequence: int | None = None,
    score: ScoreRow = sequence_scores,
) -> Sharing:
    """Whether `score(shared=True)` can be trusted with this model.

    Runs without gradients and with dropout off, in the autocast state of the caller; 1 + 3 × `len(sequences)` forward
    passes, so ranks of a sharded engine have to hand over as many sequences each, and to agree on what they find.

    Args:
        model: a model of transformers that `score` can score with, bare or wrapped.
        sequences: some of those to be trained on; they should share prefixes.
        longest_sequence: tokens of the longest sequence that the run will ever see, where that is known. Rotary
            scaling that starts beyond some length is harmless up to it.
        score: what scores a row.
    """
    bare = bare_model(model)
    reason = _known_obstacle(bare, bare.config.get_text_config(), longest_sequence)
    return Sharing(False, reason) if reason else _probe(model, sequences, score)


def _known_obstacle(bare: Any, config: Any, longest_sequence: int | None) -> str | None:
    """Why the model's configuration rules the tree out, or None."""
    if getattr(bare, "_is_stateful", False):
        return "the model carries a recurrent state from token to token"
    for kind in layer_kinds(config):
        if kind not in LAYER_LIMITS:
            return f"layers of the kind {kind!r} do not attend along the tree"
    if config._attn_implementation not in (*ATTENTIONS, TREE_ATTENTION, FLEX_ATTENTION):
        return (
            f"attention {config._attn_implementation!r} takes no mask of the tree; "
            "load the model with attn_implementation='sdpa'"
        )
    if getattr(config, "output_router_logits", False):
        return "the auxiliary loss of the experts (output_router_logits) accepts no mask of the tree"
    return _rotary_obstacle(config, longest_sequence)


def _rotary_obstacle(config: Any, longest_sequence: int | None) -> str | None:
    """Why the rotary embedding of a token depends on more than its place in its sequence, or None."""
    for rope in _rope_parameters(config):
        if "mrope_section" in rope:
            return "positions have several dimensions (mrope_section)"
        threshold = {
            "dynamic": getattr(config, "max_position_embeddings", None),
            "longrope": rope.get("original_max_position_embeddings"),
        }
        kind = rope.get("rope_type")
        if kind in threshold and (longest_sequence is None or longest_sequence > (threshold[kind] or 0)):
            return f"rotary scaling {kind!r} depends on the length of the whole row beyond {threshold[kind]} tokens"
    return None


def _rope_parameters(config: Any) -> list[Mapping[str, Any]]:
    """Rotary parameters of the model: one mapping, or one for each kind of layer."""
    rope = getattr(config, "rope_parameters", None) or {}
    by_kind = [value for value in rope.values() if isinstance(value, Mapping)]
    return by_kind or [rope]


def _probe(model: nn.Module, sequences: Sequence[ScoredSequence], score: ScoreRow) -> Sharing:
    with torch.no_grad(), evaluating(model):
        plain = _values(score(model, sequences, shared=False))
        try:
            tree = _values(score(model, sequences))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a model's own code may refuse the mask in any way
            return Sharing(False, f"the model refuses the tree: {_first_line(error)}")
        difference = _largest(tree - plain)
        draws = (_rounded_otherwise(model, sequences, score, seed) for seed in range(_NOISE_DRAWS))
        noise = max(_largest(draw - plain) for draw in draws)
    found = f"tree and plain scores differ by {difference:.1e}, rounding alone by {noise:.1e}"
    return Sharing(math.isfinite(difference) and difference <= _NOISE_MARGIN * noise, found)


def _values(scores: Sequence[TokenScores]) -> Tensor:
    """Those of all sequences, one after the other."""
    return torch.cat([each.values for each in scores])


def _largest(differences: Tensor) -> float:
    """The largest size; infinite where something is not a number, 0 of nothing."""
    return float(differences.abs().nan_to_num(nan=torch.inf).amax()) if differences.numel() else 0.0


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"


def _rounded_otherwise(model: nn.Module, sequences: Sequence[ScoredSequence], score: ScoreRow, seed: int) -> Tensor:
    """Plain scores when the output of each elementary module is off by one rounding, up or down at random.

    Another arrangement of a row changes the order of sums in matrix products, so that outputs come out rounded
    otherwise. This is what the tree may differ by, in the dtype that each module really computes in. The rounding is
    that of float32 at best: norms, rotary tables and the softmax of eager attention are float32 in any model.
    """
    generators: dict[torch.device, torch.Generator] = {}

    def nudge(module: nn.Module, inputs: object, output: object) -> object:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return output
        generator = generators.setdefault(output.device, torch.Generator(output.device).manual_seed(seed))
        up = torch.randint(0, 2, output.shape, generator=generator, device=output.device, dtype=torch.bool)
        rounding = max(torch.finfo(output.dtype).eps, torch.finfo(torch.float32).eps)
        return torch.where(up, output * (1 + rounding), output * (1 - rounding))

    handles = [m.register_forward_hook(nudge) for m in model.modules() if not any(m.children())]
    try:
        return _values(score(model, sequences, shared=False))
    finally:
        for handle in handles:
            handle.remove()
