"""Models that know one reply, and the rates they get."""

import pytest
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.evaluation.replies import written
from tests.pairs.dialogues import CALLS, SEND, WEATHER, calls, returns, says, user
from tests.sampling.handmade_models import chain_model
from transformers import PreTrainedTokenizerFast

from turnpoint.dialogue import Decision, Dialogue
from turnpoint.errors import TemplateError
from turnpoint.evaluation import DecisionReport, evaluate_decisions
from turnpoint.template import ensure_tool_template

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION


RIGHT = written("weather", city="Paris", day="tomorrow")
QUESTION = "Which city do you mean?"
REFUSAL = "I'm sorry, but I can't do that."
ANSWER = "It will be sunny."


def test_a_prompt_that_cannot_be_rendered_names_its_source() -> None:
    tokenizer = make_tokenizer()
    model = chain_model(tokenizer, [5])
    with pytest.raises(TemplateError, match=r"^hand:2 message \d.*: tools: .* cannot render tools"):
        evaluate_decisions(model, tokenizer, [CALLS])


ASKS_CITY = Dialogue(
    messages=(
        user("How will the weather be?"),
        says("In which city, and on which day?", SLOT),
        user("Paris, tomorrow."),
        calls("weather", city="Paris", day="tomorrow"),
        returns("sunny"),
        says("It will be sunny."),
    ),
    tools=(WEATHER,),
)
NO_PIZZA = Dialogue(messages=(user("Order a pizza."), says(REFUSAL)), tools=(SEND,))
# By hand: 2 calls, 1 question, 2 answers; 1 refusal and the 2 first requests with SEND instead of WEATHER.
HELD_BACK = (ASKS_CITY, CALLS, NO_PIZZA)


def evaluate(reply: str) -> DecisionReport:
    """The report of a model that writes the same reply to everything, as one token of its own."""
    tokenizer: PreTrainedTokenizerFast = make_tokenizer()
    ensure_tool_template(tokenizer)
    tokenizer.add_tokens([reply])
    model = chain_model(tokenizer, [len(tokenizer) - 1])
    report = evaluate_decisions(model, tokenizer, HELD_BACK, max_new_tokens=4)
    assert {each.text for each in report.verdicts} == {reply}
    return report


@pytest.mark.parametrize(
    ("reply", "rates", "micro", "arguments"),
    [
        (RIGHT, {CALL: 1.0, SLOT: 0.0, RELEVANCE: 0.0, COMPLETION: 0.0}, 2 / 8, 1.0),
        (written("weather", city="Rome"), {CALL: 1.0, SLOT: 0.0, RELEVANCE: 0.0, COMPLETION: 0.0}, 2 / 8, 0.0),
        (QUESTION, {CALL: 0.0, SLOT: 1.0, RELEVANCE: 0.0, COMPLETION: 0.0}, 1 / 8, 0.0),
        (REFUSAL, {CALL: 0.0, SLOT: 0.0, RELEVANCE: 1.0, COMPLETION: 0.0}, 3 / 8, 0.0),
        (ANSWER, {CALL: 0.0, SLOT: 0.0, RELEVANCE: 0.0, COMPLETION: 1.0}, 2 / 8, 0.0),
    ],
)
def test_a_model_that_always_does_the_same(
    reply: str, rates: dict[Decision, float], micro: float, arguments: float
) -> None:
    report = evaluate(reply)
    assert {kind: report.rate(kind) for kind in rates} == rates
    assert (report.micro, report.macro, report.arguments) == (micro, 0.25, arguments)
    assert report.counts() == {CALL: 2, SLOT: 1, RELEVANCE: 3, COMPLETION: 2}
    [decided] = {each.decided for each in report.verdicts}
    assert report.confusion() == {kind: {decided: count} for kind, count in report.counts().items()}


def test_a_sample_is_drawn_by_seed() -> None:
    tokenizer = make_tokenizer()
    ensure_tool_template(tokenizer)
    model = chain_model(tokenizer, [5])
    report = evaluate_decisions(model, tokenizer, HELD_BACK, per_kind=1, max_new_tokens=2)
    assert report.counts() == {CALL: 1, SLOT: 1, RELEVANCE: 1, COMPLETION: 1}


def test_replies_that_were_cut_are_counted() -> None:
    tokenizer = make_tokenizer()
    ensure_tool_template(tokenizer)
    model = chain_model(tokenizer, tokenizer("It is sunny.")["input_ids"])
    assert evaluate_decisions(model, tokenizer, HELD_BACK).note_on_cuts() is None
    note = evaluate_decisions(model, tokenizer, HELD_BACK, max_new_tokens=2).note_on_cuts()
    assert note == "8 of 8 replies reached max_new_tokens; they are judged up to there"
