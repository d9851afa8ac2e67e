"""BFCL v4, the Berkeley Function Calling Leaderboard: which calls pass, by its published rules.

- As many calls as are due, in any order, each to the function of that name.
- Every required parameter is there, and none that the function does not have.
- The value has the type of the schema; an integer does for a float.
- It is one of those that the answer lists. Texts are compared without case, spaces and any of `,./-_*^`; the elements
  of lists in their order, recursively; of an object each key by the values listed for it.
- A parameter with "" among its values may be left out; no other may.
- Where no function fits (`irrelevance`), what passes is any reply without a readable call; where one does
  (`live_relevance`), any with one.

Of tasks over several turns those turns are read at which a parameter is missing, so that nothing may be called. Their
functions lie in `multi_turn_func_doc` beside the data, as the benchmark ships them. What earlier calls returned comes
from running the benchmark's classes and stands in no file: their results read `null`.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.containers import file_rows
from turnpoint.data.fields import tools as with_json_types
from turnpoint.data.rows import Row
from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall, parse
from turnpoint.dialogue.types import short
from turnpoint.errors import DataError
from turnpoint.evaluation.arguments import assigned
from turnpoint.evaluation.graders import MALFORMED, decision_of
from turnpoint.evaluation.items import AllowedCall, DecisionItem, source_of
from turnpoint.evaluation.rates import Verdict
from turnpoint.sampling import Reply
from turnpoint.template import parse_reply

_IGNORED = re.compile(r"[ ,./\-_*^]")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_FUNCTIONS = "multi_turn_func_doc"
_FILES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
_OTHER_LANGUAGES = ("java", "javascript")


def fault_of_calls(calls: Sequence[ToolCall], allowed: Sequence[AllowedCall], tools: Sequence[Tool]) -> str:
    """Why calls do not pass, "" where they do.

    Args:
        calls: made by the model.
        allowed: of each call that is due, the values that pass.
        tools: offered.
    """
    schemas = {tool.name: tool for tool in tools}

    def fault(call: ToolCall, due: AllowedCall) -> str:
        return f"calls {call.name}" if call.name != due.name else fault_of_call(call, due, schemas[due.name])

    if len(calls) != len(allowed):
        return f"makes {len(calls)} calls, where {len(allowed)} are due"
    if assigned(len(calls), len(allowed), lambda j, i: not fault(calls[j], allowed[i])):
        return ""
    return next((found for pair in zip(calls, allowed, strict=True) if (found := fault(*pair))), "in no order all pass")


def fault_of_call(call: ToolCall, due: AllowedCall, tool: Tool) -> str:
    """Why one call does not pass, "" where it does."""
    properties = tool.parameters.get("properties") or {}
    if lacking := [name for name in tool.required if name not in call.arguments]:
        return f"leaves out {lacking[0]}, which is required"
    for name, value in call.arguments.items():
        if name not in properties or name not in due.arguments:
            return f"gives {name}, which is not asked for"
        if not has_type(value, properties[name]):
            return f"gives {name}={short(value, 40)}, which is no {properties[name].get('type')}"
        if not any(is_allowed(value, each) for each in due.arguments[name]):
            return f"gives {name}={short(value, 40)}, none of {short(list(due.arguments[name]), 80)}"
    left_out = [name for name, values in due.arguments.items() if name not in call.arguments and "" not in values]
    return f"leaves out {left_out[0]}" if left_out else ""


def has_type(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value has the type of a JSON schema, the elements of a list included; a boolean is no number."""
    kind = schema.get("type")
    types = _TYPES.get(kind) if isinstance(kind, str) else None
    if types is None:
        return True
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "boolean"):
        return False
    items = schema.get("items")
    elements = value if isinstance(value, list) and isinstance(items, Mapping) else []
    return all(has_type(each, items or {}) for each in elements)


def is_allowed(value: Any, allowed: Any) -> bool:
    """Whether a value is the allowed one; of an allowed object each key lists the values that pass."""
    if isinstance(value, str) and isinstance(allowed, str):
        return _IGNORED.sub("", value).lower() == _IGNORED.sub("", allowed).lower()
    if isinstance(value, list) and isinstance(allowed, list):
        return len(value) == len(allowed) and all(map(is_allowed, value, allowed))
    if isinstance(value, Mapping) and isinstance(allowed, Mapping):
        given = all(name in allowed and _is_one_of(each, allowed[name]) for name, each in value.items())
        return given and all("" in _listed(values) for name, values in allowed.items() if name not in value)
    return isinstance(value, bool) is isinstance(allowed, bool) and bool(value == allowed)


