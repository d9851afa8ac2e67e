"""What a chat template does with the parts of a dialogue, and findings over what the data needs of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall
from turnpoint.doctor.dialogues import ways
from turnpoint.doctor.finding import Finding, Place, Severity, over_all, over_rows
from turnpoint.doctor.tokens import Row, Tokenized
from turnpoint.errors import TemplateError
from turnpoint.template import Renderer, TokenizedDialogue, Turn

_WORD = "turnpointprobe"
_ASKS = Message(role="user", content="hello")
_ANSWERS = Message(role="assistant", content="hello")
_TOOL = Tool(name=f"{_WORD}_tool", parameters={"type": "object", "properties": {"key": {"type": "string"}}})
_CALL = ToolCall(name=_TOOL.name, arguments={"key": f"{_WORD}_value"}, id="x" * 9)
_THOUGHT = re.compile("<think>(.*?)</think>", re.DOTALL)
_LAST_TOKENS = 8  # of a turn, among which its end is looked for


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a chat template does.

    Attributes:
        tools: it shows the tools that are offered.
        calls: it shows calls with their arguments.
        results: it shows what tools gave back.
        system: it shows the system message.
        ends: what ends a turn, "" where it writes no such thing.
        reasoning: it shows what the assistant thought before the last turn.
        prefix: what the model is given to go on from is, token by token, what training showed it before that turn.
    """

    tools: bool
    calls: bool
    results: bool
    system: bool
    ends: str
    reasoning: bool
    prefix: bool


def features(renderer: Renderer) -> Features:
    """Learn by rendering small dialogues what a chat template does."""
    called = (_ASKS, Message(role="assistant", tool_calls=(_CALL,)))
    result = Message(role="tool", content=f"{_WORD} result", tool_call_id=_CALL.id)
    return Features(
        tools=_TOOL.name in _rendered(renderer, (_ASKS, _ANSWERS), (_TOOL,)),
        calls=f"{_WORD}_value" in _rendered(renderer, called, (_TOOL,)),
        results=f"{_WORD} result" in _rendered(renderer, (*called, result, _ANSWERS), (_TOOL,)),
        system=_WORD in _rendered(renderer, (Message(role="system", content=_WORD), _ASKS, _ANSWERS), ()),
        ends=renderer.turn_ends[0] if renderer.turn_ends else "",
        reasoning=_WORD in _rendered(renderer, (_ASKS, _ANSWERS.model_copy(update={"reasoning": _WORD})), ()),
        prefix=_prefix_matches(renderer, (_ASKS, _ANSWERS)) and _prefix_matches(renderer, (_ASKS, _ANSWERS) * 2),
    )


def system_left_out(dialogues: Sequence[Dialogue], template: Features) -> Finding | None:
    """Rows with a system message, under a template that leaves it out."""
    if template.system:
        return None
    return over_rows(
        Severity.ERROR,
        "rows whose system message the chat template leaves out",
        [Place(d.source) for d in dialogues if not d.verbatim and any(m.role == "system" for m in d.messages)],
        "put what it says into the first user message, or use another --chat_template",
    )


def other_prefix(dialogues: Sequence[Dialogue], template: Features) -> Finding | None:
    """A template that asks the model in another way than it is trained."""
    chats = sum(not d.verbatim for d in dialogues)
    if template.prefix or not chats:
        return None
    return over_all(
        Severity.WARNING,
        "the chat template writes other tokens before a turn in training than it gives the model to go on from",
        chats,
        "use a --chat_template whose generation prompt is what stands before an assistant message",
    )


def special_tokens_in_text(dialogues: Sequence[Dialogue], tokenizer: PreTrainedTokenizerBase) -> Finding | None:
    """Messages of others than the assistant that spell a special token, which the model reads as that token."""
    added = tokenizer.added_tokens_decoder.values()
    special = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)} - {""}
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
    places = [
        Place(d.source, f": messages[{i}] {found[0]}")
        for d in dialogues
        if not d.verbatim
        for i, message in enumerate(d.messages)
        if message.role != "assistant" and (found := pattern.search(message.content or ""))
    ]
    return over_rows(
        Severity.WARNING,
        "messages whose text holds a special token of the tokenizer",
        places,
        "take it out or write it apart (`< |im_end|>`); as it stands, a text can end its own turn",
    )


