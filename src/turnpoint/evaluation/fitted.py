"""Records as a model reads them, and those that are left out, with the reason."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.progress import with_progress
from turnpoint.template import Fit

Record = TypeVar("Record", Dialogue, PreferencePair)

_SOURCES_NAMED = 2  # for each reason


class Fitted(NamedTuple, Generic[Record]):
    """What became of records.

    Attributes:
        records: those that are kept.
        tokenized: the same as tokens.
        left_out: of each reason the sources of the others.
    """

    records: list[Record]
    tokenized: list[Any]
    left_out: dict[str, list[str]]


def fit_all(records: Sequence[Record], fit: Fit, progress: str | None) -> Fitted[Record]:
    """Tokenise records; those that training would leave out are left out here too.

    Args:
        records: dialogues or pairs.
        fit: tokenises one of them.
        progress: title of a progress bar; None shows none.
    """
    found: Fitted[Record] = Fitted([], [], {})
    for record in with_progress(records, progress):
        tokenized, fault, _ = fit(record)
        if fault is None:
            found.records.append(record)
            found.tokenized.append(tokenized)
        else:
            found.left_out.setdefault(fault, []).append(record.source or record.id)
    return found


def notes_on_left_out(left_out: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each reason, with the first sources."""
    return [
        f"left out {len(sources)}: {reason} ({', '.join(sources[:_SOURCES_NAMED])}"
        f"{', …' if len(sources) > _SOURCES_NAMED else ''})"
        for reason, sources in left_out.items()
    ]
