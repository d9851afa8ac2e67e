"""Pairs written to a file are read back whole."""

from pathlib import Path

from turnpoint.data import load_pairs, write_pairs
from turnpoint.dialogue import Message, PreferencePair, Tool, ToolCall


def test_written_pairs_are_read_back(tmp_path: Path) -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="weather", arguments={"city": "Zürich"}, id="a"),))
    result = Message(role="tool", content="sunny", tool_call_id="a")
    pairs = [
        PreferencePair(
            prompt=(Message(role="system", content="Be brief."), Message(role="user", content="Weather?")),
            chosen=(call, result, Message(role="assistant", content="Sunny.", train=False)),
            rejected=(Message(role="assistant", content="Which city?"),),
            tools=(Tool(name="weather", description="", parameters={"type": "object", "properties": {}}),),
            id="1",
            dialogue_id="d",
            kind="refused call",
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
    write_pairs(pairs, tmp_path / "pairs.jsonl")
    found, notes = load_pairs(str(tmp_path / "pairs.jsonl"))
    assert [pair.model_copy(update={"source": ""}) for pair in found] == pairs
    assert not list(notes)
