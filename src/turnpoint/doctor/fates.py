"""What becomes of each row under each overflow policy, by the same code as in training."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor.tokens import Tokenized
from turnpoint.errors import TemplateError
from turnpoint.progress import with_progress
from turnpoint.template import Fit, Overflow, Renderer, fit_dialogues, fit_pairs

_REFUSED_WHEN_TRIMMED = "the chat template refuses what is left"


@dataclass(kw_only=True)
class Fate:
    """What becomes of the rows under one overflow policy.

    Attributes:
        kept: rows that enter training, shortened ones included.
        shortened: how rows lose something -> where they are.
        left_out: why rows do not enter training -> where they are.
    """

    kept: int = 0
    shortened: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def fates(tokenized: Tokenized, renderer: Renderer, max_length: int | None) -> dict[Overflow, Fate]:
    """What becomes of rows under `drop`, `trim_history` and `keep_start`; `error` would stop at the first too long.

    Args:
        tokenized: the rows; only what is shortened is tokenised again.
        renderer: that made them.
        max_length: most tokens of a sequence; None for no limit.
    """
    known = {id(record): row.tokenized for record, row in zip(tokenized.records, tokenized.rows, strict=True)}

    def tokenize(record: Any) -> Any:
        again = renderer.tokenize_pair if isinstance(record, PreferencePair) else renderer.tokenize
        return known.get(id(record)) or again(record)

    pairs = bool(tokenized.records) and isinstance(tokenized.records[0], PreferencePair)
    make = fit_pairs if pairs else fit_dialogues
    policies: list[Overflow] = [overflow for overflow in get_args(Overflow) if overflow != "error"]
    return {
        overflow: _fate(
            with_progress(tokenized.records, f"Fitting ({overflow})"),
            make(renderer, max_length=max_length, overflow=overflow)._replace(tokenize=tokenize),
        )
        for overflow in policies
    }


def _fate(records: Iterable[Dialogue | PreferencePair], fit: Fit) -> Fate:
    fate = Fate()
    for record in records:
        try:
            fitted = fit(record)
        except TemplateError:
            fate.left_out.setdefault(_REFUSED_WHEN_TRIMMED, []).append(record.source)
            continue
        if fitted.fault is not None:
            fate.left_out.setdefault(fitted.fault, []).append(record.source)
            continue
        fate.kept += 1
        if fitted.how is not None:
            fate.shortened.setdefault(fitted.how, []).append(record.source)
    return fate
