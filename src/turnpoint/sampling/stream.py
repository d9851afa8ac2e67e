"""One reply from a model in this process, shown while it is written."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, StoppingCriteria, StoppingCriteriaList

from turnpoint.dialogue import ToolCall
from turnpoint.sampling.generate import Ends, Sampling, ends_of
from turnpoint.template import parse_reply, settled_content, without_beginning_of
from turnpoint.tree import evaluating

_HALF_CHARACTER = "\ufffd"  # what a decoder writes for bytes that are no whole character yet

Show = Callable[[str], None]


class Said(NamedTuple):
    """What a model wrote in its turn.

    Attributes:
        content: beside the calls; None where there is none.
        calls: of tools.
        cut: at `max_new_tokens`, before the end of the turn.
        tokens: how many were written, the end of the turn included.
    """

    content: str | None
    calls: tuple[ToolCall, ...]
    cut: bool
    tokens: int


def stream_reply(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    seed: int,
    show: Show,
    stop: Sequence[str] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Said:
    """Write one reply, up to the end of the turn, and show its content on the way.

    At temperature 0 it is the reply of `generate_replies`.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompt: token ids, the generation prompt included.
        sampling: how tokens are drawn.
        seed: of the draws; the global random state is left as it was.
        show: called after each token with what has become content for certain since the last call, which may be
            nothing; calls of tools are left out. All that is shown is the content.
        stop: texts that end the reply like the end of a turn; they are left out.
        stopped: asked after each token; True ends the reply there.

    Raises:
        ConfigError: a setting is out of range.
        TemplateError: neither the tokenizer, the model nor the template has an end-of-turn token.
    """
    sampling.check()
    ends = ends_of(model, tokenizer)
    reading = _Reading(tokenizer, ends, stop, show)
    ids = torch.tensor([list(prompt)], device=model.device)
    with torch.no_grad(), torch.random.fork_rng(), evaluating(model):
        torch.manual_seed(seed)
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            eos_token_id=ends.tokens,
            pad_token_id=ends.tokens[0],
            stopping_criteria=StoppingCriteriaList([_AfterEachToken(len(prompt), reading.read, stopped)]),
            **sampling.options(),
        )
    return reading.finish()


class _AfterEachToken(StoppingCriteria):
    def __init__(self, prompt: int, read: Callable[[list[int]], bool], stopped: Callable[[], bool]) -> None:
        self._prompt, self._read, self._stopped = prompt, read, stopped

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        ended = self._read(input_ids[0, self._prompt :].tolist()) or self._stopped()
        return torch.tensor([ended], device=input_ids.device)


class _Reading:
    """What was written so far, and how much of it was shown."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, ends: Ends, stop: Sequence[str], show: Show) -> None:
        self._tokenizer, self._ends, self._show = tokenizer, ends, show
        self._marks = (*ends.markers, *stop)
        self._text, self._ended, self._tokens, self._shown = "", False, 0, ""

    def read(self, ids: list[int]) -> bool:
        """Take in all ids written so far and show what is new; whether the turn has ended."""
        end = next((i for i, token in enumerate(ids) if token in self._ends.tokens), len(ids))
        text = str(self._tokenizer.decode(ids[:end], skip_special_tokens=False))
        first = min((text.find(mark) for mark in self._marks if mark in text), default=len(text))
        self._text, self._ended = text[:first], end < len(ids) or first < len(text)
        self._tokens = len(ids)
        self._advance(settled_content(without_beginning_of(self._text.rstrip(_HALF_CHARACTER), self._marks)))
        return self._ended

    def finish(self) -> Said:
        """The whole reply, after the rest of its content was shown."""
        content, calls = parse_reply(self._text)
        self._advance(content or "")
        return Said(content, calls, not self._ended, self._tokens)

    def _advance(self, content: str) -> None:
        """Show what is new. A decoder that takes back what it wrote, a space before a full stop, is not followed."""
        new = content[len(self._shown) :] if content.startswith(self._shown) else ""
        self._shown += new
        self._show(new)
