"""Messages and tools as text to read."""

import json
from typing import Any

from turnpoint.dialogue import Message, Tool


def readable(message: Message) -> str:
    """What a message says: its content, and a line for each call."""
    calls = [f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in message.tool_calls]
    return "\n".join([*([message.content] if message.content else []), *calls])


def shown_message(message: Message, reasoning: str) -> dict[str, Any]:
    """A message as `messages.js` shows it: its calls as text, its images by name, its reasoning apart."""
    images = [image.file or "image" for image in message.images]
    beside = {"name": message.name, "images": images, "reasoning": reasoning}
    shown = {"role": message.role, "text": readable(message)}
    return shown | {name: value for name, value in beside.items() if value}


def shown_tool(tool: Tool) -> dict[str, Any]:
    """A tool as `messages.js` shows it."""
    parameters = json.dumps(tool.parameters, ensure_ascii=False, indent=2)
    return {"name": tool.name, "description": tool.description, "parameters": parameters}
