"""What of the data entered training and what was left out, counted and with examples."""

import logging
from pathlib import Path
from typing import Any

from turnpoint.template import Prepared

logger = logging.getLogger(__name__)

_EXAMPLES = 5  # sources named for each reason


class DataReport:
    """Counts of each split, as they become known."""

    def __init__(self) -> None:
        self.general: list[str] = []
        self.splits: dict[str, dict[str, Any]] = {}

    def add(self, split: str, name: str, read: int, prepared: Prepared, notes: tuple[str, ...]) -> None:
        """Record what became of a split, and say what was left out or changed.

        Args:
            split: train, eval, or eval and the name of the set.
            name: where the records came from.
            read: records read.
            prepared: what is left of them.
            notes: what was changed in the records, one line each.
        """
        self.splits[split] = {
            "source": name,
            "read": read,
            "kept": len(prepared.kept),
            "left_out": _counted(prepared.left_out),
            "shortened": _counted(prepared.shortened),
            "notes": list(notes),
        }
        for note in notes:
            logger.info("%s data: %s", split, note)
        if prepared.left_out:
            logger.warning("%s data: kept %d of %d, left out %s", split, len(prepared.kept), read, self.counts(split))
        if prepared.shortened:
            logger.warning("%s data: shortened %s", split, self.counts(split, "shortened"))

    def counts(self, split: str, what: str = "left_out") -> str:
        """What was left out of a split, or `shortened`, on one line: count and reason, with the first of each."""
        reasons = self.splits[split][what].items()
        return (
            "; ".join(
                f"{each['count']} {reason} ({', '.join(each['first'][:2])}{', …' if each['count'] > 2 else ''})"
                for reason, each in reasons
                if each["count"]
            )
            or "nothing"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        return {"notes": self.general, "splits": self.splits}


def _counted(sources_by_reason: dict[str, list[str]]) -> dict[str, Any]:
    return {
        reason: {"count": len(sources), "first": sources[:_EXAMPLES]} for reason, sources in sources_by_reason.items()
    }


def name_of(source: Any) -> str:
    """A name for what was handed over as data."""
    if isinstance(source, str | Path):
        return str(source)
    info = getattr(source, "info", None)
    return str(getattr(info, "dataset_name", None) or f"{type(source).__name__} in memory")
