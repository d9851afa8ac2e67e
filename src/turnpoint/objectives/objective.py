"""An objective: losses and their reductions with all settings, checked once, then a pure function of turns.

Legend: B pairs, T turns of the longest sequence.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from turnpoint.errors import ConfigError
from turnpoint.objectives.divergences import DIVERGENCES
from turnpoint.objectives.reductions import REDUCTIONS, ReductionFact, Turns, shorter_side_first, token_mean
from turnpoint.objectives.scores import LossSettings, PairScores
from turnpoint.objectives.table import ALIASES, COEFFICIENTS, LOSSES, LossFact, loss_named

Sides = tuple[Turns, Turns]


class PairLosses(NamedTuple):
    """What an objective says of B pairs: losses [B] with their graph; rewards [B] = beta * (policy - reference).

    Rewards are under the reduction of the loss that reads their running mean, or of the first loss.
    """

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor


class Term(NamedTuple):
    """One loss of an objective with what is in force for it.

    Args:
        name: of the loss, as the user gave it.
        loss: the row of the table.
        weight: of the loss in the sum.
        reduction: name of its reduction.
        gamma: turn discount; 1 where the reduction has none.
        margin: of pairs that carry none, nats.
        coefficient: the loss's own number, 0 where it has none.
    """

    name: str
    loss: LossFact
    weight: float
    reduction: str
    gamma: float
    margin: float
    coefficient: float

    def score(self, turns: Turns) -> Tensor:
        """Score of each sequence under the reduction, nats, [B]."""
        return self.reduction_fact.function(turns, self.gamma)

    @property
    def reduction_fact(self) -> ReductionFact:
        """The row of `REDUCTIONS`."""
        return REDUCTIONS[self.reduction]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Losses with their reductions and settings.

    Args:
        loss_type: name of the loss, a key of `LOSSES` or an import path; several, or with commas between them, add up.
        loss_weights: weight of each of several losses; None: 1 each.
        reduction: name of the reduction, a key of `REDUCTIONS`; None takes each loss's own.
        beta: how strongly the policy is held to the reference, > 0, 1 / nats.
        gamma: turn discount in [0, 1]; None takes the reduction's own, and is the only value where it has none.
        margin: by how much the chosen score must lead, nats; None takes the reduction's own, or the loss's.
        label_smoothing: share of pairs taken to be labelled the wrong way round, in [0, 0.5).
        f_divergence_type: name of the divergence, a key of `DIVERGENCES`.
        f_alpha_divergence_coef: alpha of the divergence alpha_divergence; None: 0.5.
        ld_alpha: weight in [0, 1] of tokens beyond the length of the shorter side (LD-DPO, arXiv 2409.06411); None: 1.
        rpo_alpha: adds the loss `sft` with this weight (RPO, arXiv 2404.19733); None: does not.
        coefficients: of each loss that has a number of its own, by the number's name; the table's where it is left out.

    Raises:
        ConfigError: an unknown name, a value out of range, or a setting that loss or reduction have no use for.
    """

    loss_type: str | Sequence[str] = "sigmoid"
    loss_weights: Sequence[float] | None = None
    reduction: str | None = None
    beta: float = 0.1
    gamma: float | None = None
    margin: float | None = None
    label_smoothing: float = 0.0
    f_divergence_type: str = "reverse_kl"
    f_alpha_divergence_coef: float | None = None
    ld_alpha: float | None = None
    rpo_alpha: float | None = None
    coefficients: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        _check_names(self)
        _check_ranges(self)
        _check_use(self)

    @property
    def losses(self) -> list[str]:
        """Names of the losses."""
        return self.loss_type.split(",") if isinstance(self.loss_type, str) else list(self.loss_type)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The losses with what is in force for each."""
        weights = [1.0] * len(self.losses) if self.loss_weights is None else list(self.loss_weights)
        terms = tuple(map(self._term, self.losses, weights))
        return terms if self.rpo_alpha is None else (*terms, self._term("sft", self.rpo_alpha))

    def _term(self, name: str, weight: float) -> Term:
        loss = loss_named(name)
        reduction = loss.reduction if loss.fixed or self.reduction is None else self.reduction
        fact = REDUCTIONS[reduction]
        margin = (fact.margin or loss.own_margin) if self.margin is None else self.margin
        given = dict(self.coefficients or {})
        own = loss.coefficient
        return Term(
            name,
            loss,
            weight,
            reduction,
            gamma=1.0 if fact.gamma is None else fact.gamma if self.gamma is None else self.gamma,
            margin=margin if loss.margin else 0.0,
            coefficient=given.get(own.name, own.default) if own else 0.0,
        )

    @property
    def needs_reference(self) -> bool:
        """Whether any loss reads the reference."""
        return any(term.loss.needs_reference for term in self.terms)

    @property
    def by_turn(self) -> bool:
        """Whether any score depends on how tokens fall into turns."""
        return any(term.reduction_fact.by_turn for term in self.terms)

    @property
    def coupled(self) -> bool:
        """Whether the pairs of a step enter each other's losses."""
        return any(term.loss.coupled for term in self.terms)

    @property
    def rated(self) -> bool:
        """Whether it is for completions that were liked or not, in the place of pairs."""
        return any(term.loss.rated for term in self.terms)

    @property
    def shifted(self) -> bool:
        """Whether any loss reads the running mean of rewards."""
        return any(term.loss.shifted for term in self.terms)

    def __call__(
        self,
        policy: Sides,
        reference: Sides,
        *,
        margins: Tensor | None = None,
        weights: Tensor | None = None,
        liked: Tensor | None = None,
        shift: float = 0.0,
    ) -> PairLosses:
        """Loss and rewards of B pairs.

        Args:
            policy: turns of the chosen and of the rejected sides under the policy, each with fields [B, T].
            reference: the same under the reference, without a graph.
            margins: of each pair, nats, in the place of the setting where it is a number, [B].
            weights: what the losses of each pair are multiplied with, [B].
            liked: of rated completions whether they were, bool [B]; None for pairs.
            shift: running mean of rewards, for losses that read it.
        """
        means = token_mean(policy[0], 1.0)  # of all tokens alike: a length penalty is for scores
        if self.ld_alpha is not None:
            policy, reference = (shorter_side_first(sides, self.ld_alpha) for sides in (policy, reference))
        rewarded = next((term for term in self.terms if term.loss.shifted), self.terms[0])
        losses = torch.zeros_like(means)
        for term in self.terms:
            measured = [
                term.score(side) if term.loss.needs_reference else torch.zeros_like(means) for side in reference
            ]
            scores = PairScores(
                policy_chosen=term.score(policy[0]),
                policy_rejected=term.score(policy[1]),
                reference_chosen=measured[0],
                reference_rejected=measured[1],
                chosen_mean=means,
                margin=_margins(term, margins, means),
                chosen_tokens=_tokens(policy[0]),
                rejected_tokens=_tokens(policy[1]),
                liked=torch.ones_like(means, dtype=torch.bool) if liked is None else liked,
            )
            settings = LossSettings(self.beta, self.label_smoothing, self._divergence, term.coefficient, shift)
            losses = losses + term.weight * term.loss.function(scores, settings)
            if term is rewarded:
                rewards = [(self.beta * each).detach() for each in (scores.chosen, scores.rejected)]
        return PairLosses(losses if weights is None else losses * weights, *rewards)

    def _divergence(self, logratios: Tensor) -> Tensor:
        alpha = 0.5 if self.f_alpha_divergence_coef is None else self.f_alpha_divergence_coef
        return DIVERGENCES[self.f_divergence_type](logratios, alpha)


