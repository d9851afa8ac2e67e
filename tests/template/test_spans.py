"""From characters to tokens: what a token across an edge belongs to. Offsets are made by hand."""

import pytest

from turnpoint.errors import TemplateError
from turnpoint.template.spans import Encoded, TextSpan, TokenizedDialogue, Turn, token_spans


def spans(text: str, tokens: list[str], *edges: tuple[int, int]) -> list[tuple[int, int]]:
    """Token ranges when `text` is cut into `tokens`."""
    offsets, at = [], 0
    for token in tokens:
        offsets.append((at, at + len(token)))
        at += len(token)
    assert "".join(tokens) == text
    return token_spans(
        Encoded(text, list(range(len(tokens))), offsets), [TextSpan(*edge) for edge in edges], ["row 3"] * len(edges)
    )


def test_edges_between_tokens() -> None:
    assert spans(
        "user:hi<e>\nbot:yo<e>\n", ["user:", "hi", "<e>", "\n", "bot:", "yo", "<e>", "\n"], (5, 10), (15, 20)
    ) == [
        (1, 3),
        (5, 7),
    ]


def test_white_space_before_a_turn_may_join_its_first_token() -> None:
    assert spans("bot: yo<e>", ["bot:", " yo", "<e>"], (5, 10)) == [(1, 3)]


def test_white_space_that_opens_a_turn_may_join_the_header() -> None:
    assert spans("bot: yo<e>", ["bot: ", "yo", "<e>"], (4, 10)) == [(1, 3)]


def test_white_space_after_a_turn_may_join_its_last_token() -> None:
    assert spans("bot:yo<e>\n", ["bot:", "yo", "<e>\n"], (4, 9)) == [(1, 3)]


def test_bytes_of_one_character_stay_together() -> None:
    """A character of three byte tokens has the same offsets three times."""
    text = "bot:你<e>"
    offsets = [(0, 4), (4, 5), (4, 5), (4, 5), (5, 8)]
    assert token_spans(Encoded(text, list(range(5)), offsets), [TextSpan(4, 8)], ["row 3"]) == [(1, 5)]


def test_offsets_without_the_space_of_a_token() -> None:
    """Tokenizers may report ` yo` as the characters of `yo`: the space belongs to that token."""
    text = "bot: yo <e>"
    offsets = [(0, 4), (5, 7), (8, 8), (8, 11)]
    assert token_spans(Encoded(text, list(range(4)), offsets), [TextSpan(5, 11)], ["row 3"]) == [(1, 4)]


def test_a_space_at_the_end_of_a_turn_whose_offsets_are_empty() -> None:
    offsets = [(0, 4), (5, 7), (8, 8)]
    assert token_spans(Encoded("bot: yo ", list(range(3)), offsets), [TextSpan(5, 8)], ["row 3"]) == [(1, 3)]


def test_a_token_of_header_and_text_is_refused() -> None:
    with pytest.raises(TemplateError) as error:
        spans("bot:yo<e>", ["bot", ":yo", "<e>"], (4, 9))
    assert str(error.value) == (
        "row 3: the token ':yo' joins what the assistant wrote with what it did not, at 'bot:⟨here⟩yo<e>';"
        " no exact span exists; end the text before it with white space or a special token, or use another template"
    )


def test_a_token_of_text_and_what_follows_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"row 3: the token '<e>user' joins .* at 'bot:yo<e>⟨here⟩user'"):
        spans("bot:yo<e>user", ["bot:", "yo", "<e>user"], (4, 9))


def test_scored_tokens() -> None:
    """Turns with `train: false` and the first token of a sequence are never scored."""
    turns = (Turn(0, 2, 0, True), Turn(3, 5, 2, False), Turn(6, 8, 4, True))
    tokenized = TokenizedDialogue(list(range(9)), turns)
    assert tokenized.scored() == [1, 6, 7]
    assert tokenized.scored(first_turn=1) == [6, 7]
