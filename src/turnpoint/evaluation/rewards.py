"""Rewards of dialogues, and what a reward model makes of pairs that it has not seen.

Shapes: N records; K pairs of a bin.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.evaluation.preferences import length_bias
from turnpoint.progress import with_progress
from turnpoint.template import Renderer
from turnpoint.tree import ScoredSequence, check_sharing, evaluating, pack_rows, read_at_end, sequence_rewards
from turnpoint.tree.forward import bare_model

BINS = 10
_TOKENS_PER_ROW = 2048


def reward_scores(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Dialogue] | Sequence[PreferencePair],
    *,
    max_tokens_per_row: int = _TOKENS_PER_ROW,
    progress: str | None = None,
) -> NDArray[np.float64]:
    """What a reward model makes of each dialogue, or of both sides of each pair; whatever they share computed once.

    Args:
        model: a reward model (`turnpoint.models.load_reward_model`).
        tokenizer: its tokenizer.
        records: dialogues, or pairs.
        max_tokens_per_row: tokens of the token tree that one forward pass may hold.
        progress: title of a progress bar; None shows none.

    Returns:
        [N] of dialogues; of pairs [N, 2], chosen and rejected.

    Raises:
        TemplateError: the chat template cannot render a record, or it holds an image.
    """
    return _scores(model, _sides(model, tokenizer, records), max_tokens_per_row, progress)


def evaluate_rewards(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[PreferencePair],
    *,
    max_tokens_per_row: int = _TOKENS_PER_ROW,
    progress: str | None = None,
) -> "RewardReport":
    """How a reward model judges pairs; arguments and errors of `reward_scores`."""
    sides = _sides(model, tokenizer, pairs)
    scores = _scores(model, sides, max_tokens_per_row, progress)
    judged = [
        JudgedPair(pair.source or pair.id, pair.kind, *both.tolist(), *(len(each.input_ids) for each in of_pair))
        for pair, both, of_pair in zip(pairs, scores, sides, strict=True)
    ]
    return RewardReport(judged)


class JudgedPair(NamedTuple):
    """A pair and the scores of its sides."""

    source: str  # file and line
    kind: str
    chosen: float
    rejected: float
    chosen_tokens: int  # of the whole side, the shared prompt included
    rejected_tokens: int

    @property
    def lead(self) -> float:
        """By how much the chosen side leads."""
        return self.chosen - self.rejected

    @property
    def file(self) -> str:
        """Of the source what comes before its line."""
        return self.source.rpartition(":")[0] or self.source


class Bin(NamedTuple):
    """Pairs of which the model is about as sure."""

    start: float
    end: float
    pairs: int
    confidence: float | None  # mean of what the model gives to the side that it prefers; None without pairs
    accuracy: float | None  # share of them in which that is the chosen side

    @property
    def gap(self) -> float:
        """Distance of confidence and accuracy; 0 without pairs."""
        return 0.0 if self.confidence is None or self.accuracy is None else abs(self.confidence - self.accuracy)


class RewardReport(NamedTuple):
    """How a reward model judges pairs."""

    pairs: list[JudgedPair]

    def summary(self) -> dict[str, float]:
        """Share of pairs whose chosen side leads, mean scores of both sides, and mean lead."""
        values = np.array([(each.lead > 0, each.chosen, each.rejected, each.lead) for each in self.pairs])
        return dict(zip(("accuracy", "chosen", "rejected", "margin"), values.mean(0).tolist(), strict=True))

    def groups(self, name: Callable[[JudgedPair], str]) -> dict[str, "RewardReport"]:
        """The report of each group of pairs, by its name, in alphabetical order."""
        found: dict[str, list[JudgedPair]] = {}
        for pair in self.pairs:
            found.setdefault(name(pair), []).append(pair)
        return {each: RewardReport(found[each]) for each in sorted(found)}

    @property
    def by_kind(self) -> dict[str, "RewardReport"]:
        """The report of each kind of pair."""
        return self.groups(lambda pair: pair.kind)

    @property
    def by_file(self) -> dict[str, "RewardReport"]:
        """The report of each file."""
        return self.groups(lambda pair: pair.file)

    def bins(self) -> list[Bin]:
        """Calibration: how often the model is right where it is how sure.

        It gives sigma(chosen - rejected) to the chosen side, and is as sure as what it gives to the side that it
        prefers: from 0.5 on, in bins of equal width. Labels say of every pair that the first side is the better one, so
        that the share of right ones could be no other than 1 over the chosen sides alone.
        """
        leads = np.array([pair.lead for pair in self.pairs])
        sure = 1 / (1 + np.exp(-np.abs(leads)))
        of_pair = np.minimum(((sure - 0.5) * 2 * BINS).astype(int), BINS - 1)
        edges = np.linspace(0.5, 1, BINS + 1).tolist()
        found = []
        for number, (start, end) in enumerate(pairwise(edges)):
            mine = of_pair == number
            means = (float(sure[mine].mean()), float((leads[mine] > 0).mean())) if mine.any() else (None, None)
            found.append(Bin(start, end, int(mine.sum()), *means))
        return found

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (arXiv 1706.04599, eq. 3): the mean over pairs of the gap of their bin."""
        return sum(each.pairs * each.gap for each in self.bins()) / len(self.pairs)

    @property
    def length_bias(self) -> float | None:
        """Correlation of leads with differences of lengths in tokens; None where it says nothing."""
        leads = np.array([pair.lead for pair in self.pairs])
        longer = np.array([pair.chosen_tokens - pair.rejected_tokens for pair in self.pairs])
        return length_bias(leads, longer)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return self.summary() | {
            "pairs": len(self.pairs),
            "calibration_error": self.calibration_error,
            "bins": [each._asdict() for each in self.bins()],
            "length_bias": self.length_bias,
            "by_kind": {name: each.summary() | {"pairs": len(each.pairs)} for name, each in self.by_kind.items()},
            "by_file": {name: each.summary() | {"pairs": len(each.pairs)} for name, each in self.by_file.items()},
            "items": [pair._asdict() for pair in self.pairs],
        }


