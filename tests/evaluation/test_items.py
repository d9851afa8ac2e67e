"""Which turns are judged, with which tools, and as many of each kind."""

import re
from collections import Counter

import pytest
from tests.pairs.dialogues import ALL, ASKS, CALLS, CONFIRMS, REFUSES, says, user

from turnpoint.dialogue import Decision, Dialogue, Message
from turnpoint.errors import ConfigError
from turnpoint.evaluation import DecisionItem, decision_items
from turnpoint.recipes.dialogues import demo_parts


@pytest.fixture(scope="module")
def held_back() -> list[Dialogue]:
    return demo_parts().dev


def of_kind(items: list[DecisionItem], kind: Decision) -> list[DecisionItem]:
    return [item for item in items if item.decision is kind]


def test_items_of_dialogues_written_by_hand() -> None:
    """Each call, question and answer to a result, a refusal, and each first request once more without its tools."""
    items = decision_items(ALL)
    assert sorted((item.decision.value, item.source) for item in items) == [
        ("call", "hand:1 message 3"),
        ("call", "hand:2 message 1"),
        ("call", "hand:4 message 3"),
        ("completion", "hand:1 message 5"),
        ("completion", "hand:2 message 3"),
        ("completion", "hand:4 message 5"),
        ("relevance", "hand:1 message 1, other tools"),
        ("relevance", "hand:2 message 1, other tools"),
        ("relevance", "hand:3 message 1"),
        ("slot", "hand:1 message 1"),
    ]
    [question] = of_kind(items, Decision.SLOT)
    assert (question.context, question.tools) == (ASKS.messages[:1], ASKS.tools)
    assert question.calls == ASKS.messages[3].tool_calls  # what the question leads to


def test_a_confirmation_is_no_item_and_small_talk_is_no_completion() -> None:
    assert {item.source for item in decision_items([CONFIRMS])} == {"hand:4 message 3", "hand:4 message 5"}
    small_talk = Dialogue(messages=(user("Hi"), says("Hello.")), tools=CALLS.tools)
    assert decision_items([small_talk]) == []
    assert decision_items([CALLS.model_copy(update={"tools": ()})]) == []


def test_without_other_tools_nothing_can_be_missing() -> None:
    assert of_kind(decision_items([CALLS, REFUSES]), Decision.RELEVANCE) == decision_items([REFUSES])


def test_a_sample_is_balanced_and_repeated_by_its_seed(held_back: list[Dialogue]) -> None:
    items = decision_items(held_back, per_kind=20, seed=3)
    kinds = (Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION)
    assert Counter(item.decision for item in items) == dict.fromkeys(kinds, 20)
    assert decision_items(held_back, per_kind=20, seed=3) == items
    assert decision_items(held_back, per_kind=20, seed=4) != items


def test_a_smaller_sample_is_part_of_a_larger_one(held_back: list[Dialogue]) -> None:
    small, large = (decision_items(held_back, per_kind=count) for count in (5, 50))
    assert {item.source for item in small} < {item.source for item in large}


def test_what_is_asked_of_the_shipped_dialogues(held_back: list[Dialogue]) -> None:
    by_source = {dialogue.source: dialogue for dialogue in held_back}
    common = {"query", "search", "check", "find", "create", "generate", "calculate", "with", "from", "user", "modify"}
    common |= {"get", "book", "add", "delete", "cancel", "reserve"}
    for item in decision_items(held_back):
        dialogue = by_source[item.source.split(" message ")[0]]
        assert item.context == dialogue.messages[: len(item.context)]
        assert item.context[-1].role in (("tool",) if item.decision is Decision.COMPLETION else ("user", "tool"))
        offered = {tool.name for tool in item.tools}
        if item.source.endswith("other tools"):
            assert item.decision is Decision.RELEVANCE
            own = {word.lower() for tool in dialogue.tools for word in re.findall(r"[A-Z]?[a-z]+", tool.name)}
            others = {word.lower() for name in offered for word in re.findall(r"[A-Z]?[a-z]+", name)}
            assert not {word for word in own & others - common if len(word) > 2}, item.source
            assert item.calls == ()
        else:
            assert offered == {tool.name for tool in dialogue.tools}
        if item.decision is Decision.CALL:
            assert item.calls == dialogue.messages[len(item.context)].tool_calls != ()


def test_a_greeting_is_no_item() -> None:
    greeting = (Message(role="system", content="Be brief."), says("How can I help?", Decision.SLOT))
    greeted = CALLS.model_copy(update={"messages": (*greeting, *CALLS.messages)})
    assert [item.source for item in decision_items([greeted])] == ["hand:2 message 3", "hand:2 message 5"]


@pytest.mark.parametrize("per_kind", [0, -1])
def test_a_sample_of_nothing_is_refused(per_kind: int) -> None:
    with pytest.raises(ConfigError, match=rf"^per_kind: must be at least 1 turn, or null for all \(got {per_kind}\)$"):
        decision_items(ALL, per_kind=per_kind)
