"""What the executor runs for preference pairs, and what it makes of the log-probs.

Legend: B pairs of a row, T turns of the longest side, S scored tokens of one side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from turnpoint.objectives import Objective, PairLosses, Sides, Turns
from turnpoint.training.executor import RowResult
from turnpoint.training.pair_examples import Coupled, PairExample, Side, together, turns_of
from turnpoint.training.reference import Reference
from turnpoint.tree import ScoredSequence, TokenScores, sequence_logprobs, sequence_scores

_METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
)
# Statistic of tokens -> name; a pair adds the mean over the scored tokens of each of its sides.
TOKEN_METRICS = {"entropy": "entropy", "top1": "mean_token_accuracy", "mean_logit": "logits"}
_OF_WPO = "log_sum_p2"


class PairFacts(NamedTuple):
    """What is known of a pair by itself: the columns of `RowResult.of_items`, or lists of them.

    Args:
        chosen_reward: beta times the log-ratio of the chosen side's score.
        rejected_reward: of the rejected side.
        chosen_logratio: summed over scored tokens, nats.
        chosen_tokens: scored tokens of the chosen side.
        rejected_tokens: of the rejected side.
        liked: 1, or 0 for a rated completion that was not.
        divergence: KL of policy and reference to second order, summed over the scored tokens of both sides, nats:
            d^2 / 2 with d = log reference - log policy of a token. Under exp(d) - 1 - d one token that the policy has
            given up would stand for all: these are tokens of the data, not samples of the policy.
        chosen_logp: of the chosen side under the policy, summed over scored tokens, nats.
        rejected_logp: of the rejected side.
    """

    chosen_reward: Any
    rejected_reward: Any
    chosen_logratio: Any
    chosen_tokens: Any
    rejected_tokens: Any
    liked: Any
    divergence: Any
    chosen_logp: Any
    rejected_logp: Any


@dataclass
class RunningMean:
    """Mean over all pairs so far, moved once an optimiser step; the same on all ranks.

    Args:
        mean: of the values.
        count: pairs.
    """

    mean: float = 0.0
    count: float = 0.0

    def add(self, mean: float, count: float) -> None:
        """Take in the mean of `count` pairs."""
        self.count += count
        self.mean += (mean - self.mean) * count / max(self.count, 1)


class Observed(NamedTuple):
    """What the loss of a pair depends on, on the CPU and without a graph: turns [1, T], the rest [1]."""

    policy: Sides
    reference: Sides
    margins: Tensor
    liked: Tensor
    weights: Tensor  # WPO's
    counts: Tensor  # what the pair counts for in the mean


@dataclass
class DPOStage:
    """A preference pair for the executor.

    Args:
        objective: reductions and losses.
        reference: where the reference's log-probs come from; None: the examples carry them, or none are needed.
        token_metrics: statistics of tokens to report, keys of `TOKEN_METRICS`.
        use_weighting: weigh each pair by how likely both sides are under the policy (WPO, arXiv 2406.11827, eq. 2).
        rewards: running mean of the rewards of both sides, for losses that are shifted by it.
        shared: whether sequences of a row share their tree.
        chunked: whether some rows of logits are made at a time.
        sequences_per_item: two sides.
        metrics_by_weight: every pair counts as one.
    """

    objective: Objective
    reference: Reference | None
    token_metrics: tuple[str, ...] = ()
    use_weighting: bool = False
    rewards: RunningMean = field(default_factory=RunningMean)
    shared: bool = True
    chunked: bool = False
    sequences_per_item: int = 2
    metrics_by_weight: bool = False
    score: ClassVar = staticmethod(sequence_scores)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the sums that `row` returns."""
        names = (f"{TOKEN_METRICS[name]}/{side}" for side in self._sides for name in self.token_metrics)
        return *(() if self.objective.rated else _METRICS), *names

    @property
    def _sides(self) -> tuple[str, ...]:
        """Sides whose tokens are reported."""
        return ("chosen",) if self.objective.rated else ("chosen", "rejected")

    @property
    def statistics(self) -> tuple[str, ...]:
        """What is asked of tokens beside their log-probs."""
        return (*self.token_metrics, _OF_WPO) if self.use_weighting else self.token_metrics

    @property
    def coupling(self) -> "DPOStage | None":
        """Itself where the pairs of a step enter each other's losses."""
        return self if self.objective.coupled else None

    def sequences(self, item: PairExample) -> Sequence[ScoredSequence]:
        """Chosen, rejected."""
        return item.chosen.sequence, item.rejected.sequence

    def weight(self, item: PairExample) -> float:
        """That of the pair, 1 where the data says nothing."""
        return item.weight

    def row(self, model: nn.Module, items: Sequence[PairExample], scores: Sequence[Sequence[TokenScores]]) -> RowResult:
        """Summed loss and metrics of the pairs of a row."""
        logps = [[side.values for side in pair] for pair in scores]
        under_reference = self._reference_logps(model, items, logps)
        policy, reference = self._turns(items, logps), self._turns(items, under_reference)
        result = self._losses(policy, reference, items, scores)
        weights = result.losses.new_tensor([item.weight for item in items])
        losses = result.losses * weights
        coupled = [item.coupled for item in items if item.coupled is not None]
        if coupled:
            losses = _carried(coupled, policy)
        chosen, rejected, totals = result.chosen_rewards, result.rejected_rewards, _totals(policy)
        columns = (chosen, rejected, (chosen > rejected).to(chosen.dtype), chosen - rejected, *totals)
        count = len(self.token_metrics)
        of_tokens = [
            torch.stack([pair[side].statistics.mean(0) for pair in scores]).sum(0)[:count]
            for side in range(len(self._sides))
        ]
        of_pairs = torch.stack([column.sum() for column in columns]).detach()[: 0 if self.objective.rated else None]
        facts = PairFacts(
            chosen,
            rejected,
            (policy[0].logps - reference[0].logps).sum(-1),
            chosen.new_tensor([len(pair[0]) for pair in logps]),
            chosen.new_tensor([len(pair[1]) for pair in logps]),
            chosen.new_tensor([item.liked for item in items]),
            _divergences(logps, under_reference),
            *totals,
        )
        return RowResult(losses.sum(), torch.cat([of_pairs, *of_tokens]), torch.stack(facts, -1).detach())

    def run_beside(self, model: nn.Module, sequences: Sequence[ScoredSequence]) -> None:
        """The forward of the reference, where rows run one."""
        if self.reference is not None:
            self._under_reference(self.reference, model, sequences)

    def observe(
        self, model: nn.Module, items: Sequence[PairExample], scores: Sequence[Sequence[TokenScores]]
    ) -> list[Observed]:
        """What the losses of the pairs of a row depend on."""
        logps = [[side.values for side in pair] for pair in scores]
        policy, reference = self._turns(items, logps), self._turns(items, self._reference_logps(model, items, logps))
        margins, weights = self._margins(items, scores), self._weights(scores)
        weights = torch.ones_like(margins) if weights is None else weights
        counts = margins.new_tensor([item.weight for item in items])
        liked = torch.tensor([item.liked for item in items])
        return [
            Observed(
                (_of(policy[0], i), _of(policy[1], i)),
                (_of(reference[0], i), _of(reference[1], i)),
                *(each[i : i + 1].cpu() for each in (margins, liked, weights, counts)),
            )
            for i in range(len(items))
        ]

    def couple(self, items: Sequence[PairExample], everything: Sequence[Observed], first: int) -> list[PairExample]:
        """The pairs of this process, each with its loss among all pairs of the step and what that does to its turns.

        Args:
            items: of this process.
            everything: what was observed of the pairs of all processes.
            first: number of the first of `items` among them.
        """
        policy = [together([each.policy[side] for each in everything]) for side in (0, 1)]
        reference = [together([each.reference[side] for each in everything]) for side in (0, 1)]
        for values in (each for side in policy for each in (side.logps, side.beyond) if each is not None):
            values.requires_grad_()
        with torch.enable_grad():
            result = self.objective(
                (policy[0], policy[1]),
                (reference[0], reference[1]),
                margins=torch.cat([each.margins for each in everything]),
                liked=torch.cat([each.liked for each in everything]),
                weights=torch.cat([each.weights for each in everything]),
                shift=self.rewards.mean,
            )
            losses = result.losses * torch.cat([each.counts for each in everything])
            losses.sum().backward()
        return [
            replace(item, coupled=Coupled(losses[i].detach(), [_gradients(side, i) for side in policy]))
            for i, item in enumerate(items, first)
        ]

    def _losses(
        self,
        policy: Sides,
        reference: Sides,
        items: Sequence[PairExample],
        scores: Sequence[Sequence[TokenScores]],
    ) -> PairLosses:
        margins, weights = self._margins(items, scores), self._weights(scores)
        liked = torch.tensor([item.liked for item in items], device=margins.device)
        return self.objective(policy, reference, margins=margins, weights=weights, liked=liked, shift=self.rewards.mean)

    def _margins(self, items: Sequence[PairExample], scores: Sequence[Sequence[TokenScores]]) -> Tensor:
        """The margins of pairs that have one, NaN for the others, [B]."""
        return scores[0][0].values.new_tensor([float("nan") if item.margin is None else item.margin for item in items])

    def _weights(self, scores: Sequence[Sequence[TokenScores]]) -> Tensor | None:
        """WPO's weights: p(token) over the sum of p squared, its geometric mean over each side, both sides, [B]."""
        if not self.use_weighting:
            return None
        means = [[(side.values.detach() - side.statistics[:, -1]).mean() for side in pair] for pair in scores]
        return torch.stack([torch.stack(pair).sum() for pair in means]).exp()

    def _turns(self, items: Sequence[PairExample], logps: Sequence[Sequence[Tensor]]) -> Sides:
        shorter = None
        if self.objective.ld_alpha is not None:
            shorter = [min(len(item.chosen.turn_of), len(item.rejected.turn_of)) for item in items]

        def of(sides: Sequence[Side], number: int) -> Turns:
            return turns_of(sides, [each[number] for each in logps], shorter)

        return of([item.chosen for item in items], 0), of([item.rejected for item in items], 1)

    def _reference_logps(
        self, model: nn.Module, items: Sequence[PairExample], like: Sequence[Sequence[Tensor]]
    ) -> Sequence[Sequence[Tensor]]:
        """Log-probs under the reference, in the same arrangement as those of the policy, `like`."""
        if not self.objective.needs_reference:
            return [[torch.zeros_like(each) for each in item] for item in like]
        if self.reference is None:
            known = [item.reference for item in items if item.reference is not None]
            assert len(known) == len(items), "the examples carry no reference, and there is no reference model"
            return [[each.to(like[0][0]) for each in item] for item in known]
        flat = self._under_reference(self.reference, model, [each for item in items for each in self.sequences(item)])
        return [flat[2 * i : 2 * i + 2] for i in range(len(items))]

    def _under_reference(
        self, reference: Reference, policy: nn.Module, sequences: Sequence[ScoredSequence]
    ) -> list[Tensor]:
        with torch.no_grad(), reference.of(policy) as model:
            return sequence_logprobs(model, sequences, shared=self.shared, chunked=self.chunked)


