"""Sizes of sets, divided as the paper divides them."""

import pytest

from turnpoint.errors import ConfigError
from turnpoint.pairs.draw import apportioned, row_quotas
from turnpoint.pairs.forks import BUILDERS
from turnpoint.pairs.rows import ROWS


def test_no_size_is_no_limit() -> None:
    assert row_quotas(easy=None, hard=None) is None


def test_sizes_are_divided_by_the_papers_counts() -> None:
    """The hard set has 8,437 pairs, 2,530 of them the M row of invented calls: 30 of 100."""
    quotas = row_quotas(easy=None, hard=100)
    assert quotas is not None
    assert sum(quotas.values()) == 100
    assert quotas["invented call hard M"] == 30
    assert {quotas[row.name] for row in ROWS if row.set == "easy"} == {0}
    assert {quotas[kind] for kind in BUILDERS} == {0}


def test_types_weigh_within_a_set() -> None:
    quotas = row_quotas(easy=100, hard=100, types=[1, 1, 2])
    assert quotas is not None
    by_type = {
        (name, type): sum(quotas[row.name] for row in ROWS if (row.set, row.query_type) == (name, type))
        for name in ("easy", "hard")
        for type in (1, 2, 3)
    }
    assert by_type == {
        ("easy", 1): 50, ("easy", 2): 50, ("easy", 3): 0,
        ("hard", 1): 25, ("hard", 2): 25, ("hard", 3): 50,
    }  # fmt: skip


def test_largest_remainders() -> None:
    """Shares of 7 by 3 : 2 : 2 are 3, 2, 2; of 5 they are 2.14, 1.43, 1.43, so one more goes to the first of them."""
    assert apportioned({"a": 3, "b": 2, "c": 2}, 7) == {"a": 3, "b": 2, "c": 2}
    assert apportioned({"a": 3, "b": 2, "c": 2}, 5) == {"a": 2, "b": 2, "c": 1}
    assert apportioned({"a": 0}, 5) == {"a": 0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"easy": -1, "hard": None}, r"^easy: must be a number of pairs from 0 \(got -1\)$"),
        ({"easy": 1, "hard": None, "types": [1, 1]}, r"^types: must be three weights .* \(got \[1, 1\]\)$"),
        ({"easy": 1, "hard": None, "types": [0, 0, 0]}, r"^types: must be three weights"),
        ({"easy": 1, "hard": None, "types": [1, 1, float("nan")]}, r"^types: must be three weights"),
        ({"easy": 1, "hard": None, "types": [0, 0, 1]}, r"^types: leaves nothing of the easy set, which has no query"),
        ({"easy": None, "hard": None, "types": [1, 1, 1]}, r"^types: weighs the types within a set; say how many"),
    ],
)
def test_impossible_sizes_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        row_quotas(**given)  # type: ignore[arg-type]
