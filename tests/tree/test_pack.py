"""Rows hold every item once, under a budget that counts tree tokens."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from turnpoint.tree import build_tree, pack_rows

Item = list[list[int]]
items_of_sequences = st.lists(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=3), max_size=10
)


def tree_tokens(items: list[Item], row: list[int]) -> int:
    return len(build_tree([ids for i in row for ids in items[i]]).input_ids)


@given(items_of_sequences, st.integers(1, 20))
def test_every_item_once_and_no_row_over_budget_but_single_items(items: list[Item], budget: int) -> None:
    rows = pack_rows(items, budget)
    assert sorted(i for row in rows for i in row) == list(range(len(items)))
    for row in rows:
        assert row == sorted(row)
        assert len(row) == 1 or tree_tokens(items, row) <= budget


@given(items_of_sequences, st.integers(1, 20))
def test_rows_are_full_before_the_next_begins(items: list[Item], budget: int) -> None:
    """What was put into row n + 1 first did not fit into row n, so no two neighbours fit into one row."""
    rows = sorted(pack_rows(items, budget), key=lambda row: min(items[i] for i in row))
    for row, following in pairwise(rows):
        assert tree_tokens(items, row + following) > budget


@given(items_of_sequences.flatmap(lambda items: st.tuples(st.just(items), st.permutations(range(len(items))))))
def test_the_same_items_meet_whatever_order_they_come_in(case: tuple[list[Item], list[int]]) -> None:
    items, order = case
    shuffled = [items[i] for i in order]
    as_given = [sorted(items[i] for i in row) for row in pack_rows(items, 12)]
    assert [sorted(shuffled[i] for i in row) for row in pack_rows(shuffled, 12)] == as_given


@given(items_of_sequences, st.integers(1, 20))
def test_the_largest_row_comes_first(items: list[Item], budget: int) -> None:
    sizes = [tree_tokens(items, row) for row in pack_rows(items, budget)]
    assert sizes == sorted(sizes, reverse=True)


def test_pairs_of_one_dialogue_share_a_row_and_its_budget() -> None:
    """Two pairs on the prompt 1 2 3 4 cost 4 + 4 × 2 = 12 tree tokens, the pair on 9 9 9 9 costs 8."""
    prompt, other = [1, 2, 3, 4], [9, 9, 9, 9]
    pairs = [
        [[*prompt, 5, 5], [*prompt, 6, 6]],
        [[*other, 5, 5], [*other, 6, 6]],
        [[*prompt, 7, 7], [*prompt, 8, 8]],
    ]
    assert pack_rows(pairs, 12) == [[0, 2], [1]]
    assert pack_rows(pairs, 11) == [[0], [2], [1]]
    assert pack_rows(pairs, 20) == [[0, 1, 2]]


def test_a_full_row_takes_only_what_shares_half_of_it() -> None:
    prompt, other = [1, 2, 3, 4, 5], [9, 9, 9, 9, 9]
    pairs = [[[*prompt, i], [*prompt, i + 1]] for i in (10, 20, 30)] + [[[*other, 5], [*other, 6]]]
    assert pack_rows(pairs, 30) == [[0, 1, 2, 3]]
    assert pack_rows(pairs, 30, full_at=7) == [[0, 1, 2], [3]]  # 7 + 2 + 2, each of which is 7 by itself
    assert pack_rows(pairs, 10, full_at=7) == [[0, 1], [2], [3]]
    assert pack_rows(pairs, 30, full_at=18) == [[0, 1, 2, 3]]


def test_an_item_over_budget_has_a_row_of_its_own() -> None:
    assert pack_rows([[[1]], [[2] * 9], [[3]], [[4]]], 3) == [[1], [2, 3], [0]]


def test_nothing_gives_no_rows() -> None:
    assert pack_rows([], 10) == []
