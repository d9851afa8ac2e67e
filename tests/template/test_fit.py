"""What enters training, what is left out, what is shortened: each counted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from tests.template.builders import call, dialogue, pair, said, says, system, user
from tests.template.tiny_tokenizers import tokenizer

from turnpoint.errors import ConfigError, DataError
from turnpoint.template import Fit, Overflow, Renderer, TokenizedDialogue, TokenizedPair, fit_dialogues, fit_pairs

OWN = tokenizer("qwen2_5")
RENDERER = Renderer(OWN)
LONG = "The weather in Paris is sunny today, what is it in Rome? " * 3
HISTORY = [
    system("Be brief."),
    user(LONG),
    says(LONG),
    user("Hi"),
    says("Hello."),
    user("How are you?"),
]
PAIR = pair(HISTORY, [says("Good.")], [says("Bad.")], source="a.jsonl:1")
SHORT = pair([system("Be brief."), user("Hi")], [says("Hello.")], [says("No.")], source="a.jsonl:2")


class Prepared(NamedTuple):
    """What is kept, and sources of what is left out or shortened, by reason."""

    kept: list[Any]
    left_out: dict[str, list[str]]
    shortened: dict[str, list[str]]


def prepare(records: Sequence[Any], fit: Fit) -> Prepared:
    prepared = Prepared([], {}, {})
    for record in records:
        tokenized, fault, how = fit(record)
        if fault is not None:
            prepared.left_out.setdefault(fault, []).append(record.source)
            continue
        if how is not None:
            prepared.shortened.setdefault(how, []).append(record.source)
        prepared.kept.append(tokenized)
    return prepared


def length(of: TokenizedPair) -> int:
    return max(len(of.chosen.input_ids), len(of.rejected.input_ids))


def test_no_limit_keeps_all() -> None:
    prepared = prepare([PAIR, SHORT], fit_pairs(RENDERER, max_length=None))
    assert prepared.kept == [RENDERER.tokenize_pair(PAIR), RENDERER.tokenize_pair(SHORT)]
    assert (prepared.left_out, prepared.shortened) == ({}, {})


def test_drop_counts() -> None:
    prepared = prepare([PAIR, SHORT], fit_pairs(RENDERER, max_length=80))
    assert [of.source for of in prepared.kept if isinstance(of, TokenizedPair)] == ["a.jsonl:2"]
    assert prepared.left_out == {"longer than max_length 80": ["a.jsonl:1"]}


def test_a_side_of_exactly_max_length_fits() -> None:
    exact = length(RENDERER.tokenize_pair(SHORT))
    assert len(prepare([SHORT], fit_pairs(RENDERER, max_length=exact)).kept) == 1
    assert len(prepare([SHORT], fit_pairs(RENDERER, max_length=exact - 1)).kept) == 0


def test_trim_history_takes_out_the_oldest_exchanges() -> None:
    prepared = prepare([PAIR], fit_pairs(RENDERER, max_length=80, overflow="trim_history"))
    [kept] = prepared.kept
    assert isinstance(kept, TokenizedPair)
    shorter = PAIR.model_copy(update={"prompt": (PAIR.prompt[0], *PAIR.prompt[3:])})
    assert kept.chosen.input_ids == RENDERER.tokenize_pair(shorter).chosen.input_ids
    assert OWN.decode(kept.chosen.input_ids).startswith(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<"
    )
    assert kept.shared_turns == 1
    assert [turn.message for turn in kept.chosen.turns] == [4, 6], "messages are those of the whole dialogue"
    assert prepared.shortened == {"history trimmed to max_length 80": ["a.jsonl:1"]}


def test_trim_history_never_takes_the_last_user_message() -> None:
    prepared = prepare([PAIR], fit_pairs(RENDERER, max_length=10, overflow="trim_history"))
    assert prepared.left_out == {"longer than max_length 10": ["a.jsonl:1"]}


def test_trim_history_of_a_dialogue() -> None:
    whole = dialogue(*HISTORY, says("Good."))
    [kept] = prepare([whole], fit_dialogues(RENDERER, max_length=60, overflow="trim_history")).kept
    assert isinstance(kept, TokenizedDialogue)
    assert said(OWN, kept) == ["Hello.<|im_end|>", "Good.<|im_end|>"]


def test_keep_start_cuts_and_counts() -> None:
    whole = RENDERER.tokenize_pair(SHORT)
    cut = whole.chosen.turns[0].start + 2
    prepared = prepare([SHORT], fit_pairs(RENDERER, max_length=cut, overflow="keep_start"))
    [kept] = prepared.kept
    assert isinstance(kept, TokenizedPair)
    assert kept.chosen.input_ids == whole.chosen.input_ids[:cut]
    assert kept.chosen.turns == (whole.chosen.turns[0]._replace(end=cut),)
    assert prepared.shortened == {f"cut after max_length {cut} tokens": ["a.jsonl:2"]}


def test_keep_start_without_a_scored_token() -> None:
    prepared = prepare([PAIR], fit_pairs(RENDERER, max_length=80, overflow="keep_start"))
    assert prepared.left_out == {"no scored token on the chosen side": ["a.jsonl:1"]}
    assert prepared.shortened == {}


def test_keep_start_with_sides_that_differ_only_after_the_cut() -> None:
    late = pair([user("Hi")], [says("Hello there. Good.")], [says("Hello there. How?")], source="a.jsonl:3")
    start = RENDERER.tokenize_pair(late).chosen.turns[0].start
    prepared = prepare([late], fit_pairs(RENDERER, max_length=start + 1, overflow="keep_start"))
    assert prepared.left_out == {"chosen and rejected are the same tokens": ["a.jsonl:3"]}


def test_turns_that_are_not_trained_on_score_nothing() -> None:
    silent = pair([user("Hi")], [says("Hello.", train=False)], [says("No.")], source="a.jsonl:4")
    assert prepare([silent], fit_pairs(RENDERER, max_length=None)).left_out == {
        "no scored token on the chosen side": ["a.jsonl:4"]
    }
    assert prepare([dialogue(user("Hi"))], fit_dialogues(RENDERER, max_length=None)).left_out == {
        "no scored token": ["data.jsonl:7"]
    }


def test_sides_that_render_alike() -> None:
    """A template that trims makes equal sides of two that differ in white space."""
    alike = pair([user("Hi")], [says("Hello.")], [says("Hello.\n")], source="a.jsonl:5")
    assert prepare([alike], fit_pairs(Renderer(tokenizer("llama3")), max_length=None)).left_out == {
        "chosen and rejected are the same tokens": ["a.jsonl:5"]
    }


def test_error_names_the_row() -> None:
    with pytest.raises(DataError) as error:
        prepare([SHORT], fit_pairs(RENDERER, max_length=10, overflow="error"))
    assert str(error.value) == (
        f"a.jsonl:2: {length(RENDERER.tokenize_pair(SHORT))} tokens are more than max_length 10;"
        " raise max_length, or set overflow to drop, trim_history or keep_start"
    )


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"overflow": "keep_end"},
            "overflow: keep_end would cut off the system message and the tools (got 'keep_end');"
            " use trim_history, which takes out the oldest exchanges",
        ),
        ({"overflow": "cut"}, "overflow: must be one of drop, trim_history, keep_start, error (got 'cut')"),
        ({"max_length": 1}, "max_length: must be at least 2 tokens, or null for no limit (got 1)"),
    ],
)
def test_settings_that_cannot_be_honoured(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        prepare([SHORT], fit_pairs(RENDERER, **{"max_length": 100} | settings))
    assert str(error.value) == line


def test_a_call_beyond_the_tools_is_kept() -> None:
    """An invented call may be what is wrong with the rejected side, also where no tools are offered."""
    invented = pair([user("Hi")], [says("Hello.")], [call(city="Rome")])
    [kept] = prepare([invented], fit_pairs(RENDERER, max_length=None)).kept
    assert isinstance(kept, TokenizedPair)
    assert "weather" in said(OWN, kept.rejected)[0]


def test_overflow_names() -> None:
    modes: tuple[Overflow, ...] = ("drop", "trim_history", "keep_start")
    assert all(len(prepare([SHORT], fit_pairs(RENDERER, max_length=500, overflow=mode)).kept) == 1 for mode in modes)
