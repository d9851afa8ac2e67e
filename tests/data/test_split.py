"""Parts that never overlap and never change."""

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnpoint.data import part_of, stage_split
from turnpoint.errors import ConfigError

_weights = st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any)


def test_the_part_is_where_the_hash_falls_on_the_weights_laid_end_to_end() -> None:
    """With weights 9, 8, 3 the first part ends at 9/20 of the range of the hash, the second at 17/20."""
    for dialogue_id in ("32_00108", "glaive.json[12]", ""):
        digest = hashlib.blake2b(f"0:{dialogue_id}".encode(), digest_size=8).hexdigest()
        fraction = int(digest, 16) / 2**64
        expected = 0 if fraction < 0.45 else 1 if fraction < 0.85 else 2
        assert part_of(dialogue_id, (9, 8, 3)) == expected


def test_the_split_of_released_versions_stays() -> None:
    assert [part_of(str(i), (9, 8, 3)) for i in range(12)] == [1, 2, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0]


def test_the_split_is_the_same_in_another_process() -> None:
    """Python's own hash of strings differs between processes."""
    ids = [str(i) for i in range(50)]
    code = "from turnpoint.data import stage_split; print(stage_split([str(i) for i in range(50)], (3, 1, 1)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(stage_split(ids, (3, 1, 1)))


@given(st.lists(st.text(max_size=4)), _weights, st.integers())
def test_every_dialogue_is_in_one_part_and_equal_ids_are_in_the_same(
    ids: list[str], weights: list[int], seed: int
) -> None:
    parts = stage_split(ids, weights, seed=seed)
    assert sorted(i for part in parts for i in part) == list(range(len(ids)))
    names = [{ids[i] for i in part} for part in parts]
    assert sum(map(len, names)) == len(set(ids))
    assert all(not part for part, weight in zip(parts, weights, strict=True) if weight == 0)


def test_adding_dialogues_moves_none() -> None:
    few, many = [str(i) for i in range(20)], [str(i) for i in range(200)]
    assert stage_split(few, (1, 1)) == tuple(tuple(i for i in part if i < 20) for part in stage_split(many, (1, 1)))


def test_shares_are_near_the_weights_and_seeds_differ() -> None:
    """2,000 draws at 80%: the standard deviation is 18, so 1,500 to 1,700 is five and a half of them."""
    ids = [f"dialogue {i}" for i in range(2000)]
    first, second = (stage_split(ids, (80, 20), seed=seed) for seed in (0, 1))
    assert 1500 < len(first[0]) < 1700
    assert first != second


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [0.5, 0.5]])
def test_weights_that_make_no_parts_are_refused(weights: list[int]) -> None:
    with pytest.raises(ConfigError) as error:
        stage_split([], weights)
    assert str(error.value) == f"weights: must be whole numbers from 0, one of them positive (got {weights})"
