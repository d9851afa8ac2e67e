"""One rendering with a tokenizer's chat template, and what can be learnt about the template by rendering."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from turnpoint.dialogue import IMAGE_MARK, Message, Tool, ToolCall
from turnpoint.dialogue.images import in_parts
from turnpoint.errors import TemplateError
from turnpoint.template.messages import CallForm, template_messages
from turnpoint.template.segments import Markers, common_length

# Defined before a template, this macro takes the place of the function with which templates refuse a dialogue.
_NO_REFUSAL = "{% macro raise_exception(message) %}{% endmacro %}\n"
_MARK = "\ue000"  # of the private use area
_WORD = "turnpointprobe"
_PROBE_TOOL = Tool(
    name=f"{_WORD}_tool",
    description=f"{_WORD} description",
    parameters={"type": "object", "properties": {f"{_WORD}_key": {"type": "string", "description": "a key"}}},
)
_PROBE_CALL = ToolCall(name=_PROBE_TOOL.name, arguments={f"{_WORD}_key": f"{_WORD}_value"}, id="x" * 24)
_PROBE_MESSAGES = (
    Message(role="user", content="hello"),
    Message(role="assistant", tool_calls=(_PROBE_CALL,)),
    Message(role="tool", content="result", tool_call_id=_PROBE_CALL.id),
    Message(role="assistant", content="done"),
)
_JSON_ARGUMENT = re.compile(rf'"{_WORD}_key"\s*:\s*"{_WORD}_value"')
_FORMS = (
    CallForm(),
    CallForm(short_ids=True),
    CallForm(arguments_as_text=True),
    CallForm(arguments_as_text=True, short_ids=True),
    CallForm(content_left_out=True),
    CallForm(arguments_as_text=True, content_left_out=True),
)


class Engine:
    """Renders; learns once per template what it writes around turns, and how it takes tools and calls.

    Args:
        tokenizer: of the model.
        chat_template: of a processor; None for that of the tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.chat_template = chat_template or tokenizer.chat_template
        self._of_processor = chat_template is not None
        self._where = tokenizer.name_or_path or type(tokenizer).__name__
        self.name = f"the chat template of {self._where}"

    @cached_property
    def in_parts(self) -> bool:
        """Whether contents are handed over as lists of parts: to a processor, and where a template drops texts."""
        asks = [{"role": "user", "content": _WORD}]
        if self._of_processor or not self.chat_template:
            return self._of_processor
        written = (self._said(messages) for messages in (asks, [_with_parts(message) for message in asks]))
        return [_WORD in text for text in written] == [False, True]

    def _said(self, messages: Sequence[dict[str, Any]]) -> str:
        """A rendering, "" where the template fails."""
        try:
            return self._render(messages, (), self._where, refusing=False)
        except TemplateError:
            return ""

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[Tool],
        where: str,
        *,
        generation: bool = False,
        refusing: bool = True,
    ) -> str:
        """Render plain messages.

        Args:
            messages: as `template_messages` makes them.
            tools: offered to the assistant.
            where: for the error.
            generation: end with the header after which the model writes.
            refusing: False: the template's own checks do not stop it.

        Raises:
            TemplateError: there is no template, or it fails.
        """
        messages = [_with_parts(message) for message in messages] if self.in_parts else messages
        return self._render(messages, tools, where, generation=generation, refusing=refusing)

    def _render(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[Tool],
        where: str,
        *,
        generation: bool = False,
        refusing: bool = True,
    ) -> str:
        offered = [tool.openai() for tool in tools] or None
        if not self.chat_template:
            raise TemplateError(
                f"{where}: {self.tokenizer.name_or_path or 'the tokenizer'} has no chat template;"
                " pass one with --chat_template FILE, or use text rows (prompt and completion)"
            )
        given = self.chat_template if self._of_processor else None
        template = given if refusing else _NO_REFUSAL + self.tokenizer.get_chat_template(given, offered)
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages), tools=offered, chat_template=template, add_generation_prompt=generation, tokenize=False
            )
        except jinja2.TemplateSyntaxError as error:
            line = error.lineno - (0 if refusing else _NO_REFUSAL.count("\n"))
            raise TemplateError(
                f"{where}: {self.name} is no valid Jinja: line {line}: {' '.join(str(error.message).split())};"
                " mend it, or pass another: --chat_template FILE"
            ) from None
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise TemplateError(
                f"{where}: {self.name} refuses the dialogue: {' '.join(str(error).split())};"
                " change the messages, or pass another template: --chat_template FILE"
            ) from None
        return str(text)

    def segments(self, messages: Sequence[dict[str, Any]], tools: Sequence[Tool], where: str) -> list[str]:
        """What the template writes before, between and after the assistant messages; one more than these."""
        plain: list[dict[str, Any]] = []
        marks: list[str] = []
        mark = _MARK
        while any(mark in (message["content"] or "") for message in messages):
            mark += _MARK
        for message in messages:
            if message["role"] == "assistant":
                marks.append(f"{mark}{len(marks)};")
                message = {"role": "assistant", "content": marks[-1]}
            plain.append(message)
        rest = self.render(plain, tools, where, refusing=False)
        found = []
        for mark in marks:
            before, there, rest = rest.partition(mark)
            if not there or mark in rest:
                raise TemplateError(
                    f"{where}: {self.name} does not write each assistant message once and in its place, so its turns"
                    " cannot be found; pass another template: --chat_template FILE"
                )
            found.append(before)
        return [*found, rest]

    @cached_property
    def markers(self) -> Markers:
        """Learnt from a dialogue of two exchanges and from the prompt for the first of its turns."""
        asks, answers = {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hello"}
        first, middle, last = self.segments([asks, answers, asks, answers], (), self._where)
        prompt = self.render([asks], (), self._where, refusing=False)
        generation = self.render([asks], (), self._where, generation=True, refusing=False)
        common = first[: common_length(first, generation)]
        header = common[common_length(common, prompt) :]
        return Markers(header, generation[len(common) - len(header) :] if header else "", self._ends(middle, last))

    @cached_property
    def shows_tools(self) -> bool:
        """Whether tools appear in a rendering.

        Raises:
            TemplateError: the template fails.
        """
        asks = [{"role": "user", "content": "hello"}]
        return _PROBE_TOOL.name in self.render(asks, (_PROBE_TOOL,), self._where, refusing=False)

    @cached_property
    def call_form(self) -> CallForm | None:
        """The first form in which a call is rendered with its arguments as JSON, else with its arguments at all."""
        rendered = [(form, self._probe(form)) for form in _FORMS]
        as_json = (form for form, text in rendered if _JSON_ARGUMENT.search(text))
        somehow = (form for form, text in rendered if all(f"{_WORD}_{part}" in text for part in ("key", "value")))
        return next(as_json, next(somehow, None))

    def _probe(self, form: CallForm) -> str:
        """A rendered call without the tools, "" where the template fails."""
        tools = (_PROBE_TOOL.model_copy(update={"parameters": {"type": "object", "properties": {}}}),)
        try:
            return self.render(template_messages(_PROBE_MESSAGES, form), tools, self._where)
        except TemplateError:
            return ""

    def _ends(self, middle: str, last: str) -> tuple[str, ...]:
        """What follows a turn whatever comes next; else the special tokens that follow it."""
        first_tokens = [self._tokens(text.lstrip()) for text in (middle, last)]
        common = []
        for one, other in zip(*first_tokens, strict=False):
            if one != other:
                break
            common.append(one)
        if end := "".join(common).rstrip():
            return (end,)
        special = set(self.tokenizer.all_special_tokens)
        ends = {tokens[0].strip() for tokens in first_tokens if tokens and tokens[0].strip() in special}
        return tuple(sorted(ends, key=len, reverse=True))

    def _tokens(self, text: str) -> list[str]:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [text[start:end] for start, end in encoded["offset_mapping"]]


def _with_parts(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its content, and the marks of images in it, as a list of parts."""
    texts = (message["content"] or "").split(IMAGE_MARK)
    return message | {"content": in_parts(texts, [{"image": None}] * (len(texts) - 1))}
