"""FunctionChat-Bench: each turn of Dialog with its gold history, CallDecision, and Singlecall.

A call passes with the arguments of the data or what the data accepts as well (`acceptable_arguments`), a slot question
where it names all that the question of the data names, an answer where it stands on the tool's result, a rejection
where it says no. Small talk counts as relevance there: where the data itself answers, an answer is due. Singlecall is
one category for each set of tools: the exact one, four or eight, chosen at random or close to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnpoint.data.fields import from_json
from turnpoint.data.rows import Row
from turnpoint.dialogue import Decision, Dialogue, ToolCall
from turnpoint.errors import DataError
from turnpoint.evaluation.arguments import assigned, same_value
from turnpoint.evaluation.graders import strict, tools_due
from turnpoint.evaluation.items import AllowedCall, DecisionItem, source_of
from turnpoint.evaluation.questions import named_slots
from turnpoint.evaluation.rates import Verdict
from turnpoint.evaluation.wording import declines
from turnpoint.sampling import Reply
from turnpoint.template import parse_reply


def grade(item: DecisionItem, reply: Reply) -> Verdict:
    """Judge one reply by its decision and its content, with the arguments that the data accepts."""
    verdict = strict(item, reply)
    text, calls = parse_reply(reply.text)
    if verdict.passed and item.decision is Decision.SLOT and not _asks_for_all(item, text or ""):
        reason = f"{verdict.reason}, but not for all that the data asks for: {item.said}"
        return verdict._replace(passed=False, content=False, sure=False, reason=reason)
    if verdict.passed or item.allowed is None or verdict.decided != Decision.CALL:
        return verdict
    allowed = item.allowed
    if not assigned(len(calls), len(allowed), lambda j, i: _is_allowed(calls[j], allowed[i])):
        return verdict
    return verdict._replace(passed=True, content=True, sure=True, reason="calls with arguments that the data accepts")


def _asks_for_all(item: DecisionItem, question: str) -> bool:
    """Whether a question names every required parameter of one tool that the question of the data names."""
    wanted: list[tuple[set[str], set[str]]] = []
    for tool in tools_due(item):
        asked, of_data = (set(named_slots(text, tool, item.context)) for text in (question, item.said or ""))
        wanted.append((asked, of_data & set(tool.required)))
    return not any(of_data for _, of_data in wanted) or any(of_data and of_data <= asked for asked, of_data in wanted)


def read_items(row: Row, dialogue: Dialogue) -> Iterator[DecisionItem]:
    """The turns of one row that the benchmark judges."""
    raw = row.parsed()
    if "turns" in raw:
        judged = [(len(turn["query"]), turn.get("acceptable_arguments")) for turn in raw["turns"]]
    else:
        judged = [(len(dialogue.messages) - 1, raw.get("acceptable_arguments"))]
    for at, accepted in judged:
        yield _item(dialogue, at, _accepted(accepted, raw, row.where))


def _item(dialogue: Dialogue, at: int, accepted: Mapping[str, Any]) -> DecisionItem:
    turn = dialogue.messages[at]
    decision = turn.decision or Decision.CALL
    due = decision
    if decision is Decision.RELEVANCE and not declines(turn.content or ""):
        due = Decision.COMPLETION
    calls = next((m.tool_calls for m in dialogue.messages[at:] if m.tool_calls), ())
    allowed = tuple(_allowed(call, accepted) for call in turn.tool_calls)
    where, _, offered = dialogue.source.removesuffix(")").partition(", tools ")  # the sets of one query belong together
    source = f"{source_of(where + ')', at)}, tools {offered}" if offered else source_of(dialogue.source, at)
    return DecisionItem(
        dialogue.messages[:at],
        dialogue.tools,
        due,
        calls,
        source,
        category=f"call, {offered}" if offered else decision.value,
        said=turn.content,
        allowed=allowed or None,
    )


def _accepted(raw: Any, row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Further values by argument; a remark such as "Only ground truth is allowed." gives none."""
    if isinstance(raw, Sequence) and not isinstance(raw, str):  # Singlecall: by the number of the query
        number = row["query"][0].get("serial_num")
        raw = next((each.get("content") for each in raw if each.get("serial_num") == number), None)
    if isinstance(raw, str):
        try:
            raw = from_json(raw, where, "acceptable_arguments")
        except DataError:
            return {}
    return raw if isinstance(raw, Mapping) else {}


def _allowed(call: ToolCall, accepted: Mapping[str, Any]) -> AllowedCall:
    def values(name: str, value: Any) -> list[Any]:
        more = accepted.get(name, [])
        return [value, *(more if isinstance(more, list) else [more])]

    return AllowedCall(call.name, {name: values(name, value) for name, value in call.arguments.items()})


def _is_allowed(call: ToolCall, due: AllowedCall) -> bool:
    if call.name != due.name or call.arguments.keys() != due.arguments.keys():
        return False
    return all(any(same_value(call.arguments[name], each) for each in values) for name, values in due.arguments.items())
