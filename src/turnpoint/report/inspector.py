"""The HTML inspector: one page that shows a data set as the model reads it, each pair as a dialogue that forks.

The page needs nothing beside itself. Its data are one JSON document, in which what rows have in common stands once:
tools, messages, and the text of tokens. `inspector.js` reads it with the names that stand here.
"""

import json
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, Literal, TypeAlias

import torch
from transformers import PreTrainedTokenizerBase

from turnpoint.dialogue import Decision, Dialogue, Message, PreferencePair, decisions
from turnpoint.doctor import Finding, Row
from turnpoint.doctor.dialogues import ways
from turnpoint.doctor.finding import Place
from turnpoint.doctor.pairs import first_decision
from turnpoint.doctor.templates import keeps_thought, thought
from turnpoint.doctor.tokens import Tokenized
from turnpoint.objectives.reductions import REDUCTIONS, Turns, turn_weights
from turnpoint.report.messages import shown_message, shown_tool
from turnpoint.report.page import page
from turnpoint.report.pieces import Pieces
from turnpoint.template import TokenizedDialogue, Turn

Record: TypeAlias = Dialogue | PreferencePair

_SIDES: tuple[Literal["chosen", "rejected"], ...] = ("chosen", "rejected")
_GAMMAS = [step / 20 for step in range(21)]


def inspector_page(
    dataset: str,
    records: Sequence[Record],
    tokenized: Tokenized,
    findings: Sequence[Finding],
    tokenizer: PreTrainedTokenizerBase,
) -> str:
    """A page of HTML, complete in itself.

    Args:
        dataset: its name.
        records: all dialogues or all pairs.
        tokenized: the same as tokens, and what the chat template refused of them (`rows_of`).
        findings: what the doctor says, the worst first.
        tokenizer: of the chat template.
    """
    return page("inspector", _data(dataset, records, tokenized, findings, tokenizer))


def phi(gamma: float, turns: int) -> list[float]:
    """Weight of each turn t of a side that has T of them, under the reduction diatool, [T]."""
    ones = torch.ones(1, turns, dtype=torch.float64)
    weights: list[float] = turn_weights(Turns(ones, ones.bool(), ones), gamma)[0].tolist()
    return weights


class _Shared:
    """Values that several rows hold: each stands once, and rows name its number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def number(self, value: Any) -> int:
        key = json.dumps(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def _data(
    dataset: str,
    records: Sequence[Record],
    tokenized: Tokenized,
    findings: Sequence[Finding],
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Any]:
    tools, messages, pieces = _Shared(), _Shared(), Pieces(tokenizer)
    shown = [
        _record(record, tools, messages)
        | (_tokens(record, row, pieces, tokenizer) if isinstance(row, Row) else _refused(row))
        for record, row in zip(records, _in_order(records, tokenized), strict=True)
    ]
    counts = {count for row in tokenized.rows if len(row.sequences) == 2 for count in _turn_counts(row)}
    return {
        "dataset": dataset,
        "pairs": any(isinstance(record, PreferencePair) for record in records),
        "tokens": sum(len(sequence.input_ids) for row in tokenized.rows for sequence in row.sequences),
        "scored": sum(sum(row.scored) for row in tokenized.rows),
        "findings": _findings(findings, records),
        "gammas": _GAMMAS,
        "gamma": REDUCTIONS["diatool"].gamma,
        "phi": {
            count: [[round(each, 6) for each in phi(gamma, count)] for gamma in _GAMMAS] for count in sorted(counts)
        },
        "tools": tools.values,
        "messages": messages.values,
        "ids": pieces.ids(),
        "texts": pieces.texts(),
        "added": pieces.added(),
        "rows": shown,
    }


def _in_order(records: Sequence[Record], tokenized: Tokenized) -> Iterator[Row | Place]:
    """Of each record its tokens, or why it was refused."""
    rows = deque(zip(tokenized.records, tokenized.rows, strict=True))
    refused = iter(tokenized.refused)
    for record in records:
        yield rows.popleft()[1] if rows and rows[0][0] is record else next(refused)


def _findings(findings: Sequence[Finding], records: Sequence[Record]) -> list[dict[str, Any]]:
    """Findings, each with the indexes of its rows."""
    at: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        at.setdefault(record.source, []).append(i)
    return [
        {
            "severity": finding.severity.name.lower(),
            "title": finding.title,
            "count": finding.count,
            "first": finding.rows,
            "mend": finding.mend,
            "rows": sorted({i for source in finding.sources for i in at.get(source, ())}),
        }
        for finding in findings
    ]


def _record(record: Record, tools: _Shared, messages: _Shared) -> dict[str, Any]:
    """What is known of a record without a tokenizer."""

    def numbers(of: Iterable[Message]) -> list[int]:
        return [messages.number(shown_message(each, _reasoning(each))) for each in of]

    fields = {"source": record.source, "tools": [tools.number(shown_tool(tool)) for tool in record.tools]}
    if isinstance(record, Dialogue):
        return fields | {"prompt": [], "sides": [numbers(record.messages)]}
    facts = {name: value for name in ("weight", "margin") if (value := getattr(record, name)) not in (None, 1.0)}
    return fields | {
        "kind": record.kind,
        "facts": facts | record.about,
        "prompt": numbers(record.prompt),
        "sides": [numbers(record.chosen), numbers(record.rejected)],
    }


def _reasoning(message: Message) -> str:
    return thought(message) if message.role == "assistant" else ""


def _refused(place: Place) -> dict[str, Any]:
    return {"refused": place.source + place.detail}


def _tokens(record: Record, row: Row, pieces: Pieces, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The tokens of a row as pieces: those that its sides share, once, then those of each side after the fork."""
    cut = [pieces.numbers(each.input_ids, _edges(each)) for each in row.sequences]
    shared = _common(*cut)
    decided = _decisions(record, row.shared_turns)
    return {
        "fork": _common(*(list(sequence.input_ids) for sequence in row.sequences)),
        "sharedTurns": row.shared_turns,
        "lengths": [len(sequence.input_ids) for sequence in row.sequences],
        "pieces": [cut[0][:shared], *(each[shared:] for each in cut)],
        "turns": [
            _turns(sequence, pieces.starts(numbers), side, _left_out(way, sequence, tokenizer))
            for way, sequence, numbers, side in zip(ways(record), row.sequences, cut, decided, strict=True)
        ],
    }


