"""What of the data entered training and what was left out, counted and with examples."""

import logging
from typing import Any

from turnpoint.training.records import Facts

logger = logging.getLogger(__name__)


class DataReport:
    """What became of each split: train, eval, or eval and the name of the set.

    Attributes:
        general: lines about all of the data.
        splits: facts of each tokenised source.
    """

    def __init__(self) -> None:
        self.general: list[str] = []
        self.splits: dict[str, Facts] = {}

    def add(self, split: str, facts: Facts) -> None:
        """Record what became of a split, and say what was left out or changed."""
        self.splits[split] = facts
        for note in facts.notes:
            logger.info("%s data: %s", split, note)
        if facts.left_out:
            logger.warning(
                "%s data: kept %d of %d, left out %s", split, facts.kept, facts.read, in_words(facts.left_out)
            )
        if facts.shortened:
            logger.warning("%s data: shortened %s", split, in_words(facts.shortened))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        reported = ("source", "read", "kept", "left_out", "shortened", "notes")
        splits = {split: {name: getattr(facts, name) for name in reported} for split, facts in self.splits.items()}
        return {"notes": self.general, "splits": splits}


def in_words(counted: dict[str, dict[str, Any]]) -> str:
    """What was left out or shortened, on one line: count and reason, with the first of each."""
    parts = (
        f"{each['count']} {reason} ({', '.join(each['first'][:2])}{', …' if each['count'] > 2 else ''})"
        for reason, each in counted.items()
    )
    return "; ".join(parts) or "nothing"
