"""Turns to be decided: a context, the tools offered there, and the right kind of turn."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall, decisions
from turnpoint.errors import ConfigError
from turnpoint.pairs.sources import far_distractors

KINDS = (Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION)


_MESSAGE = " message "


class AllowedCall(NamedTuple):
    """A call that is right, as a benchmark gives it: of each argument the values that pass."""

    name: str
    arguments: Mapping[str, Sequence[Any]]  # "" among the values: the argument may be left out


class DecisionItem(NamedTuple):
    """A context and what should follow."""

    context: tuple[Message, ...]
    tools: tuple[Tool, ...]
    decision: Decision
    calls: tuple[ToolCall, ...]  # the calls that are right (for a slot question: what the dialogue calls next)
    source: str  # the dialogue, and after ` message ` which one of it
    category: str = ""  # the rate that the item enters; "" for that of its decision
    said: str | None = None  # what the data says there, where that is words
    slots: tuple[str, ...] | None = None  # the missing parameters, where the data names them
    allowed: tuple[AllowedCall, ...] | None = None  # of benchmarks that list what passes

    @property
    def kind(self) -> str:
        """The rate that the item enters."""
        return self.category or self.decision.value

    @property
    def dialogue(self) -> str:
        """Where the dialogue stands that the item is a turn of."""
        return self.source.partition(_MESSAGE)[0]


def source_of(dialogue: str, message: int) -> str:
    """Where the turn stands that is `message`, counted from 0, of a dialogue."""
    return f"{dialogue}{_MESSAGE}{message}"


def decision_items(dialogues: Sequence[Dialogue], *, per_kind: int | None = None, seed: int = 0) -> list[DecisionItem]:
    """The turns of dialogues with tools, as many of each kind as there are or as `per_kind` allows.

    A completion counts only where it follows a tool result, since small talk decides nothing. First requests stand
    twice: as they are, and with tools of other dialogues in place of their own, where only a rejection is right. A
    confirmation is not an item.

    Args:
        dialogues: held back from training.
        per_kind: turns of each decision at most, drawn at random; None takes all.
        seed: of the draw and of the tools that replace the fitting ones.

    Raises:
        ConfigError: `per_kind` is not positive.
    """
    random = Random(seed)
    pool = list({tool.name: tool for dialogue in dialogues for tool in dialogue.tools}.values())
    items = [item for dialogue in dialogues if dialogue.tools for item in _items(dialogue, pool, random)]
    return drawn(items, KINDS, per_kind, random)


def drawn(
    items: Sequence[DecisionItem], kinds: Sequence[str], per_kind: int | None, random: Random
) -> list[DecisionItem]:
    """As many items of each kind as there are or as `per_kind` allows, in random order.

    Raises:
        ConfigError: `per_kind` is not positive.
    """
    if per_kind is not None and per_kind < 1:
        raise ConfigError(f"per_kind: must be at least 1 turn, or null for all (got {per_kind})")
    chosen: list[DecisionItem] = []
    for kind in kinds:
        of_kind = [item for item in items if item.kind == kind]
        random.shuffle(of_kind)
        chosen += of_kind[:per_kind]
    return chosen


def _items(dialogue: Dialogue, pool: Sequence[Tool], random: Random) -> list[DecisionItem]:
    found = []
    for i, kind in zip(dialogue.turns, decisions(dialogue), strict=True):
        context = dialogue.messages[:i]
        calls = next((m.tool_calls for m in dialogue.messages[i:] if m.tool_calls), ())
        source = source_of(dialogue.source, i)
        if not any(message.role == "user" for message in context):
            continue
        if kind in KINDS and (kind is not Decision.COMPLETION or context[-1].role == "tool"):
            found.append(DecisionItem(context, dialogue.tools, kind, calls, source, said=dialogue.messages[i].content))
        first_request = not any(message.role == "assistant" for message in context)
        if kind in (Decision.CALL, Decision.SLOT) and first_request and calls:
            others = far_distractors(dialogue.tools, pool, random)
            if others:
                found.append(DecisionItem(context, others, Decision.RELEVANCE, (), f"{source}, other tools"))
    return found
