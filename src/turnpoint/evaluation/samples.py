"""Scores of sampled replies by what the data says at their place."""

from collections.abc import Sequence

from turnpoint.dialogue import Dialogue, decisions
from turnpoint.evaluation.graders import Grader, grade
from turnpoint.evaluation.items import DecisionItem
from turnpoint.pairs import Samples
from turnpoint.sampling import Reply

RIGHT, WRONG = 1.0, 0.0


def gold_scores(samples: Sequence[Samples], grader: Grader = grade) -> list[list[float]]:
    """1 for each reply that decides as the data does at its place, 0 for each that does not.

    Args:
        samples: with `gold`; replies to a prompt without it score NaN, since nobody knows what is right there.
        grader: judges a reply; by default by its decision.
    """
    return [_scores(drawn, grader) for drawn in samples]


def _scores(drawn: Samples, grader: Grader) -> list[float]:
    if not drawn.gold:
        return [float("nan")] * len(drawn.replies)
    item = item_of(drawn)
    return [RIGHT if grader(item, Reply(each.text, each.cut)).passed else WRONG for each in drawn.replies]


def item_of(drawn: Samples) -> DecisionItem:
    """The turn that is due at a prompt, as the data goes on there."""
    # The gold side may call what is not offered, where that is what the data rejects; so nothing is checked here.
    whole = Dialogue.model_construct(messages=(*drawn.prompt, *drawn.gold), tools=drawn.tools, source=drawn.source)
    due = dict(zip(whole.turns, decisions(whole), strict=True))[len(drawn.prompt)]
    calls = next((message.tool_calls for message in drawn.gold if message.tool_calls), ())
    return DecisionItem(drawn.prompt, drawn.tools, due, calls, drawn.source)
