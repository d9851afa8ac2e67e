"""Messages, tools, dialogues and preference pairs: frozen, validated and normalised once, at the door.

Whatever form tools, calls and contents come in, here they have one form:

- `ToolCall.arguments` is a dict, never a JSON string;
- `Tool` is the bare function: name, description, JSON schema of its parameters, and any key the data adds;
- `Message.content` is a string or None, never a list of parts; where an image stands it holds `IMAGE_MARK`, and
  `Message.images` holds the image;
- a tool result names the call it answers by `tool_call_id` where that call has an id. A call that is written out in
  the text of a message, between `<tool_call>` and `</tool_call>`, may stay text, and results may follow it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from turnpoint.dialogue.images import IMAGE_MARK, Image, content_and_images, holds_images, in_parts, text_of
from turnpoint.dialogue.kinds import Decision

OPENING = "opening"
"""Where `PreferencePair.about` holds the key of the dialogue that the pair was made of."""

Role = Literal["system", "user", "assistant", "tool"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(_Frozen):
    """One call of a tool by the assistant."""

    name: str
    arguments: dict[str, Any]
    id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, raw: Any) -> Any:
        """Take `{"type": "function", "function": {...}}` or the bare call; arguments as a dict or as JSON."""
        if not isinstance(raw, Mapping):
            return raw
        call = dict(raw)
        call.pop("type", None)
        function = call.pop("function", None)
        if isinstance(function, Mapping):
            call |= function
        call["arguments"] = _arguments(call.get("arguments"))
        return call


class Tool(BaseModel):
    """A function the assistant may call. Keys beyond the three are kept and rendered."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    description: str = ""
    parameters: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, raw: Any) -> Any:
        """Take `{"type": "function", "function": {...}}`, flat or nested, the bare function, or a JSON string of it."""
        if isinstance(raw, str):
            raw = _json(raw, "a tool given as a string must be JSON")
        if not isinstance(raw, Mapping):
            return raw
        tool = dict(raw)
        function = tool.get("function")
        if tool.get("type") == "function" and isinstance(function, Mapping):
            tool = dict(function)
        if tool.get("type") == "function":
            del tool["type"]
        tool["description"] = tool.get("description") or ""
        tool["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
        return tool

    @field_validator("parameters")
    @classmethod
    def _required_is_a_list(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        required = parameters.get("required") or []
        if not isinstance(required, list | tuple) or not all(isinstance(name, str) for name in required):
            raise ValueError(f'required: must be a list of parameter names, such as ["city"] (got {short(required)})')
        if not isinstance(parameters.get("properties") or {}, Mapping):
            raise ValueError(f"properties: must be an object, a schema by name (got {short(parameters['properties'])})")
        return parameters

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the parameters that a call must give, in the order of the schema."""
        return tuple(self.parameters.get("required") or ())

    def openai(self) -> dict[str, Any]:
        """The tool as chat templates and OpenAI-compatible servers take it."""
        return {"type": "function", "function": self.model_dump()}


class Message(_Frozen):
    """One entry of a chat.

    `train=False` keeps the message out of the loss. `decision` is the label that the data gives a turn; where it
    gives none, `turnpoint.dialogue.decisions` computes one. `images` are those that stand in the content, in order.
    `reasoning` is what the assistant thought before it spoke or called, where the data keeps that apart.
    """

    role: Role
    content: str | None = None
    reasoning: str | None = None
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    train: bool = True
    decision: Decision | None = None

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or not holds_images(raw.get("content")):
            return raw
        content, images = content_and_images(raw["content"])
        return {**raw, "content": content, "images": tuple(images)}

    @field_validator("content", mode="before")
    @classmethod
    def _text(cls, raw: Any, info: Any) -> Any:
        if isinstance(raw, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in raw):
            return "".join(map(text_of, raw))
        if raw is not None and not isinstance(raw, str) and info.data.get("role") == "tool":
            return json.dumps(raw, ensure_ascii=False)
        return raw

    @field_validator("tool_calls", mode="before")
    @classmethod
    def _no_calls(cls, raw: Any) -> Any:
        return raw or ()

    @field_validator("reasoning", mode="before")
    @classmethod
    def _no_reasoning(cls, raw: Any) -> Any:
        return None if raw == "" else raw

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.role == "assistant":
            if not self.content and not self.tool_calls:
                raise ValueError("an assistant message needs content or tool_calls; remove it or fill it")
        elif self.tool_calls:
            raise ValueError(f"only an assistant message may hold tool_calls, this one has role {self.role!r}")
        elif self.content is None:
            raise ValueError(f"a {self.role} message needs content, a string")
        if self.reasoning and self.role != "assistant":
            raise ValueError(f"only an assistant message may hold reasoning, this one has role {self.role!r}")
        if self.images and self.role == "assistant":
            raise ValueError("an assistant message cannot hold an image, since the model writes text; take it out")
        if self.images and (self.content or "").count(IMAGE_MARK) != len(self.images):
            raise ValueError(f"content must hold U+FFFC once for each of its {len(self.images)} images")
        return self

    @property
    def said(self) -> tuple[Any, ...]:
        """What a model reads of the message, to compare messages by: no label, no id; images as hashes."""
        calls: list[Any] = [(call.name, call.arguments) for call in self.tool_calls]
        said = self.role, self.content or "", self.name, calls + [image.digest.hex() for image in self.images]
        return (*said, self.reasoning) if self.reasoning else said

    def openai(self) -> dict[str, Any]:
        """The message in OpenAI's form: arguments as a dict, images as data URLs, no key that holds nothing."""
        content = self.content or ""
        message: dict[str, Any] = {"role": self.role, "content": content}
        if self.images:
            images = [{"image_url": {"url": image.url()}} for image in self.images]
            message["content"] = in_parts(content.split(IMAGE_MARK), images)
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                | ({"id": call.id} if call.id else {})
                for call in self.tool_calls
            ]
        if self.tool_call_id:
            message["tool_call_id"] = self.tool_call_id
        if self.name:
            message["name"] = self.name
        return message


class Dialogue(_Frozen):
    """Tools and messages.

    `verbatim` marks text without chat structure: contents are joined as they are and the last is closed by EOS.
    `source` is the file and line, or the data set and row, that errors and reports name. `label` says whether the turns
    that are trained on were liked, where somebody said so.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    id: str = ""
    label: bool | None = None
    source: str = ""
    verbatim: bool = False

    @field_validator("tools", mode="before")
    @classmethod
    def _tool_list(cls, raw: Any) -> Any:
        return _tools(raw)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.messages:
            raise ValueError("messages is empty; a dialogue needs at least one message")
        if self.verbatim:
            _check_verbatim(self.messages, "messages")
        _check_known_tools(self.messages, self.tools, "messages")
        object.__setattr__(self, "messages", _match_results(self.messages, "messages"))
        return self

    @property
    def key(self) -> str:
        """How the dialogue opens, hashed: what tells it apart in every file, whatever its data names it."""
        return _opening(self.messages)

    @property
    def turns(self) -> tuple[int, ...]:
        """Indexes of the assistant messages: turn t is `messages[turns[t]]`."""
        return tuple(i for i, message in enumerate(self.messages) if message.role == "assistant")


class PreferencePair(_Frozen):
    """Tools, a shared prompt, and two ways to go on, each of one or more turns with messages between them.

    The rejected side may call a tool that is not offered: that can be what is wrong with it. `kind` names what the pair
    teaches, where its maker says so, and `about` holds what else is known of it. `weight` is what it counts for in a
    mean over pairs. `margin` is by how much its chosen side must lead, in nats, in the place of the setting of that
    name.
    """

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    id: str = ""
    dialogue_id: str = ""
    kind: str = ""
    about: dict[str, str | int] = Field(default_factory=dict)
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    margin: float | None = Field(default=None, allow_inf_nan=False)
    source: str = ""
    verbatim: bool = False

    @field_validator("tools", mode="before")
    @classmethod
    def _tool_list(cls, raw: Any) -> Any:
        return _tools(raw)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.prompt:
            raise ValueError("the sides share no prompt; both must start with the same messages up to a user message")
        for name, side in (("chosen", self.chosen), ("rejected", self.rejected)):
            if not side:
                raise ValueError(f"{name} is empty; it needs at least one assistant message")
            if side[0].role != "assistant":
                raise ValueError(
                    f"{name} starts with a {side[0].role} message; a side starts where the assistant takes its turn,"
                    " so move what comes before into the prompt"
                )
        if [m.said for m in self.chosen] == [m.said for m in self.rejected]:
            raise ValueError("chosen and rejected are equal; nothing is preferred, remove the pair")
        if self.verbatim:
            _check_verbatim(self.prompt + self.chosen, "(prompt + chosen)")
            _check_verbatim(self.prompt + self.rejected, "(prompt + rejected)")
        _check_known_tools(self.prompt, self.tools, "prompt")
        _check_known_tools(self.chosen, self.tools, "chosen")
        shared = len(self.prompt)
        for name, side in (("chosen", self.chosen), ("rejected", self.rejected)):
            matched = _match_results(self.prompt + side, f"(prompt + {name})")
            object.__setattr__(self, "prompt", matched[:shared])
            object.__setattr__(self, name, matched[shared:])
        return self

    @property
    def key(self) -> str:
        """`Dialogue.key` of the dialogue that the pair comes from: as its maker says, else as its own prompt opens."""
        return str(self.about.get(OPENING) or _opening(self.prompt))

    def side(self, name: Literal["chosen", "rejected"]) -> Dialogue:
        """The whole dialogue of one side. Validated already, so built without a second check."""
        side = self.chosen if name == "chosen" else self.rejected
        return Dialogue.model_construct(
            messages=self.prompt + side,
            tools=self.tools,
            id=self.id,
            source=f"{self.source} ({name})",
            verbatim=self.verbatim,
        )


Record = TypeVar("Record", bound=BaseModel)


def short(value: Any, limit: int = 80) -> str:
    """A value for an error, at most `limit` characters of it."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def answered(result: Message, waiting: Sequence[ToolCall]) -> int | None:
    """Index of the waiting call that a tool result answers: by id where both have one, else by name, else the oldest.

    None where nothing waits, or no call has the id of the result.
    """
    if result.tool_call_id and any(call.id for call in waiting):
        return next((i for i, call in enumerate(waiting) if call.id == result.tool_call_id), None)
    named = (i for i, call in enumerate(waiting) if call.name == result.name)
    return next(named, 0 if waiting else None)


def prompt_id(prompt: Sequence[Message]) -> str:
    """An id for pairs of one prompt, where their data names no dialogue."""
    return "prompt-" + _hash(prompt)


def _opening(messages: Sequence[Message]) -> str:
    """The messages up to what the user says first, hashed; all of them where the user says nothing."""
    first = next((i for i, message in enumerate(messages) if message.role == "user"), len(messages))
    return _hash(messages[: first + 1])


def _hash(messages: Sequence[Message]) -> str:
    said = json.dumps([message.said for message in messages], sort_keys=True)
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def _json(text: str, rule: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{rule}: {error.msg} at character {error.pos} of {short(text)}") from None


def _arguments(raw: Any) -> Any:
    if raw is None or raw == "":
        return {}
    if isinstance(raw, str):
        raw = _json(raw, "arguments must be a JSON object")
    if not isinstance(raw, Mapping):
        raise ValueError(f"arguments must be a JSON object, not {short(raw)}")
    return dict(raw)


def _tools(raw: Any) -> Any:
    if raw is None or raw == "":
        return ()
    if isinstance(raw, str):
        raw = _json(raw, "tools given as a string must be a JSON list")
    return [raw] if isinstance(raw, Mapping) else raw


def _check_verbatim(messages: Sequence[Message], field: str) -> None:
    """Only the last message of a verbatim text is scored, and only contents are written."""
    last = messages[-1]
    if any(message.images for message in messages):
        raise ValueError(f"verbatim: {field} holds images, which have no place in plain text; leave verbatim out")
    if last.role != "assistant":
        raise ValueError(
            f"verbatim: {field}[-1] must be the assistant's, since it is what a verbatim row teaches (got role"
            f" {last.role!r}); end with an assistant message, or leave verbatim out"
        )
    if last.tool_calls or any(message.role == "assistant" for message in messages[:-1]):
        raise ValueError(
            f"verbatim: {field} must hold one assistant message, the last, without tool_calls, since no other would be"
            " learnt; leave verbatim out to render a chat"
        )


def _check_known_tools(messages: Sequence[Message], tools: Sequence[Tool], field: str) -> None:
    known = {tool.name for tool in tools}
    for i, message in enumerate(messages):
        for call in message.tool_calls:
            if call.name not in known:
                offered = ", ".join(sorted(known)) or "none"
                raise ValueError(
                    f"{field}[{i}] calls unknown tool {call.name!r}; tools offered: {offered}; add it to tools"
                )


def _match_results(messages: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    """Match each tool result to a call that waits for one: by id, else by name, else the oldest."""
    waiting: list[ToolCall] = []
    written_out = False
    matched: list[Message] = []
    for i, message in enumerate(messages):
        if message.role == "tool":
            found = answered(message, waiting)
            if found is None and not written_out:
                raise ValueError(f"{field}[{i}] is a tool result without a call; it must follow the call it answers")
            call = None if found is None else waiting.pop(found)
            if call is not None and call.id and message.tool_call_id != call.id:
                message = message.model_copy(update={"tool_call_id": call.id})
        elif message.role == "assistant":
            waiting = list(message.tool_calls)
            written_out = "<tool_call>" in (message.content or "")
        matched.append(message)
    return tuple(matched)
