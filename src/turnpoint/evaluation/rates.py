"""Verdicts on decisions, and the rates they add up to."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from turnpoint.dialogue import Decision
from turnpoint.evaluation.bootstrap import Estimate, Tally, estimate, macro, micro, tally
from turnpoint.evaluation.items import KINDS, DecisionItem


class Verdict(NamedTuple):
    """One item, what the model did there, and whether that passes."""

    item: DecisionItem
    decided: str  # a decision, or what else it was
    passed: bool
    text: str  # the model's reply, or the candidate it preferred
    content: bool | None = None  # whether what it says is right beside the decision; None where nothing was checked
    scores: tuple[float, ...] | None = None  # of the candidates, by kind as in KINDS, nats a token; None where it wrote
    cut: bool = False  # whether the reply was longer than it may be, and judged by what was there
    reason: str = ""
    sure: bool = True  # whether the rules know for certain; a judge looks at the others
    forgiven: bool = False  # a sensible question in the place of a call
    by_rules: bool | None = None  # what the rules said, where a judge decided; None where none did

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.item.source,
            "turn": _turn_key(self.item),
            "category": self.item.kind,
            "decision": self.item.decision.value,
            "decided": self.decided,
            "passed": self.passed,
            "reason": self.reason,
            "content": self.content,
            "forgiven": self.forgiven,
            "by_rules": self.by_rules,
            "cut": self.cut,
            "scores": None if self.scores is None else list(self.scores),
            "reply": self.text,
        }


class Agreement(NamedTuple):
    """How a judge and the rules agree."""

    turns: int
    rate: float
    kappa: float | None  # Cohen's; None where chance alone would always agree


class DecisionReport(NamedTuple):
    """Rates of right decisions.

    Micro is passes over items, macro the mean of the rates of the kinds that have items (as FunctionChat-Bench has it).
    """

    verdicts: list[Verdict]
    kinds: tuple[str, ...] = KINDS  # the rates: decisions, or the categories of a benchmark

    def rate(self, kind: str) -> float | None:
        """Passes over items of a kind; None where there are none."""
        passed = [verdict.passed for verdict in self.verdicts if verdict.item.kind == kind]
        return sum(passed) / len(passed) if passed else None

    def rates(self) -> dict[str, float | None]:
        """The rate of each kind."""
        return {str(kind): self.rate(kind) for kind in self.kinds}

    @property
    def micro(self) -> float:
        """Passes over items."""
        return sum(verdict.passed for verdict in self.verdicts) / max(len(self.verdicts), 1)

    @property
    def macro(self) -> float:
        """Mean of the rates."""
        rates = [rate for kind in self.kinds if (rate := self.rate(kind)) is not None]
        return sum(rates) / max(len(rates), 1)

    @property
    def arguments(self) -> float | None:
        """Items whose calls were the right ones, names and arguments, over call items; None where none were written."""
        return self._mean([v.content for v in self.verdicts if v.item.decision is Decision.CALL])

    def with_content(self, kind: str) -> float | None:
        """Items of a kind that pass and whose content is right too, over those whose content can be checked."""
        checked = [v for v in self.verdicts if v.item.kind == kind and v.content is not None]
        return self._mean([v.passed and v.content for v in checked])

    @staticmethod
    def _mean(values: Sequence[bool | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    def forgiving(self) -> "DecisionReport":
        """The same with a sensible question forgiven where a call is due: the calibrated rates of DiaTool-DPO."""
        return self._replace(verdicts=[each._replace(passed=each.passed or each.forgiven) for each in self.verdicts])

    def intervals(self, seed: int = 0) -> dict[str, Estimate]:
        """95% intervals by resampling dialogues: of each rate, of micro and of macro."""
        tallies = tally(
            [verdict.item.dialogue for verdict in self.verdicts],
            [verdict.item.kind for verdict in self.verdicts],
            [float(verdict.passed) for verdict in self.verdicts],
        )
        return estimates(tallies, self.kinds, partial(estimate, seed=seed))

    def agreement(self) -> Agreement | None:
        """Of the judge and the rules, over the turns that were judged; None where none was."""
        judged = [(v.passed, v.by_rules) for v in self.verdicts if v.by_rules is not None]
        return agreement_of(judged) if judged else None

    def note_on_cuts(self) -> str | None:
        """A line on replies that were cut at the most tokens they may have; None where there are none."""
        cut = sum(verdict.cut for verdict in self.verdicts)
        return (
            f"{cut} of {len(self.verdicts)} replies reached max_new_tokens; they are judged up to there"
            if cut
            else None
        )

    def counts(self) -> dict[str, int]:
        """Items of each kind."""
        return {kind: sum(verdict.item.kind == kind for verdict in self.verdicts) for kind in self.kinds}

    def confusion(self) -> dict[str, dict[str, int]]:
        """For each kind, how often the model did what."""
        return {
            str(kind): dict(Counter(str(v.decided) for v in self.verdicts if v.item.kind == kind))
            for kind in self.kinds
        }

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for a table."""
        rates = [(str(kind), percent(self.rate(kind))) for kind in self.kinds]
        means = [("micro", percent(self.micro)), ("macro", percent(self.macro))]
        return rates + means + ([] if self.arguments is None else [("arguments", percent(self.arguments))])

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        agreed = self.agreement()
        return {
            "rates": self.rates(),
            "micro": self.micro,
            "macro": self.macro,
            "arguments": self.arguments,
            "intervals": {name: [found.low, found.high] for name, found in self.intervals().items()},
            "counts": {str(kind): count for kind, count in self.counts().items()},
            "confusion": self.confusion(),
            "agreement": None if agreed is None else agreed._asdict(),
            "items": [verdict.as_dict() for verdict in self.verdicts],
        }


def estimates(tallies: Mapping[str, Tally], kinds: Sequence[str], of: Callable[..., Estimate]) -> dict[str, Estimate]:
    """Estimates by name: of the kinds that are there, then micro and macro."""
    found = {str(kind): of(tallies[kind], micro) for kind in kinds if kind in tallies}
    return found | ({"micro": of(tallies[""], micro), "macro": of(tallies[""], macro)} if found else {})


def agreement_of(judged: Sequence[tuple[bool, bool]]) -> Agreement:
    """Rate of agreement of two judges, and Cohen's kappa: what of it chance does not explain."""
    total = len(judged)
    rate = sum(a == b for a, b in judged) / total
    yes = sum(a for a, _ in judged) / total, sum(b for _, b in judged) / total
    chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return Agreement(total, rate, None if chance == 1 else (rate - chance) / (1 - chance))


def percent(rate: float | None) -> str:
    """A rate as people read it."""
    return "-" if rate is None else f"{100 * rate:.1f}%"


def _turn_key(item: DecisionItem) -> str:
    """What tells the turn apart from all others: what was said, the tools, and what is due."""
    said = [message.said for message in item.context]
    facts = [said, [tool.model_dump() for tool in item.tools], item.kind, item.decision]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()
