"""Rows that were rated: how many of each rating, and what is told where one side lacks."""

import pytest
from tests.doctor.builders import assistant, dialogue, found, pair, user

from turnpoint.dialogue import Dialogue
from turnpoint.doctor import Severity, examine, overview
from turnpoint.doctor.ratings import lopsided, ratings


def rated(desirable: int, undesirable: int, unrated: int = 0) -> list[Dialogue]:
    row = dialogue(user("Hi"), assistant("Hello"))
    labels = [True] * desirable + [False] * undesirable + [None] * unrated
    return [row.model_copy(update={"label": label, "source": f"a:{i}"}) for i, label in enumerate(labels)]


def test_how_many_rows_have_each_rating() -> None:
    assert ratings(rated(3, 2)) == {"desirable": 3, "undesirable": 2}
    assert ratings(rated(3, 0, 1)) == {"desirable": 3, "undesirable": 0, "unrated": 1}
    assert ratings(rated(0, 0, 5)) == {}
    assert ratings([pair("A", "B")]) == {}
    assert overview(rated(3, 2), "openai").ratings == {"desirable": 3, "undesirable": 2}


@pytest.mark.parametrize(("counts", "lacking"), [((3, 0), "undesirable"), ((0, 3), "desirable")])
def test_a_rating_that_no_row_has(counts: tuple[int, int], lacking: str) -> None:
    finding = found(lopsided(rated(*counts)))
    assert (finding.severity, finding.count) == (Severity.ERROR, 3)
    assert finding.title == f"rated rows of which none is {lacking}"


def test_ratings_of_which_one_is_below_a_tenth_of_the_other() -> None:
    """25 / 2 = 12.5 times as many; 1 for 10 is not below a tenth."""
    finding = found(lopsided(rated(25, 2)))
    assert (finding.severity, finding.count) == (Severity.WARNING, 2)
    assert finding.title == "2 rated rows are undesirable, against 25 that are desirable: 1 for 12.5"
    assert "count each undesirable row 12.5 times" in finding.mend
    assert (
        found(lopsided(rated(1, 11))).title == "1 rated rows are desirable, against 11 that are undesirable: 1 for 11.0"
    )
    assert lopsided(rated(10, 1)) is None
    assert lopsided(rated(0, 0, 3)) is None


def test_examine_looks_at_ratings() -> None:
    assert "rated rows of which none is undesirable" in [each.title for each in examine(rated(2, 0))]
