"""When2Call: call, ask, say that it cannot be done, or answer; answering without a call is never right there.

The benchmark measures it in two ways. A model that gives log-probs chooses between the four answers of each row: by the
summed log-prob (`raw`), or divided by the number of characters of the answer (`length-normalised`), as LM-Eval-Harness
divides. Any model writes a reply of its own, which is put into one of the four kinds. Reported are accuracy, F1 by
kind, its mean, and how often a tool is called where none is offered.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json, tools
from turnpoint.data.rows import Row
from turnpoint.dialogue import Decision, Message, Tool, ToolCall, parse
from turnpoint.evaluation.choices import Turn, choice, turn_logprobs
from turnpoint.evaluation.items import KINDS, DecisionItem
from turnpoint.evaluation.rates import DecisionReport, Verdict
from turnpoint.template import Renderer

_DECISIONS = {
    "tool_call": Decision.CALL,
    "request_for_info": Decision.SLOT,
    "cannot_answer": Decision.RELEVANCE,
    "direct": Decision.COMPLETION,
}


class Question(NamedTuple):
    """An item, and the answers to choose from."""

    item: DecisionItem
    answers: Mapping[Decision, Message]


class Choices(NamedTuple):
    """What a model chose, by both ways to measure a log-prob."""

    normalised: DecisionReport
    raw: DecisionReport


def questions(rows: Iterable[Row], changes: Changes) -> Iterator[Question]:
    """The rows of the test sets, whose reader makes a part of each wrong answer; here all four stand together."""
    for where, parts in groupby(rows, key=lambda row: row.where.rpartition(" (")[0]):
        values = [part.parsed() for part in parts]
        yield _question(
            values[0], {kind: text for each in values for kind, text in each["answers"].items()}, where, changes
        )


def _question(row: Mapping[str, Any], answers: Mapping[str, Any], where: str, changes: Changes) -> Question:
    read = {_DECISIONS[kind]: _answer(kind, text, where) for kind, text in answers.items() if text}
    offered = [parse(Tool, each, where) for each in tools({"tools": row.get("tools")}, where, changes) or []]
    decision = _DECISIONS[row["correct_answer"]]
    held_out = row.get("held_out_param")
    item = DecisionItem(
        (parse(Message, {"role": "user", "content": row["question"]}, where, "question"),),
        tuple(offered),
        decision,
        read[decision].tool_calls,
        where,
        said=read[decision].content,
        slots=(held_out,) if held_out else None,
    )
    return Question(item, {kind: read[kind] for kind in KINDS if kind in read})


def _answer(kind: str, text: Any, where: str) -> Message:
    if kind != "tool_call":
        return parse(Message, {"role": "assistant", "content": text}, where, f"answers.{kind}")
    raw = from_json(text, where, f"answers.{kind}")
    calls = [parse(ToolCall, each, where, f"answers.{kind}") for each in (raw if isinstance(raw, list) else [raw])]
    return Message(role="assistant", tool_calls=tuple(calls))


def choose(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    asked: Sequence[Question],
    *,
    progress: str | None = None,
) -> Choices:
    """Choose between the answers of each question by their log-prob; the end of the turn counts in neither way.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with a chat template that renders tools.
        asked: the questions.
        progress: title of a progress bar; None shows none.
    """
    ends = Renderer(tokenizer).turn_ends
    normalised: list[Verdict] = []
    raw: list[Verdict] = []
    for (item, _), turns in zip(asked, turn_logprobs(model, tokenizer, asked, progress), strict=True):
        written = [_without_end(turn, tokenizer, ends) for turn in turns.values()]
        raw.append(choice(item, turns, [each.logp for each in written]))
        normalised.append(choice(item, turns, [each.logp / max(each.characters, 1) for each in written]))
    kinds = tuple(kind for kind in KINDS if any(item.decision is kind for item, _ in asked))
    return Choices(DecisionReport(normalised, kinds), DecisionReport(raw, kinds))


def further_figures(report: DecisionReport) -> dict[str, float | None]:
    """What the benchmark reports beside accuracy: the mean F1 of the kinds due or decided, and calls of no tool."""
    decided = [(verdict.item.decision.value, str(verdict.decided)) for verdict in report.verdicts]
    kinds = {kind for pair in decided for kind in pair}
    scores = [2 * decided.count((kind, kind)) / _mentions(kind, decided) for kind in kinds]
    bare = [verdict.decided == Decision.CALL for verdict in report.verdicts if not verdict.item.tools]
    return {
        "macro F1": sum(scores) / len(scores) if scores else None,
        "calls without tools": sum(bare) / len(bare) if bare else None,
    }


def _mentions(kind: str, decided: Sequence[tuple[str, str]]) -> int:
    """How often a kind is due, and how often it is decided: the denominator of F1."""
    return sum((due == kind) + (done == kind) for due, done in decided)


class _Written(NamedTuple):
    logp: float
    characters: int


def _without_end(turn: Turn, tokenizer: PreTrainedTokenizerFast, ends: Sequence[str]) -> _Written:
    """The summed log-prob of what stands before the end of a turn, and its length."""

    def text(count: int) -> str:
        return str(tokenizer.decode(turn.token_ids[:count], skip_special_tokens=False))

    count = len(turn.token_ids)
    end = next((end for end in ends if text(count).rstrip().endswith(end)), None)
    if end is not None:
        length = text(count).rindex(end)
        while count and len(text(count)) > length:
            count -= 1
    return _Written(float(turn.logps[:count].sum()), len(text(count)))
