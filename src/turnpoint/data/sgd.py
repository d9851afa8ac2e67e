"""The Schema-Guided Dialogue data set in its own form: turns of frames, and a schema of the services beside them.

An intent of a service is a tool. A call of a service stands in the frame of the system turn that tells of its results:
it becomes a call and a tool result before what the system says.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.containers import container_of
from turnpoint.data.fields import row_id
from turnpoint.data.prepare import Beside
from turnpoint.dialogue import Decision, Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_SCHEMA = "schema.json"


def _files(data: Path) -> list[Path]:
    """`schema.json`, of several the one named for the data (`train_schema.json` for `train_1.json`), else all."""
    found = sorted(file for file in data.parent.glob(f"*{_SCHEMA}") if container_of(file) and file.is_file())
    named = [file for file in found if file.name != _SCHEMA and data.name.startswith(file.name.removesuffix(_SCHEMA))]
    return named or found


def _pick(row: Mapping[str, Any], table: Mapping[str, Mapping[str, Any]]) -> Any:
    services = row.get("services")
    names = services if isinstance(services, list) else []
    return [table[name] for name in names if isinstance(name, str) and name in table] or None


BESIDE = Beside("schema", "service_name", _files, _pick)


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has services, and turns of speakers."""
    turns = row.get("turns")
    if row.get("services") is None or not isinstance(turns, list) or not turns:
        return False
    return isinstance(turns[0], Mapping) and "speaker" in turns[0] and "utterance" in turns[0]


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one dialogue. A system turn that requests asks for a slot, one that confirms confirms, and others complete.

    Raises:
        DataError: the schema does not describe a service, or the row breaks another rule.
    """
    fields = {
        "messages": list(_messages(row["turns"], where)),
        "tools": _tools(row, where),
        "id": row_id(row, where, "dialogue_id"),
        "source": where,
    }
    return parse(Dialogue, fields, where)


def _messages(turns: list[Any], where: str) -> Iterator[Message]:
    calls = 0
    for i, turn in enumerate(turns):
        field = f"turns[{i}]"
        if not isinstance(turn, Mapping) or turn.get("speaker") not in ("USER", "SYSTEM"):
            raise DataError(
                f"{where}: {field}: must hold a speaker, USER or SYSTEM, and an utterance (got {turn!r:.80})"
            )
        if turn["speaker"] == "USER":
            yield parse(Message, {"role": "user", "content": turn.get("utterance")}, where, field)
            continue
        frames = _objects(turn.get("frames") or [], f"{field}.frames", where)
        called = [frame for frame in frames if frame.get("service_call") is not None]
        ids = [f"call_{calls + n}" for n in range(1, len(called) + 1)]
        calls += len(called)
        if called:
            made = [_call(frame, id, where, field) for frame, id in zip(called, ids, strict=True)]
            yield parse(Message, {"role": "assistant", "tool_calls": made, "decision": Decision.CALL}, where, field)
            for call, frame in zip(made, called, strict=True):
                yield _result(call, frame, where, field)
        said = {"role": "assistant", "content": turn.get("utterance"), "decision": _decision(frames, where, field)}
        yield parse(Message, said, where, field)


def _call(frame: Mapping[str, Any], id: str, where: str, field: str) -> dict[str, Any]:
    call = frame["service_call"]
    if not isinstance(call, Mapping) or "method" not in call:
        raise DataError(f"{where}: {field}: service_call must hold method and parameters (got {call!r:.80})")
    return {"name": f"{frame.get('service')}_{call['method']}", "arguments": call.get("parameters"), "id": id}


def _result(call: Mapping[str, Any], frame: Mapping[str, Any], where: str, field: str) -> Message:
    content = json.dumps(frame.get("service_results", []), ensure_ascii=False)
    return parse(
        Message, {"role": "tool", "name": call["name"], "tool_call_id": call["id"], "content": content}, where, field
    )


def _decision(frames: list[Mapping[str, Any]], where: str, field: str) -> Decision:
    """What the acts of a system turn decide."""
    actions = [each for frame in frames for each in _objects(frame.get("actions") or [], f"{field}.actions", where)]
    acts = [action.get("act") for action in actions]
    if "REQUEST" in acts:
        return Decision.SLOT
    return Decision.CONFIRM if "CONFIRM" in acts else Decision.COMPLETION


def _tools(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    schemas = {str(each.get("service_name")): each for each in _objects(row.get("schema") or [], "schema", where)}
    services = row["services"]
    if not isinstance(services, list) or not all(isinstance(name, str) for name in services):
        raise DataError(f"{where}: services: must be a list of names (got {services!r:.80})")
    missing = next((name for name in services if name not in schemas), None)
    if missing is not None:
        raise DataError(
            f"{where}: services: no schema describes {missing!r}; put the {_SCHEMA} of the data set beside the file, or"
            " give its list in a column `schema`"
        )
    return [tool for name in services for tool in _tools_of(schemas[name], name, where)]


def _tools_of(schema: Mapping[str, Any], service: str, where: str) -> Iterator[dict[str, Any]]:
    slots = {str(slot.get("name")): slot for slot in _objects(schema.get("slots") or [], "schema.slots", where)}
    for intent in _objects(schema.get("intents") or [], "schema.intents", where):
        required, optional = intent.get("required_slots") or [], intent.get("optional_slots") or {}
        if not isinstance(required, list) or not isinstance(optional, Mapping):
            raise DataError(
                f"{where}: schema: intent {intent.get('name')!r}: required_slots must be a list and"
                " optional_slots an object"
            )
        properties = {name: _property(slots.get(name, {})) for name in map(str, required)}
        properties |= {name: _property(slots.get(name, {})) | {"default": value} for name, value in optional.items()}
        yield {
            "name": f"{service}_{intent.get('name')}",
            "description": intent.get("description"),
            "parameters": {"type": "object", "properties": properties, "required": required},
        }


def _property(slot: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "string", "description": slot.get("description") or ""}
    values = slot.get("possible_values")
    return found | ({"enum": values} if slot.get("is_categorical") and values else {})


def _objects(value: Any, field: str, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise DataError(f"{where}: {field}: must be a list of objects (got {value!r:.80})")
    return value
