"""Findings over the results of tools: missing, without a call, and empty."""

from collections.abc import Sequence

from turnpoint.dialogue import Dialogue, Message
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows

_WRITTEN_OUT = "<tool_call>"
_EMPTY = ("", "{}", "[]", "null", "None", '""', "''")


def unanswered_calls(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls in the middle of a dialogue that no tool result answers."""
    return over_rows(
        Severity.WARNING,
        "calls without a result, with the dialogue going on",
        [Place(d.source) for d in dialogues if _unanswered(d.messages)],
        "add the tool's result after the call; a model trained on this learns to answer without waiting",
    )


def unpaired_results(dialogues: Sequence[Dialogue]) -> Finding | None:
    """More results than calls; only calls that are written out as text let a reader pass that."""
    return over_rows(
        Severity.WARNING,
        "tool results that no call asked for",
        [Place(d.source, f": messages[{i}]") for d in dialogues for i in _unpaired(d.messages)],
        "remove the result, or add its call; the model learns to expect results that it did not ask for",
    )


def empty_results(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Results that hold nothing to answer from."""
    return over_rows(
        Severity.NOTE,
        "empty tool results",
        [
            Place(d.source, f": messages[{i}]")
            for d in dialogues
            for i, message in enumerate(d.messages)
            if message.role == "tool" and (message.content or "").strip() in _EMPTY
        ],
        "fine where the next turn says that nothing was found; an answer with facts in it teaches to invent them",
    )


def _unanswered(messages: Sequence[Message]) -> bool:
    for i, message in enumerate(messages):
        if message.tool_calls and i + 1 < len(messages):
            results = 0
            while i + 1 + results < len(messages) and messages[i + 1 + results].role == "tool":
                results += 1
            if results < len(message.tool_calls):
                return True
    return False


def _unpaired(messages: Sequence[Message]) -> list[int]:
    """Indexes of the results after more of them than the assistant message before them holds calls."""
    waiting = 0
    found = []
    for i, message in enumerate(messages):
        if message.role == "assistant":
            waiting = len(message.tool_calls) + (message.content or "").count(_WRITTEN_OUT)
        elif message.role == "tool":
            waiting -= 1
            if waiting < 0:
                found.append(i)
    return found
