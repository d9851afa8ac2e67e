"""Implicit rewards outside of a run: of the sides of pairs, and of sampled replies.

What is measured goes through the stage and the executor of training, so the numbers are those of
`DPOTrainer.evaluate`. The models compute where they are and in the dtype they have.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.evaluation.fitted import fit_all, notes_on_left_out
from turnpoint.evaluation.preferences import PreferenceReport, RankedPair
from turnpoint.objectives import Objective
from turnpoint.pairs import Samples
from turnpoint.progress import with_progress
from turnpoint.template import Fit, Overflow, TokenizedPair
from turnpoint.training.configs import TURNS_FROM
from turnpoint.training.device import attend_as_fits, row_limits
from turnpoint.training.dpo_stage import DPOStage, PairFacts
from turnpoint.training.executor import Executor, Tally
from turnpoint.training.images import ImageInputsOf, check_reads_images_forward
from turnpoint.training.pair_examples import PairExample, pair_example
from turnpoint.training.records import DIALOGUES, PAIRS
from turnpoint.training.reference import Reference
from turnpoint.training.tokenized import Tokenizing
from turnpoint.tree import check_sharing, evaluating
from turnpoint.tree.forward import bare_model
from turnpoint.tree.head import can_score_in_head

_DPO = Objective()
_PAIRS_A_STEP = 8  # of an evaluation of a trainer by default; matters where pairs of a step enter each other's losses
_PROBE_AMONG = 16  # pairs from the start, of which the shortest is probed
_NOT_SCORED = float("nan")


def evaluate_preferences(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    pairs: Sequence[PreferencePair],
    *,
    reference: nn.Module | None = None,
    objective: Objective = _DPO,
    turns_from: str = "fork",
    max_length: int | None = None,
    overflow: Overflow = "drop",
    max_tokens_per_row: int | None = None,
    progress: str | None = None,
) -> PreferenceReport:
    """How a model ranks the sides of pairs, by its implicit rewards.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, or the processor of a model that reads images.
        pairs: one at least.
        reference: what the model is measured against; None: the model with its adapter off, or nothing where the
            objective needs no reference.
        objective: whose rewards are measured.
        turns_from: as in `DPOConfig`.
        max_length: as in `DPOConfig`; None for no limit.
        overflow: as in `DPOConfig`.
        max_tokens_per_row: as in `DPOConfig`.
        progress: title of a progress bar; None shows none.

    Raises:
        ConfigError: the reference is missing, or nothing reads it; the objective is not for pairs, or does not count
            turns from there.
        DataError: no pair is left.
    """
    _check(objective, turns_from)
    measured = _Measured(model, _reference(model, reference, objective), objective, max_tokens_per_row)
    how = Tokenizing(tokenizer, PAIRS, max_length, overflow)
    fitted = fit_all(pairs, how.fit, progress and "Tokenising")
    if not fitted.records:
        why = "; ".join(notes_on_left_out(fitted.left_out))
        raise DataError(f"pairs: none is left to measure{f': {why}' if why else ''}")
    examples = [_example(each, turns_from, how.image_inputs) for each in fitted.tokenized]
    steps = [examples[i : i + _PAIRS_A_STEP] for i in range(0, len(examples), _PAIRS_A_STEP)]
    tally = measured.run(steps, progress)
    ranked = [_ranked(*each) for each in zip(fitted.records, _facts(tally), strict=True)]
    return PreferenceReport(ranked, float(tally.loss) / tally.weight, fitted.left_out)


def implicit_rewards(
    model: nn.Module,
    reference: nn.Module | None,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[Samples],
    *,
    objective: Objective = _DPO,
    turns_from: str = "fork",
    max_length: int | None = None,
    overflow: Overflow = "drop",
    max_tokens_per_row: int | None = None,
    progress: str | None = None,
) -> list[list[float]]:
    """The implicit reward of each reply, for `turnpoint.pairs.sample_pairs`. A prompt is computed once for all of them.

    A reply is scored as a side of a pair would be: as the chat template writes its message, its end of turn included.

    Args:
        model: a causal language model, which may be another than the one that wrote the replies.
        reference: see `evaluate_preferences`.
        tokenizer: that of the model.
        samples: prompts with their replies.
        objective: whose rewards are measured.
        turns_from: see `evaluate_preferences`.
        max_length: see `evaluate_preferences`.
        overflow: see `evaluate_preferences`.
        max_tokens_per_row: see `evaluate_preferences`.
        progress: title of a progress bar; None shows none.

    Returns:
        For each prompt a reward for each reply, in their order; NaN for one that is empty or does not fit.

    Raises:
        ConfigError: as `evaluate_preferences`, or a setting that compares the sides of a pair.
    """
    _check(objective, turns_from)
    if objective.ld_alpha is not None:
        raise ConfigError(
            f"objective: ld_alpha: a reply by itself is not the longer side of a pair (got {objective.ld_alpha}); leave"
            " it out"
        )
    measured = _Measured(model, _reference(model, reference, objective), objective, max_tokens_per_row)
    fit = Tokenizing(tokenizer, DIALOGUES, max_length, overflow).fit
    made = [[_of_reply(drawn, each.message, fit, turns_from) for each in drawn.replies] for drawn in samples]
    steps = [[each for each in of_prompt if each is not None] for of_prompt in made]
    scored = [step for step in steps if step]
    rewards = (facts.chosen_reward for facts in (_facts(measured.run(scored, progress)) if scored else ()))
    return [[_NOT_SCORED if each is None else next(rewards) for each in of_prompt] for of_prompt in made]


class _OneProcess(NamedTuple):
    """What the executor asks of an Accelerator. A real one would change the state that a trainer of this process has.

    Attributes:
        device: of the models.
    """

    device: torch.device
    num_processes: int = 1
    mixed_precision: str = "no"

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, enabled=False)


class _Measured(NamedTuple):
    """A model to be measured.

    Attributes:
        model: the policy.
        reference: None where the objective needs none.
        objective: for pairs.
        max_tokens_per_row: None for that of the device.
    """

    model: nn.Module
    reference: Reference | None
    objective: Objective
    max_tokens_per_row: int | None

    def run(self, steps: Sequence[Sequence[PairExample]], progress: str | None) -> Tally:
        """Measure pairs; the facts of each are in the order of the steps.

        Args:
            steps: pairs that are packed into rows together, and, for losses that couple pairs, enter each other's.
            progress: title of a progress bar; None shows none.
        """
        stage = DPOStage(self.objective, self.reference)
        total = Tally()
        with ExitStack() as modes:
            for each in self._models:
                modes.enter_context(evaluating(each))
            executor = self._executor([each for step in steps for each in step], stage)
            stage.shared, stage.chunked = executor.shared, executor.chunked
            for step in with_progress(steps, progress):
                total.add(executor.evaluate(stage, self.model, step))
        return total

    @property
    def _models(self) -> list[nn.Module]:
        other = None if self.reference is None else self.reference.model
        return [self.model, *([] if other is None else [other])]

    def _executor(self, pairs: Sequence[PairExample], stage: DPOStage) -> Executor:
        accelerator = _OneProcess(bare_model(self.model).get_input_embeddings().weight.device)
        for each in self._models:
            attend_as_fits(each, accelerator)
        with_images = next((each for each in pairs if each.chosen.sequence.images), None)
        if with_images is not None:
            check_reads_images_forward(self.model, "evaluate_preferences")
        tried = [min(pairs[:_PROBE_AMONG], key=_longest), *([] if with_images is None else [with_images])]
        sequences = [sequence for pair in tried for sequence in stage.sequences(pair)]
        sharing = check_sharing(self.model, sequences, longest_sequence=max(map(_longest, pairs)))
        limits = row_limits(self.max_tokens_per_row, accelerator.device)
        return Executor(
            accelerator,
            limits.tokens,
            limits.full_at,
            shared=sharing.shared,
            chunked=all(map(can_score_in_head, self._models)),
        )


def _check(objective: Objective, turns_from: str) -> None:
    loss = ",".join(objective.losses)
    if objective.rated:
        raise ConfigError(
            f"objective: loss_type: {loss!r} is for single completions; measure the rewards of its model with"
            " 'sigmoid', which are the same"
        )
    if turns_from not in TURNS_FROM:
        raise ConfigError(f"turns_from: must be one of {', '.join(TURNS_FROM)} (got {turns_from!r})")
    if turns_from == "dialogue" and not objective.by_turn:
        raise ConfigError(
            f"turns_from: reduction {objective.terms[0].reduction!r} scores the turns after the fork only (got"
            f" {turns_from!r}); leave it out"
        )


def check_reference(objective: Objective, *, given: bool) -> None:
    """Refuse a reference that nothing reads, and one that is missing.

    Args:
        objective: for pairs.
        given: whether there is one.

    Raises:
        ConfigError: as said.
    """
    loss = ",".join(objective.losses)
    if given and not objective.needs_reference:
        raise ConfigError(f"reference: loss {loss!r} reads none; leave it out")
    if objective.needs_reference and not given:
        raise ConfigError(
            f"reference: is missing, and loss {loss!r} measures against one; name the model that training started from"
        )


def _reference(model: nn.Module, given: nn.Module | None, objective: Objective) -> Reference | None:
    """What stands for the reference; errors of `check_reference`."""
    if objective.needs_reference and given is None and isinstance(model, PeftModel):
        return Reference()
    check_reference(objective, given=given is not None)
    return None if given is None else Reference(given)


def _example(pair: TokenizedPair, turns_from: str, images: ImageInputsOf | None = None) -> PairExample:
    return pair_example(pair, first_turn=pair.shared_turns if turns_from == "fork" else 0, images=images)


def _of_reply(drawn: Samples, message: Message | None, fit: Fit, turns_from: str) -> PairExample | None:
    """A reply as both sides of a pair, which cost what one costs; None where nothing of it can be scored."""
    if message is None:
        return None
    whole = Dialogue.model_construct(messages=(*drawn.prompt, message), tools=drawn.tools, source=drawn.source)
    side = fit(whole).tokenized
    if side is None:
        return None
    shared = sum(turn.message < len(drawn.prompt) for turn in side.turns)
    if not side.scored(shared):
        return None
    return _example(TokenizedPair(side, side, shared, drawn.id, drawn.dialogue_id, drawn.source), turns_from)


def _longest(pair: PairExample) -> int:
    """Tokens of the longer side."""
    return max(len(side.sequence.input_ids) for side in (pair.chosen, pair.rejected))


def _facts(tally: Tally) -> Iterable[PairFacts]:
    """What is known of each pair, as numbers."""
    rows: Tensor = torch.stack(tally.of_items).to(torch.float64)
    return (PairFacts(*row) for row in rows.tolist())


def _ranked(pair: PreferencePair, facts: PairFacts) -> RankedPair:
    return RankedPair(
        source=pair.source,
        kind=pair.kind,
        chosen_reward=facts.chosen_reward,
        rejected_reward=facts.rejected_reward,
        chosen_logp=facts.chosen_logp,
        rejected_logp=facts.rejected_logp,
        chosen_tokens=int(facts.chosen_tokens),
        rejected_tokens=int(facts.rejected_tokens),
    )
