"""How dialogues were rated, and whether what was liked and what was not balance, as KTO and BCO need it."""

from collections import Counter
from collections.abc import Sequence

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor.finding import Finding, Severity, over_all

DESIRABLE, UNDESIRABLE, UNRATED = "desirable", "undesirable", "unrated"
_NAMES = {True: DESIRABLE, False: UNDESIRABLE, None: UNRATED}
_LOPSIDED = 10  # times as many of one rating, above which the other hardly counts


def ratings(records: Sequence[Dialogue] | Sequence[PreferencePair]) -> dict[str, int]:
    """How many rows have each rating, and how many have none; nothing where no row is rated."""
    counts = Counter(_NAMES[record.label] for record in records if isinstance(record, Dialogue))
    if not counts[DESIRABLE] + counts[UNDESIRABLE]:
        return {}
    return {name: counts[name] for name in _NAMES.values() if name != UNRATED or counts[name]}


def lopsided(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Rated rows that are all of one rating, or nearly all."""
    counts = ratings(dialogues)
    if not counts:
        return None
    fewer, more = sorted((DESIRABLE, UNDESIRABLE), key=counts.__getitem__)
    if not counts[fewer]:
        return over_all(
            Severity.ERROR,
            f"rated rows of which none is {fewer}",
            counts[more],
            f"add rows that are {fewer}; kto and bco learn from the contrast, and no pair can be made of one rating",
        )
    times = counts[more] / counts[fewer]
    if times <= _LOPSIDED:
        return None
    return over_all(
        Severity.WARNING,
        f"{counts[fewer]} rated rows are {fewer}, against {counts[more]} that are {more}: 1 for {times:.1f}",
        counts[fewer],
        # KTO (arXiv 2402.01306) weighs what is desirable, all of it together, 1 to 4/3 times as much as the rest.
        f"let both weigh alike: count each {fewer} row {times:.1f} times (weight of a mix, docs/data.md), or add some",
    )
