"""Pairs as the stage dpo trains on them.

Legend: B pairs, T turns of the longest side, S scored tokens of one side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from turnpoint.objectives import Turns
from turnpoint.template import TokenizedDialogue, TokenizedPair, Turn
from turnpoint.training.records import Examples, Tokenized
from turnpoint.training.reference_cache import ReferenceCache
from turnpoint.tree import ScoredSequence


class Side(NamedTuple):
    """One side of a pair, ready to be scored.

    Args:
        sequence: token ids, and the indexes of the S scored tokens.
        turn_of: turn of each scored token, numbered from 0 among the turns that count, int64 [S].
    """

    sequence: ScoredSequence
    turn_of: NDArray[np.int64]


class Coupled(NamedTuple):
    """What the other pairs of the step made of a pair's loss.

    Args:
        loss: times the pair's weight, a scalar.
        gradients: of the summed loss of the step, for each side, with respect to the log-probs of its turns, [1, T],
            and to the part of them beyond the shorter side where that is told apart, [1, T].
    """

    loss: Tensor
    gradients: list[list[Tensor]]


@dataclass
class PairExample:
    """A pair as the stage trains on it.

    Args:
        chosen: the preferred side.
        rejected: the other side.
        reference: log-probs of the scored tokens of both sides under the reference, [S] each, once they are computed.
        weight: of the pair in a mean over pairs.
        margin: nats, instead of the setting; None leaves it to that.
        liked: False for a rated completion that was not; its chosen side is the completion, its rejected side one that
            was written for another prompt.
        coupled: where the pairs of a step enter each other's losses, once that is computed.
    """

    chosen: Side
    rejected: Side
    reference: tuple[Tensor, Tensor] | None = None
    weight: float = 1.0
    margin: float | None = None
    liked: bool = True
    coupled: Coupled | None = None


def pair_example(pair: TokenizedPair, *, first_turn: int) -> PairExample:
    """Choose which turns count.

    Args:
        pair: the tokenised pair.
        first_turn: turns before it neither count nor are scored: `pair.shared_turns` from the fork on, 0 for all.
    """
    chosen, rejected = (_side(side, first_turn) for side in (pair.chosen, pair.rejected))
    return PairExample(chosen, rejected, weight=pair.weight, margin=pair.margin)


def turns_of(sides: Sequence[Side], logps: Sequence[Tensor], shorter: Sequence[int] | None = None) -> Turns:
    """Sum log-probs of scored tokens, [S] for each of B sides, into turns [B, T].

    Args:
        sides: B of them.
        logps: of their scored tokens.
        shorter: scored tokens of the shorter side of each pair, if what lies beyond is to be told apart.
    """
    device = logps[0].device
    width = max(int(side.turn_of[-1]) + 1 for side in sides)
    cells = np.concatenate([row * width + side.turn_of for row, side in enumerate(sides)])
    cell_of = torch.from_numpy(cells).to(device)
    together = torch.cat(list(logps))

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(len(sides) * width).index_add(0, cell_of, values).view(len(sides), width)

    tokens = torch.bincount(cell_of, minlength=len(sides) * width).view(len(sides), width)
    beyond = None
    if shorter is not None:
        counted = [np.arange(len(side.turn_of)) >= count for side, count in zip(sides, shorter, strict=True)]
        beyond = summed(together * torch.from_numpy(np.concatenate(counted)).to(device))
    return Turns(summed(together), tokens > 0, tokens, beyond)


def together(parts: Sequence[Turns]) -> Turns:
    """The turns of several batches as one, padded to the longest."""
    width = max(part.mask.shape[1] for part in parts)

    def joined(fields: Sequence[Tensor]) -> Tensor:
        return torch.cat([torch.nn.functional.pad(field, (0, width - field.shape[1])) for field in fields])

    beyond = [part.beyond for part in parts if part.beyond is not None]
    return Turns(
        joined([part.logps for part in parts]),
        joined([part.mask for part in parts]),
        joined([part.tokens for part in parts]),
        joined(beyond) if beyond else None,
    )


class PairExamples(Examples[PairExample]):
    """Pairs, with what the reference says of them once that is known.

    Args:
        records: tokenised pairs.
        from_fork: turns of the shared prompt neither count nor are scored.

    Attributes:
        reference: what the reference says of them, once that is known.
        key: names what is scored of the records.
    """

    def __init__(self, records: Tokenized, *, from_fork: bool) -> None:
        super().__init__(records, lambda record: record)
        self.from_fork = from_fork
        self.reference: ReferenceCache | None = None
        self.key = "fork" if from_fork else "dialogue"

    def __getitem__(self, i: Any) -> Any:
        example = self._example(range(len(self))[i])
        if self.reference is not None:
            chosen, rejected = self.reference[i]
            example.reference = chosen, rejected
        return example

    def _example(self, i: int) -> PairExample:
        pair = self.records[i]
        return pair_example(pair, first_turn=pair.shared_turns if self.from_fork else 0)

    def counts(self) -> NDArray[np.int64]:
        """Scored tokens of both sides of each pair, [N, 2]."""
        return self.records.scored_counts(from_fork=self.from_fork)


class RatedExamples(PairExamples):
    """Rated completions; beside each, for losses that ask for it, its prompt with the completion of the next one.

    Args:
        records: tokenised dialogues with labels.
        mismatched: whether a loss reads completions under prompts they were not written for.
    """

    def __init__(self, records: Tokenized, *, mismatched: bool) -> None:
        super().__init__(records, from_fork=False)
        self._step = int(mismatched)
        self.key = "mismatched" if mismatched else "rated"

    def _example(self, i: int) -> PairExample:
        own, other = self.records[i], self.records[(i + self._step) % len(self)]
        side = _side(own, 0)
        start, end = _prompt_length(own), _prompt_length(other)
        moved = TokenizedDialogue(
            np.concatenate([own.input_ids[:start], other.input_ids[end:]]),
            tuple(turn._replace(start=turn.start - end + start, end=turn.end - end + start) for turn in _rated(other)),
        )
        return PairExample(side, _side(moved, 0) if self._step else side, liked=bool(own.label))

    def counts(self) -> NDArray[np.int64]:
        """Scored tokens of each completion and of the one beside it, [N, 2]."""
        own = self.records.scored_counts(from_fork=False)[:, 0]
        return np.stack([own, np.roll(own, -self._step)], 1)


def _rated(dialogue: TokenizedDialogue) -> list[Turn]:
    """The turns that a label speaks of."""
    return [turn for turn in dialogue.turns if turn.train]


def _prompt_length(dialogue: TokenizedDialogue) -> int:
    return _rated(dialogue)[0].start


def _side(dialogue: TokenizedDialogue, first_turn: int) -> Side:
    """Turns without a scored token do not count: those with `train: false`, and one that is cut off."""
    ranges = [np.arange(max(turn.start, 1), turn.end) for turn in dialogue.turns[first_turn:] if turn.train]
    ranges = [each for each in ranges if len(each)]
    assert ranges, "a side without scored tokens is left out when pairs are prepared"
    turn_of = np.repeat(np.arange(len(ranges)), [len(each) for each in ranges])
    return Side(ScoredSequence(dialogue.input_ids, np.concatenate(ranges)), turn_of)
