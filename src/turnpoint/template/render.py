"""Dialogues to token ids and turns: one rendering of the whole dialogue, tokenised once."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from turnpoint.dialogue import Dialogue, Message, PreferencePair, Tool
from turnpoint.errors import TemplateError
from turnpoint.template.engine import Engine
from turnpoint.template.images import Expanded, ImageTokens
from turnpoint.template.messages import CallForm, template_messages
from turnpoint.template.segments import text_spans
from turnpoint.template.spans import Encoded, TextSpan, TokenizedDialogue, TokenizedPair, Turn, token_spans


class Renderer:
    """Renders with the tokenizer's own chat template; what is learnt about the template is kept.

    Two renderings and one tokenisation per dialogue. Make a new one when the template changes.
    """

    def __init__(self, processing_class: PreTrainedTokenizerBase | ProcessorMixin) -> None:
        """Take a tokenizer that knows which characters each token covers, or a processor with such a one.

        Raises:
            TemplateError: a slow tokenizer, or a processor with several chat templates.
        """
        tokenizer = tokenizer_of(processing_class)
        if not tokenizer.is_fast:
            raise TemplateError(
                f"tokenizer {tokenizer.name_or_path or type(tokenizer).__name__}: a fast tokenizer is needed,"
                " one that says which characters each token covers; load it with use_fast=True"
            )
        self.tokenizer = tokenizer
        self._images = None if tokenizer is processing_class else ImageTokens(processing_class)
        self._engine = Engine(tokenizer, None if self._images is None else _template_of(processing_class))
        self._bos = [i for i in tokenizer("")["input_ids"][:1] if i == tokenizer.bos_token_id]

    def text(self, dialogue: Dialogue) -> str:
        """The dialogue as the model reads it.

        Raises:
            TemplateError: the template cannot render it.
        """
        if dialogue.verbatim:
            return "".join(message.content or "" for message in dialogue.messages) + (self.tokenizer.eos_token or "")
        if self._images is None and any(message.images for message in dialogue.messages):
            raise TemplateError(
                f"{_source(dialogue)}: images: a tokenizer reads none; name a model that reads images, or give its"
                " processor as processing_class in Python"
            )
        messages = self._plain(dialogue.messages, dialogue.tools, _source(dialogue))
        text = self._engine.render(messages, dialogue.tools, _source(dialogue))
        missing = next((tool.name for tool in dialogue.tools if tool.name not in text), None)
        if missing is not None:
            raise TemplateError(f"{_source(dialogue)}: tools: {self._engine.name} leaves out tool {missing!r}; {_MEND}")
        return text

    def tokenize(self, dialogue: Dialogue) -> TokenizedDialogue:
        """Token ids of the whole dialogue, and the exact token range of each turn.

        Raises:
            TemplateError: the template cannot render it, or a turn cannot be told apart from what surrounds it.
        """
        if dialogue.verbatim:
            return self._tokenize_verbatim(dialogue)
        source = _source(dialogue)
        text = self.text(dialogue)
        encoded = self._encode(text)
        ids, images, moved = self._with_images(text, encoded.input_ids, dialogue)
        if not dialogue.turns:
            return TokenizedDialogue(ids, (), dialogue.label, images)
        messages = self._plain(dialogue.messages, dialogue.tools, source)
        segments = self._engine.segments(messages, dialogue.tools, source)
        found = text_spans(text, segments, dialogue.messages, self._engine.markers, source)
        ranges = token_spans(encoded, found, [f"{source}: messages[{i}]" for i in dialogue.turns])
        turns = (
            Turn(moved[start], moved[end], i, dialogue.messages[i].train)
            for (start, end), i in zip(ranges, dialogue.turns, strict=True)
        )
        written = [text[span.start : span.end] for span in found]
        unwritten = _thoughts_left_out([dialogue.messages[i] for i in dialogue.turns], written)
        return TokenizedDialogue(ids, tuple(turns), dialogue.label, images, unwritten)

    def tokenize_pair(self, pair: PreferencePair) -> TokenizedPair:
        """Both sides of a pair.

        Raises:
            TemplateError: as `tokenize`, naming the side.
        """
        shared = 0 if pair.verbatim else sum(message.role == "assistant" for message in pair.prompt)
        chosen, rejected = self.tokenize(pair.side("chosen")), self.tokenize(pair.side("rejected"))
        return TokenizedPair(chosen, rejected, shared, pair.id, pair.dialogue_id, pair.source, pair.weight, pair.margin)

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool], source: str = "prompt") -> list[int]:
        """Token ids of a dialogue up to where the model goes on, the header of its turn included.

        Args:
            messages: of the dialogue so far.
            tools: offered to the assistant.
            source: where the dialogue comes from, for errors.

        Raises:
            TemplateError: the template cannot render it.
        """
        if any(message.images for message in messages):
            raise TemplateError(f"{source}: holds images, and replies to images are not generated here; leave it out")
        plain = self._plain(messages, tools, source)
        return self._encode(self._engine.render(plain, tools, source, generation=True)).input_ids

    @property
    def turn_ends(self) -> tuple[str, ...]:
        """The end-of-turn markers of the template, longest first; none where it is missing or writes none."""
        try:
            return self._engine.markers.ends
        except TemplateError:
            return ()

    def _plain(self, messages: Sequence[Message], tools: Sequence[Tool], source: str) -> list[dict[str, object]]:
        has_calls = any(message.tool_calls for message in messages)
        if self._engine.chat_template:
            if tools and not self._engine.shows_tools:
                raise TemplateError(f"{source}: tools: {self._engine.name} cannot render tools; {_MEND}")
            if has_calls and self._engine.call_form is None:
                raise TemplateError(f"{source}: tool_calls: {self._engine.name} cannot render tool calls; {_MEND}")
        form = self._engine.call_form if has_calls else None
        return template_messages(messages, form or CallForm())

    def _with_images(self, text: str, ids: list[int], dialogue: Dialogue) -> Expanded:
        if self._images is None:
            return Expanded(ids, (), range(len(ids) + 1))
        images = [image for message in dialogue.messages for image in message.images]
        return self._images.expand(text, ids, images, _source(dialogue))

    def _encode(self, text: str) -> Encoded:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return Encoded(text, encoded["input_ids"], encoded["offset_mapping"])

    def _tokenize_verbatim(self, dialogue: Dialogue) -> TokenizedDialogue:
        """Contents as they are; before them BOS where the tokenizer writes one, after them EOS."""
        text = "".join(message.content or "" for message in dialogue.messages)
        encoded = self._encode(text)
        last = len(dialogue.messages) - 1
        written = TextSpan(len(text) - len(dialogue.messages[last].content or ""), len(text))
        [(start, end)] = token_spans(encoded, [written], [f"{_source(dialogue)}: messages[{last}]"])
        eos = [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
        turn = Turn(start + len(self._bos), end + len(self._bos) + len(eos), last, dialogue.messages[last].train)
        return TokenizedDialogue([*self._bos, *encoded.input_ids, *eos], (turn,), dialogue.label)


def tokenizer_of(processing_class: PreTrainedTokenizerBase | ProcessorMixin) -> PreTrainedTokenizerBase:
    """The tokenizer itself, or that of a processor."""
    found: PreTrainedTokenizerBase = getattr(processing_class, "tokenizer", processing_class)
    return found


def _template_of(processor: Any) -> str | None:
    template: str | None = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(template, dict):
        raise TemplateError(
            f"{type(processor).__name__}: has several chat templates ({', '.join(template)}); set chat_template to one"
        )
    return template


_MEND = "pass one that does: --chat_template FILE (the built-in ChatML tool template serves ChatML models)"


def _thoughts_left_out(turns: Sequence[Message], written: Sequence[str]) -> int:
    """How many turns that are trained on lack their reasoning in what the template wrote of them."""
    thoughts = ((turn.reasoning or "").strip() for turn in turns)
    return sum(turn.train and thought not in text for turn, thought, text in zip(turns, thoughts, written, strict=True))


def _source(dialogue: Dialogue) -> str:
    return dialogue.source or dialogue.id or "dialogue"
