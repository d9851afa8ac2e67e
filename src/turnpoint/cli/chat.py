"""`turnpoint chat MODEL`: talk to a model in the terminal; the user plays the tools."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from turnpoint.cli.given import Given
from turnpoint.cli.groups import ModelOptions
from turnpoint.cli.loading import open_model, read_tools
from turnpoint.cli.options import Verb
from turnpoint.dialogue import Message, Tool, ToolCall

if TYPE_CHECKING:
    from turnpoint.sampling import Reply

_COMMANDS = "/reset starts again, /quit leaves"


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """How to talk."""

    tools: str | None = field(default=None, metadata={"help": "JSON file with a list of tools (OpenAI form or bare)"})
    system: str | None = field(default=None, metadata={"help": "text of the system message"})
    max_new_tokens: int = field(default=256, metadata={"help": "tokens of the longest reply"})
    temperature: float = field(default=0.0, metadata={"help": "0 takes the likeliest token each time"})
    seed: int = field(default=0, metadata={"help": "seed of sampling, where temperature is above 0"})


VERB = Verb(
    name="chat",
    about=(
        "Talk to a model. With --tools it may call them: the call is shown, and you type what the tool returns."
        f" {_COMMANDS[0].upper()}{_COMMANDS[1:]}; a pipe on stdin works too, one message a line."
    ),
    groups={"Chat": ChatOptions, "Model": ModelOptions},
    positional=("model",),
)


class _Leave(Exception):
    """The user has said /quit, or stdin has ended."""


class _Reset(Exception):
    """The user has said /reset."""


def run(given: Given) -> None:
    """Talk until the user leaves."""
    options = given.build(ChatOptions)
    tools = read_tools(options.tools)
    from turnpoint.sampling import check_sampling, generate_replies
    from turnpoint.template import Renderer

    check_sampling(options.max_new_tokens, options.temperature)
    model, tokenizer = open_model(given.build(ModelOptions))
    renderer = Renderer(tokenizer)

    def reply(messages: list[Message]) -> "Reply":
        return generate_replies(
            model,
            tokenizer,
            [renderer.prompt_ids(messages, tools)],
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            seed=options.seed,
        )[0]

    if sys.stdin.isatty():
        print(f"{len(tools)} tools; {_COMMANDS}")
    talk(reply, tools, options.system)


def talk(reply: Callable[[list[Message]], "Reply"], tools: tuple[Tool, ...], system: str | None) -> None:
    """Read messages from stdin and print what the model says, until /quit or the end of stdin.

    Args:
        reply: from the messages so far to what the model writes.
        tools: offered to the model; calls of others are marked as unknown.
        system: text of the system message.
    """
    while True:
        messages = [Message(role="system", content=system)] if system else []
        try:
            while True:
                messages.append(Message(role="user", content=_read("you> ")))
                _answer(reply, tools, messages)
        except _Reset:
            print("(started again)")
        except _Leave:
            return


def _answer(reply: Callable[[list[Message]], "Reply"], tools: tuple[Tool, ...], messages: list[Message]) -> None:
    """Let the model speak until it neither calls nor waits; the user types what each tool returns."""
    from turnpoint.template import attempts_call, parse_reply

    while True:
        text, cut = reply(messages)
        content, calls = parse_reply(text)
        if not content and not calls:
            del messages[max(i for i, message in enumerate(messages) if message.role == "user") :]
            print("(the model said nothing; your last message is taken back)")
            return
        messages.append(Message(role="assistant", content=content, tool_calls=calls))
        if content:
            print(f"model> {content}{'  (a call that cannot be read)' if attempts_call(content) else ''}")
        for call in calls:
            print(f"call> {_shown(call)}{'' if call.name in {tool.name for tool in tools} else '  (unknown tool)'}")
        if cut:
            print("(cut here: the reply reached --max_new_tokens)")
        for call in calls:
            result = _read(f"result of {call.name}> ")
            messages.append(Message(role="tool", content=result, name=call.name, tool_call_id=call.id))
        if not calls:
            return


def _shown(call: ToolCall) -> str:
    return f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"


def _read(prompt: str) -> str:
    """The next line that is not empty. The prompt is shown to people only."""
    while True:
        try:
            line = input(prompt if sys.stdin.isatty() else "").strip()
        except EOFError:
            raise _Leave from None
        if line == "/quit":
            raise _Leave
        if line == "/reset":
            raise _Reset
        if line:
            return line
