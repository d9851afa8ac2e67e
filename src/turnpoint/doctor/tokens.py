"""Records as tokens, and findings over them: what a tokenizer makes of the data, and what of it is scored."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor.finding import Finding, Place, Severity, over_all, over_rows
from turnpoint.doctor.lengths import Lengths, far_apart, length_bias
from turnpoint.errors import TemplateError
from turnpoint.template import Renderer, TokenizedDialogue, TokenizedPair

_FEW_SCORED = 0.02  # share of scored tokens below which most of the work teaches nothing


class Row(NamedTuple):
    """One record as tokens: a dialogue, or the two sides of a pair.

    Attributes:
        source: file and line.
        sequences: the dialogue, or chosen and rejected.
        shared_turns: turns of the shared prompt, which come first and are not scored; 0 for a dialogue.
        dialogue_id: of a pair, the dialogue it was made from, where that is known.
    """

    source: str
    sequences: tuple[TokenizedDialogue, ...]
    shared_turns: int
    dialogue_id: str = ""

    @property
    def scored(self) -> tuple[int, ...]:
        """Scored tokens of each sequence."""
        return tuple(len(sequence.scored(self.shared_turns)) for sequence in self.sequences)

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(sequence.input_ids) for sequence in self.sequences)

    @property
    def tokenized(self) -> TokenizedDialogue | TokenizedPair:
        """What the renderer made of the record."""
        if len(self.sequences) == 1:
            return self.sequences[0]
        chosen, rejected = self.sequences
        return TokenizedPair(chosen, rejected, self.shared_turns, "", self.dialogue_id, self.source)


class Tokenized(NamedTuple):
    """Records as tokens, the first lines of the errors of those that could not be rendered, and those that could."""

    rows: list[Row]
    refused: list[Place]
    records: Sequence[Dialogue | PreferencePair] = ()


def rows_of(records: Iterable[Dialogue | PreferencePair], renderer: Renderer) -> Tokenized:
    """Tokenise records; what the template refuses is collected, not raised."""
    rows: list[Row] = []
    refused: list[Place] = []
    rendered: list[Dialogue | PreferencePair] = []
    for record in records:
        try:
            rows.append(_row(record, renderer))
            rendered.append(record)
        except TemplateError as error:
            refused.append(Place(record.source, str(error).removeprefix(record.source)))
    return Tokenized(rows, refused, rendered)


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
        [Place(row.source) for row in rows if 0 in row.scored],
        "remove the row; it would be left out of training",
    )


def over_long(rows: Sequence[Row], max_length: int) -> Finding | None:
    """Rows longer than `max_length` tokens."""
    long = [Place(row.source, f": {row.length} tokens") for row in rows if row.length > max_length]
    return over_rows(
        Severity.WARNING,
        f"rows longer than max_length {max_length} tokens",
        long,
        f"training leaves them out; raise max_length (the longest has {max((row.length for row in rows), default=0)}),"
        " or set overflow: the overview says what each policy keeps",
    )


def few_scored(rows: Sequence[Row]) -> Finding | None:
    """Hardly any of the tokens enters the loss."""
    total = sum(len(sequence.input_ids) for row in rows for sequence in row.sequences)
    share = sum(sum(row.scored) for row in rows) / total if total else 1.0
    if share >= _FEW_SCORED:
        return None
    return over_all(
        Severity.WARNING,
        f"{share:.1%} of {total} tokens are scored",
        len(rows),
        "shorten tools and prompts; nearly all the work is spent on reading",
    )


def token_bias(rows: Sequence[Row]) -> Finding | None:
    """Whether one side has more scored tokens by more than chance."""
    return length_bias(_lengths(rows), "scored tokens")


def tokens_far_apart(rows: Sequence[Row]) -> Finding | None:
    """Pairs of which one side has many times as many scored tokens as the other."""
    return far_apart(_lengths(rows), "scored tokens")


def _lengths(rows: Sequence[Row]) -> list[Lengths]:
    return [Lengths(row.scored[0], row.scored[1], row.source) for row in rows if len(row.sequences) == 2]


def _row(record: Dialogue | PreferencePair, renderer: Renderer) -> Row:
    if isinstance(record, Dialogue):
        return Row(record.source, (renderer.tokenize(record),), 0)
    pair = renderer.tokenize_pair(record)
    return Row(record.source, (pair.chosen, pair.rejected), pair.shared_turns, record.dialogue_id)
