"""Findings over preference pairs: sides that are alike, repeated or contradictory, and what each side decides."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Literal

from turnpoint.dialogue import Decision, Message, PreferencePair, decisions
from turnpoint.dialogue.decisions import asks, states_something
from turnpoint.doctor.dialogues import repeats, said
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows
from turnpoint.doctor.lengths import Lengths, far_apart, length_bias

_NEAR = 0.95  # share of words in common, in order, from which sides are nearly equal


def equal_sides(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs whose sides are one text but for spaces and case."""
    return over_rows(
        Severity.ERROR,
        "sides that are equal but for spaces and case",
        [Place(pair.source) for pair in pairs if _words(pair, "chosen") == _words(pair, "rejected")],
        "remove the pair, or mend the side that was copied; nothing is preferred",
    )


def near_equal_sides(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs whose sides differ in less than one word of twenty."""
    return over_rows(
        Severity.NOTE,
        f"sides with at least {_NEAR:.0%} of their words in common",
        [Place(pair.source) for pair in pairs if _NEAR <= _likeness(pair) < 1],
        "fine where the difference is the point (one argument of a call); otherwise the signal drowns, remove the pair",
    )


def contradictions(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs that prefer what another pair of the same prompt rejects."""
    told = [(pair.source, _prompt(pair), said(pair.chosen), said(pair.rejected)) for pair in pairs]
    preferred = {(prompt, chosen, rejected) for _, prompt, chosen, rejected in told}
    return over_rows(
        Severity.ERROR,
        "pairs that another pair turns round",
        [Place(source) for source, prompt, chosen, rejected in told if (prompt, rejected, chosen) in preferred],
        "decide which side is better and remove the other pair",
    )


def duplicated_pairs(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs that are there already."""
    return over_rows(
        Severity.WARNING,
        "pairs that repeat an earlier row",
        repeats([(p.source, "\n".join([_prompt(p), said(p.chosen), "|", said(p.rejected)])) for p in pairs]),
        "remove the repeats; they weigh double",
    )


def duplicated_prompts(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Prompts that several pairs share."""
    return over_rows(
        Severity.NOTE,
        "pairs whose prompt an earlier pair has",
        repeats([(pair.source, _prompt(pair)) for pair in pairs]),
        "fine for several samples of a prompt; keep all of one prompt on one side of a train / eval split",
    )


def unknown_tools(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Rejected sides that call a tool which is not offered."""
    places = [
        Place(pair.source, f": {', '.join(sorted(unknown))}")
        for pair in pairs
        if (unknown := {call.name for m in pair.rejected for call in m.tool_calls} - {tool.name for tool in pair.tools})
    ]
    return over_rows(
        Severity.NOTE,
        "rejected sides that call a tool which is not offered",
        places,
        "fine where that is the mistake to unlearn; otherwise add the tool",
    )


def character_bias(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Whether one side is longer in characters by more than chance."""
    return length_bias(_characters(pairs), "characters")


def characters_far_apart(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Pairs of which one side is many times as long as the other in characters."""
    return far_apart(_characters(pairs), "characters")


def turn_bias(pairs: Sequence[PreferencePair]) -> Finding | None:
    """Whether one side has more turns by more than chance."""
    return length_bias([Lengths(_turns(pair.chosen), _turns(pair.rejected), pair.source) for pair in pairs], "turns")


def side_decisions(pair: PreferencePair, name: Literal["chosen", "rejected"]) -> tuple[Decision, ...]:
    """The decisions of the turns of a side, those of the shared prompt first.

    A question that a side begins and ends with asks for a slot: no call follows that would tell.
    """
    dialogue = pair.side(name)
    decided = list(decisions(dialogue))
    first = dialogue.messages[len(pair.prompt)]
    text = first.content or ""
    judged = first is dialogue.messages[-1] and first.decision is None and not first.tool_calls
    if judged and asks(text) and not states_something(text):
        decided[-1] = Decision.SLOT
    return tuple(decided)


def first_decision(pair: PreferencePair, name: Literal["chosen", "rejected"]) -> Decision:
    """What the first turn of a side decides; see `side_decisions`."""
    return side_decisions(pair, name)[pair.side(name).turns.index(len(pair.prompt))]


def _prompt(pair: PreferencePair) -> str:
    return said(pair.prompt) + "\n" + " ".join(tool.model_dump_json() for tool in pair.tools)


def _words(pair: PreferencePair, side: str) -> list[str]:
    return said(pair.chosen if side == "chosen" else pair.rejected).lower().split()


def _likeness(pair: PreferencePair) -> float:
    """Share of words that both sides have in their order; 0 where it is below `_NEAR`."""
    one, other = _words(pair, "chosen"), _words(pair, "rejected")
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    # The two cheap bounds spare most pairs the quadratic comparison, and what both begin and end with most words of it.
    if matcher.real_quick_ratio() < _NEAR or matcher.quick_ratio() < _NEAR:
        return 0.0
    start = _common(one, other)
    end = _common(one[start:][::-1], other[start:][::-1])
    matcher.set_seqs(one[start : len(one) - end], other[start : len(other) - end])
    middle = sum(block.size for block in matcher.get_matching_blocks())
    return 2 * (start + middle + end) / (len(one) + len(other))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda words: words[0] == words[1], zip(one, other, strict=False)))


def _characters(pairs: Sequence[PreferencePair]) -> list[Lengths]:
    return [Lengths(len(said(pair.chosen)), len(said(pair.rejected)), pair.source) for pair in pairs]


def _turns(side: Sequence[Message]) -> int:
    return sum(message.role == "assistant" for message in side)
