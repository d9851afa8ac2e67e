"""Findings over tokens, on token ids made by hand and on what a tokenizer makes of dialogues."""

from tests.cli.tiny import tokenizer
from tests.doctor.builders import assistant, call, dialogue, found, pair, user

from turnpoint.doctor import Row, Severity, rows_of
from turnpoint.doctor.tokens import (
    Tokenized,
    few_scored,
    nothing_scored,
    over_long,
    refused,
    token_bias,
    tokens_far_apart,
)
from turnpoint.template import Renderer, TokenizedDialogue, Turn, ensure_tool_template


def sequence(length: int, *turns: tuple[int, int]) -> TokenizedDialogue:
    made = tuple(Turn(start, end, i, True) for i, (start, end) in enumerate(turns))
    return TokenizedDialogue(list(range(length)), made)


def test_scored_tokens_leave_out_turns_of_the_shared_prompt_and_those_not_trained() -> None:
    both = TokenizedDialogue(list(range(20)), (Turn(2, 4, 0, True), Turn(6, 9, 1, True), Turn(12, 13, 2, False)))
    assert Row("a", (both,), 0).scored == (5,)
    assert Row("a", (both, both), 1).scored == (3, 3)


def test_a_side_without_a_scored_token() -> None:
    rows = [
        Row("a:1", (sequence(5, (2, 4)), sequence(5)), 0),
        Row("a:2", (sequence(5, (2, 4)), sequence(5, (2, 3))), 0),
    ]
    assert found(nothing_scored(rows)).rows == ("a:1",)
    assert nothing_scored(rows[1:]) is None


def test_rows_longer_than_max_length() -> None:
    rows = [Row("a:1", (sequence(5), sequence(9)), 0), Row("a:2", (sequence(8),), 0)]
    finding = found(over_long(rows, 8))
    assert finding.rows == ("a:1: 9 tokens",)
    assert "the longest has 9" in finding.mend
    assert over_long(rows, 9) is None


def test_hardly_any_scored_tokens() -> None:
    assert few_scored([Row("a", (sequence(100, (2, 4)),), 0)]) is None, "exactly 2%"
    few = found(few_scored([Row("a", (sequence(200, (2, 4)),), 0)]))
    assert (few.severity, few.title) == (Severity.WARNING, "1.0% of 200 tokens are scored")
    assert few_scored([]) is None


def test_bias_in_scored_tokens() -> None:
    rows = [Row("a", (sequence(9, (2, 8)), sequence(9, (2, 4))), 0)] * 9
    assert found(token_bias(rows)).title.endswith("(median 6 against 2 scored tokens)")
    assert token_bias([Row("a", (sequence(9, (2, 8)),), 0)] * 9) is None


def test_sides_far_apart_in_scored_tokens() -> None:
    rows = [Row("a:1", (sequence(9, (2, 4)), sequence(30, (2, 11))), 0), Row("a:2", (sequence(9, (2, 4)),) * 2, 0)]
    assert found(tokens_far_apart(rows)).rows == ("a:1: 2 against 9 scored tokens",)


def test_what_the_template_refuses_is_a_finding_and_not_the_end() -> None:
    tokenized = rows_of([dialogue(user("Weather in Paris?"), call(city="Paris"))], Renderer(tokenizer()))
    assert (tokenized.rows, tokenized.records) == ([], [])
    assert found(refused(tokenized)).sources == ("d.jsonl:1",)
    assert "cannot render tools" in found(refused(tokenized)).rows[0]
    assert refused(Tokenized([], [])) is None


def test_rows_of_dialogues_and_pairs_score_exactly_what_the_assistant_wrote() -> None:
    made = tokenizer()
    ensure_tool_template(made)
    renderer = Renderer(made)
    [row] = rows_of([dialogue(user("Weather?"), assistant("Which city?"))], renderer).rows
    [turn] = row.sequences[0].turns
    assert made.decode(row.sequences[0].input_ids[turn.start : turn.end]) == "Which city?<|im_end|>"
    [row] = rows_of([pair("Yes.", "No, never.")], renderer).rows
    assert (row.source, row.shared_turns, len(row.sequences)) == ("p.jsonl:1", 0, 2)
    assert row.scored[0] < row.scored[1]
