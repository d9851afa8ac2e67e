"""An independent check of trajectory pairs: states, slots and schemas, read off the messages in ways of its own."""

import re
from collections.abc import Sequence
from typing import Any

from turnpoint.dialogue import Message, PreferencePair

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {str(i): word for i, word in enumerate(DIGITS)}
WORD = r"[a-z0-9_]+|[^\Wa-z0-9_]+"  # Latin words stand alone beside Chinese and Korean ones
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def problems(pair: PreferencePair) -> list[str]:
    """What is wrong with a pair of the easy or the hard set; nothing for a good one."""
    kind, type, set = pair.kind, pair.about["query_type"], pair.about["set"]
    chosen, rejected = states(pair.chosen), states(pair.rejected)
    found = []
    if (chosen, rejected) != (pair.about["chosen_states"], pair.about["rejected_states"]):
        found.append(f"states are {chosen} and {rejected}")
    expected = {
        ("needless question", 1): r"1-3-4-5 1(-2)+-3-4-5",
        ("refused call", 1): r"1-3-4-5 1-1",
        ("invented call", 2): r"1(-2)+-3-4-5 1(-2)*-3-4-5",
        ("refused question", 2): r"1(-2)+-3-4-5 1-1",
        ("missing tool", 3): r"1-1 1(-2)*-3-4",
    }
    if not re.fullmatch(expected[kind, int(type)], f"{chosen} {rejected}"):
        found.append(f"no row of the table: {kind} {chosen} {rejected}")
    if set == "easy" and max(chosen.count("2"), rejected.count("2")) > 1:
        found.append("more than one question in the easy set")
    offered = {tool.name: tool.parameters for tool in pair.tools}
    for call in (call for message in pair.chosen for call in message.tool_calls):
        if call.name not in offered:
            found.append(f"{call.name} is not offered")
        else:
            found += breaks(offered[call.name], call.arguments)
            found += ungrounded(pair, call.arguments, offered[call.name].get("required", []))
    if type == 2:
        found += slots(pair, offered)
    return found


def states(side: Sequence[Message]) -> str:
    """1-2-3-4-5 by who speaks next: a text that the user replies to is a question, one after a result an answer."""
    path = ["1"]
    for i, message in enumerate(side):
        if message.role != "assistant":
            continue
        if message.tool_calls:
            path += ["3", "4"]
        elif i + 1 < len(side) and side[i + 1].role == "user":
            path.append("2")
        else:
            path.append("5" if i and side[i - 1].role == "tool" else "1")
    return "-".join(path)


def breaks(schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    """Required, known and well-typed, for schemas as flat as those of the shipped data."""
    properties = schema.get("properties", {})
    found = [f"{name} is missing" for name in schema.get("required", []) if name not in arguments]
    for name, value in arguments.items():
        kind = properties.get(name, {}).get("type")
        if name in properties and kind in TYPES and not isinstance(value, TYPES[kind]):  # type: ignore[arg-type]
            found.append(f"{name} is no {kind}: {value!r}")
        if "enum" in properties.get(name, {}) and value not in properties[name]["enum"]:
            found.append(f"{name} is none of its enum: {value!r}")
    return found


def slots(pair: PreferencePair, offered: dict[str, dict[str, Any]]) -> list[str]:
    """What is asked for was not said before, is required, and is given in the reply; in the hard set one at a time."""
    call = next(call for message in pair.chosen for call in message.tool_calls)
    required = offered[call.name].get("required", [])
    replies = [message.content or "" for message in pair.chosen if message.role == "user"]
    request, found = pair.prompt[-1].content or "", []
    if pair.about["set"] == "hard":
        if len(replies) != len(required):
            found.append(f"{len(replies)} replies to {len(required)} required slots")
        for name, reply in zip(required, replies, strict=False):
            if not said(call.arguments[name], reply):
                found.append(f"{name} is not answered in {reply!r}")
        found += [f"{name} is in the request" for name in required if said(call.arguments[name], request)]
        questions = [message.content or "" for message in pair.chosen if message.role == "assistant"]
        for k, question in enumerate(questions[: len(required)]):
            schemas = offered[call.name]["properties"]
            left_out = [name for name in required[k:] if not named(name, schemas[name], question)]
            found += [f"{name} is not asked for in {question!r}" for name in left_out]
    else:
        missing = [name for name in required if not said(call.arguments[name], request)]
        if not missing:
            found.append("nothing is missing in the request")
        found += [f"{n} is not answered" for n in missing if not said(call.arguments[n], " ".join(replies))]
    return found


def named(name: str, schema: dict[str, Any], question: str) -> bool:
    """Whether a question asks for a parameter by its name, or by its description where the name is no noun: `to`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower()
    description = re.sub(r"^(the|an?) ", "", schema.get("description", words).lower()).rstrip(".")
    return (words if len(words) > 4 or words not in ("to", "from", "by") else description) in question.lower()


def ungrounded(pair: PreferencePair, arguments: dict[str, Any], required: Sequence[str]) -> list[str]:
    """Required values of a chosen call that the user never says."""
    heard = " ".join(message.content or "" for message in (*pair.prompt, *pair.chosen) if message.role == "user")
    return [f"{n}={v!r} is said nowhere" for n, v in arguments.items() if n in required and not said(v, heard)]


def said(value: Any, text: str) -> bool:
    """Whether a text says a value: its words, or the parts of a date, a time or a number."""
    if isinstance(value, list):
        return all(said(each, text) for each in value)
    words = re.findall(WORD, text.lower().replace(",", ""))
    spoken = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d.*", spoken):
        return _date_is_said(spoken, text)
    if re.fullmatch(r"\d\d:\d\d(:\d\d)?", spoken):
        return str(int(spoken[:2]) % 12 or 12) in re.findall(r"\d+", text)
    spoken = re.sub(r"^(the|dr\.?|mr\.?|ms\.?|mrs\.?) (?=...)", "", spoken.lower())
    wanted = re.findall(WORD, spoken.replace(",", ""))
    as_word = NUMBERS.get(spoken)
    lined_up = any(words[i : i + len(wanted)] == wanted for i in range(len(words)))
    return bool(wanted) and (lined_up or as_word in words)


def _date_is_said(date: str, text: str) -> bool:
    if date[:10] in text:
        return True
    month, day = MONTHS[int(date[5:7]) - 1], int(date[8:10])
    words = re.findall(WORD, text.lower())
    named = any(word.startswith(month) for word in words)
    return named and any(re.fullmatch(rf"0?{day}(st|nd|rd|th)?", word) for word in words)
