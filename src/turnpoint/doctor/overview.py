"""What a data set holds, in figures: rows, requests, turns, decisions, states, scripts; with a tokenizer, tokens."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor.fates import Fate, fates
from turnpoint.doctor.paths import query_types
from turnpoint.doctor.ratings import ratings
from turnpoint.doctor.savings import Saving, saving
from turnpoint.doctor.scripts import scripts
from turnpoint.doctor.sides import Judged, Judgements, Side, judge, side
from turnpoint.doctor.templates import Features, features
from turnpoint.doctor.tokens import Tokenized
from turnpoint.template import Overflow, Renderer

NO_REQUEST = "no tool asked for"
NO_TOOLS = "no tool offered"
_STYLE, _STANDARD, _COMPLEX = 2_000, 5_000, 10_000  # pairs that experience asks for
_ASKED = (
    "experience asks for 2-3 thousand pairs for a style, 5-10 thousand for a clear standard, more for a complex one"
)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a tokenizer and its chat template make of a data set.

    Attributes:
        total: tokens of all sequences.
        scored: those that enter the loss.
        saving: what the token tree spares.
        template: what the chat template does.
        max_length: tokens of the longest sequence that is kept whole; None for no limit.
        fates: what becomes of the rows under each overflow policy.
    """

    total: int
    scored: int
    saving: Saving
    template: Features
    max_length: int | None
    fates: dict[Overflow, Fate]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What a data set holds.

    Attributes:
        rows: dialogues or pairs.
        format: name of their format.
        query_types: requests of users by their type, those of pairs from the fork on; and rows that ask for no tool, or
            have none. Nothing where no row has tools.
        ratings: rows by their rating; nothing where none is rated.
        scripts: rows by the script that most of their letters are of.
        experience: how the number of rows compares with what experience asks for.
        sides: the dialogues, or both sides of the pairs.
        tokens: None without a tokenizer.
    """

    rows: int
    format: str
    query_types: dict[str, int]
    ratings: dict[str, int]
    scripts: dict[str, int]
    experience: str
    sides: tuple[Side, ...]
    tokens: Tokens | None


def overview(
    records: Sequence[Dialogue] | Sequence[PreferencePair],
    format: str,
    tokenized: Tokenized | None = None,
    renderer: Renderer | None = None,
    max_length: int | None = None,
    judgements: Judgements | None = None,
) -> Overview:
    """What a data set holds.

    Args:
        records: all dialogues or all pairs.
        format: name of their format.
        tokenized: the same as tokens; None leaves out what needs a tokenizer.
        renderer: that made them.
        max_length: most tokens of a sequence in training; None for no limit.
        judgements: what the records decide (`judge`), where that is known already.
    """
    judgements = judge(records) if judgements is None else judgements
    return Overview(
        rows=len(records),
        format=format,
        query_types=_query_types(records, judgements.get("dialogue") or judgements.get("chosen", [])),
        ratings=ratings(records),
        scripts=scripts(records),
        experience=experience(records),
        sides=tuple(side(name, records, rows, tokenized) for name, rows in judgements.items()),
        tokens=None if tokenized is None or renderer is None else _tokens(tokenized, renderer, max_length),
    )


def experience(records: Sequence[Dialogue] | Sequence[PreferencePair]) -> str:
    """How the number of pairs compares with what experience asks for."""
    if not any(isinstance(record, PreferencePair) for record in records):
        return f"{_ASKED}; dialogues give pairs at each turn that decides something"
    count = len(records)
    steps = (
        (_STYLE, "few even for a style"),
        (_STANDARD, "enough for a style"),
        (_COMPLEX, "enough for a clear standard"),
    )
    enough = next((word for limit, word in steps if count < limit), "enough for a clear standard, perhaps for more")
    return f"{count} pairs are {enough}: {_ASKED}"


def _query_types(records: Sequence[Dialogue | PreferencePair], rows: Sequence[Judged]) -> dict[str, int]:
    if not any(record.tools for record in records):
        return {}
    counts: Counter[str] = Counter()
    for record, row in zip(records, rows, strict=True):
        asked = query_types(row.decided, row.first_turn) or (NO_REQUEST,)
        counts.update(asked if record.tools else (NO_TOOLS,))
    return dict(sorted(counts.items()))


def _tokens(tokenized: Tokenized, renderer: Renderer, max_length: int | None) -> Tokens:
    spared = saving(tokenized.rows)
    return Tokens(
        total=spared.plain,
        scored=sum(sum(row.scored) for row in tokenized.rows),
        saving=spared,
        template=features(renderer),
        max_length=max_length,
        fates=fates(tokenized, renderer, max_length),
    )
