"""The figures of a data set, and what becomes of its rows, derived by hand."""

from dataclasses import asdict

import pytest
from tests.cli.tiny import tokenizer
from tests.doctor.builders import assistant, call, dialogue, pair, result, user

from turnpoint.dialogue import Decision, Dialogue, PreferencePair
from turnpoint.doctor import Overview, overview, rows_of
from turnpoint.doctor.fates import Fate, fates
from turnpoint.doctor.overview import experience
from turnpoint.doctor.tokens import Tokenized
from turnpoint.template import Renderer, TokenizedDialogue, ensure_tool_template

WAY = [call(city="Paris"), result("sunny"), assistant("It is sunny.")]


def renderer() -> Renderer:
    made = tokenizer()
    ensure_tool_template(made)
    return Renderer(made)


def of(*records: Dialogue | PreferencePair, tokens: bool = False) -> Overview:
    dialogues = [record for record in records if isinstance(record, Dialogue)]
    pairs = [record for record in records if isinstance(record, PreferencePair)]
    made = renderer()
    if tokens:
        return overview(dialogues or pairs, "openai", rows_of(records, made), made, 100)
    return overview(dialogues or pairs, "openai")


def test_an_overview_of_dialogues() -> None:
    found = of(
        dialogue(user("Weather in Paris?"), *WAY),
        dialogue(user("Weather?"), assistant("Which city?"), user("Paris"), *WAY, source="d:2"),
        dialogue(user("Hi"), assistant("Hello"), source="d:3"),
    )
    assert (found.rows, found.format, found.tokens) == (3, "openai", None)
    assert found.query_types == {"1 all slots given": 1, "2 slots missing": 1, "no tool asked for": 1}
    assert found.scripts == {"Latin": 3}
    [side] = found.sides
    assert side.name == "dialogue"
    assert side.turns is not None
    assert (side.turns.least, side.turns.median, side.turns.most) == (1, 2, 3)
    assert side.decisions == {Decision.CALL: 2, Decision.SLOT: 1, Decision.COMPLETION: 3}
    assert side.paths == {"1-3-4-5": 1, "1-2-3-4-5": 1, "1-5": 1}


def test_without_tools_no_request_has_a_type() -> None:
    """A question and a refusal are of no query type where no tool could have been called."""
    asks = pair("Which city?", "I am unable to do that.").model_copy(update={"tools": ()})
    assert of(asks).query_types == {}
    plain = dialogue(user("Hi"), assistant("I am unable to do that."), source="d:2", tools=())
    assert of(plain).query_types == {}
    mixed = of(plain, dialogue(user("Weather in Paris?"), *WAY))
    assert mixed.query_types == {"1 all slots given": 1, "no tool offered": 1}


def test_an_overview_of_pairs_counts_from_the_fork_on() -> None:
    found = of(pair(WAY, "I am unable to do that."), pair(WAY, "Which city?", prompt="Paris?", source="p:2"))
    assert found.query_types == {"1 all slots given": 2}
    chosen, rejected = found.sides
    assert (chosen.name, rejected.name) == ("chosen", "rejected")
    assert chosen.decisions == {Decision.CALL: 2, Decision.COMPLETION: 2}
    assert rejected.decisions == {Decision.SLOT: 1, Decision.RELEVANCE: 1}
    assert (chosen.paths, rejected.paths) == ({"1-3-4-5": 2}, {"1-1": 1, "1-2": 1})


def test_tokens_are_those_of_the_turns_by_decision() -> None:
    """`Hello` and `<|im_end|>` are scored: as many tokens as the tokenizer makes of both."""
    row = dialogue(user("Hi"), assistant("Hello"), tools=())
    found = of(row, tokens=True)
    assert found.tokens is not None
    scored = len(renderer().tokenizer("Hello<|im_end|>")["input_ids"])
    total = len(renderer().tokenize(row).input_ids)
    assert found.sides[0].tokens is not None
    assert found.sides[0].tokens.scored == {Decision.COMPLETION: scored}
    assert found.sides[0].tokens.lengths is not None
    assert found.sides[0].tokens.lengths.most == total
    assert (found.tokens.scored, found.tokens.total) == (scored, total)
    assert asdict(found)["tokens"]["template"]["ends"] == "<|im_end|>"


def test_what_the_template_refuses_has_decisions_and_no_tokens() -> None:
    made = Renderer(tokenizer())  # which cannot render tools
    rows = [dialogue(user("Weather in Paris?"), *WAY), dialogue(user("Hi"), assistant("Hello"), tools=())]
    [side] = overview(rows, "openai", rows_of(rows, made), made).sides
    assert side.decisions == {Decision.CALL: 1, Decision.COMPLETION: 2}
    assert side.tokens is not None
    assert list(side.tokens.scored) == [Decision.COMPLETION]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1999, "1999 pairs are few even for a style"),
        (2000, "2000 pairs are enough for a style"),
        (5000, "5000 pairs are enough for a clear standard"),
        (10000, "10000 pairs are enough for a clear standard, perhaps for more"),
    ],
)
def test_the_number_of_pairs_against_experience(count: int, told: str) -> None:
    assert experience([pair("A", "B")] * count).startswith(told + ":")
    assert experience([dialogue(user("Hi"))] * count).startswith("experience asks for")


def test_what_becomes_of_rows_by_the_code_of_training() -> None:
    """The limit is the length of the two exchanges without the first, so that trimming makes the second row fit."""
    made = renderer()
    second = [user("And in Rome?"), assistant("It is sunny.")]
    short = dialogue(*second, source="a:1", tools=())
    two = dialogue(user("Weather in Paris?"), assistant("It is sunny."), *second, source="a:2", tools=())
    long = dialogue(user("Weather in Paris? " * 20), assistant("It is sunny."), source="a:3", tools=())
    limit = len(made.tokenize(short).input_ids)
    too_long = f"longer than max_length {limit}"
    found = fates(rows_of([short, two, long], made), made, limit)
    assert found == {
        "drop": Fate(kept=1, left_out={too_long: ["a:2", "a:3"]}),
        "trim_history": Fate(
            kept=2, shortened={f"history trimmed to max_length {limit}": ["a:2"]}, left_out={too_long: ["a:3"]}
        ),
        "keep_start": Fate(
            kept=2, shortened={f"cut after max_length {limit} tokens": ["a:2"]}, left_out={"no scored token": ["a:3"]}
        ),
    }
    whole = fates(rows_of([short, two, long], made), made, None)
    assert {fate.kept for fate in whole.values()} == {3}


def test_sides_that_are_the_same_tokens_are_left_out() -> None:
    made = renderer()
    row = pair("Yes.", "No.")
    tokenized = rows_of([row], made)
    alike = tokenized.rows[0]._replace(sequences=(tokenized.rows[0].sequences[0],) * 2)
    found = fates(Tokenized([alike], [], [row]), made, None)
    assert found["drop"] == Fate(left_out={"chosen and rejected are the same tokens": ["p.jsonl:1"]})


def test_what_fits_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = renderer()
    tokenized = rows_of([dialogue(user("Hi"), assistant("Hello"))], made)

    def refusing(record: Dialogue) -> TokenizedDialogue:
        raise AssertionError(f"{record.source} was tokenised again")

    monkeypatch.setattr(made, "tokenize", refusing)
    assert fates(tokenized, made, None)["drop"].kept == 1
