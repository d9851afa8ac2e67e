"""What the policy writes at each evaluation, beside what the pairs hold."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from turnpoint.errors import ConfigError
from turnpoint.sampling import generate_replies
from turnpoint.template import TokenizedPair, tokenizer_of
from turnpoint.training.records import Tokenized

logger = logging.getLogger(__name__)

_PROMPTS = 4
_MOST_TOKENS = 128


class _Prompt(NamedTuple):
    """Where the sides of a pair part."""

    ids: list[int]
    source: str
    chosen: str
    rejected: str


class EvaluationSamples(TrainerCallback):
    """Writes greedy replies to the first prompts of the evaluation data into `samples.jsonl` of the run folder.

    Args:
        pairs: of the evaluation.
        processing_class: of the model.

    Raises:
        ConfigError: a prompt holds images.
    """

    def __init__(self, pairs: Tokenized, processing_class: Any) -> None:
        self.tokenizer = tokenizer_of(processing_class)
        self.prompts = [_prompt(pairs[i], self.tokenizer) for i in range(min(_PROMPTS, len(pairs)))]
        self._step: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave of an earlier file what a run that is resumed has written."""
        if state.is_world_process_zero and (file := _file(args)).exists():
            rows = file.read_text(encoding="utf-8").splitlines(keepends=True) if state.global_step else []
            kept = [row for row in rows if json.loads(row)["step"] <= state.global_step]
            file.write_text("".join(kept), encoding="utf-8")

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """After an evaluation; of several sets, the first."""
        if self._step == state.global_step:
            return
        self._step = state.global_step
        replies = generate_replies(
            model, self.tokenizer, [prompt.ids for prompt in self.prompts], max_new_tokens=_MOST_TOKENS
        )
        if not state.is_world_process_zero:
            return
        file = _file(args)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            for prompt, reply in zip(self.prompts, replies, strict=True):
                row = {"step": state.global_step, "source": prompt.source, "reply": reply.text}
                row |= {"chosen": prompt.chosen, "rejected": prompt.rejected}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        logger.info("step %d: %r -> %r", state.global_step, self.prompts[0].source, replies[0].text)


def _file(args: TrainingArguments) -> Path:
    return Path(str(args.output_dir)) / "samples.jsonl"


def _prompt(pair: TokenizedPair, tokenizer: Any) -> _Prompt:
    """The tokens before the first turn after the fork, and what the sides go on with."""
    if pair.chosen.images:
        raise ConfigError(
            f"DPOConfig: generate_during_eval: replies to images are not generated here (got True, and {pair.source}"
            " holds one); leave it out"
        )
    turns = [side.turns[pair.shared_turns] for side in (pair.chosen, pair.rejected)]
    chosen, rejected = (
        tokenizer.decode(list(side.input_ids[turn.start : turn.end]), skip_special_tokens=True)
        for side, turn in zip((pair.chosen, pair.rejected), turns, strict=True)
    )
    return _Prompt([int(each) for each in pair.chosen.input_ids[: turns[0].start]], pair.source, chosen, rejected)
