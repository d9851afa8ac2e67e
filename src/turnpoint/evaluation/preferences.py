"""How a model ranks the sides of preference pairs: the implicit reward of each side, and what they come to.

Implicit rewards are measured by `turnpoint.training.preferences`; here is what is told of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from turnpoint.data.rows import file_of

PERCENTILES = (5, 25, 50, 75, 95)
_LEAST_CORRELATED = 16  # pairs; of fewer, lengths and rewards correlate by chance


class RankedPair(NamedTuple):
    """One pair, and what the model says of its sides.

    Attributes:
        source: of the pair.
        kind: of the pair, where its maker says so.
        chosen_reward: beta times the log-ratio of the chosen side's score.
        rejected_reward: of the rejected side.
        chosen_logp: under the model, summed over scored tokens, nats.
        rejected_logp: of the rejected side.
        chosen_tokens: scored tokens of the chosen side.
        rejected_tokens: of the rejected side.
    """

    source: str
    kind: str
    chosen_reward: float
    rejected_reward: float
    chosen_logp: float
    rejected_logp: float
    chosen_tokens: int
    rejected_tokens: int


class PreferenceMeans(NamedTuple):
    """What some pairs come to; means are over pairs.

    Attributes:
        pairs: how many.
        accuracy: share of them whose chosen side has the greater reward; equal rewards are wrong.
        chosen_reward: mean.
        rejected_reward: mean.
        margin: mean of the chosen reward minus the rejected one.
        percentiles: of the margins, [len(PERCENTILES)], linear between pairs.
        chosen_logp: mean, nats.
        rejected_logp: mean, nats.
        length_bias: see `length_bias`.
    """

    pairs: int
    accuracy: float
    chosen_reward: float
    rejected_reward: float
    margin: float
    percentiles: tuple[float, ...]
    chosen_logp: float
    rejected_logp: float
    length_bias: float | None

    def metrics(self) -> dict[str, float | None]:
        """By the names of `DPOTrainer.evaluate`, where it has them."""
        percentiles = zip(PERCENTILES, self.percentiles, strict=True)
        return {
            "rewards/accuracies": self.accuracy,
            "rewards/chosen": self.chosen_reward,
            "rewards/rejected": self.rejected_reward,
            "rewards/margins": self.margin,
            **{f"rewards/margins/p{percentile}": value for percentile, value in percentiles},
            "logps/chosen": self.chosen_logp,
            "logps/rejected": self.rejected_logp,
            "length_bias": self.length_bias,
        }


class PreferenceReport(NamedTuple):
    """How a model ranks pairs.

    Attributes:
        pairs: those that were measured, one at least.
        loss: of the objective, mean over pairs as training weighs them.
        left_out: of each reason the sources of pairs that training would leave out too.
    """

    pairs: list[RankedPair]
    loss: float
    left_out: dict[str, list[str]]

    @property
    def means(self) -> PreferenceMeans:
        """Of all pairs."""
        return means_of(self.pairs)

    @property
    def by_kind(self) -> dict[str, PreferenceMeans]:
        """Of the pairs of each kind, in order of appearance."""
        return self._by(lambda pair: pair.kind)

    @property
    def by_file(self) -> dict[str, PreferenceMeans]:
        """Of the pairs of each file, in order of appearance."""
        return self._by(lambda pair: file_of(pair.source))

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            **_as_dict(self.means),
            "loss": self.loss,
            "by_kind": {name: _as_dict(means) for name, means in self.by_kind.items()},
            "by_file": {name: _as_dict(means) for name, means in self.by_file.items()},
            "left_out": self.left_out,
            "items": [pair._asdict() for pair in self.pairs],
        }

    def _by(self, name_of: Callable[[RankedPair], str]) -> dict[str, PreferenceMeans]:
        groups: dict[str, list[RankedPair]] = {}
        for pair in self.pairs:
            groups.setdefault(name_of(pair), []).append(pair)
        return {name: means_of(pairs) for name, pairs in groups.items()}


def means_of(pairs: Sequence[RankedPair]) -> PreferenceMeans:
    """What pairs come to, one at least."""
    chosen, rejected, chosen_logp, rejected_logp, chosen_tokens, rejected_tokens = np.array(
        [pair[2:] for pair in pairs], np.float64
    ).T
    margins = chosen - rejected
    return PreferenceMeans(
        pairs=len(pairs),
        accuracy=float((margins > 0).mean()),
        chosen_reward=float(chosen.mean()),
        rejected_reward=float(rejected.mean()),
        margin=float(margins.mean()),
        percentiles=tuple(np.percentile(margins, PERCENTILES).tolist()),
        chosen_logp=float(chosen_logp.mean()),
        rejected_logp=float(rejected_logp.mean()),
        length_bias=length_bias(margins, chosen_tokens - rejected_tokens),
    )


def length_bias(margins: NDArray[np.float64], lengths: NDArray[Any]) -> float | None:
    """Correlation of the difference of rewards with that of lengths, in [-1, 1].

    Above 0 the model prefers the longer side. None for fewer than 16 pairs, and where either difference is the same
    for all.

    Args:
        margins: reward of the chosen side minus that of the rejected one, [N].
        lengths: tokens of the chosen side minus those of the rejected one, [N].
    """
    if len(margins) < _LEAST_CORRELATED or not margins.std() > 0 or not lengths.std() > 0:
        return None
    return float(np.corrcoef(margins, lengths)[0, 1])


def _as_dict(means: PreferenceMeans) -> dict[str, float | None]:
    return {"pairs": means.pairs, **means.metrics()}
