"""Pairs and dialogues written to a file are read back whole, in both forms."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnpoint.data import Form, load_dialogues, load_pairs, write_dialogues, write_pairs
from turnpoint.dialogue import Decision, Dialogue, Message, PreferencePair, Tool, ToolCall

FORMS = pytest.mark.parametrize("form", list(Form))


@FORMS
def test_written_pairs_are_read_back(tmp_path: Path, form: Form) -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="weather", arguments={"city": "Zürich"}, id="a"),))
    result = Message(role="tool", content="sunny", tool_call_id="a")
    pairs = [
        PreferencePair(
            prompt=(Message(role="system", content="Be brief."), Message(role="user", content="Weather?")),
            chosen=(call, result, Message(role="assistant", content="Sunny.", train=False)),
            rejected=(Message(role="assistant", content="Which city?", reasoning="No city."),),
            tools=(Tool(name="weather", description="", parameters={"type": "object", "properties": {}}),),
            id="1",
            dialogue_id="d",
            kind="refused call",
            about={"writer": "phrases"},
            weight=2.0,
            margin=-0.5,
        ),
        PreferencePair(
            prompt=(Message(role="user", content="Once upon"),),
            chosen=(Message(role="assistant", content=" a time"),),
            rejected=(Message(role="assistant", content=" a mime"),),
            id="2",
            dialogue_id="e",
            verbatim=True,
        ),
    ]
    write_pairs(pairs, tmp_path / "pairs.jsonl", form)
    found, notes = load_pairs(str(tmp_path / "pairs.jsonl"))
    assert [pair.model_copy(update={"source": ""}) for pair in found] == pairs
    assert not list(notes)


def test_sharegpt_is_what_llama_factory_reads(tmp_path: Path) -> None:
    calls = tuple(ToolCall(name="weather", arguments={"city": city}) for city in ("Rome", "Oslo"))
    pair = PreferencePair(
        prompt=(Message(role="user", content="Weather?"),),
        chosen=(Message(role="assistant", tool_calls=calls), Message(role="tool", content="sun")),
        rejected=(Message(role="assistant", content="Where?"),),
        tools=(Tool(name="weather", parameters={"type": "object", "properties": {}}),),
    )
    write_pairs([pair], tmp_path / "pairs.jsonl", Form.SHAREGPT)
    row = json.loads((tmp_path / "pairs.jsonl").read_text())
    value = '[{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "weather", "arguments": {"city": "Oslo"}}]'
    assert row["conversations"] == [{"from": "human", "value": "Weather?"}]
    assert row["chosen"] == [{"from": "function_call", "value": value}, {"from": "observation", "value": "sun"}]
    assert row["rejected"] == [{"from": "gpt", "value": "Where?"}]
    assert json.loads(row["tools"])[0]["function"]["name"] == "weather"


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_some_text = _text.filter(bool)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_text, inner, max_size=2),
    max_leaves=4,
)
_ids = st.none() | st.sampled_from(["a", "b"])
_calls = st.builds(
    ToolCall, name=st.sampled_from(["weather", "clock"]), arguments=st.dictionaries(_text, _json, max_size=2), id=_ids
)
_labels: dict[str, Any] = {"train": st.booleans(), "decision": st.none() | st.sampled_from(Decision)}


def _turns(text: st.SearchStrategy[str | None], calls: int) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        role=st.just("assistant"),
        content=text,
        reasoning=st.none() | _some_text,
        tool_calls=st.lists(_calls, min_size=calls, max_size=2 * calls).map(tuple),
        **_labels,
    )


_answers = _turns(_some_text, 0)
_callers = _turns(st.none() | _text, 1)
_users = st.builds(Message, role=st.just("user"), content=_text, name=st.none() | _some_text)
_systems = st.builds(Message, role=st.just("system"), content=_text)
_tools = st.builds(
    Tool,
    name=st.just("weather"),
    description=_text,
    parameters=st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(_text, st.just({}))}),
    strict=st.booleans(),
)
_CLOCK = Tool(name="clock", parameters={"type": "object", "properties": {}})


@st.composite
def _messages(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns with what may stand between them: results after calls, users after anything."""
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 3))):
        turn = draw(_answers | _callers)
        messages.append(turn)
        for call in turn.tool_calls[: draw(st.integers(0, 2))]:
            messages.append(Message(role="tool", content=draw(_text), tool_call_id=call.id, name=call.name))
        messages += draw(st.lists(_users, max_size=1))
    return tuple(messages)


@st.composite
def _records(draw: st.DrawFn) -> tuple[PreferencePair, Dialogue]:
    prompt = (*draw(st.lists(_systems, max_size=1)), draw(_users), *draw(st.lists(_answers, max_size=1)), draw(_users))
    chosen, rejected = draw(_messages()), draw(_messages())
    if [m.said for m in chosen] == [m.said for m in rejected]:
        rejected = (*rejected, Message(role="assistant", content="and another thing"))
    tools = (draw(_tools), _CLOCK)
    pair = PreferencePair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        tools=tools,
        id=draw(_some_text),
        dialogue_id=draw(_some_text),
        kind=draw(_text),
        about=draw(st.dictionaries(_text, _text | st.integers(), max_size=2)),
        weight=draw(st.sampled_from([1.0, 0.25, 3.0])),
        margin=draw(st.none() | st.floats(-2, 2)),
    )
    label = draw(st.none() | st.booleans())
    return pair, Dialogue(messages=(*prompt, *chosen), tools=tools, id=draw(_some_text), label=label)


@FORMS
@given(_records())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_valid_is_read_back(tmp_path: Path, form: Form, records: tuple[PreferencePair, Dialogue]) -> None:
    pair, dialogue = records
    write_pairs([pair], tmp_path / "pairs.jsonl", form)
    write_dialogues([dialogue], tmp_path / "dialogues.jsonl", form)
    [pair_again], _ = load_pairs(tmp_path / "pairs.jsonl")
    [dialogue_again], _ = load_dialogues(tmp_path / "dialogues.jsonl")
    assert pair_again.model_copy(update={"source": ""}) == pair
    assert dialogue_again.model_copy(update={"source": ""}) == dialogue