def _margins(term: Term, margins: Tensor | None, like: Tensor) -> Tensor:
    of_setting = torch.full_like(like, term.margin).detach()
    if margins is None or not term.loss.margin:
        return of_setting
    return torch.where(margins.isnan(), of_setting, margins.to(of_setting))


def _tokens(turns: Turns) -> Tensor:
    return turns.tokens.where(turns.mask, 0).sum(-1)


def _known(field: str, name: str, table: Iterable[str]) -> None:
    names = list(table)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    fix = f"did you mean {near[0]!r}?" if near else "look it up in docs/objectives.md"
    raise ConfigError(f"objective: {field}: must be one of {', '.join(names)} (got {name!r}); {fix}")


def _check_names(objective: Objective) -> None:
    names = objective.losses
    if not names:
        raise ConfigError("objective: loss_type: names no loss (got []); sigmoid is DPO")
    for name in names:
        if ":" not in name:
            _known("loss_type", name, [*LOSSES, *ALIASES])
    if objective.reduction is not None:
        _known("reduction", objective.reduction, REDUCTIONS)
    _known("f_divergence_type", objective.f_divergence_type, DIVERGENCES)
    weights = objective.loss_weights
    if weights is not None and len(weights) != len(names):
        raise ConfigError(
            f"objective: loss_weights: must be one for each loss (got {list(weights)} for {', '.join(names)}); name as"
            " many, or leave them out for 1 each"
        )


