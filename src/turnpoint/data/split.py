"""Parts of a data set that never overlap: which part a dialogue is in depends on its id alone."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError

_BITS = 64


class StagePart(StrEnum):
    """The stages that may share the dialogues of a data set, in the order of their shares."""

    SFT = "sft"
    REWARD = "reward"
    DPO = "dpo"


class Part(NamedTuple):
    """The share of a stage."""

    shares: tuple[int, ...]
    stage: StagePart

    def holds(self, record: Dialogue | PreferencePair) -> bool:
        """Whether a dialogue, or the one a pair comes from, is in it; the same in every run, on every machine."""
        return part_of(record.key, self.shares) == list(StagePart).index(self.stage)


def part_of(dialogue_id: str, weights: Sequence[int], *, seed: int = 0) -> int:
    """The part a dialogue belongs to, the same in every run and on every machine.

    Args:
        dialogue_id: id of the dialogue; every pair made from it has the same part.
        weights: share of each part, whole numbers: (80, 15, 5) or (1, 1).
        seed: another seed, another split.

    Returns:
        Index into `weights`.

    Raises:
        ConfigError: a weight is negative, or none is positive.
    """
    _check(weights)
    digest = hashlib.blake2b(f"{seed}:{dialogue_id}".encode(errors="surrogatepass"), digest_size=_BITS // 8).digest()
    position = int.from_bytes(digest, "big") * sum(weights) >> _BITS  # in [0, sum of the weights)
    return next(part for part, end in enumerate(accumulate(weights)) if position < end)


def stage_split(dialogue_ids: Sequence[str], weights: Sequence[int], *, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Split dialogues into parts by their ids.

    A part's share of the dialogues is near its weight, not exactly it: no dialogue moves when others are added.

    Returns:
        For each weight, the indexes into `dialogue_ids` that fall to it, increasing.

    Raises:
        ConfigError: a weight is negative, or none is positive.
    """
    _check(weights)
    parts: list[list[int]] = [[] for _ in weights]
    for i, dialogue_id in enumerate(dialogue_ids):
        parts[part_of(dialogue_id, weights, seed=seed)].append(i)
    return tuple(tuple(part) for part in parts)


def _check(weights: Sequence[int]) -> None:
    if not weights or not all(isinstance(weight, int) and weight >= 0 for weight in weights) or not sum(weights):
        raise ConfigError(f"weights: must be whole numbers from 0, one of them positive (got {list(weights)})")
