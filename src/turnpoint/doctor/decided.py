"""Findings over what turns decide: what is rare, and what is only ever rejected."""

from collections import Counter
from collections.abc import Sequence

from turnpoint.dialogue import Decision
from turnpoint.doctor.finding import Finding, Place, Severity, over_all, over_rows
from turnpoint.doctor.sides import Judged

_RARE = 0.05  # share of the turns below which a decision is rare
_ENOUGH_TURNS = 20  # turns from which shares say something
_BALANCED = (Decision.CALL, Decision.SLOT, Decision.COMPLETION, Decision.RELEVANCE)


def rare(dialogues: Sequence[Judged], offer_tools: bool) -> Finding | None:
    """Decisions that dialogues hardly teach, where they offer tools."""
    counts = Counter(decision for row in dialogues for decision in row.decided)
    total = counts.total()
    found = [kind for kind in _BALANCED if counts[kind] < _RARE * total]
    if not found or total < _ENOUGH_TURNS or not offer_tools:
        return None
    return over_all(
        Severity.WARNING,
        f"decisions that are less than {_RARE:.0%} of {total} turns: {_listed(found, counts)}",
        len(found),
        f"add dialogues that teach {', '.join(found)}; what is rare is not learned",
    )


def only_rejected(chosen: Sequence[Judged], rejected: Sequence[Judged]) -> Finding | None:
    """Decisions that begin a rejected side and never a chosen one."""
    counts = Counter(row.own[0] for row in rejected)
    never = [kind for kind in Decision if counts[kind] and not any(row.own[0] is kind for row in chosen)]
    return over_rows(
        Severity.WARNING,
        f"first decisions that are only ever rejected: {_listed(never, counts)}",
        [Place(row.source, f": {row.own[0]}") for row in rejected if row.own[0] in never],
        f"add pairs that choose {', '.join(never)}; what is only rejected is unlearned",
    )


def _listed(kinds: Sequence[Decision], counts: Counter[Decision]) -> str:
    return ", ".join(f"{kind} {counts[kind]}" if counts[kind] else f"no {kind}" for kind in kinds)
