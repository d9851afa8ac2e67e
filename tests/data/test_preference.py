"""Preference rows: explicit and implicit prompts, text and messages, and every way a pair is refused."""

from typing import Any

import pytest

from turnpoint.data import load
from turnpoint.data.changes import Changes
from turnpoint.data.preference import read
from turnpoint.dialogue import Message, PreferencePair
from turnpoint.errors import DataError


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **keys: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **keys}


def pair(changes: Changes | None = None, **row: Any) -> PreferencePair:
    return read(row, "f.jsonl:4", changes or Changes())


def contents(messages: tuple[Message, ...]) -> list[str | None]:
    return [message.content for message in messages]


def test_messages_with_a_prompt() -> None:
    read_pair = pair(prompt=[user("Hi")], chosen=[assistant("Hello")], rejected=[assistant("What")], id=3)
    assert read_pair == PreferencePair(
        prompt=(Message(role="user", content="Hi"),),
        chosen=(Message(role="assistant", content="Hello"),),
        rejected=(Message(role="assistant", content="What"),),
        id="3",
        dialogue_id=read_pair.dialogue_id,
        source="f.jsonl:4",
    )


def test_text_is_verbatim() -> None:
    read_pair = pair(prompt="2+2=", chosen="4", rejected="5")
    assert read_pair.verbatim
    assert read_pair.prompt == (Message(role="user", content="2+2="),)
    assert (contents(read_pair.chosen), contents(read_pair.rejected)) == (["4"], ["5"])


def test_text_sides_after_messages_are_one_turn_each() -> None:
    read_pair = pair(prompt=[user("Hi")], chosen="Hello", rejected="What")
    assert not read_pair.verbatim
    assert read_pair.chosen == (Message(role="assistant", content="Hello"),)


def test_a_text_prompt_with_sides_of_messages_is_a_user_message() -> None:
    read_pair = pair(prompt="Hi", chosen=[assistant("Hello")], rejected=[assistant("What")])
    assert not read_pair.verbatim
    assert read_pair.prompt == (Message(role="user", content="Hi"),)


@pytest.mark.parametrize("before", [[], [{"role": "system", "content": "Be kind."}]])
@pytest.mark.parametrize("prompt", ["Hi", [user("Hi")]])
def test_a_prompt_that_the_sides_repeat_is_taken_once(prompt: Any, before: list[dict[str, Any]]) -> None:
    changes = Changes()
    start = [*before, user("Hi")]
    read_pair = pair(changes, prompt=prompt, chosen=[*start, assistant("Hello")], rejected=[*start, assistant("What")])
    assert contents(read_pair.prompt) == [message["content"] for message in start]
    assert (contents(read_pair.chosen), contents(read_pair.rejected)) == (["Hello"], ["What"])
    assert changes.notes() == ("removed prompt repeated at the start of both sides: 1 in 1 row",)


def test_implicit_prompt_of_messages() -> None:
    shared = [user("Hi"), assistant("Hello"), user("Weather?")]
    read_pair = pair(
        chosen=[*shared, assistant("Sun")], rejected=[*shared, assistant("No"), user("?"), assistant("Sun")]
    )
    assert contents(read_pair.prompt) == ["Hi", "Hello", "Weather?"]
    assert contents(read_pair.chosen) == ["Sun"]
    assert contents(read_pair.rejected) == ["No", "?", "Sun"]


def test_implicit_prompt_of_text() -> None:
    read_pair = pair(chosen="\n\nHuman: Hi\n\nAssistant: Hello", rejected="\n\nHuman: Hi\n\nAssistant: What")
    assert read_pair.verbatim
    assert contents(read_pair.prompt) == ["\n\nHuman: Hi\n\nAssistant:"]
    assert (contents(read_pair.chosen), contents(read_pair.rejected)) == ([" Hello"], [" What"])


def test_sharegpt_ranking() -> None:
    read_pair = pair(
        conversations=[{"from": "human", "value": "Hi"}],
        system="Be kind.",
        chosen={"from": "gpt", "value": "Hello"},
        rejected={"from": "gpt", "value": "What"},
    )
    assert contents(read_pair.prompt) == ["Be kind.", "Hi"]
    assert read_pair.chosen == (Message(role="assistant", content="Hello"),)


def test_implicit_prompt_of_sharegpt_entries() -> None:
    human = {"from": "human", "value": "Hi"}
    read_pair = pair(
        chosen=[human, {"from": "gpt", "value": "Hello"}], rejected=[human, {"from": "gpt", "value": "What"}]
    )
    assert contents(read_pair.prompt) == ["Hi"]


def test_pairs_of_one_prompt_share_a_dialogue_id_that_a_row_may_set() -> None:
    def dialogue_id(prompt: str, chosen: str, **row: Any) -> str:
        return pair(prompt=[user(prompt)], chosen=chosen, rejected="x", **row).dialogue_id

    assert dialogue_id("Hi", "a") == dialogue_id("Hi", "b") != dialogue_id("Ho", "a")
    assert dialogue_id("Hi", "a", dialogue_id=12) == "12"