def _sides(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, records: Sequence[Dialogue] | Sequence[PreferencePair]
) -> list[list[ScoredSequence]]:
    """Of each record its dialogue or both its sides, up to the token that is read."""
    renderer = Renderer(tokenizer)
    pad_token_id = bare_model(model).config.get_text_config().pad_token_id

    def read(dialogue: Dialogue) -> ScoredSequence:
        ids = renderer.tokenize(dialogue).input_ids
        return read_at_end(ScoredSequence(ids, np.empty(0, np.int64)), pad_token_id)

    return [
        [read(record)] if isinstance(record, Dialogue) else [read(record.side("chosen")), read(record.side("rejected"))]
        for record in records
    ]


def _scores(
    model: nn.Module, sides: Sequence[Sequence[ScoredSequence]], max_tokens_per_row: int, progress: str | None
) -> NDArray[np.float64]:
    found = np.zeros((len(sides), len(sides[0]) if sides else 1))
    with torch.no_grad(), evaluating(model):
        shared = not sides or _shares(model, sides)
        rows = pack_rows([[each.input_ids for each in record] for record in sides], max_tokens_per_row)
        for row in with_progress(rows, progress):
            sequences = [each for i in row for each in sides[i]]
            rewards = [float(each.values) for each in sequence_rewards(model, sequences, shared=shared)]
            found[row] = np.reshape(rewards, (len(row), -1))
    return found if found.shape[1] == 2 else found[:, 0]


def _shares(model: nn.Module, sides: Sequence[Sequence[ScoredSequence]]) -> bool:
    """Whether sequences may share their tree, tried on the shortest record, or on two of a dialogue each."""
    shortest = sorted(sides, key=lambda record: max(len(each.input_ids) for each in record))[: 2 // len(sides[0])]
    tried = [each._replace(scored=np.arange(len(each.input_ids))) for record in shortest for each in record]
    longest = max(len(each.input_ids) for record in sides for each in record)
    return check_sharing(model, tried, longest_sequence=longest, score=sequence_rewards).shared
