"""What the token tree spares, counted by hand."""

from tests.doctor.builders import found

from turnpoint.doctor import Row
from turnpoint.doctor.savings import Saving, grouping_pays, saving
from turnpoint.template import TokenizedDialogue


def row(*sequences: list[int], dialogue_id: str = "") -> Row:
    return Row("a", tuple(TokenizedDialogue(ids, ()) for ids in sequences), 0, dialogue_id)


def test_pairs_share_their_prompt_and_dialogues_more() -> None:
    """1234|125: 5 nodes of 7; 1239|17: 5 of 6; all four: 1234, 5 after 12, 9 after 123, 7 after 1: 7 of 13."""
    rows = [row([1, 2, 3, 4], [1, 2, 5], dialogue_id="d"), row([1, 2, 3, 9], [1, 7], dialogue_id="d")]
    assert saving(rows) == Saving(plain=13, tree=10, by_dialogue=7, speed_up=13 / 10, speed_up_by_dialogue=13 / 7)
    assert found(grouping_pays(saving(rows))).title == (
        "the token tree runs 10 tokens instead of 13 (1.30 times fewer), and 7 with all pairs of a dialogue in one tree"
        " (1.86 times fewer)"
    )


def test_rows_of_no_dialogue_share_nothing_with_each_other() -> None:
    rows = [row([1, 2, 3, 4], [1, 2, 5]), row([1, 2, 3, 4], [1, 2, 5])]
    assert (saving(rows).tree, saving(rows).by_dialogue) == (10, 10)
    assert grouping_pays(saving(rows)) is None


def test_dialogues_alone_spare_nothing() -> None:
    assert saving([row([1, 2, 3])]) == Saving(plain=3, tree=3, by_dialogue=3, speed_up=1.0, speed_up_by_dialogue=1.0)
    assert saving([]).speed_up == 1.0