def test_the_rejected_side_may_call_a_tool_that_is_not_offered() -> None:
    call = {"name": "news", "arguments": "{}"}
    refusal, calling = [assistant("No.")], [{"role": "assistant", "tool_calls": [call]}]
    assert pair(prompt=[user("News?")], chosen=refusal, rejected=calling).rejected[0].tool_calls[0].name == "news"
    with pytest.raises(DataError, match=r"chosen\[0\] calls unknown tool 'news'; tools offered: none; add it to tools"):
        pair(prompt=[user("News?")], chosen=calling, rejected=refusal)


def test_what_a_pair_dumps_is_read_back() -> None:
    tool = {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {"city": {}}}}
    call = assistant("", tool_calls=[{"id": "a", "function": {"name": "weather", "arguments": {"city": None}}}])
    chat = pair(
        prompt=[user("Weather?")],
        chosen=[call, {"role": "tool", "content": "sun"}, assistant("Sun", train=False, decision="completion")],
        rejected=[assistant("No")],
        tools=[tool],
        dialogue_id="d",
        id="p",
    )
    text = pair(prompt="2+2=", chosen="4", rejected="5")
    for made in (chat, text):
        assert read(made.model_dump(mode="json"), "f.jsonl:4", Changes()) == made


EQUAL = "chosen and rejected are equal; nothing is preferred, remove the pair"
NO_PROMPT = "the sides share no prompt; both must start with the same messages up to a user message"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"prompt": "x", "chosen": "", "rejected": "a"}, "chosen is empty; it needs at least one assistant message"),
        ({"prompt": "x", "chosen": None, "rejected": "a"}, "chosen is empty; it needs at least one assistant message"),
        ({"chosen": "", "rejected": "a"}, "chosen is empty; it needs at least one assistant message"),
        (
            {"prompt": [user("x")], "chosen": [], "rejected": [assistant("a")]},
            "chosen is empty; it needs at least one assistant message",
        ),
        (
            {"prompt": [user("x")], "chosen": [assistant("a")], "rejected": []},
            "rejected is empty; it needs at least one assistant message",
        ),
        ({"prompt": "x", "chosen": "a", "rejected": "a"}, EQUAL),
        ({"chosen": "a", "rejected": "a"}, EQUAL),
        ({"chosen": [user("x"), assistant("a")], "rejected": [user("x"), assistant("a")]}, EQUAL),
        (
            {"prompt": [user("x")], "chosen": [assistant("a", train=False)], "rejected": [assistant("a")]},
            EQUAL,
        ),
        ({"chosen": [user("x"), assistant("a")], "rejected": [user("y"), assistant("b")]}, NO_PROMPT),
        ({"prompt": [], "chosen": [assistant("a")], "rejected": [assistant("b")]}, NO_PROMPT),
        (
            {"chosen": "Paris ", "rejected": "London"},
            "chosen, rejected: the sides share no prompt; both texts must start with the same words, or give a prompt"
            " (got 'Paris ' and 'London')",
        ),
        (
            {"prompt": " ", "chosen": "a", "rejected": "b"},
            "prompt: is empty; give the text that both sides go on from (got ' ')",
        ),
        (
            {"prompt": "x", "chosen": "a", "rejected": "b", "tools": [{"name": "weather"}]},
            "tools: a row of plain text cannot offer tools; give prompt and sides as messages",
        ),
        (
            {"prompt": [user("x")], "chosen": [user("y"), assistant("a")], "rejected": [assistant("b")]},
            "chosen starts with a user message; a side starts where the assistant takes its turn, so move what comes"
            " before into the prompt",
        ),
        (
            {"prompt": [user("x")], "chosen": [{"role": "bot", "content": "a"}], "rejected": [assistant("b")]},
            "chosen[0].role: unknown role; use system, user, assistant or tool (got 'bot')",
        ),
        (
            {
                "prompt": [user("x")],
                "chosen": [assistant("a"), {"role": "tool", "content": "r"}],
                "rejected": [assistant("b")],
            },
            "(prompt + chosen)[2] is a tool result without a call; it must follow the call it answers",
        ),
        (
            {"prompt": [user("x")], "chosen": 3, "rejected": [assistant("b")]},
            "chosen: must be a list of messages (got int)",
        ),
    ],
)
def test_each_fault_is_one_line_that_says_where(row: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError) as error:
        pair(**row)
    assert str(error.value) == f"f.jsonl:4: {text}"


def test_ultrafeedback_is_read_without_noise() -> None:
    """The binarised form: sides that repeat the prompt, and columns that say the same again or nothing to train on."""
    chosen, rejected = [user("Hi"), assistant("Hello")], [user("Hi"), assistant("What")]
    scores = {"score_chosen": 8.5, "score_rejected": 3.0, "prompt_id": "f0e3"}
    loaded = load([{"prompt": "Hi", "chosen": chosen, "rejected": rejected, "messages": chosen, **scores}])
    [pair] = loaded.records
    assert loaded.format == "preference"
    assert isinstance(pair, PreferencePair)
    assert [contents(part) for part in (pair.prompt, pair.chosen, pair.rejected)] == [["Hi"], ["Hello"], ["What"]]
    assert loaded.notes == ("removed prompt repeated at the start of both sides: 1 in 1 row",)
