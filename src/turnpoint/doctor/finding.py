"""What the doctor says: one finding about a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_SHOWN = 5  # rows named in a finding


class Severity(IntEnum):
    """How much a finding matters: an error spoils training, a warning may, a note is good to know."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is true of a data set.

    Attributes:
        severity: how much it matters.
        title: what was found, in one line.
        count: how many rows it concerns (other units are named in the title).
        rows: where the first of them are.
        mend: what to do about it; empty where nothing needs doing.
    """

    severity: Severity
    title: str
    count: int
    rows: tuple[str, ...]
    mend: str


def over_rows(severity: Severity, title: str, rows: Sequence[str], mend: str) -> Finding | None:
    """A finding about the rows given; None when there are none."""
    if not rows:
        return None
    return Finding(severity=severity, title=title, count=len(rows), rows=tuple(rows[:_SHOWN]), mend=mend)