def _of(turns: Turns, i: int) -> Turns:
    """The turns of one side, on the CPU."""
    return Turns(*(None if each is None else each[i : i + 1].detach().cpu() for each in turns))  # type: ignore[arg-type]


def _gradients(side: Turns, i: int) -> list[Tensor]:
    """Of the step's loss with respect to the turns of sequence `i`, [1, T]; and to what lies beyond in them."""
    leaves = (each for each in (side.logps, side.beyond) if each is not None)
    return [torch.zeros(1, each.shape[1]) if each.grad is None else each.grad[i : i + 1] for each in leaves]


def _carried(coupled: Sequence[Coupled], policy: Sides) -> Tensor:
    """Losses whose values are those of the coupled pairs and whose gradients reach the log-probs of the turns, [B]."""
    through = policy[0].logps.new_zeros(len(coupled))
    for number, side in enumerate(policy):
        leaves = [each for each in (side.logps, side.beyond) if each is not None]
        for part, values in enumerate(leaves):
            gradient = torch.cat([each.gradients[number][part][:, : values.shape[1]] for each in coupled])
            through = through + (gradient.to(values) * values).sum(-1)
    losses = torch.stack([each.loss for each in coupled]).to(through)
    return losses + through - through.detach()


def _divergences(policy: Sequence[Sequence[Tensor]], reference: Sequence[Sequence[Tensor]]) -> Tensor:
    """KL of each pair, summed over its scored tokens, [B]."""
    with torch.no_grad():
        differences = [torch.cat(list(r)) - torch.cat(list(p)) for p, r in zip(policy, reference, strict=True)]
        return torch.stack([each.square().sum() / 2 for each in differences])


def _totals(sides: Sides) -> list[Tensor]:
    return [side.logps.sum(-1) for side in sides]
