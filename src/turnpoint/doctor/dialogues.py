"""Findings over dialogues: structure, repetition and tools offered."""

from collections.abc import Sequence

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows


def no_scored_turn(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Dialogues in which nothing enters the loss."""
    return over_rows(
        Severity.ERROR,
        "dialogues without a scored turn",
        [Place(d.source) for d in dialogues if not any(d.messages[i].train for i in d.turns)],
        "add an assistant message, or remove `train: false` from one; otherwise remove the row",
    )


def trailing_messages(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Messages after the last assistant turn: read by nobody."""
    return over_rows(
        Severity.NOTE,
        "messages after the last assistant turn",
        [Place(d.source) for d in dialogues if d.turns and d.turns[-1] != len(d.messages) - 1],
        "they cost tokens and teach nothing; cut them, or add the assistant's reply",
    )


def repeated_roles(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Two user or two assistant messages in a row, which many chat templates refuse."""
    places = [
        Place(d.source)
        for d in dialogues
        if any(_same_role(a, b) for a, b in zip(d.messages, d.messages[1:], strict=False))
    ]
    return over_rows(
        Severity.NOTE,
        "two messages of one role in a row",
        places,
        "join them; templates such as Mistral's and Gemma's refuse them",
    )


def system_in_some(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Rows without a system message, where others have one; text without chat structure is left aside."""
    chats = [d for d in dialogues if not d.verbatim]
    without = [Place(d.source) for d in chats if d.messages[0].role != "system"]
    if len(without) == len(chats):
        return None
    return over_rows(
        Severity.NOTE,
        f"rows without a system message, where {len(chats) - len(without)} have one",
        without,
        "give all rows the system message that the model will be served with, unless it is served with and without",
    )


def duplicated_dialogues(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Dialogues that are there already, tools included."""
    return over_rows(
        Severity.WARNING,
        "dialogues that repeat an earlier row",
        repeats([(d.source, _key(d)) for d in dialogues]),
        "remove the repeats; they weigh double and may stand in train and eval at once",
    )


def tools_never_called(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Tools that are offered somewhere and called nowhere."""
    called = {call.name for d in dialogues for m in d.messages for call in m.tool_calls}
    first = {t.name: d.source for d in reversed(dialogues) for t in d.tools}
    unused = sorted(set(first) - called)
    return over_rows(
        Severity.NOTE,
        f"{len(unused)} of {len(first)} tools are offered and never called",
        [Place(first[name], f": {name}") for name in unused],
        "fine as distractors; where the model should use them, add dialogues that call them",
    )


def repeats(keyed: Sequence[tuple[str, str]]) -> list[Place]:
    """Sources whose key an earlier one has, each with the row it repeats."""
    first: dict[str, str] = {}
    again = []
    for source, key in keyed:
        if key in first:
            again.append(Place(source, f" (as {first[key]})"))
        first.setdefault(key, source)
    return again


def said(messages: Sequence[Message]) -> str:
    """What a model would read of messages, as one text; images as hashes."""
    return "\n".join(
        " ".join(
            [
                message.role,
                *([message.reasoning] if message.reasoning else []),
                message.content or "",
                *(image.digest.hex() for image in message.images),
                *(f"{call.name} {call.arguments}" for call in message.tool_calls),
            ]
        )
        for message in messages
    )


def ways(record: Dialogue | PreferencePair) -> tuple[tuple[Message, ...], ...]:
    """The messages of a dialogue, or of either side of a pair, chosen first."""
    if isinstance(record, Dialogue):
        return (record.messages,)
    return record.prompt + record.chosen, record.prompt + record.rejected


def _key(dialogue: Dialogue) -> str:
    return said(dialogue.messages) + "\n" + " ".join(tool.model_dump_json() for tool in dialogue.tools)


def _same_role(a: Message, b: Message) -> bool:
    return a.role == b.role and a.role in ("user", "assistant")
