"""Replies to questions and dialogues, as texts."""

import pytest
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.dialogues import ALL, ASKS, CALLS, says, user
from tests.sampling.handmade_models import scripted
from transformers import PreTrainedTokenizerFast

import turnpoint
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Samples
from turnpoint.sampling import as_prompts, generate_responses
from turnpoint.template import ensure_tool_template


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    made = make_tokenizer()
    ensure_tool_template(made)
    return made


def test_a_text_for_each_question(tokenizer: PreTrainedTokenizerFast) -> None:
    model = scripted(tokenizer, "Hello", "there")
    assert generate_responses(model, tokenizer, ["Hi", CALLS, "Hi again"]) == ["Hellothere"] * 3
    assert generate_responses(model, tokenizer, ["Hi"], max_new_tokens=1) == ["Hello"]
    assert generate_responses(model, tokenizer, []) == []
    assert turnpoint.generate_responses is generate_responses
    with pytest.raises(ConfigError, match=r"max_new_tokens: must be at least 1 token \(got 0\)"):
        generate_responses(model, tokenizer, ["Hi"], max_new_tokens=0)


def test_what_is_asked() -> None:
    """Of a dialogue all before its last turn; of a pair its prompt; a prompt as it is. Tools come along."""
    pair = PreferencePair(prompt=(user("A"),), chosen=(says("B"),), rejected=(says("C"),))
    ready = Samples(prompt=(user("D"),), id="d")
    open_end = Dialogue(messages=ASKS.messages[:3], tools=ASKS.tools)
    prompts = as_prompts(["Hi", CALLS, pair, ready, open_end])
    assert [each.prompt for each in prompts] == [
        (user("Hi"),),
        CALLS.messages[:3],
        (user("A"),),
        (user("D"),),
        ASKS.messages[:3],
    ]
    assert [each.tools for each in prompts] == [(), CALLS.tools, (), (), ASKS.tools]
    assert prompts[0].id == "question 1"


def test_a_system_message_for_those_that_have_none() -> None:
    own = Dialogue(messages=(Message(role="system", content="mine"), user("Hi"), says("Hello")))
    prompts = as_prompts(["Hi", own], "yours")
    assert [each.prompt[0].content for each in prompts] == ["yours", "mine"]
    assert [len(each.prompt) for each in prompts] == [2, 2]
    assert as_prompts(ALL[:1])[0].prompt[0].role == "user"


def test_a_dialogue_in_which_nobody_asks() -> None:
    silent = Dialogue(messages=(says("Hello"),), source="d.jsonl:3")
    with pytest.raises(DataError) as error:
        as_prompts(["Hi", silent])
    assert str(error.value) == "d.jsonl:3: no user says anything, so there is nothing to reply to; leave it out"
