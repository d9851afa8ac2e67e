"""Findings over preference pairs: sides that are alike, biased, repeated or contradictory; what each side decides."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from turnpoint.dialogue import Decision, PreferencePair, decisions
from turnpoint.dialogue.decisions import asks, states_something
from turnpoint.doctor.dialogues import repeats, said
from turnpoint.doctor.finding import Finding, Severity, over_rows

_NEAR = 0.95  # share of words in common, in order, from which sides are nearly equal
_SURE = 3.0  # standard deviations of a fair coin from which one side is longer by more than chance
_BIASED = 0.65  # share of the pairs from which it matters


class Lengths(NamedTuple):
    """Lengths of the two sides of a pair, in one unit."""

    chosen: int
    rejected: int


def equal_sides(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs whose sides are one text but for spaces and case."""
    rows = [pair.source for pair in pairs if _words(pair, "chosen") == _words(pair, "rejected")]
    return over_rows(
        Severity.ERROR,
        "sides that are equal but for spaces and case",
        rows,
        "remove the pair, or mend the side that was copied; nothing is preferred",
    )


def near_equal_sides(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs whose sides differ in less than one word of twenty."""
    rows = [pair.source for pair in pairs if _NEAR <= _likeness(pair) < 1]
    return over_rows(
        Severity.NOTE,
        f"sides with at least {_NEAR:.0%} of their words in common",
        rows,
        "fine where the difference is the point (one argument of a call); otherwise the signal drowns, remove the pair",
    )


def contradictions(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs that prefer what another pair of the same prompt rejects."""
    preferred = {(_prompt(pair), said(pair.chosen), said(pair.rejected)) for pair in pairs}
    rows = [pair.source for pair in pairs if (_prompt(pair), said(pair.rejected), said(pair.chosen)) in preferred]
    return over_rows(
        Severity.ERROR,
        "pairs that another pair turns round",
        rows,
        "decide which side is better and remove the other pair",
    )


def duplicated_pairs(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs that are there already."""
    rows = repeats([(p.source, "\n".join([_prompt(p), said(p.chosen), "|", said(p.rejected)])) for p in pairs])
    return over_rows(
        Severity.WARNING, "pairs that repeat an earlier row", rows, "remove the repeats; they weigh double"
    )


def duplicated_prompts(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Prompts that several pairs share."""
    rows = repeats([(pair.source, _prompt(pair)) for pair in pairs])
    return over_rows(
        Severity.NOTE,
        "pairs whose prompt an earlier pair has",
        rows,
        "fine for several samples of a prompt; keep all of one prompt on one side of a train / eval split",
    )


def unknown_tools(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Rejected sides that call a tool which is not offered."""
    rows = [
        pair.source
        for pair in pairs
        if {call.name for m in pair.rejected for call in m.tool_calls} - {tool.name for tool in pair.tools}
    ]
    return over_rows(
        Severity.NOTE,
        "rejected sides that call a tool which is not offered",
        rows,
        "fine where that is the mistake to unlearn; otherwise add the tool",
    )


def character_bias(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Whether one side is longer in characters by more than chance."""
    return length_bias([Lengths(len(said(pair.chosen)), len(said(pair.rejected))) for pair in pairs], "characters")


def turn_bias(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Whether one side has more turns by more than chance."""
    return length_bias([Lengths(_turns(pair.chosen), _turns(pair.rejected)) for pair in pairs], "turns")


def side_turns(pairs: Sequence[PreferencePair]) -> Finding | None:
    """How many turns the sides have."""
    if not pairs:
        return None
    counts = Counter((_turns(pair.chosen), _turns(pair.rejected)) for pair in pairs)
    listed = ", ".join(f"{a} against {b} in {count}" for (a, b), count in counts.most_common(4))
    more = f" and {len(counts) - 4} other shapes" if len(counts) > 4 else ""
    return Finding(
        severity=Severity.NOTE,
        title=f"turns of chosen against rejected: {listed}{more}",
        count=len(pairs),
        rows=(),
        mend="",
    )


def decision_balance(pairs: Sequence[PreferencePair]) -> Finding | None:
    """What the first turn of each side decides; a warning where a decision is only ever rejected."""
    if not pairs:
        return None
    chosen = Counter(_first_decision(pair, "chosen") for pair in pairs)
    rejected = Counter(_first_decision(pair, "rejected") for pair in pairs)
    listed = ", ".join(
        f"{kind} {chosen[kind]} / {rejected[kind]}" for kind in Decision if chosen[kind] + rejected[kind]
    )
    never = [kind for kind in Decision if rejected[kind] and not chosen[kind]]
    return Finding(
        severity=Severity.WARNING if never else Severity.NOTE,
        title=f"first decision, chosen / rejected: {listed}",
        count=len(pairs),
        rows=(),
        mend=f"add pairs that choose {', '.join(never)}; what is only rejected is unlearned" if never else "",
    )


def length_bias(lengths: Sequence[Lengths], unit: str) -> Finding | None:
    """Whether the chosen side is longer, or shorter, by more than chance (sign test) and in most pairs.

    With n pairs of unequal length, k of them with the longer side chosen, k - n/2 has a standard deviation of
    sqrt(n)/2 for a fair coin: z = (2k - n) / sqrt(n).
    """
    unequal = [pair for pair in lengths if pair.chosen != pair.rejected]
    longer = sum(pair.chosen > pair.rejected for pair in unequal)
    most = max(longer, len(unequal) - longer)
    if not unequal or most < _BIASED * len(lengths) or (2 * most - len(unequal)) / math.sqrt(len(unequal)) < _SURE:
        return None
    direction = "longer" if most == longer else "shorter"
    medians = [statistics.median(side) for side in zip(*lengths, strict=True)]
    return Finding(
        severity=Severity.WARNING,
        title=(
            f"chosen is {direction} than rejected in {most} of {len(lengths)} pairs"
            f" (median {medians[0]:g} against {medians[1]:g} {unit})"
        ),
        count=most,
        rows=(),
        mend="the model may learn the length; balance the pairs, or use a length-normalised reduction (mean, diatool)",
    )


def _prompt(pair: PreferencePair) -> str:
    return said(pair.prompt) + "\n" + " ".join(tool.model_dump_json() for tool in pair.tools)


def _words(pair: PreferencePair, side: str) -> list[str]:
    return said(pair.chosen if side == "chosen" else pair.rejected).lower().split()


def _likeness(pair: PreferencePair) -> float:
    matcher = SequenceMatcher(None, _words(pair, "chosen"), _words(pair, "rejected"), autojunk=False)
    # The two cheap bounds spare most pairs the quadratic comparison.
    return matcher.ratio() if matcher.real_quick_ratio() >= _NEAR and matcher.quick_ratio() >= _NEAR else 0.0


def _turns(side: Sequence[object]) -> int:
    return sum(getattr(message, "role", "") == "assistant" for message in side)


def _first_decision(pair: PreferencePair, name: Literal["chosen", "rejected"]) -> Decision:
    """What the first turn of a side decides. A question that a side ends with asks for a slot: no call follows."""
    dialogue = pair.side(name)
    first = dialogue.messages[len(pair.prompt)]
    if first is dialogue.messages[-1] and first.decision is None and not first.tool_calls:
        text = first.content or ""
        if asks(text) and not states_something(text):
            return Decision.SLOT
    return decisions(dialogue)[dialogue.turns.index(len(pair.prompt))]
