"""Decisions by greedy generation: what the model writes is read and graded by what it does."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import Dialogue
from turnpoint.evaluation.graders import Grader, grade
from turnpoint.evaluation.items import DecisionItem, decision_items
from turnpoint.evaluation.rates import DecisionReport, Verdict
from turnpoint.sampling import generate_replies
from turnpoint.template import Renderer


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
    return DecisionReport(
        graded_replies(model, tokenizer, items, grade, max_new_tokens=max_new_tokens, progress=progress)
    )


def graded_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    items: Sequence[DecisionItem],
    grader: Grader,
    *,
    max_new_tokens: int = 96,
    progress: str | None = None,
) -> list[Verdict]:
    """Let the model reply at each item, greedily, and grade each reply."""
    renderer = Renderer(tokenizer)
    prompts = [renderer.prompt_ids(item.context, item.tools, item.source) for item in items]
    replies = generate_replies(model, tokenizer, prompts, max_new_tokens=max_new_tokens, progress=progress)
    return [grader(item, reply) for item, reply in zip(items, replies, strict=True)]
