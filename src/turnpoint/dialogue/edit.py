"""Dialogues made from dialogues, by whole messages."""

from collections.abc import Iterable

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
    """The dialogue up to its `answers`-th answer to a tool result, and the whole of it where it has fewer."""
    found = 0
    for i, (before, message) in enumerate(zip(dialogue.messages, dialogue.messages[1:], strict=False), start=1):
        found += before.role == "tool" and message.role == "assistant" and not message.tool_calls
        if found == answers:
            return dialogue.model_copy(update={"messages": dialogue.messages[: i + 1]})
    return dialogue


def with_tools(dialogue: Dialogue, more: Iterable[Tool]) -> Dialogue:
    """The dialogue with more tools to choose from, in order of name, so that the place of a tool tells nothing."""
    tools = {tool.name: tool for tool in (*more, *dialogue.tools)}
    return dialogue.model_copy(update={"tools": tuple(tools[name] for name in sorted(tools))})
