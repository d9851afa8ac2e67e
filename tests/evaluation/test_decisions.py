"""Replies written by hand and how they are judged; models that know one reply and the rates they get."""

import json

import pytest
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.dialogues import CALLS, SEND, WEATHER, calls, returns, says, user
from tests.sampling.handmade_models import chain_model
from transformers import PreTrainedTokenizerFast

from turnpoint.dialogue import Decision, Dialogue, ToolCall, decisions
from turnpoint.errors import TemplateError
from turnpoint.evaluation import DecisionItem, DecisionReport, evaluate_decisions
from turnpoint.evaluation.decisions import MALFORMED, decision_of, passes, right_arguments, verdict
from turnpoint.evaluation.items import KINDS
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.sampling import Reply
from turnpoint.template import ensure_tool_template

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION


def written(name: str, **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


RIGHT = written("weather", city="Paris", day="tomorrow")
BROKEN = '<tool_call>\n{"name": "weather", "arguments": {"city": "Pa'
QUESTION = "Which city do you mean?"
REFUSAL = "I'm sorry, but I can't do that."
ANSWER = "It will be sunny."


def item(kind: Decision) -> DecisionItem:
    return DecisionItem(CALLS.messages[:1], (WEATHER, SEND), kind, CALLS.messages[1].tool_calls, "hand")


@pytest.mark.parametrize(
    ("reply", "decided"),
    [
        (RIGHT, CALL),
        (f"Let me look. {RIGHT}", CALL),
        (f"{REFUSAL} {RIGHT}", CALL),
        ('{"name": "weather", "parameters": {"city": "Paris"}}', CALL),
        (QUESTION, SLOT),
        ("Please tell me the city.", SLOT),
        (REFUSAL, RELEVANCE),
        (f"{REFUSAL} Is there anything else?", RELEVANCE),
        (ANSWER, COMPLETION),
        ("", COMPLETION),
        (BROKEN, MALFORMED),
        (f"{QUESTION} {BROKEN}", MALFORMED),
        (RIGHT + BROKEN, MALFORMED),
    ],
)
def test_what_a_reply_decides(reply: str, decided: str) -> None:
    assert decision_of(reply) == decided


@pytest.mark.parametrize(
    ("kind", "reply", "passed"),
    [
        (CALL, RIGHT, True),
        (CALL, written("weather", city="Rome"), True),  # the decision is right, the arguments are counted beside it
        (CALL, RIGHT + "\n" + RIGHT, True),
        (CALL, written("send_money"), False),
        (CALL, RIGHT + written("send_money"), False),
        (CALL, BROKEN, False),
        (CALL, RIGHT + BROKEN, False),
        (CALL, QUESTION, False),
        (CALL, REFUSAL, False),
        (CALL, ANSWER, False),
        (CALL, "", False),
        (SLOT, QUESTION, True),
        (SLOT, f"{QUESTION} {RIGHT}", False),
        (SLOT, f"{REFUSAL} {QUESTION}", False),
        (SLOT, f"{QUESTION} {BROKEN}", False),
        (SLOT, ANSWER, False),
        (SLOT, RIGHT, False),
        (RELEVANCE, REFUSAL, True),
        (RELEVANCE, f"{REFUSAL} {RIGHT}", False),
        (RELEVANCE, QUESTION, False),
        (RELEVANCE, ANSWER, False),
        (RELEVANCE, BROKEN, False),
        (RELEVANCE, f"{REFUSAL} {BROKEN}", False),
        (COMPLETION, ANSWER, True),
        (COMPLETION, f"{ANSWER} Anything else?", True),
        (COMPLETION, BROKEN, False),
        (COMPLETION, f"{ANSWER} {BROKEN}", False),
        (COMPLETION, QUESTION, False),
        (COMPLETION, REFUSAL, False),
        (COMPLETION, f"{ANSWER} {RIGHT}", False),
        (COMPLETION, "", False),
    ],
)
def test_what_passes(kind: Decision, reply: str, passed: bool) -> None:
    assert passes(item(kind), reply) is passed


def test_a_question_that_names_what_was_found_is_an_answer() -> None:
    after_result = item(COMPLETION)._replace(context=CALLS.messages[:3])
    assert passes(after_result, "How about sunny?")
    assert not passes(after_result, "How about Paris?")


def test_the_shipped_dialogues_pass_by_their_own_turns() -> None:
    """Of 1311 turns 8 fail: three ask in other words, two refuse after a result, three only ask what else is to do."""
    found = {True: 0, False: 0}
    for dialogue in (each for part in demo_parts() for each in part):
        for i, kind in zip(dialogue.turns, decisions(dialogue), strict=True):
            message = dialogue.messages[i]
            after_result = dialogue.messages[i - 1].role == "tool"
            if message.tool_calls or kind not in KINDS or (kind is COMPLETION and not after_result):
                continue
            own = DecisionItem(dialogue.messages[:i], dialogue.tools, kind, (), dialogue.source)
            found[passes(own, message.content or "")] += 1
    assert found[True] > 1000
    assert found[False] / found[True] < 0.01


def test_a_prompt_that_cannot_be_rendered_names_its_source() -> None:
    tokenizer = make_tokenizer()
    model = chain_model(tokenizer, [5])
    with pytest.raises(TemplateError, match=r"^hand:2 message \d.*: tools: .* cannot render tools"):
        evaluate_decisions(model, tokenizer, [CALLS])


def test_what_passes_counts_as_the_decision_that_was_asked_for() -> None:
    """By its text alone the closing question would make the answer a question."""
    assert verdict(item(COMPLETION), Reply(f"{ANSWER} Anything else?", cut=False)).decided == COMPLETION
    assert verdict(item(SLOT), Reply(ANSWER, cut=False)).decided == COMPLETION


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (RIGHT, True),
        (written("weather", day="tomorrow", city="Paris"), True),
        (f"One moment. {RIGHT}", True),
        (written("weather", city="Paris"), False),
        (written("weather", city="Rome", day="tomorrow"), False),
        (written("weather", city="Paris", day="tomorrow", hour=3), False),
        (written("send_money", city="Paris", day="tomorrow"), False),
        (RIGHT + RIGHT, False),
        (BROKEN, False),
        ("", False),
    ],
)
def test_right_arguments(reply: str, right: bool) -> None:
    assert right_arguments(item(CALL), reply) is right
    assert verdict(item(CALL), Reply(reply, cut=False)).right_arguments is right
    assert verdict(item(SLOT), Reply(reply, cut=True)).right_arguments is None


def test_parallel_calls_in_any_order_and_nested_arguments() -> None:
    nested = {"a": [1, {"x": 1, "y": 2}], "b": None}
    both = (ToolCall(name="f", arguments=nested, id="1"), ToolCall(name="g", arguments={}))
    wanted = item(CALL)._replace(calls=both)
    turned = written("f", b=None, a=[1, {"y": 2, "x": 1}])
    assert right_arguments(wanted, written("g") + turned)
    assert not right_arguments(wanted, turned)


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
    assert report.confusion() == {kind.value: {decided: count} for kind, count in report.counts().items()}


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