def _edges(sequence: TokenizedDialogue) -> list[int]:
    return [edge for turn in sequence.turns for edge in (turn.start, turn.end)]


def _common(*sequences: Sequence[int]) -> int:
    """How many numbers both sequences begin with; 0 for one alone, which shares nothing."""
    if len(sequences) == 1:
        return 0
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*sequences, strict=False)))


def _turns(
    sequence: TokenizedDialogue, starts: Sequence[int], decided: Sequence[Decision], left_out: Sequence[bool]
) -> list[dict[str, Any]]:
    """The turns of a sequence, with ranges of pieces.

    Args:
        sequence: with ranges of tokens.
        starts: of each of its pieces the index of its first token, and the number of tokens of all.
        decided: the decision of each turn.
        left_out: whether the chat template leaves out the reasoning of each turn.
    """
    return [
        {
            "start": bisect_left(starts, turn.start),
            "end": bisect_left(starts, turn.end),
            "message": turn.message,
            "decision": decision,
            "tokens": turn.end - turn.start,
            "scored": _scored(turn),
            "leftOut": unread,
        }
        for turn, decision, unread in zip(sequence.turns, decided, left_out, strict=True)
    ]


def _left_out(
    messages: Sequence[Message], sequence: TokenizedDialogue, tokenizer: PreTrainedTokenizerBase
) -> list[bool]:
    """Whether the chat template leaves out what the assistant thought, of each turn."""
    return [not keeps_thought(messages[turn.message], sequence, turn, tokenizer) for turn in sequence.turns]


def _decisions(record: Record, shared_turns: int) -> list[list[Decision]]:
    """What each turn of each side decides."""
    if isinstance(record, Dialogue):
        return [list(decisions(record))]
    decided = [list(decisions(record.side(name))) for name in _SIDES]
    for side, name in zip(decided, _SIDES, strict=True):
        side[shared_turns] = first_decision(record, name)
    return decided


def _scored(turn: Turn) -> bool:
    """Whether anything of a turn enters the loss: nothing predicts the first token of a sequence."""
    return turn.train and turn.end > max(turn.start, 1)


def _turn_counts(row: Row) -> set[int]:
    """How many turns of each side count, from the fork on and over the whole dialogue."""
    return {
        sum(map(_scored, sequence.turns[first:])) for sequence in row.sequences for first in (0, row.shared_turns)
    } - {0}
