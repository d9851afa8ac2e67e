"""The table of losses: what each is, and what else is true of it."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from turnpoint.errors import ConfigError
from turnpoint.imports import imported, is_import_path
from turnpoint.objectives import coupled, losses, rated, without_reference
from turnpoint.objectives.scores import LossSettings, PairScores


class Coefficient(NamedTuple):
    """A number that one loss alone has."""

    name: str
    default: float


class LossFact(NamedTuple):
    """What a loss is and what else is true of it.

    Args:
        function: scores and settings -> loss of each pair, [B].
        about: what it does, in one line.
        beta: usual values, for the reader.
        needs_reference: False when the reference's scores are never read.
        reduction: its own, taken where the user names none.
        fixed: it takes no other reduction.
        smoothing: whether label smoothing has a meaning.
        needs_smoothing: label smoothing must be above 0.
        margin: whether a margin has a meaning.
        own_margin: taken where neither the user nor the reduction gives one, nats.
        divergence: whether divergences other than reverse KL have a meaning.
        coefficient: its own number.
        coupled: the pairs of a step enter each other's losses.
        sorts: its losses belong to no pair, so pairs cannot be weighted.
        shifted: reads the running mean of rewards.
        chosen_only: reads the chosen side only, so that settings of pairs do not concern it.
        rated: reads completions that were liked or not, in the place of pairs.
    """

    function: Callable[[PairScores, LossSettings], Tensor]
    about: str = ""
    beta: str = "0.1"
    needs_reference: bool = True
    reduction: str = "sum"
    fixed: bool = False
    smoothing: bool = False
    needs_smoothing: bool = False
    margin: bool = False
    own_margin: float = 0.0
    divergence: bool = False
    coefficient: Coefficient | None = None
    coupled: bool = False
    sorts: bool = False
    shifted: bool = False
    chosen_only: bool = False
    rated: bool = False


LOSSES: dict[str, LossFact] = {
    "sigmoid": LossFact(
        losses.sigmoid,
        "DPO: logistic loss of the lead of chosen over rejected; the place to start",
        "0.1 to 0.5",
        smoothing=True,
        margin=True,
        divergence=True,
    ),
    "hinge": LossFact(
        losses.hinge, "RSO: no gradient from pairs that lead by 1 / beta", "0.05 to 0.2", margin=True, divergence=True
    ),
    "ipo": LossFact(
        losses.ipo,
        "IPO: a fixed lead of 1 / (2 beta) per token, so nothing grows without bound",
        "0.01 to 0.5",
        reduction="mean",
        margin=True,
        divergence=True,
    ),
    "exo_pair": LossFact(
        losses.exo_pair,
        "EXO: reverse KL to the labels, softened by label_smoothing",
        "0.1 to 0.5",
        smoothing=True,
        needs_smoothing=True,
        margin=True,
        divergence=True,
    ),
    "nca_pair": LossFact(losses.nca_pair, "NCA: absolute rewards, keeps the chosen side likely", "0.01 to 0.1"),
    "robust": LossFact(
        losses.robust,
        "robust DPO: unbiased when a known share of labels (label_smoothing) is swapped",
        "0.1 to 0.5",
        smoothing=True,
        margin=True,
        divergence=True,
    ),
    "bco_pair": LossFact(
        losses.bco_pair, "BCO: a classifier of good and bad with rewards shifted by their running mean", shifted=True
    ),
    "sppo_hard": LossFact(losses.sppo_hard, "SPPO: drives log-ratios to plus and minus 1 / (2 beta)", "0.001 to 0.1"),
    "aot": LossFact(
        coupled.aot,
        "AOT: leads of the whole step, sorted, must dominate those of the reference",
        smoothing=True,
        coupled=True,
        sorts=True,
    ),
    "aot_pair": LossFact(
        coupled.aot_pair,
        "AOT: chosen rewards of the whole step, sorted, must dominate the rejected ones",
        smoothing=True,
        coupled=True,
        sorts=True,
    ),
    "apo_zero": LossFact(losses.apo_zero, "APO: chosen up, rejected down; when chosen is better than the model"),
    "apo_down": LossFact(losses.apo_down, "APO: both down, rejected more; when chosen is worse than the model"),
    "discopop": LossFact(
        losses.discopop,
        "DiscoPOP: blend of logistic and exponential loss, found by a search",
        "0.05",
        margin=True,
        divergence=True,
        coefficient=Coefficient("discopop_tau", 0.05),
    ),
    "sft": LossFact(
        without_reference.sft,
        "next-token loss of the chosen side; beside another loss it keeps chosen likely",
        "none",
        needs_reference=False,
        reduction="mean",
        fixed=True,
        chosen_only=True,
    ),
    "sigmoid_norm": LossFact(
        losses.sigmoid,
        "DPO with scores per token: answers of unlike length",
        "1 to 10",
        reduction="mean",
        smoothing=True,
        margin=True,
        divergence=True,
    ),
    "simpo": LossFact(
        without_reference.simpo,
        "SimPO: token means with a margin (the paper's gamma / beta), no reference",
        "2 to 10",
        needs_reference=False,
        reduction="mean",
        smoothing=True,
        margin=True,
        own_margin=0.5,
    ),
    "orpo": LossFact(
        without_reference.orpo,
        "ORPO: SFT and odds ratio at once, no reference; beta is the paper's lambda",
        "0.1 to 0.25",
        needs_reference=False,
        reduction="mean",
        fixed=True,
    ),
    "cpo": LossFact(
        without_reference.cpo,
        "CPO: DPO without a reference, plus SFT of the chosen side",
        needs_reference=False,
        smoothing=True,
        margin=True,
        coefficient=Coefficient("cpo_alpha", 1.0),
    ),
    "kto_pair": LossFact(
        coupled.kto_pair, "KTO: each side against the mean of the other sides of the step", coupled=True
    ),
    "dpop": LossFact(
        losses.dpop,
        "DPO-Positive: DPO with a price on a chosen side that becomes less likely",
        "0.1 to 0.3",
        margin=True,
        divergence=True,
        coefficient=Coefficient("dpop_lambda", 50.0),
    ),
    "slic": LossFact(
        without_reference.slic,
        "SLiC: hinge without a reference, plus SFT of the chosen side",
        "0.1 to 1",
        needs_reference=False,
        margin=True,
        coefficient=Coefficient("slic_lambda", 1.0),
    ),
    "kto": LossFact(
        rated.kto,
        "KTO for rows of prompt, completion and label: what was liked up, the rest down",
        coupled=True,
        rated=True,
    ),
    "bco": LossFact(
        rated.bco, "BCO for rows of prompt, completion and label: a classifier of both", shifted=True, rated=True
    ),
}
ALIASES = {"aot_unpaired": "aot_pair"}
COEFFICIENTS: dict[str, str] = {fact.coefficient.name: name for name, fact in LOSSES.items() if fact.coefficient}


def loss_named(name: str) -> LossFact:
    """The row of `LOSSES`, or the user's own loss by import path, `package.module:name`.

    The path leads to a function of `PairScores` and `LossSettings`, of which nothing is known and every setting is
    taken, or to a `LossFact`.

    Raises:
        ConfigError: nothing of that name can be imported, or it is no loss.
    """
    if not is_import_path(name):
        return LOSSES[ALIASES.get(name, name)]
    found = imported(name, "objective: loss_type")
    if isinstance(found, LossFact):
        return found
    if not callable(found):
        raise ConfigError(
            f"objective: loss_type: is no function and no LossFact (got {name!r}); a loss takes PairScores and"
            " LossSettings and returns a loss for each pair"
        )
    return LossFact(found, f"the loss of {name}", smoothing=True, margin=True, divergence=True)
