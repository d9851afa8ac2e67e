"""Findings over dialogues: structure, repetition, tools and decisions."""

from collections import Counter
from collections.abc import Iterator, Sequence

from turnpoint.dialogue import Decision, Dialogue, Message, decisions
from turnpoint.doctor.finding import Finding, Severity, over_rows

_RARE = 0.05  # share of the turns below which a decision is rare
_ENOUGH_TURNS = 20  # turns from which shares say something


def no_scored_turn(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Dialogues in which nothing enters the loss."""
    rows = [d.source for d in dialogues if not any(d.messages[i].train for i in d.turns)]
    return over_rows(
        Severity.ERROR,
        "dialogues without a scored turn",
        rows,
        "add an assistant message, or remove `train: false` from one; otherwise remove the row",
    )


def unanswered_calls(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls in the middle of a dialogue that no tool result answers."""
    rows = [d.source for d in dialogues if _unanswered(d.messages)]
    return over_rows(
        Severity.WARNING,
        "calls without a result, with the dialogue going on",
        rows,
        "add the tool's result after the call; a model trained on this learns to answer without waiting",
    )


def trailing_messages(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Messages after the last assistant turn: read by nobody."""
    rows = [d.source for d in dialogues if d.turns and d.turns[-1] != len(d.messages) - 1]
    return over_rows(
        Severity.NOTE,
        "messages after the last assistant turn",
        rows,
        "they cost tokens and teach nothing; cut them, or add the assistant's reply",
    )


def repeated_roles(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Two user or two assistant messages in a row, which many chat templates refuse."""
    rows = [
        d.source for d in dialogues if any(_same_role(a, b) for a, b in zip(d.messages, d.messages[1:], strict=False))
    ]
    return over_rows(
        Severity.NOTE,
        "two messages of one role in a row",
        rows,
        "join them; templates such as Mistral's and Gemma's refuse them",
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
    if not unused:
        return None
    return Finding(
        severity=Severity.NOTE,
        title=f"{len(unused)} of {len(first)} tools are offered and never called: {', '.join(unused[:5])}",
        count=len(unused),
        rows=tuple(first[name] for name in unused[:5]),
        mend="fine as distractors; where the model should use them, add dialogues that call them",
    )


def ungrounded_values(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls with a required value that no earlier message says, word for word."""
    rows = [d.source for d in dialogues if any(True for _ in _unsaid(d))]
    return over_rows(
        Severity.NOTE,
        "calls with a required value that nobody said before, word for word",
        rows,
        "fine for dates and numbers written in another form; where the values are invented, the model learns to invent",
    )


def decision_balance(dialogues: Sequence[Dialogue]) -> Finding | None:
    """How often each decision is taught; a warning where one is rare and tools are there."""
    counts = Counter(decision for d in dialogues for decision in decisions(d))
    total = sum(counts.values())
    if not total:
        return None
    kinds = [Decision.CALL, Decision.SLOT, Decision.COMPLETION, Decision.RELEVANCE]
    rare = [kind for kind in kinds if counts[kind] < _RARE * total]
    judged = total >= _ENOUGH_TURNS and any(d.tools for d in dialogues)
    listed = ", ".join(f"{kind} {counts[kind]}" for kind in [*kinds, Decision.CONFIRM] if counts[kind] or kind in kinds)
    return Finding(
        severity=Severity.WARNING if rare and judged else Severity.NOTE,
        title=f"decisions of {total} turns: {listed}",
        count=total,
        rows=(),
        mend=f"add dialogues that teach {', '.join(rare)}; what is rare is not learned" if rare and judged else "",
    )


def repeats(keyed: Sequence[tuple[str, str]]) -> list[str]:
    """Sources whose key an earlier one has, each with the row it repeats."""
    first: dict[str, str] = {}
    again = []
    for source, key in keyed:
        if key in first:
            again.append(f"{source} (as {first[key]})")
        first.setdefault(key, source)
    return again


def said(messages: Sequence[Message]) -> str:
    """What a model would read of messages, as one text; images as hashes."""
    return "\n".join(
        " ".join(
            [
                message.role,
                message.content or "",
                *(image.digest.hex() for image in message.images),
                *(f"{call.name} {call.arguments}" for call in message.tool_calls),
            ]
        )
        for message in messages
    )


def _key(dialogue: Dialogue) -> str:
    return said(dialogue.messages) + "\n" + " ".join(tool.model_dump_json() for tool in dialogue.tools)


def _same_role(a: Message, b: Message) -> bool:
    return a.role == b.role and a.role in ("user", "assistant")


def _unanswered(messages: Sequence[Message]) -> bool:
    for i, message in enumerate(messages):
        if message.tool_calls and i + 1 < len(messages):
            results = 0
            while i + 1 + results < len(messages) and messages[i + 1 + results].role == "tool":
                results += 1
            if results < len(message.tool_calls):
                return True
    return False


def _unsaid(dialogue: Dialogue) -> Iterator[str]:
    required = {tool.name: tool.required for tool in dialogue.tools}
    heard = ""
    for message in dialogue.messages:
        for call in message.tool_calls:
            for name in required.get(call.name, ()):
                value = call.arguments.get(name)
                if isinstance(value, str | int | float) and not isinstance(value, bool) and _plain(value) not in heard:
                    yield str(value)
        heard += " " + _plain(message.content or "")


def _plain(value: object) -> str:
    """Lower-case letters and digits only, so that `New-York` is found in `new york`."""
    return "".join(character for character in str(value).lower() if character.isalnum())
