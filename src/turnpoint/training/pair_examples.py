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
from turnpoint.template import PlacedImage, TokenizedDialogue, TokenizedPair, Turn, keep_start
from turnpoint.training.images import ImageInputsOf, scored_sequence
from turnpoint.training.records import Examples, Tokenized
from turnpoint.training.reference_cache import ReferenceCache
from turnpoint.tree import ScoredSequence

_PROMPTS_TRIED = 8


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


def pair_example(pair: TokenizedPair, *, first_turn: int, images: ImageInputsOf | None = None) -> PairExample:
    """Choose which turns count.

    Args:
        pair: the tokenised pair.
        first_turn: turns before it neither count nor are scored: `pair.shared_turns` from the fork on, 0 for all.
        images: what becomes of images; None where there are none.
    """
    chosen, rejected = (_side(side, first_turn, images) for side in (pair.chosen, pair.rejected))
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
        first_turn = pair.shared_turns if self.from_fork else 0
        return pair_example(pair, first_turn=first_turn, images=self.records.image_inputs)

    def counts(self) -> NDArray[np.int64]:
        """Scored tokens of both sides of each pair, [N, 2]."""
        return self.records.scored_counts(from_fork=self.from_fork)


class RatedExamples(PairExamples):
    """Rated completions; beside each, for losses that ask for it, its prompt with a completion of another one.

    That is the completion of the next record with another prompt, of the next few; of the next one if these have the
    same.

    Args:
        records: tokenised dialogues with labels.
        mismatched: whether a loss reads completions under prompts they were not written for.
        max_length: where such a sequence is cut, tokens; None for nowhere.
    """

    def __init__(self, records: Tokenized, *, mismatched: bool, max_length: int | None) -> None:
        super().__init__(records, from_fork=False)
        self._mismatched = mismatched
        self._max_length = max_length
        self.key = f"mismatched {max_length}" if mismatched else "rated"

    @property
    def longest(self) -> int | None:
        """Tokens of the longest sequence; None where it is not known."""
        return self._max_length if self._mismatched else super().longest

    def _example(self, i: int) -> PairExample:
        own = self.records[i]
        side = _side(own, 0, self.records.image_inputs)
        if not self._mismatched:
            return PairExample(side, side, liked=bool(own.label))
        start = _prompt_length(own)
        other = self._with_another_prompt(i, own)
        moved = start - _prompt_length(other)
        turns = (turn._replace(start=turn.start + moved, end=turn.end + moved) for turn in _rated(other))
        of_other = (image for image in other.images if image.start >= start - moved)
        images = [image for image in own.images if image.end <= start]
        images += (image._replace(start=image.start + moved, end=image.end + moved) for image in of_other)
        ids = np.concatenate([own.input_ids[:start], other.input_ids[start - moved :]])
        beside = keep_start(TokenizedDialogue(ids, tuple(turns), images=tuple(images)), self._max_length)
        return PairExample(side, _side(beside, 0, self.records.image_inputs), liked=bool(own.label))

    def _with_another_prompt(self, i: int, own: TokenizedDialogue) -> TokenizedDialogue:
        near = (self.records[(i + step) % len(self)] for step in range(1, _PROMPTS_TRIED + 1))
        differing = (each for each in near if _prompt(each) != _prompt(own))
        found: TokenizedDialogue = next(differing, self.records[(i + 1) % len(self)])
        return found

    def counts(self) -> NDArray[np.int64]:
        """Scored tokens of each completion and of the one beside it, [N, 2]."""
        if not self._mismatched:
            return self.records.scored_counts(from_fork=False)[:, [0, 0]]
        examples = (self._example(i) for i in range(len(self)))
        return np.array([[len(each.chosen.turn_of), len(each.rejected.turn_of)] for each in examples], np.int64)


def _rated(dialogue: TokenizedDialogue) -> list[Turn]:
    """The turns that a label speaks of."""
    return [turn for turn in dialogue.turns if turn.train]


def _prompt_length(dialogue: TokenizedDialogue) -> int:
    return _rated(dialogue)[0].start


def _prompt(dialogue: TokenizedDialogue) -> tuple[list[int], list[PlacedImage]]:
    """What a model reads before a rated completion."""
    start = _prompt_length(dialogue)
    return list(dialogue.input_ids[:start]), [image for image in dialogue.images if image.end <= start]


def _side(dialogue: TokenizedDialogue, first_turn: int, images: ImageInputsOf | None = None) -> Side:
    """Turns without a scored token do not count: those with `train: false`, and one that is cut off."""
    ranges = [np.arange(max(turn.start, 1), turn.end) for turn in dialogue.turns[first_turn:] if turn.train]
    ranges = [each for each in ranges if len(each)]
    assert ranges, "a side without scored tokens is left out when pairs are prepared"
    turn_of = np.repeat(np.arange(len(ranges)), [len(each) for each in ranges])
    return Side(scored_sequence(dialogue, np.concatenate(ranges), images), turn_of)
