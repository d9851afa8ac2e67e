"""An objective: a reduction and a loss with their settings, checked once, then a pure function of turns."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from turnpoint.errors import ConfigError
from turnpoint.objectives.losses import LOSSES, LossFact, PairScores
from turnpoint.objectives.reductions import REDUCTIONS, ReductionFact, Turns


class PairLosses(NamedTuple):
    """What an objective says of B pairs: losses [B] with their graph; rewards [B] = beta * (policy - reference)."""

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A reduction and a loss with their settings.

    Args:
        loss_type: name of the loss, a key of `LOSSES`.
        reduction: name of the reduction, a key of `REDUCTIONS`.
        beta: how strongly the policy is held to the reference, > 0, 1 / nats.
        gamma: turn discount in [0, 1]; None takes the reduction's own, and is the only value where it has none.
        margin: by how much the chosen score must lead, nats; None takes the reduction's own.
        label_smoothing: share of pairs taken to be labelled the wrong way round, in [0, 0.5).

    Raises:
        ConfigError: an unknown name, a value out of range, or a setting that loss or reduction have no use for.
    """

    loss_type: str = "sigmoid"
    reduction: str = "sum"
    beta: float = 0.1
    gamma: float | None = None
    margin: float | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _known("loss_type", self.loss_type, LOSSES)
        _known("reduction", self.reduction, REDUCTIONS)
        _check_range(self)
        _check_use(self)
        if self.margin is None:
            object.__setattr__(self, "margin", self.reduction_fact.margin if self.loss_fact.margin else 0.0)
        if self.gamma is None:
            object.__setattr__(self, "gamma", self.reduction_fact.gamma)

    @property
    def loss_fact(self) -> LossFact:
        """The row of `LOSSES`."""
        return LOSSES[self.loss_type]

    @property
    def reduction_fact(self) -> ReductionFact:
        """The row of `REDUCTIONS`."""
        return REDUCTIONS[self.reduction]

    def __call__(self, policy: tuple[Turns, Turns], reference: tuple[Turns, Turns]) -> PairLosses:
        """Loss and rewards of B pairs.

        Args:
            policy: turns of the chosen and of the rejected sides under the policy, each with fields [B, T].
            reference: the same under the reference, without a graph.
        """
        scores = PairScores(
            self.score(policy[0]),
            self.score(policy[1]),
            self.score(reference[0]),
            self.score(reference[1]),
            _tokens(policy[0]),
            _tokens(policy[1]),
        )
        assert self.margin is not None
        return PairLosses(
            self.loss_fact.function(scores, self.beta, self.margin, self.label_smoothing),
            (self.beta * (scores.policy_chosen - scores.reference_chosen)).detach(),
            (self.beta * (scores.policy_rejected - scores.reference_rejected)).detach(),
        )

    def score(self, turns: Turns) -> Tensor:
        """Score of each sequence under the reduction, nats, [B]."""
        return self.reduction_fact.function(turns, 1.0 if self.gamma is None else self.gamma)


def _tokens(turns: Turns) -> Tensor:
    return turns.tokens.where(turns.mask, 0).sum(-1)


def _known(field: str, name: str, table: Mapping[str, object]) -> None:
    if name in table:
        return
    near = difflib.get_close_matches(name, table, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(table)}"
    raise ConfigError(f"objective: {field}: must be one of {', '.join(table)} (got {name!r}); {fix}")


def _check_range(objective: Objective) -> None:
    if not (math.isfinite(objective.beta) and objective.beta > 0):
        raise ConfigError(f"objective: beta: must be a number above 0 (got {objective.beta}); 0.1 is usual")
    if objective.gamma is not None and not 0 <= objective.gamma <= 1:
        raise ConfigError(f"objective: gamma: must lie in [0, 1] (got {objective.gamma}); 0.5 is usual")
    if objective.margin is not None and not math.isfinite(objective.margin):
        raise ConfigError(f"objective: margin: must be a finite number (got {objective.margin}); 0.5 is usual")
    if not 0 <= objective.label_smoothing < 0.5:
        raise ConfigError(
            f"objective: label_smoothing: must lie in [0, 0.5) (got {objective.label_smoothing});"
            " at 0.5 and above the labels say nothing or the opposite, use 0.1 for noisy labels"
        )


def _check_use(objective: Objective) -> None:
    """A setting that nothing reads is an error: the user believes it does something."""
    if objective.gamma is not None and objective.reduction_fact.gamma is None:
        discounted = ", ".join(name for name, fact in REDUCTIONS.items() if fact.gamma is not None)
        raise ConfigError(
            f"objective: gamma: reduction {objective.reduction!r} has no turn discount (got {objective.gamma});"
            f" leave gamma out or use a reduction that has one: {discounted}"
        )
    if objective.label_smoothing and not objective.loss_fact.smoothing:
        raise ConfigError(
            f"objective: label_smoothing: has no meaning in loss {objective.loss_type!r}"
            f" (got {objective.label_smoothing}); leave it out"
        )
    if objective.margin and not objective.loss_fact.margin:
        raise ConfigError(
            f"objective: margin: has no meaning in loss {objective.loss_type!r} (got {objective.margin}); leave it out"
        )
