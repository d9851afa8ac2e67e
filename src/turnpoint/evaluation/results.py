"""Results as a file, and two of them against each other: differences over the same turns, with intervals and tests."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.errors import DataError
from turnpoint.evaluation.bootstrap import Estimate, estimate, mcnemar, tally
from turnpoint.evaluation.rates import DecisionReport, estimates

FORMAT = "turnpoint decisions"
VERSION = 1
# What two runs must have in common, beside their turns; and what may make these differ.
_SAME = ("measure", "benchmark", "max_new_tokens", "judge", "rubrics")
_HINTS = ("dataset", "limit", "per_kind", "seed")


class Difference(NamedTuple):
    """A rate of two models on the same turns."""

    name: str
    before: float
    after: float
    moved: Estimate  # after - before
    lost: int  # turns that only the first one passes
    won: int  # turns that only the second one passes
    p: float | None  # McNemar's exact p-value; None for macro, which is no share of turns

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "moved": self.moved._asdict()}


def result(report: DecisionReport, about: Mapping[str, Any]) -> dict[str, Any]:
    """A run for JSON.

    Args:
        report: what was measured.
        about: of what: model, dataset, benchmark, seed and more.
    """
    return {"format": FORMAT, "version": VERSION, **about, **report.as_dict()}


def read_result(path: str) -> dict[str, Any]:
    """A run from its file.

    Raises:
        DataError: the file cannot be read, or holds none of this version.
    """
    try:
        found = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the path of --against") from None
    except ValueError as error:
        raise DataError(f"{path}: holds no JSON ({error}); give what `turnpoint evaluate --output` wrote") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path}: holds no results; give what `turnpoint evaluate --output` wrote")
    if found.get("version") != VERSION:
        raise DataError(f"{path}: version: is {found.get('version')!r}, this turnpoint reads {VERSION}; measure anew")
    return found


def compare(before: Mapping[str, Any], after: Mapping[str, Any], name: str, seed: int = 0) -> list[Difference]:
    """How much better the second of two runs is, by category, micro and macro.

    Args:
        before: a run.
        after: another one, over the same turns.
        name: how errors call the first one.
        seed: of the resampling.

    Raises:
        DataError: the runs differ in more than the model.
    """
    for field in _SAME:
        if before.get(field) != after.get(field):
            raise DataError(
                f"{name}: {field}: was measured with {before.get(field)!r}, this run with {after.get(field)!r}; what is"
                " compared must differ in the model alone"
            )
    pairs = _paired(before, after, name)
    kinds = list(dict.fromkeys(a["category"] for a, _ in pairs))
    dialogues = [a["source"].partition(" message ")[0] for a, _ in pairs]
    moved = tally(dialogues, [a["category"] for a, _ in pairs], [float(b["passed"] - a["passed"]) for a, b in pairs])
    found = estimates(moved, kinds, partial(estimate, seed=seed))
    return [_difference(kind, each, before, after, pairs) for kind, each in found.items()]


def _paired(
    before: Mapping[str, Any], after: Mapping[str, Any], name: str
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The turns of both runs, one by one."""
    turns = [[(each["turn"], each["source"]) for each in run["items"]] for run in (before, after)]
    if turns[0] == turns[1]:
        return list(zip(before["items"], after["items"], strict=True))
    other = [
        f"{field} {before.get(field)!r} and {after.get(field)!r}"
        for field in _HINTS
        if before.get(field) != after.get(field)
    ]
    first = next((a[1] for a, b in zip(*turns, strict=False) if a != b), "the shorter one ends")
    raise DataError(
        f"{name}: holds other turns than this run ({len(turns[0])} and {len(turns[1])}, first at {first}"
        f"{'; ' + ', '.join(other) if other else ''}); compare runs over the same data, limit, per_kind and seed"
    )


def _difference(
    kind: str,
    moved: Estimate,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> Difference:
    of_kind = [(a["passed"], b["passed"]) for a, b in pairs if kind in ("micro", "macro", a["category"])]
    lost, won = sum(a and not b for a, b in of_kind), sum(b and not a for a, b in of_kind)
    whole = kind in ("micro", "macro")
    first, second = (float(run[kind] if whole else run["rates"][kind]) for run in (before, after))
    return Difference(kind, first, second, moved, lost, won, None if kind == "macro" else mcnemar(lost, won))
