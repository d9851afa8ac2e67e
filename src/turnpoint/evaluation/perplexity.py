"""How well a model foresees what is written in dialogues: mean negative log-likelihood per scored token."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from turnpoint.data.rows import file_of
from turnpoint.dialogue import Dialogue, decisions
from turnpoint.errors import DataError
from turnpoint.evaluation.fitted import fit_all, notes_on_left_out
from turnpoint.progress import with_progress
from turnpoint.template import Overflow, Renderer, TokenizedDialogue, fit_dialogues
from turnpoint.tree import ScoredSequence, check_sharing, evaluating, pack_rows, sequence_logprobs
from turnpoint.tree.head import can_score_in_head

TEXT = "text"
"""The kind of a turn that is plain text."""

_TOKENS_PER_ROW = 2048
_PROBED = 2  # dialogues


class ForeseenTurn(NamedTuple):
    """One turn, and what it costs the model.

    Attributes:
        source: of its dialogue.
        kind: its decision, or `TEXT`.
        tokens: scored ones.
        nats: minus the sum of their log-probs.
    """

    source: str
    kind: str
    tokens: int
    nats: float


class Perplexity(NamedTuple):
    """What some turns come to.

    Attributes:
        turns: how many.
        tokens: scored ones of all of them.
        nats: mean negative log-likelihood of a token.
    """

    turns: int
    tokens: int
    nats: float

    @property
    def perplexity(self) -> float:
        """Exp of the mean; infinite where that is beyond a float."""
        try:
            return math.exp(self.nats)
        except OverflowError:
            return math.inf

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {**self._asdict(), "perplexity": self.perplexity}


class PerplexityReport(NamedTuple):
    """What dialogues cost a model.

    Attributes:
        turns: those that are scored, one at least.
        dialogues: how many they are of.
        left_out: of each reason the sources of dialogues that training would leave out too.
    """

    turns: list[ForeseenTurn]
    dialogues: int
    left_out: dict[str, list[str]]

    @property
    def of_all(self) -> Perplexity:
        """Of all turns."""
        return _of(self.turns)

    @property
    def by_kind(self) -> dict[str, Perplexity]:
        """Of the turns of each decision, and of plain text, in order of appearance."""
        return self._by(lambda turn: turn.kind)

    @property
    def by_file(self) -> dict[str, Perplexity]:
        """Of the turns of each file, in order of appearance."""
        return self._by(lambda turn: file_of(turn.source))

    def as_dict(self) -> dict[str, Any]:
        """Everything but the single turns, for JSON."""
        return {
            "dialogues": self.dialogues,
            **self.of_all.as_dict(),
            "by_kind": {name: each.as_dict() for name, each in self.by_kind.items()},
            "by_file": {name: each.as_dict() for name, each in self.by_file.items()},
            "left_out": self.left_out,
        }

    def _by(self, name_of: Callable[[ForeseenTurn], str]) -> dict[str, Perplexity]:
        groups: dict[str, list[ForeseenTurn]] = {}
        for turn in self.turns:
            groups.setdefault(name_of(turn), []).append(turn)
        return {name: _of(turns) for name, turns in groups.items()}


def evaluate_perplexity(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Dialogue],
    *,
    max_length: int | None = None,
    overflow: Overflow = "drop",
    max_tokens_per_row: int = _TOKENS_PER_ROW,
    progress: str | None = None,
) -> PerplexityReport:
    """Negative log-likelihood of what the assistant writes in dialogues.

    The scored tokens are those that SFT trains on: the turns of the assistant but those with `train: false`, each with
    its end; of plain text all tokens but the first of the sequence, which nothing predicts.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        dialogues: held back from training.
        max_length: most tokens of a dialogue; None for no limit.
        overflow: what becomes of longer ones, as in `SFTConfig`.
        max_tokens_per_row: tokens of the token tree that one forward pass may hold.
        progress: title of a progress bar; None shows none.

    Raises:
        DataError: no dialogue is left.
    """
    fit = fit_dialogues(Renderer(tokenizer), max_length=max_length, overflow=overflow)
    fitted = fit_all(dialogues, fit, progress and "Tokenising")
    if not fitted.records:
        why = "; ".join(notes_on_left_out(fitted.left_out))
        raise DataError(f"dialogues: none is left to measure{f': {why}' if why else ''}")
    logps = _logps(model, fitted.tokenized, max_tokens_per_row, progress)
    turns = [
        turn
        for dialogue, tokenized, values in zip(fitted.records, fitted.tokenized, logps, strict=True)
        for turn in _turns(dialogue, tokenized, values)
    ]
    return PerplexityReport(turns, len(fitted.records), fitted.left_out)


def _logps(
    model: nn.Module, dialogues: Sequence[TokenizedDialogue], max_tokens_per_row: int, progress: str | None
) -> list[NDArray[np.float64]]:
    """Log-probs of the scored tokens of each dialogue, [S]."""
    sequences = [ScoredSequence(each.input_ids, np.array(each.scored(), np.int64)) for each in dialogues]
    found: list[NDArray[np.float64]] = [np.empty(0)] * len(sequences)
    with torch.no_grad(), evaluating(model):
        shortest = sorted(sequences, key=lambda each: len(each.input_ids))[:_PROBED]
        longest = max(len(each.input_ids) for each in sequences)
        shared = check_sharing(model, shortest, longest_sequence=longest).shared
        chunked = can_score_in_head(model)
        rows = pack_rows([[each.input_ids] for each in sequences], max_tokens_per_row)
        for row in with_progress(rows, progress):
            logps = sequence_logprobs(model, [sequences[i] for i in row], shared=shared, chunked=chunked)
            for i, values in zip(row, logps, strict=True):
                found[i] = values.double().cpu().numpy()
    return found


def _turns(dialogue: Dialogue, tokenized: TokenizedDialogue, logps: NDArray[np.float64]) -> list[ForeseenTurn]:
    kinds = {} if dialogue.verbatim else dict(zip(dialogue.turns, decisions(dialogue), strict=True))
    found, start = [], 0
    for turn in tokenized.turns:
        tokens = turn.end - max(turn.start, 1) if turn.train else 0
        if tokens > 0:
            nats = -float(logps[start : start + tokens].sum())
            found.append(ForeseenTurn(dialogue.source, kinds.get(turn.message, TEXT), tokens, nats))
            start += tokens
    assert start == len(logps)
    return found


def _of(turns: Sequence[ForeseenTurn]) -> Perplexity:
    tokens = sum(turn.tokens for turn in turns)
    return Perplexity(len(turns), tokens, sum(turn.nats for turn in turns) / tokens)
