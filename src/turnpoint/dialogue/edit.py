"""Dialogues made from dialogues, by whole messages."""

from collections.abc import Iterable

from turnpoint.dialogue.decisions import decisions
from turnpoint.dialogue.kinds import Decision
from turnpoint.dialogue.types import Dialogue, Message, Tool


def join_adjacent_turns(dialogue: Dialogue) -> Dialogue:
    """Join assistant messages that follow each other: "Let me check." and the call after it are one turn.

    A model writes until the other side speaks; many chat templates refuse two assistant messages in a row.
    """
    joined: list[Message] = []
    for message in dialogue.messages:
        if joined and message.role == joined[-1].role == "assistant" and not joined[-1].tool_calls:
            content = "\n".join(text for text in (joined[-1].content, message.content) if text)
            joined[-1] = message.model_copy(update={"content": content})
        else:
            joined.append(message)
    return dialogue.model_copy(update={"messages": tuple(joined)})


def opening(dialogue: Dialogue, answers: int = 1) -> Dialogue:
    """The dialogue up to its `answers`-th answer to a tool result, and the whole of it where it has fewer.

    Its turns are labelled with their decisions, since what a question is for shows in what comes after it.
    """
    messages = list(dialogue.messages)
    found = 0
    for i, decision in zip(dialogue.turns, decisions(dialogue), strict=True):
        messages[i] = messages[i].model_copy(update={"decision": decision})
        found += decision is Decision.COMPLETION and i > 0 and messages[i - 1].role == "tool"
        if found == answers:
            return dialogue.model_copy(update={"messages": tuple(messages[: i + 1])})
    return dialogue.model_copy(update={"messages": tuple(messages)})


def with_tools(dialogue: Dialogue, more: Iterable[Tool]) -> Dialogue:
    """The dialogue with more tools to choose from, in order of name, so that the place of a tool tells nothing."""
    tools = {tool.name: tool for tool in (*more, *dialogue.tools)}
    return dialogue.model_copy(update={"tools": tuple(tools[name] for name in sorted(tools))})
