"""Verdicts on decisions, and the rates they add up to."""

from collections import Counter
from typing import Any, NamedTuple

from turnpoint.dialogue import Decision
from turnpoint.evaluation.items import KINDS, DecisionItem


class Verdict(NamedTuple):
    """One item, what the model did there, and whether that passes."""

    item: DecisionItem
    decided: str  # a decision, or what else it was
    passed: bool
    text: str  # the model's reply, or the candidate it preferred
    right_arguments: bool | None = None  # whether the calls are exactly the item's; None where none were written
    scores: tuple[float, ...] | None = None  # of the candidates, by kind as in KINDS, nats a token; None where it wrote
    cut: bool = False  # whether the reply was longer than it may be, and judged by what was there


class DecisionReport(NamedTuple):
    """Rates of right decisions.

    Micro is passes over items, macro the mean of the rates of the kinds that have items (as FunctionChat-Bench has it).
    """

    verdicts: list[Verdict]

    def rate(self, kind: Decision) -> float | None:
        """Passes over items of a kind; None where there are none."""
        passed = [verdict.passed for verdict in self.verdicts if verdict.item.decision is kind]
        return sum(passed) / len(passed) if passed else None

    @property
    def micro(self) -> float:
        """Passes over items."""
        return sum(verdict.passed for verdict in self.verdicts) / max(len(self.verdicts), 1)

    @property
    def macro(self) -> float:
        """Mean of the rates."""
        rates = [rate for kind in KINDS if (rate := self.rate(kind)) is not None]
        return sum(rates) / max(len(rates), 1)

    @property
    def arguments(self) -> float | None:
        """Items whose calls were made exactly, names and arguments, over call items; None where none were written."""
        right = [verdict.right_arguments for verdict in self.verdicts if verdict.right_arguments is not None]
        return sum(right) / len(right) if right else None

    def note_on_cuts(self) -> str | None:
        """A line on replies that were cut at the most tokens they may have; None where there are none."""
        cut = sum(verdict.cut for verdict in self.verdicts)
        return (
            f"{cut} of {len(self.verdicts)} replies reached max_new_tokens; they are judged up to there"
            if cut
            else None
        )

    def counts(self) -> dict[Decision, int]:
        """Items of each kind."""
        return {kind: sum(verdict.item.decision is kind for verdict in self.verdicts) for kind in KINDS}

    def confusion(self) -> dict[str, dict[str, int]]:
        """For each kind, how often the model did what."""
        return {
            kind.value: dict(Counter(v.decided for v in self.verdicts if v.item.decision is kind)) for kind in KINDS
        }

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for a table."""
        rates = [(kind.value, _percent(self.rate(kind))) for kind in KINDS]
        means = [("micro", _percent(self.micro)), ("macro", _percent(self.macro))]
        return rates + means + ([] if self.arguments is None else [("arguments", _percent(self.arguments))])

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "rates": {kind.value: self.rate(kind) for kind in KINDS},
            "micro": self.micro,
            "macro": self.macro,
            "arguments": self.arguments,
            "counts": {kind.value: count for kind, count in self.counts().items()},
            "confusion": self.confusion(),
            "items": [
                {
                    "source": verdict.item.source,
                    "decision": verdict.item.decision.value,
                    "decided": verdict.decided,
                    "passed": verdict.passed,
                    "right_arguments": verdict.right_arguments,
                    "cut": verdict.cut,
                    "scores": None if verdict.scores is None else list(verdict.scores),
                    "text": verdict.text,
                }
                for verdict in self.verdicts
            ],
        }


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f}%"
