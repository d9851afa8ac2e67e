"""When2Call: four ways to answer a question of which one is right, and pairs of responses.

A row of the test sets holds `answers` by kind and names the `correct_answer`; it becomes a pair for each wrong one. A
row of the preference set holds `messages`, `chosen_response` and `rejected_response`. The set for fine-tuning is
`openai`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json, row_id
from turnpoint.data.openai import read_message
from turnpoint.data.preference import build_pair
from turnpoint.data.preference import read as read_preference
from turnpoint.data.prepare import Part
from turnpoint.dialogue import Decision, Message, PreferencePair
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_DECISIONS = {
    "direct": Decision.COMPLETION,
    "tool_call": Decision.CALL,
    "request_for_info": Decision.SLOT,
    "cannot_answer": Decision.RELEVANCE,
}


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has a question and its answers."""
    return all(row.get(name) is not None for name in ("question", "answers", "correct_answer"))


def expand(row: Mapping[str, Any]) -> Iterator[Part]:
    """One row for each wrong answer."""
    answers, correct = row["answers"], row["correct_answer"]
    if not isinstance(answers, Mapping) or not isinstance(correct, str) or not answers.get(correct):
        raise DataError(f"answers: must hold the correct answer, {correct!r:.80}, by its kind (got {answers!r:.80})")
    wrong = [kind for kind, answer in answers.items() if kind != correct and answer]
    if not wrong:
        raise DataError(f"answers: hold no wrong answer beside {correct!r}; nothing is preferred, remove the row")
    for kind in wrong:
        yield Part(f"{correct} over {kind}", {**row, "answers": {correct: answers[correct], kind: answers[kind]}})


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row with one wrong answer.

    Raises:
        DataError: one line: where, field, rule.
    """
    part = next(expand(row))
    correct, wrong = part.row["answers"]
    chosen, rejected = (_answer(kind, row["answers"][kind], where, changes) for kind in (correct, wrong))
    question = parse(Message, {"role": "user", "content": row["question"]}, where, "question")
    id = f"{row_id(row, where, 'uuid')} {wrong}" if row.get("uuid") is not None else where
    named = {**row, "id": id, "kind": f"{correct} over {wrong}"}
    return build_pair(named, [question], [chosen], [rejected], where, changes)


def matches_responses(row: Mapping[str, Any]) -> bool:
    """Whether the row has messages and two responses."""
    return all(row.get(name) is not None for name in ("messages", "chosen_response", "rejected_response"))


def read_responses(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read messages and two responses to them."""
    sides = {name: row[f"{name}_response"] for name in ("chosen", "rejected")}
    return read_preference({**row, "prompt": row["messages"], **sides}, where, changes)


def _answer(kind: str, answer: Any, where: str, changes: Changes) -> Message:
    message: dict[str, Any] = {"role": "assistant", "decision": _DECISIONS.get(kind)}
    if kind == "tool_call":
        calls = from_json(answer, where, f"answers.{kind}")
        message["tool_calls"] = calls if isinstance(calls, list) else [calls]
    else:
        message["content"] = answer
    return read_message(message, where, f"answers.{kind}", changes)
