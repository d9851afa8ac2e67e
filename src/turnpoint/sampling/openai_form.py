"""Requests and answers of OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from turnpoint.data.changes import Changes
from turnpoint.data.openai import read_messages
from turnpoint.dialogue import Message, Tool, ToolCall, parse
from turnpoint.dialogue.types import short
from turnpoint.errors import ConfigError
from turnpoint.sampling.generate import Sampling
from turnpoint.sampling.stream import Said

# Fields that say who asks and why; they change nothing.
_ABOUT_THE_REQUEST = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")
# What cannot be done here, and the values by which a request does not ask for it.
_NOT_DONE: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "parallel_tool_calls": (True,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
}


class Asked(NamedTuple):
    """What a request asks for."""

    model: str | None
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    sampling: Sampling
    limited: bool  # by the request itself: it names its most tokens
    seed: int | None
    stop: tuple[str, ...]
    n: int
    stream: bool
    with_usage: bool  # as the last chunk of a stream


class Usage(NamedTuple):
    """Tokens read and written."""

    prompt: int
    completion: int

    def openai(self) -> dict[str, int]:
        """In OpenAI's form."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Body(BaseModel):
    """The fields that are honoured; None stands for one that is left out."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = None
    messages: list[dict[str, Any]] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stop: str | list[str] | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


def read_request(raw: Any, defaults: Sampling) -> Asked:
    """Read the body of a request.

    Args:
        raw: JSON that was sent.
        defaults: how tokens are drawn where the request does not say.

    Raises:
        ConfigError: a field that is unknown, out of range, or cannot be honoured.
        DataError: messages or tools that break a rule.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"the body must be a JSON object with messages (got {short(raw)})")
    for name, harmless in _NOT_DONE.items():
        if raw.get(name) not in (*harmless, None):
            raise ConfigError(f"{name}: cannot be honoured here (got {short(raw[name])}); leave it out")
    body = _body({name: value for name, value in raw.items() if name not in (*_NOT_DONE, *_ABOUT_THE_REQUEST)})
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if "" in stop:
        raise ConfigError("stop: an empty text would end every reply at once; leave it out")
    most = body.max_completion_tokens or body.max_tokens
    drawn: dict[str, Any] = {name: getattr(body, name) for name in ("temperature", "top_p", "top_k")}
    drawn["max_new_tokens"] = most
    sampling = defaults._replace(**{name: value for name, value in drawn.items() if value is not None})
    n = body.n or 1
    if n > 1 and not sampling.temperature:
        raise ConfigError(f"n: replies at temperature 0 are all the same (got {n}); set temperature, or leave n out")
    tools = body.tools if body.tools and raw.get("tool_choice") != "none" else []
    return Asked(
        model=body.model,
        messages=read_messages(body.messages, "request", "messages", Changes()),
        tools=tuple(parse(Tool, tool, f"request: tools[{i}]") for i, tool in enumerate(tools)),
        sampling=sampling,
        limited=most is not None,
        seed=body.seed,
        stop=stop,
        n=n,
        stream=bool(body.stream),
        with_usage=body.stream_options is not None and body.stream_options.include_usage,
    )


def _body(fields: Mapping[str, Any]) -> _Body:
    try:
        return _Body.model_validate(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            raise ConfigError(f"{place}: unknown here; leave it out") from None
        value = f" (got {short(fault['input'])})" if fault["type"] != "missing" else ""
        raise ConfigError(f"{place}: {fault['msg'][:1].lower()}{fault['msg'][1:]}{value}") from None


class Answers:
    """The answers to one request.

    Args:
        model: its name.
    """

    def __init__(self, model: str) -> None:
        self._about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, said: Sequence[Said], prompt: int) -> dict[str, Any]:
        """All replies at once.

        Args:
            said: the replies.
            prompt: tokens of the prompt.
        """
        choices = [
            {"index": i, "message": _message(one), "logprobs": None, "finish_reason": finish_reason(one)}
            for i, one in enumerate(said)
        ]
        usage = Usage(prompt, sum(one.tokens for one in said)).openai()
        return self._about | {"object": "chat.completion", "choices": choices, "usage": usage}

    def chunk(
        self, index: int, delta: Mapping[str, Any], finish: Literal["stop", "length", "tool_calls"] | None = None
    ) -> dict[str, Any]:
        """A piece of reply number `index`."""
        choice = {"index": index, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
        return self._about | {"object": "chat.completion.chunk", "choices": [choice]}

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """The last piece of a stream that was asked for it."""
        return self._about | {"object": "chat.completion.chunk", "choices": [], "usage": usage.openai()}


def finish_reason(said: Said) -> Literal["stop", "length", "tool_calls"]:
    """Why a reply ends."""
    if said.cut:
        return "length"
    return "tool_calls" if said.calls else "stop"


def tool_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Calls with ids of their own, arguments as JSON text, and an index as chunks of a stream have it."""
    return [
        {
            "index": i,
            "id": call.id or f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for i, call in enumerate(calls)
    ]


def error(message: str, kind: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _message(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.content if said.calls else said.content or ""}
    if said.calls:
        message["tool_calls"] = [
            {key: value for key, value in call.items() if key != "index"} for call in tool_calls(said.calls)
        ]
    return message