class _Range(NamedTuple):
    """What values a setting may have."""

    holds: Callable[[float], bool]
    rule: str
    fix: str


_ANY = _Range(math.isfinite, "must be a finite number", "leave it out")
_UNIT = _Range(lambda value: 0 <= value <= 1, "must lie in [0, 1]", "0.5 is usual")
_RANGES = {
    "beta": _Range(lambda value: math.isfinite(value) and value > 0, "must be a number above 0", "0.1 is usual"),
    "gamma": _UNIT,
    "ld_alpha": _UNIT,
    "margin": _ANY._replace(fix="0.5 is usual"),
    "label_smoothing": _Range(
        lambda value: 0 <= value < 0.5,
        "must lie in [0, 0.5)",
        "at 0.5 and above the labels say nothing or the opposite, use 0.1 for noisy labels",
    ),
    "f_alpha_divergence_coef": _ANY,
    "rpo_alpha": _ANY,
}


def _check_ranges(objective: Objective) -> None:
    values = [(name, getattr(objective, name), allowed) for name, allowed in _RANGES.items()]
    values += [("loss_weights", value, _ANY._replace(fix="1.0 is usual")) for value in objective.loss_weights or ()]
    for name, value in (objective.coefficients or {}).items():
        _known("coefficients", name, COEFFICIENTS)
        values.append((name, value, _RANGES["beta"]._replace(fix="leave it out")))
    for name, value, allowed in values:
        if value is not None and not allowed.holds(value):
            raise ConfigError(f"objective: {name}: {allowed.rule} (got {value}); {allowed.fix}")


def _check_use(objective: Objective) -> None:
    """A setting that nothing reads is an error: the user believes it does something."""
    terms = objective.terms
    if objective.reduction is not None and all(term.reduction != objective.reduction for term in terms):
        raise _unused(objective, "reduction", f"takes {terms[0].reduction!r} only")
    if objective.gamma is not None and all(term.reduction_fact.gamma is None for term in terms):
        discounted = ", ".join(name for name, fact in REDUCTIONS.items() if fact.gamma is not None)
        raise ConfigError(
            f"objective: gamma: reduction {terms[0].reduction!r} has no turn discount (got {objective.gamma});"
            f" leave gamma out or use a reduction that has one: {discounted}"
        )
    if objective.f_alpha_divergence_coef is not None and objective.f_divergence_type != "alpha_divergence":
        raise _unused(objective, "f_alpha_divergence_coef", f"divergence {objective.f_divergence_type!r} has none")
    for name in objective.coefficients or {}:
        if all(term.loss.coefficient is None or term.loss.coefficient.name != name for term in terms):
            raise _unused(objective, name, f"it belongs to loss {COEFFICIENTS[name]!r}")
    for term in [term for term in terms if not term.loss.chosen_only] or terms:
        _check_use_by(objective, term)
    if objective.rated and not all(term.loss.rated for term in terms):
        raise ConfigError(
            f"objective: loss_type: {' and '.join(term.name for term in terms)} train on different data, rated"
            " completions and pairs; name losses of one kind"
        )
    if objective.ld_alpha is not None and all(term.loss.rated or term.loss.chosen_only for term in terms):
        raise _unused(objective, "ld_alpha", "no side is the shorter one")


def _check_use_by(objective: Objective, term: Term) -> None:
    """Settings of pairs are read by every loss of pairs: of several, one that has no use for a setting refuses it."""
    for setting, unset, read in (
        ("label_smoothing", 0, term.loss.smoothing),
        ("margin", None, term.loss.margin),
        ("f_divergence_type", "reverse_kl", term.loss.divergence),
    ):
        if getattr(objective, setting) not in (unset, 0) and not read:
            raise _unused(objective, setting, "it has no meaning", term)
    if term.loss.needs_smoothing and not objective.label_smoothing:
        raise ConfigError(
            f"objective: label_smoothing: must be above 0 in loss {term.name!r} (got {objective.label_smoothing}); its"
            " paper takes 0.001"
        )


def _unused(objective: Objective, setting: str, why: str, term: Term | None = None) -> ConfigError:
    name = (term or objective.terms[0]).name
    value = (objective.coefficients or {}).get(setting, getattr(objective, setting, None))
    return ConfigError(f"objective: {setting}: in loss {name!r} {why} (got {value!r}); leave it out")
