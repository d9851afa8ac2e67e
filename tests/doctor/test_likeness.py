"""Texts that are nearly the same: likeness by hand, and what is found and at which cost."""

from random import Random

import pytest

from turnpoint.doctor import likeness as module
from turnpoint.doctor.finding import Place
from turnpoint.doctor.likeness import NEAR, Text, likeness, near_repeats, pieces_of


def noise(seed: int, length: int = 400) -> str:
    """Random letters; two of these share no piece, but by a chance of less than 1 in 10^15."""
    return "".join(Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=length))


def mutated(text: str, *places: int) -> str:
    return "".join("_" if i in places else letter for i, letter in enumerate(text))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("abcdefghijklmnopq", "abcdefghijklmnopq", 1.0),
        ("abcdefghijklmnopq", "abcdefghijklmnop_", 1 / 3),  # two pieces of 16 each, one in common, three in all
        ("abcdefghijklmnopq", "_bcdefghijklmnop_", 0.0),
        ("ABCDEFGH  IJKLMNOPQ ", "abcdefgh ijklmnopq", 1.0),  # case and white space do not count
        ("Hi", "Ha", 0.0),  # shorter than a piece
        ("안녕하세요 서울입니다", "안녕하세요 서울입니다", 1.0),
    ],
)
def test_likeness_is_the_share_of_pieces_that_both_have(one: str, other: str, expected: float) -> None:
    assert likeness(pieces_of(one), pieces_of(other)) == pytest.approx(expected)


def test_a_change_in_the_middle_costs_sixteen_pieces() -> None:
    """Of 400 letters there are 385 pieces; 16 hold the changed one: 369 in common of 385 + 16."""
    text = noise(0)
    places = near_repeats([Text("a:1", text), Text("a:2", noise(1)), Text("a:3", mutated(text, 200))])
    assert places == [Place("a:3", " (92% as a:1)")]


def test_what_is_equal_or_of_one_group_is_not_news() -> None:
    text = noise(0)
    assert near_repeats([Text("a:1", text), Text("a:2", text)]) == []
    assert near_repeats([Text("a:1", text, "d"), Text("a:2", mutated(text, 200), "d")]) == []
    assert near_repeats([Text("a:1", text, "d"), Text("a:2", mutated(text, 200), "e")]) == [
        Place("a:2", " (92% as a:1)")
    ]
    assert near_repeats([Text("a:1", text), Text("a:2", text.upper())]) == [Place("a:2", " (100% as a:1)")]


def test_below_the_bound_nothing_is_reported() -> None:
    """Of 385 pieces 16 are lost by each change far from the others: 337 of 433 in common, .778."""
    text = noise(0)
    changed = mutated(text, 100, 200, 300)
    assert likeness(pieces_of(text), pieces_of(changed)) == pytest.approx(337 / 433)
    assert NEAR > 337 / 433
    assert near_repeats([Text("a:1", text), Text("a:2", changed)]) == []


def test_nearly_all_that_is_near_is_found() -> None:
    """With a likeness of 369 / 401 = .92 a candidate is missed with a probability of (1 - .92^6)^10 = 9e-5."""
    texts = [noise(seed) for seed in range(200)]
    near = [mutated(text, 150 + i % 100) for i, text in enumerate(texts)]
    found = near_repeats(Text(f"a:{i}", text) for i, text in enumerate(texts + near))
    assert [place.source for place in found] == [f"a:{i}" for i in range(200, 400)]


def test_texts_that_are_all_somewhat_alike_are_compared_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counting(one: module.Pieces, other: module.Pieces) -> float:
        nonlocal compared
        compared += 1
        return likeness(one, other)

    monkeypatch.setattr(module, "likeness", counting)
    head = noise(0, 1000)
    near_repeats(Text(f"a:{i}", head + noise(i, 320)) for i in range(1, 301))  # about .75 of all pieces in common
    assert 0 < compared <= 2 * 300
