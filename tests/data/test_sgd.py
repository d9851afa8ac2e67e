"""The Schema-Guided Dialogue data set in its own form, with its schema beside it. The dialogue is made up."""

import json
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data import Source, load, load_dialogues
from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall
from turnpoint.errors import DataError

SCHEMA: list[dict[str, Any]] = [
    {
        "service_name": "Rooms_1",
        "description": "Rooms to meet in",
        "slots": [
            {"name": "room", "description": "Which room", "is_categorical": True, "possible_values": ["red", "blue"]},
            {"name": "day", "description": "Day of the meeting", "is_categorical": False, "possible_values": []},
        ],
        "intents": [
            {
                "name": "Book",
                "description": "Book a room",
                "required_slots": ["room"],
                "optional_slots": {"day": "today"},
                "result_slots": ["room", "day"],
            }
        ],
    },
    {"service_name": "Weather_1", "description": "", "slots": [], "intents": []},
]


def user(text: str) -> dict[str, Any]:
    return {"speaker": "USER", "utterance": text, "frames": []}


def system(text: str, *acts: str, call: dict[str, Any] | None = None, results: Any = None) -> dict[str, Any]:
    frame: dict[str, Any] = {"service": "Rooms_1", "actions": [{"act": act} for act in acts]}
    if call is not None:
        frame |= {"service_call": {"method": "Book", "parameters": call}, "service_results": results}
    return {"speaker": "SYSTEM", "utterance": text, "frames": [frame]}


BOOKED = {"room": "red", "day": "today"}
DIALOGUE = {
    "dialogue_id": "1_00001",
    "services": ["Rooms_1"],
    "turns": [
        user("I need a room"),
        system("Which one?", "REQUEST"),
        user("The red one"),
        system("The red one, today?", "CONFIRM"),
        user("Yes"),
        system("Booked.", "NOTIFY_SUCCESS", call={"room": "red"}, results=[BOOKED]),
    ],
}
TOOL = Tool(
    name="Rooms_1_Book",
    description="Book a room",
    parameters={
        "type": "object",
        "properties": {
            "room": {"type": "string", "description": "Which room", "enum": ["red", "blue"]},
            "day": {"type": "string", "description": "Day of the meeting", "default": "today"},
        },
        "required": ["room"],
    },
)


def turn(text: str | None, decision: Decision, **keys: Any) -> Message:
    return Message(role="assistant", content=text, decision=decision, **keys)


EXPECTED = Dialogue(
    messages=(
        Message(role="user", content="I need a room"),
        turn("Which one?", Decision.SLOT),
        Message(role="user", content="The red one"),
        turn("The red one, today?", Decision.CONFIRM),
        Message(role="user", content="Yes"),
        turn(None, Decision.CALL, tool_calls=(ToolCall(name=TOOL.name, arguments={"room": "red"}, id="call_1"),)),
        Message(role="tool", name=TOOL.name, tool_call_id="call_1", content=json.dumps([BOOKED])),
        turn("Booked.", Decision.COMPLETION),
    ),
    tools=(TOOL,),
    id="1_00001",
)


def write(folder: Path, **files: Any) -> None:
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1))


@pytest.mark.parametrize("schemas", [["schema"], ["train_schema", "dev_schema"], ["a_schema", "b_schema"]])
def test_the_schema_lies_beside_the_dialogues(tmp_path: Path, schemas: list[str]) -> None:
    """One schema; one for each split, of which the name of the data picks its own; or several that hold it in parts."""
    write(tmp_path, train_1=[DIALOGUE], **{name: SCHEMA if name == schemas[0] else [] for name in schemas})
    loaded = load(tmp_path / "train_1.json")
    assert loaded.format == "sgd"
    assert [record.model_copy(update={"source": ""}) for record in loaded.records] == [EXPECTED]
    assert loaded.notes == ()


def test_a_folder_is_read_without_its_schema(tmp_path: Path) -> None:
    write(tmp_path, dialogues_001=[DIALOGUE], schema=SCHEMA, dialogues_002=[DIALOGUE])
    dialogues, _ = load_dialogues(tmp_path)
    assert [dialogue.source for dialogue in dialogues] == ["dialogues_001.json[0]", "dialogues_002.json[0]"]


def test_the_schema_is_part_of_the_content(tmp_path: Path) -> None:
    write(tmp_path, dialogues_001=[DIALOGUE])
    contents = [Source(tmp_path / "dialogues_001.json").content]
    for schema in (SCHEMA, SCHEMA[:1]):
        write(tmp_path, schema=schema)
        contents.append(Source(tmp_path / "dialogues_001.json").content)
    assert len(set(contents)) == 3


def test_rows_may_carry_the_schema_themselves() -> None:
    [dialogue], _ = load_dialogues([DIALOGUE | {"schema": SCHEMA}])
    assert dialogue.model_copy(update={"source": ""}) == EXPECTED


def test_calls_of_two_services_are_parallel() -> None:
    both = system("Done.", call={"room": "red"}, results=[])
    both["frames"] *= 2
    turns = [user("Twice"), both]
    [dialogue], _ = load_dialogues(
        [DIALOGUE | {"schema": SCHEMA, "turns": turns, "services": ["Rooms_1", "Weather_1"]}]
    )
    assert [message.role for message in dialogue.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [message.tool_call_id for message in dialogue.messages[2:4]] == ["call_1", "call_2"]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {},
            "services: no schema describes 'Rooms_1'; put the schema.json of the data set beside the file, or give its"
            " list in a column `schema`",
        ),
        ({"schema": {}}, "services: no schema describes 'Rooms_1'"),
        (
            {"schema": SCHEMA, "turns": [*DIALOGUE["turns"][:1], {"speaker": "BOT"}]},
            "turns[1]: must hold a speaker, USER or",
        ),
        (
            {"schema": SCHEMA, "turns": [{**user("x"), "utterance": None}]},
            "turns[0]: a user message needs content, a string",
        ),
        (
            {"schema": [SCHEMA[0] | {"intents": []}]},
            "messages[5] calls unknown tool 'Rooms_1_Book'; tools offered: none; add it to tools",
        ),
    ],
)
def test_faults(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_dialogues([DIALOGUE | row])
    assert str(raised.value).startswith(f"row 0: {error}")
