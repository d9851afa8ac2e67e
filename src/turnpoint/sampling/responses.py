"""What a model says to questions, as texts: for notebooks, and for models side by side."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import DataError
from turnpoint.pairs import Samples, prompts_of
from turnpoint.sampling.generate import Reply, generate_replies
from turnpoint.template import Renderer

Question: TypeAlias = str | Dialogue | PreferencePair | Samples
"""What a user says; or a dialogue, whose last turn is to be taken anew; or a prompt."""


def generate_responses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Question],
    system: str | None = None,
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    progress: str | None = None,
) -> list[str]:
    """What the model replies to each question, without the end of its turn.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with a chat template.
        questions: texts of a user, dialogues, pairs or samples, mixed as you like.
        system: text of a system message for those that have none.
        max_new_tokens: tokens of a reply at most.
        temperature: 0 is greedy.
        seed: of the draws; the global random state is left as it was.
        progress: title of a progress bar; None shows none.

    Raises:
        ConfigError: a setting is out of range.
        DataError: nobody asks anything in a dialogue.
        TemplateError: the chat template is missing, or cannot render a prompt.
    """
    replies = replies_to(
        model,
        tokenizer,
        as_prompts(questions, system),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        progress=progress,
    )
    return [reply.text for reply in replies]


def replies_to(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Samples], **settings: Any
) -> list[Reply]:
    """A reply to each prompt; settings and errors of `generate_replies`."""
    renderer = Renderer(tokenizer)
    ids = [renderer.prompt_ids(each.prompt, each.tools, each.source or each.id) for each in prompts]
    return generate_replies(model, tokenizer, ids, **settings)


def as_prompts(questions: Sequence[Question], system: str | None = None) -> list[Samples]:
    """A prompt for each question.

    Args:
        questions: see `generate_responses`.
        system: text of a system message for those that have none.

    Raises:
        DataError: nobody asks anything in a dialogue.
    """
    return [_with_system(_prompt(question, number), system) for number, question in enumerate(questions, start=1)]


def _prompt(question: Question, number: int) -> Samples:
    if isinstance(question, Samples):
        return question
    if isinstance(question, str):
        return Samples(prompt=(Message(role="user", content=question),), id=f"question {number}")
    found = prompts_of([question])
    if not found:
        raise DataError(
            f"{question.source or question.id or f'question {number}'}: no user says anything, so there is nothing to"
            " reply to; leave it out"
        )
    return found[0]


def _with_system(prompt: Samples, system: str | None) -> Samples:
    if system is None or prompt.prompt[0].role == "system":
        return prompt
    return prompt.model_copy(update={"prompt": (Message(role="system", content=system), *prompt.prompt)})
