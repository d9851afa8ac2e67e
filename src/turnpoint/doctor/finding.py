"""What the doctor says: one finding about a data set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

_SHOWN = 5  # places shown of a finding


class Severity(IntEnum):
    """How much a finding matters: an error spoils training, a warning may, a note is good to know."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


class Place(NamedTuple):
    """Where something was found, and what stands there: `file.jsonl:12` and `: weather(city)`."""

    source: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is true of a data set.

    Attributes:
        severity: how much it matters.
        title: what was found, in one line.
        count: how many rows it concerns (other units are named in the title).
        rows: where the first of them are, with details.
        sources: file and line of every row it concerns, each once; none where it is about the data as a whole.
        mend: what to do about it.
        advice: nothing is wrong: it says what could be better.
        against: the other data set in which its rows stand; "" where it is about this one alone.
    """

    severity: Severity
    title: str
    count: int
    rows: tuple[str, ...]
    sources: tuple[str, ...] = ()
    mend: str
    advice: bool = False
    against: str = ""

    def share(self, total: int) -> float:
        """Which part of `total` rows it harms: all of them where it names none."""
        if self.advice:
            return 0.0
        return len(self.sources) / total if self.sources else 1.0


def over_rows(severity: Severity, title: str, places: Sequence[Place], mend: str) -> Finding | None:
    """A finding about the places given; None when there are none."""
    if not places:
        return None
    return Finding(
        severity=severity,
        title=title,
        count=len(places),
        rows=tuple(place.source + place.detail for place in places[:_SHOWN]),
        sources=tuple(dict.fromkeys(place.source for place in places)),
        mend=mend,
    )


def over_all(severity: Severity, title: str, count: int, mend: str, *, advice: bool = False) -> Finding:
    """A finding about the data as a whole."""
    return Finding(severity=severity, title=title, count=count, rows=(), mend=mend, advice=advice)


def ranked(findings: Iterable[Finding], total: int) -> tuple[Finding, ...]:
    """Findings by harm: by severity, then by their share of `total` rows; in their order where both are equal."""
    return tuple(sorted(findings, key=lambda finding: (-finding.severity, -finding.share(total))))
