"""Whatever a row holds, reading it gives a record or one line that says what is wrong, and nothing else.

Each format is given a row as real files have it, with keys taken away, values of other types, nonsense nested into it,
odd characters and numbers that are too large. `TURNPOINT_FUZZ=5000` sets how many rows each format is given; by default
it is 150.
"""

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnpoint.data import load
from turnpoint.data.readers import READERS
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import DataError

EXAMPLES = int(os.environ.get("TURNPOINT_FUZZ", "150"))

USER, ANSWER = {"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "Sunny.", "train": True}
CALL = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Hm."}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "sun"}
PARTS = {
    "role": "assistant",
    "content": [{"type": "reasoning", "value": "Hm."}, {"type": "tool_call", "value": '{"name": "weather"}'}],
    "loss_weight": 1.0,
}
WEATHER = {
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {"type": "dict", "properties": {"city": {"type": "str"}}, "required": ["city"]},
}
TOOLS = [{"type": "function", "function": WEATHER}]
SIDE = json.dumps({"tools": TOOLS, "messages": [USER, ANSWER]})
TURN = {"query": [USER], "ground_truth": ANSWER, "type_of_output": "slot", "acceptable_arguments": None}
WRITTEN = [
    {"from": "system", "value": f"Use <tools>{json.dumps(TOOLS)}</tools>"},
    {"from": "human", "value": "Weather?"},
    {"from": "gpt", "value": '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>'},
    {"from": "tool", "value": "<tool_response>sun</tool_response>"},
    {"from": "gpt", "value": "Sunny."},
]
SHAREGPT = [
    {"from": "human", "value": "Weather?"},
    {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
    {"from": "observation", "value": "sun"},
    {"from": "gpt", "value": "Sunny."},
]
SERVICE = {
    "service_name": "S",
    "slots": [{"name": "city", "description": "City", "is_categorical": True, "possible_values": ["Oslo"]}],
    "intents": [{"name": "I", "description": "", "required_slots": ["city"], "optional_slots": {"day": "now"}}],
}
FRAME = {
    "service": "S",
    "actions": [{"act": "REQUEST"}],
    "service_call": {"method": "I", "parameters": {"city": "Oslo"}},
    "service_results": [{"city": "Oslo"}],
}
TEXTS = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}

ROWS: dict[str, dict[str, Any]] = {
    "alpaca-preference": {"instruction": "a", "input": "b", "chosen": "c", "rejected": "d", "history": [["e", "f"]]},
    "hh-rlhf": TEXTS | {"prompt": "Human: x"},
    "diatool": {"chosen": SIDE, "rejected": SIDE.replace("Sunny", "Rain")},
    "chat-preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "orca-preference": {"system": "s", "question": "a", "chosen": "b", "rejected": "c"},
    "preference": {
        "prompt": [USER],
        "chosen": [CALLING, RESULT, ANSWER],
        "rejected": [ANSWER],
        "tools": TOOLS,
        "weight": 2.0,
        "margin": 0.5,
        "images": ["x.png"],
        "about": {"a": 1},
    },
    "llamafactory-preference": {"chosen_messages": [USER, PARTS], "rejected_messages": [USER, ANSWER], "tools": TOOLS},
    "when2call-preference": {
        "messages": [USER],
        "tools": [json.dumps(WEATHER)],
        "chosen_response": ANSWER,
        "rejected_response": CALLING,
    },
    "swift-preference": {"messages": [USER, ANSWER], "rejected_response": "Rain.", "tools": json.dumps(TOOLS)},
    "openai-preference": {
        "input": {"messages": [USER], "tools": TOOLS, "parallel_tool_calls": True},
        "preferred_output": [ANSWER],
        "non_preferred_output": [CALLING],
    },
    "when2call": {
        "uuid": "u",
        "question": "Weather?",
        "correct_answer": "direct",
        "answers": {"direct": "Sunny.", "tool_call": '{"name": "weather", "arguments": {}}', "cannot_answer": None},
        "tools": [json.dumps(WEATHER)],
    },
    "bfcl": {
        "id": "a",
        "question": [[USER]],
        "function": [WEATHER],
        "ground_truth": [{"weather": {"city": ["Oslo", ""], "unit": ["", "C"], "at": [{"x": [1]}]}}],
    },
    "sgd": {
        "dialogue_id": "1",
        "services": ["S"],
        "turns": [
            {"speaker": "USER", "utterance": "Hi", "frames": []},
            {"speaker": "SYSTEM", "utterance": "Where?", "frames": [FRAME]},
        ],
        "schema": [SERVICE],
    },
    "functionchat-dialog": {"tools": TOOLS, "turns": [TURN, {**TURN, "query": [USER, ANSWER, USER]}]},
    "functionchat-decision": {"input_messages": [USER], "input_tools": TOOLS, **TURN},
    "functionchat-call": {
        "query": [{"serial_num": 1, "content": "Weather?"}, {"serial_num": 2, "content": "And?"}],
        "ground_truth": [{"serial_num": n, "content": '{"name": "weather", "arguments": "{}"}'} for n in (1, 2)],
        "acceptable_arguments": [{"serial_num": 1, "content": "x"}],
        "tools": [{"type": "exact", "content": TOOLS}],
    },
    "webgpt": {
        "question": {"full_text": "Why?"},
        "answer_0": "So [1].",
        "answer_1": "No.",
        "score_0": 1.0,
        "score_1": 0.0,
    },
    "shp": {"history": "Why?", "human_ref_A": "So.", "human_ref_B": "No.", "labels": 1},
    "xlam": {
        "id": 0,
        "query": "Weather?",
        "tools": [{"name": "weather", "parameters": {"city": {"type": "str, optional", "default": "Oslo"}}}],
        "answers": [{"name": "weather", "arguments": {"city": "Oslo"}}],
    },
    "glaive": {
        "system": f"SYSTEM: Functions: {json.dumps(WEATHER)}",
        "chat": """USER: Weather?\n\n\nASSISTANT: <functioncall> {"name": "weather", "arguments": '{"city": "Oslo"}'}"""
        " <|endoftext|>\n\n\nFUNCTION RESPONSE: sun\n\n\nASSISTANT: Sunny. <|endoftext|>",
    },
    "openai": {
        "messages": [USER, CALLING, RESULT, ANSWER],
        "tools": TOOLS,
        "label": True,
        "labels": [{"message_index": 3, "decision": "answer"}],
    },
    "sharegpt": {"conversations": SHAREGPT, "tools": json.dumps(TOOLS), "system": "s", "kto_tag": False},
    "completion": {"prompt": [USER], "completion": [ANSWER], "label": True, "tools": TOOLS},
    "vicuna": {"prompt": "USER: a ASSISTANT: b</s>USER: c ASSISTANT:", "label": "d"},
    "alpaca": {"instruction": "a", "input": "b", "output": "c", "system": "s", "history": [["d", "e"]], "label": 1},
    "text": {"text": "a", "id": 1},
}

ALL = [
    *ROWS.items(),
    ("sharegpt", {"conversations": WRITTEN}),
    ("preference", {"messages": [USER], "chosen": [ANSWER], "rejected": "Rain."}),
    ("swift-preference", {"messages": [USER, ANSWER], "rejected_messages": [USER, CALLING], "tools": TOOLS}),
]
"""Rows by format: one of each, and other forms of some."""

_JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 1e308, float("nan"), float("inf"), "", "[", "{}", '{"a": 1}', "[{", "[[]]", "null"])
    | st.sampled_from(
        ["\ud800", "\ufffc", "\x00", "<image>", "\n\nHuman:", "1" * 5000, "tool", "function_call", "image", "USER"]
    )
    | st.sampled_from(["<tool_call>", "<tool_call>{'a': {1}}</tool_call>", "<tools>[1]</tools>", "List[int]", "List[("])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "from", "type", "name", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where values stand inside a value, at any depth."""
    keys: Any = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [found for key in keys for found in [(*path, key), *_places(value[key], (*path, key))]]


@st.composite
def _mutated(draw: st.DrawFn, row: dict[str, Any]) -> dict[str, Any]:
    """The row with up to four of its values, at any depth, taken away, replaced, doubled, or written as JSON."""
    made = copy.deepcopy(row)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(made)
        if not places:
            break
        *way, key = draw(st.sampled_from(places))
        holder: Any = made
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(["away", "junk", "wrap", "json", "text"])):
            case "away":
                del holder[key]
            case "junk":
                holder[key] = draw(_JUNK)
            case "wrap":
                holder[key] = [holder[key], draw(_JUNK)]
            case "json":
                holder[key] = json.dumps(holder[key], default=str)[: draw(st.integers(1, 200))]
            case _:
                holder[key] = draw(_JUNK.map(str))
    return made


def test_every_format_is_fuzzed() -> None:
    assert [reader.format for reader in READERS] == list(ROWS)


@pytest.mark.parametrize(("format", "row"), ALL)
def test_the_row_itself_is_read(format: str, row: dict[str, Any]) -> None:
    row = {key: value for key, value in row.items() if key != "images"}
    assert load([row], format=format).records


@pytest.mark.parametrize(("format", "row"), ALL)
@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_broken_row_is_read_or_refused(format: str, row: dict[str, Any], data: st.DataObject) -> None:
    row = data.draw(_mutated(row))
    for named in (format, None):
        try:
            loaded = load([row], format=named)
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert all(isinstance(record, Dialogue | PreferencePair) for record in loaded.records)
            assert all("\n" not in note for note in loaded.notes)
