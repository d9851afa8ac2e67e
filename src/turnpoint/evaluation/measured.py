"""A run of a measure: the turns of a benchmark, or of dialogues of the user's own, and what a model made of them."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.data import Source
from turnpoint.dialogue import Dialogue
from turnpoint.evaluation import when2call
from turnpoint.evaluation.benchmarks import BENCHMARKS, Name, load_items, open_benchmark
from turnpoint.evaluation.choices import evaluate_choices
from turnpoint.evaluation.decisions import evaluate_decisions, graded_replies
from turnpoint.evaluation.graders import with_content
from turnpoint.evaluation.items import KINDS, DecisionItem, drawn
from turnpoint.evaluation.judge import Judge
from turnpoint.evaluation.rates import DecisionReport

Measure = Callable[..., "Measured"]


class Measured(NamedTuple):
    """What a model made of turns, and what is reported of it.

    Attributes:
        report: the verdicts; their rates stand in the first column.
        benchmark: whose rules they are by; None for the package's own.
        raw: choices by another measure of log-probs, for a second column.
        notes: lines for the user.
        strict: whether passing takes the right content as well.
    """

    report: DecisionReport
    benchmark: Name | None = None
    raw: DecisionReport | None = None
    notes: tuple[str, ...] = ()
    strict: bool = False

    def after(self, judge: Judge, progress: str | None = None) -> "Measured":
        """The same, with a judge's verdicts where the rules are not sure; since it judges content, passing takes it."""
        found = judge.judged([with_content(verdict) for verdict in self.report.verdicts], progress)
        report = self.report._replace(verdicts=found.verdicts)
        agreed = report.agreement()
        asked = sum(not verdict.sure for verdict in found.verdicts)
        notes = [f"judge: asked about {asked} of {len(found.verdicts)} turns, of which the rules are not sure"]
        if agreed is not None:
            kappa = "not defined" if agreed.kappa is None else f"{agreed.kappa:.2f}"
            notes.append(f"judge and rules agree on {agreed.rate:.1%} of {agreed.turns} turns; Cohen's kappa {kappa}")
        if found.unread:
            notes.append(f"judge: {found.unread} answers hold no verdict; the rules' stands there")
        return self._replace(report=report, notes=tuple(notes), strict=True)

    def other_columns(self) -> dict[str, DecisionReport]:
        """Further columns of rates, by heading."""
        columns = {} if self.raw is None else {"raw log-prob": self.raw}
        if self.benchmark is not None and BENCHMARKS[self.benchmark].forgives:
            columns["calibrated"] = self.report.forgiving()
        return columns

    def figures(self) -> dict[str, float | None]:
        """What else the benchmark reports, by name."""
        own = BENCHMARKS[self.benchmark].further if self.benchmark is not None else None
        return {} if own is None else own(self.report)

    def further(self) -> dict[str, Any]:
        """For JSON: these figures, and the rates of further columns."""
        columns = {
            heading: {"rates": report.rates(), "micro": report.micro, "macro": report.macro}
            for heading, report in self.other_columns().items()
        }
        return {**self.figures(), **columns}


def own_decisions(
    dialogues: Sequence[Dialogue],
    per_kind: int | None,
    seed: int,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    **settings: Any,
) -> Measured:
    """Replies at turns of dialogues."""
    return Measured(evaluate_decisions(model, tokenizer, dialogues, per_kind=per_kind, seed=seed, **settings))


def own_choices(
    dialogues: Sequence[Dialogue],
    per_kind: int | None,
    seed: int,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    **settings: Any,
) -> Measured:
    """Choices at turns of dialogues."""
    return Measured(evaluate_choices(model, tokenizer, dialogues, per_kind=per_kind, seed=seed, **settings))


def of_benchmark(
    name: Name, measure: Literal["decisions", "choices"], source: Source, per_kind: int | None, seed: int
) -> tuple[Measure, tuple[str, ...]]:
    """What measures a model on a benchmark's files, and notes on reading these."""
    if measure == "decisions":
        loaded = load_items(name, source, per_kind=per_kind, seed=seed)
        return partial(_replies, name, loaded.items, loaded.kinds), loaded.notes
    opened = open_benchmark(name, source)
    asked = {question.item.source: question for question in when2call.questions(opened.rows, opened.changes)}
    items = drawn([question.item for question in asked.values()], KINDS, per_kind, Random(seed))
    return partial(_choices, [asked[item.source] for item in items]), opened.changes.notes()


def _replies(
    name: Name,
    items: Sequence[DecisionItem],
    kinds: tuple[str, ...],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    **settings: Any,
) -> Measured:
    verdicts = graded_replies(model, tokenizer, items, BENCHMARKS[name].grade, **settings)
    return Measured(DecisionReport(verdicts, kinds), name, strict=True)


def _choices(
    asked: Sequence[when2call.Question],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    **settings: Any,
) -> Measured:
    chosen = when2call.choose(model, tokenizer, asked, **settings)
    return Measured(chosen.normalised, "when2call", chosen.raw, strict=True)
