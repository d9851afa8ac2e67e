"""Decisions by greedy generation: what the model writes is parsed and judged by what it does.

A call passes when a tool of the right name is called; whether its arguments are right is counted beside it. A slot
question passes when the reply asks and calls nothing. A rejection passes when the reply says that it cannot be done and
calls nothing. An answer passes when the reply says something, calls nothing and refuses nothing; a question says
something where it names a value of the result: "How about Rosa's?". A call that cannot be read is a call that failed:
it passes nowhere.
"""

import json
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import Decision, Dialogue, ToolCall
from turnpoint.dialogue.decisions import asks, refuses, reports, states_something
from turnpoint.evaluation.items import DecisionItem, decision_items
from turnpoint.evaluation.rates import DecisionReport, Verdict
from turnpoint.sampling import Reply, generate_replies
from turnpoint.template import Renderer, attempts_call, parse_reply

MALFORMED = "malformed call"


def evaluate_decisions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    dialogues: Sequence[Dialogue],
    *,
    per_kind: int | None = None,
    seed: int = 0,
    max_new_tokens: int = 96,
    progress: str | None = None,
) -> DecisionReport:
    """Let the model reply at turns of dialogues and judge what it decides.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with a chat template that renders tools.
        dialogues: held back from training.
        per_kind: turns of each kind at most (a balanced sample); None takes all.
        seed: of the sample.
        max_new_tokens: tokens of a reply at most.
        progress: title of a progress bar; None shows none.
    """
    items = decision_items(dialogues, per_kind=per_kind, seed=seed)
    renderer = Renderer(tokenizer)
    prompts = [renderer.prompt_ids(item.context, item.tools, item.source) for item in items]
    replies = generate_replies(model, tokenizer, prompts, max_new_tokens=max_new_tokens, progress=progress)
    return DecisionReport([verdict(item, reply) for item, reply in zip(items, replies, strict=True)])


def verdict(item: DecisionItem, reply: Reply) -> Verdict:
    """Judge one reply."""
    text = reply.text
    right = right_arguments(item, text) if item.decision is Decision.CALL else None
    passed = passes(item, text)
    # An answer that closes with "Anything else?" passes as an answer; by its text alone it would be a question.
    return Verdict(item, item.decision if passed else decision_of(text), passed, text, right, cut=reply.cut)


def decision_of(reply: str) -> str:
    """What a reply does, by its text alone: a decision, or `MALFORMED`."""
    content, calls = parse_reply(reply)
    if attempts_call(content):
        return MALFORMED
    if calls:
        return Decision.CALL
    if refuses(content or ""):
        return Decision.RELEVANCE
    return Decision.SLOT if asks(content or "") else Decision.COMPLETION


def passes(item: DecisionItem, reply: str) -> bool:
    """Whether the reply decides as the item asks."""
    content, calls = parse_reply(reply)
    text = content or ""
    if attempts_call(text):
        return False
    match item.decision:
        case Decision.CALL:
            return bool(calls) and {call.name for call in calls} <= {call.name for call in item.calls}
        case Decision.SLOT:
            return not calls and asks(text) and not refuses(text)
        case Decision.RELEVANCE:
            return not calls and refuses(text)
        case _:
            return not calls and not refuses(text) and (states_something(text) or reports(text, item.context))


def right_arguments(item: DecisionItem, reply: str) -> bool:
    """Whether a reply to a call item makes exactly the dialogue's calls: names and arguments, in any order."""
    _, calls = parse_reply(reply)
    return _said(calls) == _said(item.calls)


def _said(calls: Sequence[ToolCall]) -> list[tuple[str, str]]:
    return sorted((call.name, json.dumps(call.arguments, sort_keys=True)) for call in calls)