def _is_one_of(value: Any, values: Any) -> bool:
    return any(is_allowed(value, each) for each in _listed(values))


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def grade(item: DecisionItem, reply: Reply) -> Verdict:
    """Judge one reply by the rules of the benchmark."""
    _, calls = parse_reply(reply.text)
    if item.decision is Decision.RELEVANCE:
        fault = f"calls {calls[0].name}, where nothing may be called" if calls else ""
    elif not calls:
        fault = "opens a call that cannot be read" if decision_of(reply.text) == MALFORMED else "calls nothing"
    elif item.allowed is None:
        unknown = [call.name for call in calls if call.name not in {tool.name for tool in item.tools}]
        fault = f"calls {unknown[0]}, which is not offered" if unknown else ""
    else:
        fault = fault_of_calls(calls, item.allowed, item.tools)
    reason = fault or ("calls nothing" if not calls else "makes the calls that are due")
    return Verdict(item, decision_of(reply.text), not fault, reply.text, cut=reply.cut, reason=reason)


def read_items(row: Row, dialogue: Dialogue) -> Iterator[DecisionItem]:
    """The item of a task of one turn."""
    raw = row.parsed()
    category = _category(raw, row.where)
    context = dialogue.messages[: dialogue.turns[0]] if dialogue.turns else dialogue.messages
    truth = raw.get("ground_truth")
    if not truth and not category.endswith("relevance"):
        raise DataError(f"{row.where}: has no answer; lay the file of answers into possible_answer beside the data")
    allowed = None if not truth else tuple(AllowedCall(name, values) for call in truth for name, values in call.items())
    calls = dialogue.messages[dialogue.turns[0]].tool_calls if dialogue.turns else ()
    decision = Decision.RELEVANCE if category.endswith("irrelevance") else Decision.CALL
    yield DecisionItem(context, dialogue.tools, decision, calls, row.where, category=category, allowed=allowed)


def read_missing_turns(row: Row) -> Iterator[DecisionItem]:
    """Of a task over several turns, those at which a parameter is missing.

    Raises:
        DataError: its functions or its answers are not there.
    """
    raw = row.parsed()
    category = _category(raw, row.where)
    if not category.endswith("miss_param"):
        raise DataError(
            f"{row.where}: is of {category}, which needs the benchmark's classes to run; leave the file out"
        )
    truth = raw.get("ground_truth")
    if not isinstance(truth, list) or len(truth) != len(raw["question"]):
        raise DataError(f"{row.where}: has no answer for each turn; lay it into possible_answer beside the data")
    tools = _functions(raw, row)
    messages: list[Message] = []
    for question, calls in zip(raw["question"], truth, strict=True):
        messages += [parse(Message, message, row.where, "question") for message in question]
        if not calls:
            source = source_of(row.where, len(messages))
            yield DecisionItem(tuple(messages), tools, Decision.RELEVANCE, (), source, category=category)
            return
        made = tuple(_call(each, tools, row.where) for each in calls)
        messages.append(Message(role="assistant", tool_calls=made))
        messages += [Message(role="tool", name=call.name, content="null") for call in made]


def _category(raw: Mapping[str, Any], where: str) -> str:
    """`live_simple` of `live_simple_0-0-0`.

    Raises:
        DataError: the functions are of Java or JavaScript, whose values are written in another syntax.
    """
    category = str(raw.get("id", "")).rpartition("_")[0]
    if category.endswith(_OTHER_LANGUAGES):
        raise DataError(f"{where}: is of {category}, whose values are no JSON; leave the file out")
    return category


def _functions(raw: Mapping[str, Any], row: Row) -> tuple[Tool, ...]:
    """The functions of the classes of a task."""
    folder = (row.file or Path(".")).parent / _FUNCTIONS
    found: list[Tool] = []
    for name in raw["involved_classes"]:
        file = folder / f"{_FILES.get(name, name)}.json"
        if not file.is_file():
            raise DataError(
                f"{row.where}: involved_classes: {name}: its functions are missing; lay {file.name} of the benchmark"
                f" into {folder}"
            )
        found += _tools(file, row.where)
    return tuple(tool for tool in found if tool.name not in raw.get("excluded_function", ()))


@cache
def _tools(file: Path, where: str) -> tuple[Tool, ...]:
    """The functions of a class; what they return is not shown to the model."""
    rows = [each.parsed() for each in file_rows(file, file.name, Changes())]
    shown = [{key: each[key] for key in ("name", "description", "parameters")} for each in rows]
    return tuple(parse(Tool, each, where) for each in with_json_types({"tools": shown}, where, Changes()))


def _call(text: str, tools: Iterable[Tool], where: str) -> ToolCall:
    """A call written in Python: `sort('report.pdf')`, its arguments by the order of the schema."""
    try:
        node = ast.parse(text, mode="eval").body
        assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        tool = next(tool for tool in tools if tool.name == node.func.id)
        names = list(tool.parameters.get("properties") or {})
        arguments = dict(zip(names, map(ast.literal_eval, node.args), strict=False))
        arguments |= {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
        return ToolCall(name=tool.name, arguments=json.loads(json.dumps(arguments)))
    except (SyntaxError, ValueError, TypeError, AssertionError, StopIteration):
        raise DataError(f"{where}: ground_truth: must be a call of an offered function (got {text!r:.80})") from None
