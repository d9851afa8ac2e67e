"""Decisions by log-prob: which of four turns a model finds likeliest after a context, per token.

The four are a call, a question, an answer and a rejection. Questions, answers and rejections are worded here in ways
that no pair builder uses, so that a model which has learnt phrases gains nothing. The call is the dialogue's next one,
or after a result the one just made; where there is none, a call of an offered tool.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall
from turnpoint.evaluation.items import KINDS, DecisionItem, decision_items
from turnpoint.evaluation.rates import DecisionReport, Verdict
from turnpoint.progress import with_progress
from turnpoint.template import Renderer
from turnpoint.tree import ScoredSequence, Sharing, check_sharing, evaluating, sequence_logprobs

QUESTIONS = (
    "To go ahead I still have to know one thing: which {slot}?",
    "Before I start, would you share the {slot} with me?",
    "One detail is missing, namely the {slot}. What should it be?",
    "Tell me more about the {slot} you are after, then I will look into it.",
)
ANSWERS = (
    "All set: {result}.",
    "Good news, this is what came back: {result}.",
    "I looked it up for you, and it says {result}.",
    "There you go. The outcome is {result}.",
)
REJECTIONS = (
    "That is something nothing in my toolbox covers, so I have to pass on it.",
    "My apologies, this request goes beyond what the functions at hand support.",
    "Regrettably this is outside my reach, as no suitable function exists here.",
    "This lies outside of what I was given to work with, so I must decline.",
)


class Turn(NamedTuple):
    """A turn to choose, and how likely a model finds it."""

    message: Message
    token_ids: list[int]  # S of them, the end of the turn included
    logps: Tensor  # nats, [S]


def evaluate_choices(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    dialogues: Sequence[Dialogue],
    *,
    per_kind: int | None = None,
    seed: int = 0,
    progress: str | None = None,
) -> DecisionReport:
    """Choose between the four kinds of turn by mean log-prob per token, at turns of dialogues.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with a chat template that renders tools.
        dialogues: held back from training.
        per_kind: turns of each kind at most (a balanced sample); None takes all.
        seed: of the sample.
        progress: title of a progress bar; None shows none.
    """
    items = decision_items(dialogues, per_kind=per_kind, seed=seed)
    offered = [(item, candidates(item, number)) for number, item in enumerate(items)]
    return DecisionReport(
        [
            choice(item, turns, [float(turn.logps.mean()) for turn in turns.values()])
            for (item, _), turns in zip(offered, turn_logprobs(model, tokenizer, offered, progress), strict=True)
        ]
    )


def turn_logprobs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    offered: Sequence[tuple[DecisionItem, Mapping[Decision, Message]]],
    progress: str | None,
) -> Iterator[dict[Decision, Turn]]:
    """The log-probs of each turn that is offered at each item, by kind."""
    renderer = Renderer(tokenizer)
    sharing: Sharing | None = None
    with torch.no_grad(), evaluating(model):
        for item, messages in with_progress(offered, progress):
            sequences = [_last_turn(renderer, item, message) for message in messages.values()]
            sharing = sharing or check_sharing(model, sequences[:2])
            logps = sequence_logprobs(model, sequences, shared=sharing.shared)
            yield {
                kind: Turn(message, [int(sequence.input_ids[i]) for i in sequence.scored], found)
                for (kind, message), sequence, found in zip(messages.items(), sequences, logps, strict=True)
            }


def calibrated(report: DecisionReport) -> DecisionReport:
    """The same choices, each kind's log-probs measured from their mean over all items.

    A call is mostly JSON that its first tokens imply, so per token it is likelier than any sentence, whatever the
    context. With the mean of its kind taken off (contextual calibration, arXiv 2102.09690) the choice tells what a
    context changes. It takes a balanced sample for granted.
    """
    if not report.verdicts:
        return report
    scores = np.array([verdict.scores for verdict in report.verdicts])  # [items, kinds]
    moved = scores - scores.mean(0)
    messages = [candidates(verdict.item, number) for number, verdict in enumerate(report.verdicts)]
    return DecisionReport(
        [
            _chosen(verdict.item, turns, row)
            for verdict, turns, row in zip(report.verdicts, messages, moved.tolist(), strict=True)
        ]
    )


def choice(item: DecisionItem, turns: Mapping[Decision, Turn], scores: Sequence[float]) -> Verdict:
    """The turn of the highest score, as a verdict."""
    return _chosen(item, {kind: turn.message for kind, turn in turns.items()}, scores)


def _chosen(item: DecisionItem, messages: Mapping[Decision, Message], scores: Sequence[float]) -> Verdict:
    best = list(messages)[int(np.argmax(scores))]
    text = messages[best].content or repr(messages[best].tool_calls)
    reason = f"finds {best} the likeliest, where {item.decision} is due"
    return Verdict(item, best, best is item.decision, text, scores=tuple(scores), reason=reason)


def candidates(item: DecisionItem, number: int) -> dict[Decision, Message]:
    """The four turns to choose from; `number` picks the wording."""
    result = item.context[-1].content if item.context[-1].role == "tool" else None
    made = next((message.tool_calls for message in reversed(item.context) if message.tool_calls), ()) if result else ()
    calls = made or item.calls or (_call_of(item.tools[number % len(item.tools)]),)
    slot = _slot_to_ask_for(item, calls[0]).replace("_", " ")
    texts = {
        Decision.SLOT: QUESTIONS[number % len(QUESTIONS)].format(slot=slot),
        Decision.RELEVANCE: REJECTIONS[number % len(REJECTIONS)],
        Decision.COMPLETION: ANSWERS[number % len(ANSWERS)].format(result=(result or "done")[:80]),
    }
    call = Message(role="assistant", tool_calls=calls)
    turns = {kind: Message(role="assistant", content=text) for kind, text in texts.items()} | {Decision.CALL: call}
    return {kind: turns[kind] for kind in KINDS}


def _slot_to_ask_for(item: DecisionItem, call: ToolCall) -> str:
    """The first required parameter of the call's tool that nobody has named yet, else its first."""
    said = " ".join(message.content or "" for message in item.context).lower()
    tool = next((tool for tool in item.tools if tool.name == call.name), item.tools[0])
    slots = tool.required or tuple(call.arguments) or ("request",)
    return next((slot for slot in slots if str(call.arguments.get(slot, slot)).lower() not in said), slots[0])


def _call_of(tool: Tool) -> ToolCall:
    return ToolCall(name=tool.name, arguments={name: name.replace("_", " ") for name in tool.required})


def _last_turn(renderer: Renderer, item: DecisionItem, turn: Message) -> ScoredSequence:
    tokenized = renderer.tokenize(
        Dialogue.model_construct(messages=(*item.context, turn), tools=item.tools, source=item.source)
    )
    last = tokenized.turns[-1]
    return ScoredSequence(tokenized.input_ids, np.arange(last.start, last.end))
