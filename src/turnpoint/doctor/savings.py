"""How many tokens the token tree spares, and whether pairs of one dialogue in one tree would spare more."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnpoint.doctor.finding import Finding, Severity, over_all
from turnpoint.doctor.tokens import Row
from turnpoint.progress import with_progress
from turnpoint.template.spans import TokenIds
from turnpoint.tree import build_tree
from turnpoint.tree.build import common_prefix

_WORTH = 1.1  # times fewer tokens, from which grouping by dialogue is worth a word


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Tokens that run in one pass over the data.

    Attributes:
        plain: each sequence by itself.
        tree: both sides of a pair in one token tree.
        by_dialogue: all pairs of one dialogue in one tree, at best: as far as they fit in one step and one row.
        speed_up: how many times fewer tokens run in trees of pairs than alone.
        speed_up_by_dialogue: the same in trees of dialogues.
    """

    plain: int
    tree: int
    by_dialogue: int
    speed_up: float
    speed_up_by_dialogue: float


def saving(rows: Sequence[Row]) -> Saving:
    """What the token tree spares on these rows."""
    of_dialogue: dict[str, list[TokenIds]] = defaultdict(list)
    plain, tree = 0, 0
    for i, row in enumerate(with_progress(rows, "Building trees")):
        sequences = [sequence.input_ids for sequence in row.sequences]
        plain += sum(map(len, sequences))
        tree += _nodes(sequences)
        of_dialogue[f"id {row.dialogue_id}" if row.dialogue_id else f"row {i}"] += sequences
    by_dialogue = sum(map(_nodes, with_progress(of_dialogue.values(), "Building trees", total=len(of_dialogue))))
    return Saving(
        plain=plain,
        tree=tree,
        by_dialogue=by_dialogue,
        speed_up=plain / tree if tree else 1.0,
        speed_up_by_dialogue=plain / by_dialogue if by_dialogue else 1.0,
    )


def grouping_pays(found: Saving) -> Finding | None:
    """More is shared when the pairs of one dialogue run in one token tree."""
    if found.speed_up_by_dialogue < _WORTH * found.speed_up:
        return None
    return over_all(
        Severity.NOTE,
        f"the token tree runs {found.tree} tokens instead of {found.plain} ({found.speed_up:.2f} times fewer), and"
        f" {found.by_dialogue} with all pairs of a dialogue in one tree ({found.speed_up_by_dialogue:.2f} times fewer)",
        found.plain - found.by_dialogue,
        "set group_by to dialogue; steps then hold pairs that are alike, so compare what is learnt",
        advice=True,
    )


def _nodes(sequences: Sequence[TokenIds]) -> int:
    """Tokens of the token tree of sequences."""
    if len(sequences) <= 2:
        first, last = (np.asarray(sequence) for sequence in (sequences[0], sequences[-1]))
        return len(first) + len(last) - common_prefix(first, last)
    return len(build_tree(sequences).input_ids)
