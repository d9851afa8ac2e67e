"""Short ways to write dialogues, and to read what a tokenised one supervises."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from turnpoint.dialogue import Dialogue, Message, PreferencePair, Tool, ToolCall
from turnpoint.template import Renderer, TokenizedDialogue

WEATHER = Tool(
    name="weather",
    description="Weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = Tool(name="clock", description="Time of a city", parameters={"type": "object", "properties": {}})


def system(text: str) -> Message:
    return Message(role="system", content=text)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def says(text: str, train: bool = True) -> Message:
    return Message(role="assistant", content=text, train=train)


def thinks(reasoning: str, message: Message) -> Message:
    return message.model_copy(update={"reasoning": reasoning})


def call(name: str = "weather", content: str | None = None, id: str | None = None, **arguments: Any) -> Message:
    return Message(role="assistant", content=content, tool_calls=(ToolCall(name=name, arguments=arguments, id=id),))


def calls(*named: tuple[str, dict[str, Any]], content: str | None = None) -> Message:
    made = tuple(ToolCall(name=name, arguments=given) for name, given in named)
    return Message(role="assistant", content=content, tool_calls=made)


def result(text: str, id: str | None = None, name: str | None = None) -> Message:
    return Message(role="tool", content=text, tool_call_id=id, name=name)


def dialogue(*messages: Message, tools: tuple[Tool, ...] = (), verbatim: bool = False) -> Dialogue:
    return Dialogue(messages=messages, tools=tools, verbatim=verbatim, source="data.jsonl:7")


def pair(
    prompt: list[Message], chosen: list[Message], rejected: list[Message], source: str = "data.jsonl:7", **more: Any
) -> PreferencePair:
    return PreferencePair(prompt=prompt, chosen=chosen, rejected=rejected, source=source, **more)


def said(tokenizer: PreTrainedTokenizerBase, tokenized: TokenizedDialogue) -> list[str]:
    """The supervised text of each turn: its tokens, decoded."""
    return [tokenizer.decode(tokenized.input_ids[turn.start : turn.end]) for turn in tokenized.turns]


def supervised(tokenizer: PreTrainedTokenizerBase, of: Dialogue) -> list[str]:
    return said(tokenizer, Renderer(tokenizer).tokenize(of))
