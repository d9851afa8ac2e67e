"""Figures of the dialogues of a data set, or of one side of its pairs: turns, decisions, states, tokens."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from turnpoint.dialogue import Decision, Dialogue, PreferencePair, decisions
from turnpoint.doctor.pairs import side_decisions
from turnpoint.doctor.paths import dialogue_path, side_paths
from turnpoint.doctor.spread import Spread, spread
from turnpoint.doctor.tokens import Tokenized
from turnpoint.progress import with_progress
from turnpoint.template import TokenizedDialogue

SideName: TypeAlias = Literal["dialogue", "chosen", "rejected"]
_SIDES: tuple[Literal["chosen", "rejected"], ...] = ("chosen", "rejected")


@dataclass(frozen=True, kw_only=True)
class SideTokens:
    """What a tokenizer makes of a side.

    Attributes:
        lengths: tokens of each row, the prompt included.
        scored: scored tokens of the turns that make each decision.
    """

    lengths: Spread | None
    scored: dict[Decision, int]


@dataclass(frozen=True, kw_only=True)
class Side:
    """The dialogues of a data set, or one side of its pairs from the fork on.

    Attributes:
        name: `dialogue`, `chosen` or `rejected`.
        turns: of each row.
        decisions: what the turns decide, how often.
        paths: states from initial (1) to complete (5) -> rows that go through them, the most frequent first.
        tokens: None without a tokenizer.
    """

    name: SideName
    turns: Spread | None
    decisions: dict[Decision, int]
    paths: dict[str, int]
    tokens: SideTokens | None


class Judged(NamedTuple):
    """What one row of a side decides.

    Attributes:
        source: file and line of the record.
        decided: the decision of each turn, those of the shared prompt first.
        first_turn: number of the first turn that is not of the shared prompt.
        path: states from initial (1) to complete (5).
    """

    source: str
    decided: tuple[Decision, ...]
    first_turn: int
    path: str

    @property
    def own(self) -> tuple[Decision, ...]:
        """The decisions from the fork on."""
        return self.decided[self.first_turn :]


Judgements: TypeAlias = dict[SideName, list[Judged]]  # of each record in order


def judge(records: Sequence[Dialogue] | Sequence[PreferencePair]) -> Judgements:
    """What each side of each record decides. Turns of a shared prompt are judged by the chosen way to go on."""
    found: Judgements = {}
    every: Sequence[Dialogue | PreferencePair] = records
    for record in with_progress(every, "Reading decisions"):
        for name, row in _judged(record).items():
            found.setdefault(name, []).append(row)
    return found


def _judged(record: Dialogue | PreferencePair) -> dict[SideName, Judged]:
    if isinstance(record, Dialogue):
        every = decisions(record)
        return {"dialogue": Judged(record.source, every, 0, dialogue_path(record, every))}
    shared = sum(message.role == "assistant" for message in record.prompt)
    chosen, rejected = (side_decisions(record, name) for name in _SIDES)
    decided = chosen, chosen[:shared] + rejected[shared:]
    return {
        name: Judged(record.source, each, shared, path)
        for name, each, path in zip(_SIDES, decided, side_paths(record, *decided), strict=True)
    }


def side(
    name: SideName,
    records: Sequence[Dialogue] | Sequence[PreferencePair],
    rows: Sequence[Judged],
    tokenized: Tokenized | None,
) -> Side:
    """Figures of one side.

    Args:
        name: of the side.
        records: all dialogues or all pairs.
        rows: what the side decides in each record.
        tokenized: the records as tokens; None leaves out what needs a tokenizer.
    """
    return Side(
        name=name,
        turns=spread(len(row.own) for row in rows),
        decisions=_ordered(Counter(decision for row in rows for decision in row.own)),
        paths=dict(Counter(row.path for row in rows).most_common()),
        tokens=None if tokenized is None else _tokens(name, records, rows, tokenized),
    )


def _tokens(
    name: SideName,
    records: Sequence[Dialogue] | Sequence[PreferencePair],
    rows: Sequence[Judged],
    tokenized: Tokenized,
) -> SideTokens:
    number = 1 if name == "rejected" else 0
    known = {id(record): row for record, row in zip(records, rows, strict=True)}  # what was refused has no tokens
    scored: Counter[Decision] = Counter()
    lengths = []
    for record, row in zip(tokenized.records, tokenized.rows, strict=True):
        sequence = row.sequences[number]
        lengths.append(len(sequence.input_ids))
        for i, count in enumerate(_scored(sequence)[row.shared_turns :], start=row.shared_turns):
            scored[known[id(record)].decided[i]] += count
    return SideTokens(lengths=spread(lengths), scored=_ordered(scored))


def _scored(sequence: TokenizedDialogue) -> list[int]:
    """Scored tokens of each turn."""
    return [len(sequence._replace(turns=(turn,)).scored()) for turn in sequence.turns]


def _ordered(counts: Counter[Decision]) -> dict[Decision, int]:
    """In the order of the decisions, without those that do not occur."""
    return {kind: counts[kind] for kind in Decision if kind in counts}