def reasoning_left_out(tokenized: Tokenized, tokenizer: PreTrainedTokenizerBase) -> Finding | None:
    """Rows with a scored turn whose reasoning the chat template does not write."""
    places = [
        Place(row.source)
        for record, row in zip(tokenized.records, tokenized.rows, strict=True)
        for way, sequence in zip(ways(record), row.sequences, strict=True)
        if _leaves_out(way, sequence, row.shared_turns, tokenizer)
    ]
    return over_rows(
        Severity.WARNING,
        "rows with a scored turn whose reasoning the chat template leaves out",
        list(dict.fromkeys(places)),
        "use a --chat_template that keeps it, or make a row of each turn that thinks: many keep that of the last turn"
        " alone; as it stands, the model learns to answer without thinking",
    )


def thought(message: Message) -> str:
    """The reasoning of a message, kept apart or written in its content, "" where there is none."""
    if message.reasoning:
        return message.reasoning.strip()
    written = _THOUGHT.search(message.content or "")
    return written[1].strip() if written else ""


def keeps_thought(
    message: Message, sequence: TokenizedDialogue, turn: Turn, tokenizer: PreTrainedTokenizerBase
) -> bool:
    """Whether the chat template wrote the reasoning of a message into its turn; True where there is none."""
    told = thought(message)
    return not told or told in tokenizer.decode(sequence.input_ids[turn.start : turn.end])


def double_start(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Finding | None:
    """Rows that begin with the token of the beginning twice."""
    twice = [tokenizer.bos_token_id] * 2
    return over_rows(
        Severity.WARNING,
        "rows that begin with BOS twice",
        [Place(row.source) for row in rows if any(list(s.input_ids[:2]) == twice for s in row.sequences)],
        "take BOS out of the first message, or out of the chat template; a served model never sees it twice",
    )


def without_end(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, ends: Sequence[str]) -> Finding | None:
    """Rows with a scored turn that no end-of-turn token closes.

    Args:
        rows: tokenised.
        tokenizer: that made them.
        ends: end-of-turn markers of the chat template; EOS is one always.
    """
    markers = tuple(marker for marker in (*ends, tokenizer.eos_token) if marker)
    return over_rows(
        Severity.ERROR,
        "rows with a scored turn that no end-of-turn token closes",
        [Place(row.source) for row in rows if not _all_end(row, tokenizer, markers)],
        "use a --chat_template that ends assistant messages with a token; the model would not learn to stop",
    )


def _leaves_out(
    messages: Sequence[Message], sequence: TokenizedDialogue, first_turn: int, tokenizer: PreTrainedTokenizerBase
) -> bool:
    return any(
        turn.train and not keeps_thought(messages[turn.message], sequence, turn, tokenizer)
        for turn in sequence.turns[first_turn:]
    )


def _all_end(row: Row, tokenizer: PreTrainedTokenizerBase, markers: tuple[str, ...]) -> bool:
    return all(
        turn.end > turn.start
        and tokenizer.decode(sequence.input_ids[max(turn.start, turn.end - _LAST_TOKENS) : turn.end]).endswith(markers)
        for sequence in row.sequences
        for turn in sequence.turns[row.shared_turns :]
        if turn.train
    )


def _rendered(renderer: Renderer, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> str:
    """A rendering, "" where the template refuses."""
    try:
        return renderer.text(Dialogue(messages=messages, tools=tools, source="probe"))
    except TemplateError:
        return ""


def _prefix_matches(renderer: Renderer, messages: tuple[Message, ...]) -> bool:
    try:
        whole = renderer.tokenize(Dialogue(messages=messages, source="probe"))
        given: Any = renderer.prompt_ids(messages[:-1], ())
    except TemplateError:
        return False
    return list(whole.input_ids[: whole.turns[-1].start]) == list(given)
