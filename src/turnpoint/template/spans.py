"""Turns as token ranges, and the step from ranges of characters to ranges of tokens."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from turnpoint.errors import TemplateError
from turnpoint.template.images import PlacedImage

TokenIds: TypeAlias = Sequence[int] | NDArray[np.int32]

_EXCERPT = 40  # characters shown on each side of a place in a rendering


class Turn(NamedTuple):
    """What the assistant wrote in one message, its end-of-turn token included, its header excluded."""

    start: int  # half-open range of tokens
    end: int
    message: int  # index of the message in `dialogue.messages`
    train: bool  # False: the message said `train: false`; never scored


class TokenizedDialogue(NamedTuple):
    """A rendered dialogue: token ids, turns and images in order, and whether it was liked, where somebody said so."""

    input_ids: TokenIds
    turns: tuple[Turn, ...]
    label: bool | None = None
    images: tuple[PlacedImage, ...] = ()
    thoughts_left_out: int = 0  # turns that are trained on and whose reasoning the template did not write

    def scored(self, first_turn: int = 0) -> list[int]:
        """Indexes of the tokens that enter the loss, increasing.

        Args:
            first_turn: turns before it are left out: 0 for the whole dialogue, `shared_turns` from the fork on.

        Returns:
            Indexes > 0: nothing predicts the first token of a sequence.
        """
        return [i for turn in self.turns[first_turn:] if turn.train for i in range(max(turn.start, 1), turn.end)]


class TokenizedPair(NamedTuple):
    """Both sides of a pair."""

    chosen: TokenizedDialogue
    rejected: TokenizedDialogue
    shared_turns: int  # turns of the shared prompt; they come first on both sides
    id: str
    dialogue_id: str
    source: str
    weight: float = 1.0  # of the pair in a mean over pairs
    margin: float | None = None  # nats; None leaves it to the settings


class TextSpan(NamedTuple):
    """Half-open range of characters of one turn in a rendered text."""

    start: int
    end: int


class Encoded(NamedTuple):
    """A tokenised text."""

    text: str
    input_ids: list[int]
    offsets: Sequence[tuple[int, int]]  # half-open range of characters of each token


def excerpt(text: str, at: int) -> str:
    """The neighbourhood of a place in a text, quoted, with ⟨here⟩ at the place."""
    before, after = text[max(0, at - _EXCERPT) : at], text[at : at + _EXCERPT]
    return repr(f"{before}⟨here⟩{after}")


def token_spans(encoded: Encoded, spans: Sequence[TextSpan], where: Sequence[str]) -> list[tuple[int, int]]:
    """Half-open token ranges of character ranges.

    A token that lies across the edge of a span belongs to it when its outer part is white space, and does not when
    its inner part is; with text on both sides there is no exact span.

    Args:
        encoded: the whole text, tokenised once.
        spans: ordered and disjoint ranges of characters.
        where: source and message of each span, for errors.

    Raises:
        TemplateError: a token joins text of a turn with text outside it.
    """
    starts, ends = _tiles(encoded.offsets)
    text = encoded.text
    ranges = []
    for span, place in zip(spans, where, strict=True):
        first = bisect_right(ends, span.start)
        if first < len(starts) and starts[first] < span.start:
            first += _is_outside(text, starts[first], span.start, ends[first], place)
        last = bisect_left(starts, span.end)
        if last and ends[last - 1] > span.end and text[span.end : ends[last - 1]].strip():
            raise _straddles(text, span.end, text[starts[last - 1] : ends[last - 1]], place)
        ranges.append((first, last))
    return ranges


def _tiles(offsets: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Starts and ends of tokens, both increasing, without the gaps that tokenizers leave where they trim spaces."""
    ends = list(accumulate((end for _, end in offsets), max))
    starts = list(map(min, (start for start, _ in offsets), [0, *ends]))
    return starts, ends


def _is_outside(text: str, start: int, edge: int, end: int, where: str) -> bool:
    if not text[start:edge].strip():
        return False
    if not text[edge:end].strip():
        return True
    raise _straddles(text, edge, text[start:end], where)


def _straddles(text: str, edge: int, token: str, where: str) -> TemplateError:
    return TemplateError(
        f"{where}: the token {token!r} joins what the assistant wrote with what it did not, at {excerpt(text, edge)};"
        " no exact span exists; end the text before it with white space or a special token, or use another template"
    )
