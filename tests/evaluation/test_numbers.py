"""Numbers by hand: how people write them, and what is taken for the same."""

import pytest

from turnpoint.evaluation.numbers import is_known, numbers_in, tokens


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$23,362.72 in all", {23362.72}),
        ("1,2 and 3", {1, 2, 3}),
        ("2024-05-19 19:05:56", {2024, 5, 19, 7, 56}),  # 19 o'clock is also 7
        ("at 7:30", {7, 19, 30}),
        ("10.0.0.1", {10, 0, 1}),
        ("7만 1500원, 2.5万", {71500, 25000}),
        ("two tickets, twelve seats", {2, 12}),
        ("someone, often", set()),
        ("한 명, 열두 시", {1, 12}),
        ("네, 한국에서 두루", set()),
        ("两张票, 三个人", {2, 3}),
        ("等一下", set()),
    ],
)
def test_numbers_of_a_text(text: str, found: set[float]) -> None:
    assert numbers_in(text) == found


@pytest.mark.parametrize(
    ("token", "known", "same"),
    [
        ("1337", {1337.39}, True),
        ("1337.4", {1337.39}, True),
        ("1337.5", {1337.39}, False),
        ("4", {-4.0}, True),
        ("45", {0.45}, True),
        ("45", {45.2, 3}, True),
        ("7:05", {19.0, 7.0, 5.0}, True),
        ("8:05", {19.0, 7.0, 5.0}, False),
        ("71,500", {71500.0}, True),
    ],
)
def test_a_number_among_the_known(token: str, known: set[float], same: bool) -> None:
    assert tokens(f"it is {token}.") == [token]
    assert is_known(token, known) is same
