"""Findings over tokens: what a tokenizer makes of the data, what of it is scored, what the token tree saves."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor.finding import Finding, Severity, over_rows
from turnpoint.doctor.pairs import Lengths, length_bias
from turnpoint.errors import TemplateError
from turnpoint.template import Renderer, TokenizedDialogue
from turnpoint.tree import build_tree

_FEW_SCORED = 0.02  # share of scored tokens below which most of the work teaches nothing


class Row(NamedTuple):
    """One record as tokens: a dialogue, or the two sides of a pair.

    Attributes:
        source: file and line.
        sequences: the dialogue, or chosen and rejected.
        shared_turns: turns of the shared prompt, which come first and are not scored; 0 for a dialogue.
    """

    source: str
    sequences: tuple[TokenizedDialogue, ...]
    shared_turns: int

    @property
    def scored(self) -> tuple[int, ...]:
        """Scored tokens of each sequence."""
        return tuple(len(sequence.scored(self.shared_turns)) for sequence in self.sequences)

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(sequence.input_ids) for sequence in self.sequences)


class Tokenized(NamedTuple):
    """Records as tokens, and the first lines of the errors of those that could not be rendered."""

    rows: list[Row]
    refused: list[str]


def rows_of(records: Iterable[Dialogue | PreferencePair], renderer: Renderer) -> Tokenized:
    """Tokenise records; what the template refuses is collected, not raised."""
    rows: list[Row] = []
    refused: list[str] = []
    for record in records:
        try:
            rows.append(_row(record, renderer))
        except TemplateError as error:
            refused.append(str(error))
    return Tokenized(rows, refused)


def refused(tokenized: Tokenized) -> Finding | None:
    """Records that the chat template cannot render, or whose turns cannot be found in the rendering."""
    return over_rows(
        Severity.ERROR,
        "rows that the chat template refuses",
        tokenized.refused,
        "mend what the line says, or use another --chat_template",
    )


def nothing_scored(rows: Sequence[Row]) -> Finding | None:
    """Rows with a side that has no scored token."""
    return over_rows(
        Severity.ERROR,
        "rows with a side that has no scored token",
        [row.source for row in rows if 0 in row.scored],
        "remove the row; it would be left out of training",
    )


def over_long(rows: Sequence[Row], max_length: int) -> Finding | None:
    """Rows longer than `max_length` tokens."""
    long = [f"{row.source}: {row.length} tokens" for row in rows if row.length > max_length]
    return over_rows(
        Severity.WARNING,
        f"rows longer than max_length {max_length} tokens",
        long,
        f"training leaves them out; raise max_length (the longest has {max((row.length for row in rows), default=0)}),"
        " or set overflow to trim_history",
    )


def scored_share(rows: Sequence[Row]) -> Finding | None:
    """What share of the tokens enters the loss."""
    total = _tokens(rows)
    if not total:
        return None
    share = sum(sum(row.scored) for row in rows) / total
    return Finding(
        severity=Severity.WARNING if share < _FEW_SCORED else Severity.NOTE,
        title=f"{share:.1%} of {total} tokens are scored",
        count=len(rows),
        rows=(),
        mend="shorten tools and prompts; nearly all the work is spent on reading" if share < _FEW_SCORED else "",
    )


def tree_saving(rows: Sequence[Row]) -> Finding | None:
    """How many fewer tokens run when both sides of a pair share one token tree."""
    plain = _tokens(rows)
    tree = sum(len(build_tree([sequence.input_ids for sequence in row.sequences]).input_ids) for row in rows)
    if tree == plain or not tree:
        return None
    return Finding(
        severity=Severity.NOTE,
        title=f"the token tree runs {tree} tokens instead of {plain} ({plain / tree:.2f} times fewer)",
        count=len(rows),
        rows=(),
        mend="",
    )


def token_bias(rows: Sequence[Row]) -> Finding | None:
    """Whether one side has more scored tokens by more than chance."""
    return length_bias([Lengths(*row.scored) for row in rows if len(row.sequences) == 2], "scored tokens")


def _tokens(rows: Sequence[Row]) -> int:
    """Tokens of all sequences, each run by itself."""
    return sum(len(sequence.input_ids) for row in rows for sequence in row.sequences)


def _row(record: Dialogue | PreferencePair, renderer: Renderer) -> Row:
    if isinstance(record, Dialogue):
        return Row(record.source, (renderer.tokenize(record),), 0)
    pair = renderer.tokenize_pair(record)
    return Row(record.source, (pair.chosen, pair.rejected), pair.shared_turns)
