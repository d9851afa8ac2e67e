"""Decisions by log-prob: which of four turns a model finds likeliest after a context, per token.

The four are a call, a question, an answer and a rejection. Questions, answers and rejections are worded here in ways
that no pair builder uses, so that a model which has learnt phrases gains nothing. The call is the dialogue's next one,
or after a result the one just made; where there is none, a call of an offered tool.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
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
    renderer = Renderer(tokenizer)
    verdicts: list[Verdict] = []
    sharing: Sharing | None = None
    with torch.no_grad(), evaluating(model):
        for number, item in with_progress(list(enumerate(items)), progress):
            turns = candidates(item, number)
            sequences = [_last_turn(renderer, item, turn) for turn in turns.values()]
            sharing = sharing or check_sharing(model, sequences[:2])
            logps = sequence_logprobs(model, sequences, shared=sharing.shared)
            verdicts.append(_verdict(item, turns, tuple(float(each.mean()) for each in logps)))
    return DecisionReport(verdicts)


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
    return DecisionReport(
        [
            _verdict(verdict.item, candidates(verdict.item, number), tuple(row))
            for number, (verdict, row) in enumerate(zip(report.verdicts, moved.tolist(), strict=True))
        ]
    )


def _verdict(item: DecisionItem, turns: Mapping[Decision, Message], scores: tuple[float, ...]) -> Verdict:
    best = KINDS[int(np.argmax(scores))]
    text = turns[best].content or repr(turns[best].tool_calls)
    return Verdict(item, best, best is item.decision, text, scores=scores)


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
