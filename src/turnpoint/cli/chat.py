"""`turnpoint chat MODEL`: talk to a model in the terminal, or serve it to programs on this machine."""

import dataclasses
import importlib.util
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from turnpoint.cli.given import Given
from turnpoint.cli.groups import ModelOptions
from turnpoint.cli.loading import on_device, open_model, read_tools, say
from turnpoint.cli.options import Verb
from turnpoint.cli.signals import hear
from turnpoint.cli.talk import COMMANDS, Speaker, Talk
from turnpoint.cli.tool_answers import tool_answers
from turnpoint.dialogue import Message, Tool
from turnpoint.errors import ConfigError

if TYPE_CHECKING:
    from turnpoint.sampling import Said, Sampling, Show


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """How to talk."""

    tools: str | None = field(default=None, metadata={"help": "JSON file with a list of tools (OpenAI form or bare)"})
    tool_functions: str | None = field(
        default=None,
        metadata={"help": "Python file whose functions, named as the tools, answer calls; it is run; null: you answer"},
    )
    tool_results: str | None = field(
        default=None, metadata={"help": "JSON file, name of a tool -> what it returns; null: you answer"}
    )
    compare: str | None = field(
        default=None, metadata={"help": "a second model, which gets the same messages and keeps its own history"}
    )
    system: str | None = field(default=None, metadata={"help": "text of the system message"})


@dataclass(frozen=True, kw_only=True)
class ReplyOptions:
    """How replies are drawn; with serve, where a request does not say."""

    max_new_tokens: int = field(default=256, metadata={"help": "tokens of the longest reply"})
    temperature: float = field(default=0.0, metadata={"help": "0 takes the likeliest token each time"})
    top_p: float = field(
        default=1.0, metadata={"help": "draw from the likeliest tokens that hold this probability together"}
    )
    seed: int = field(default=0, metadata={"help": "seed of sampling, where temperature is above 0"})


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """An OpenAI-compatible server in the place of the terminal."""

    serve: bool = field(
        default=False, metadata={"help": "answer POST /v1/chat/completions of programs on this machine (127.0.0.1)"}
    )
    port: int = field(default=8000, metadata={"help": "to listen on, with serve; 0 takes a free one"})


VERB = Verb(
    name="chat",
    about=(
        "Talk to a model. With --tools it may call them: the call is shown, and you type what the tool returns, unless"
        f" functions or canned results do. Commands: {', '.join(COMMANDS)}; a pipe on stdin works too, one message a"
        " line. With --serve, programs talk to it instead."
    ),
    groups={"Chat": ChatOptions, "Replies": ReplyOptions, "Serve": ServeOptions, "Model": ModelOptions},
    positional=("model",),
)


def run(given: Given) -> None:
    """Talk until the user leaves, or serve until the process is stopped."""
    serving, models = given.build(ServeOptions), given.build(ModelOptions)
    sampling, seed = _sampling(given.build(ReplyOptions))
    if serving.serve:
        _serve(given, serving.port, models, sampling)
        return
    if "port" in given.values:
        raise ConfigError(f"port: has no effect without --serve (got {serving.port}); add it")
    options = given.build(ChatOptions)
    if options.compare == models.model:
        raise ConfigError(f"compare: is the model itself (got {options.compare!r}); name another one, or leave it out")
    tools = read_tools(options.tools)
    answer = tool_answers(options.tool_functions, options.tool_results, tools)
    opened = [("model" if options.compare is None else models.model, models)]
    if options.compare is not None:
        opened.append((options.compare, dataclasses.replace(models, model=options.compare, revision=None)))
    hear(signal.SIGINT)
    Talk([_speaker(name, each, tools, sampling, seed) for name, each in opened], tools, answer, options.system).talk()


def _sampling(options: ReplyOptions) -> "tuple[Sampling, int]":
    from turnpoint.sampling import Sampling

    sampling = Sampling(options.max_new_tokens, options.temperature, top_p=options.top_p)
    sampling.check()
    return sampling, options.seed


def _speaker(name: str, models: ModelOptions, tools: Sequence[Tool], sampling: "Sampling", seed: int) -> Speaker:
    from turnpoint.sampling import stream_reply
    from turnpoint.template import Renderer

    model, tokenizer = open_model(models)
    on_device(model, models)
    renderer = Renderer(tokenizer)

    def reply(messages: Sequence[Message], show: "Show") -> "Said":
        return stream_reply(model, tokenizer, renderer.prompt_ids(messages, tools), sampling, seed=seed, show=show)

    return Speaker(name, reply)


def _serve(given: Given, port: int, models: ModelOptions, sampling: "Sampling") -> None:
    idle = [item.name for item in dataclasses.fields(ChatOptions) if item.name in given.values]
    if idle:
        raise ConfigError(
            f"{idle[0]}: has no effect with --serve, since each request brings its own messages and tools"
            f" (got {given.values[idle[0]]!r}); leave it out"
        )
    if absent := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"serve: needs {' and '.join(absent)}; run: pip install 'turnpoint[serve]'")
    from turnpoint.sampling.serve import bound, chat_app, serve

    with bound(port) as listening:
        model, tokenizer = open_model(models)
        app = chat_app(on_device(model, models), tokenizer, models.model, sampling, given.values.get("seed"))
        serve(app, listening, lambda address: say(f"serving {models.model} at {address}"))
