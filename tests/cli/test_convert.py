"""Text to types: what is taken, what is refused, and what a field says it takes."""

from typing import Any, Literal

import pytest
from transformers.trainer_utils import IntervalStrategy

from turnpoint.cli.convert import convert, describe, readable


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("7", int, 7),
        ("1e-5", float, 1e-5),
        ("3", float, 3.0),
        ("Yes", bool, True),
        ("off", bool, False),
        ("7", str, "7"),
        ("null", int | None, None),
        ("none", int | None, None),
        (None, str | None, None),
        ("none", str | None, "none"),
        ("none", None | str | list[str], "none"),
        ("wandb", None | str | list[str], "wandb"),
        ("[a, b]", None | str | list[str], ["a", "b"]),
        ("a,b", list[str] | None, ["a", "b"]),
        (["a", "b"], list[str] | None, ["a", "b"]),
        (["1", 2], list[int], [1, 2]),
        ('{"a": 1}', dict[str, Any] | str | None, {"a": 1}),
        ("ds.json", dict[str, Any] | str | None, "ds.json"),
        ({"a": 1}, dict[str, Any] | str | None, {"a": 1}),
        ("no", IntervalStrategy | str, "no"),
        ("b", Literal["a", "b"], "b"),
        ("true", str | bool, True),
        ("all", str | bool, "all"),
    ],
)
def test_what_is_taken(value: Any, kind: Any, expected: Any) -> None:
    converted = convert(value, kind)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1.5", int),
        ("fast", float),
        ("maybe", bool),
        (None, int),
        ("null", int),
        ([1], int),
        ({"a": 1}, str),
        ("often", IntervalStrategy | str),
        ("c", Literal["a", "b"]),
        (["x"], list[int]),
    ],
)
def test_what_is_refused(value: Any, kind: Any) -> None:
    with pytest.raises(ValueError, match=f"is not {describe(kind)}"):
        convert(value, kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (None | str | list[str], "a list or text or null"),
        (IntervalStrategy | str, "one of no, steps, epoch"),
        (Literal["a", "b"], "one of a, b"),
        (bool, "true or false"),
    ],
)
def test_what_a_field_says_it_takes(kind: Any, words: str) -> None:
    assert describe(kind) == words


def test_a_type_that_no_text_can_give_is_no_option() -> None:
    assert readable(int | None)
    assert not readable(object)
    assert not readable(complex | None)
