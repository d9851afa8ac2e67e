"""Pairs of trajectories, each against messages written by hand."""

import re
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.dialogues import (
    ALL,
    ASKS,
    BOOK,
    CALLS,
    CONFIRMS,
    REFUSES,
    SEND,
    WEATHER,
    PlainWriter,
    calls,
    returns,
    says,
    tool,
    user,
)

from turnpoint.dialogue import Decision, Dialogue, Message, PreferencePair, ToolCall
from turnpoint.errors import ConfigError
from turnpoint.pairs import PhraseWriter, trajectory_pairs
from turnpoint.pairs.trajectories import (
    BUILDERS,
    Fork,
    Sides,
    Sources,
    distractors,
    forced_call,
    forks,
    invented_call,
    missing_tool,
    needless_question,
    rejection,
    repeated_call,
)
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.template import Renderer, ensure_tool_template


class Picks(Random):
    """No chance at all: of a choice the one of this index, else the last; of a sample the first, of a range the end."""

    def __init__(self, index: int = 0) -> None:
        super().__init__(0)
        self.index = index

    def choice(self, seq: Any) -> Any:
        return seq[min(self.index, len(seq) - 1)]

    def sample(self, population: Any, k: int, *, counts: Any = None) -> list[Any]:
        return list(population)[:k]

    def randint(self, a: int, b: int) -> int:
        return b


def sources(
    index: int = 0, values: dict[tuple[str, str], list[Any]] | None = None, tools: Sequence[Any] = (BOOK, SEND)
) -> Sources:
    return Sources(PlainWriter(), Picks(index), tools, values or {})


def fork_at(dialogue: Dialogue, start: int) -> Fork:
    return next(fork for fork in forks(dialogue) if fork.start == start)


def assert_sides(sides: Sides | None, chosen: Sequence[Message], rejected: Sequence[Message]) -> None:
    assert sides is not None
    assert [message.said for message in sides.chosen] == [message.said for message in chosen]
    assert [message.said for message in sides.rejected] == [message.said for message in rejected]


def test_a_dialogue_forks_where_it_decides_and_its_way_ends_with_an_answer() -> None:
    assert [(fork.start, fork.end, fork.decision) for fork in forks(ASKS)] == [
        (1, 6, Decision.SLOT),
        (3, 6, Decision.CALL),
        (5, 6, Decision.COMPLETION),
    ]
    assert [(fork.start, fork.end, fork.decision) for fork in forks(REFUSES)] == [(1, 2, Decision.RELEVANCE)]


def test_no_fork_at_a_confirmation() -> None:
    assert [(fork.start, fork.decision) for fork in forks(CONFIRMS)] == [(3, Decision.CALL), (5, Decision.COMPLETION)]


def test_no_fork_on_a_way_without_an_answer() -> None:
    cut = CALLS.model_copy(update={"messages": CALLS.messages[:3]})
    assert forks(cut) == []


def test_needless_question() -> None:
    """1-3-4-5 against 1-2-3-4-5: what is asked for and given again was said already."""
    way = CALLS.messages[1:]
    sides = needless_question(fork_at(CALLS, 1), sources())
    assert_sides(sides, way, [says("Which city?"), user("[Paris]"), *way])
    assert sides is not None
    assert sides.tools == CALLS.tools


def test_needless_question_needs_a_value_that_the_user_gave() -> None:
    unsaid = CALLS.model_copy(update={"messages": (user("Will I need an umbrella?"), *CALLS.messages[1:])})
    assert needless_question(fork_at(unsaid, 1), sources()) is None
    empty = Dialogue(
        messages=(user("Any weather."), calls("weather", city="", day=""), *CALLS.messages[2:]), tools=CALLS.tools
    )
    assert needless_question(fork_at(empty, 1), sources()) is None


def test_refused_call() -> None:
    """1-3-4-5 against 1-1."""
    fork = fork_at(CALLS.model_copy(update={"tools": (SEND, WEATHER)}), 1)
    assert_sides(rejection(fork, sources()), CALLS.messages[1:], [says("I can't weather, I have [send_money].")])


def test_refused_question() -> None:
    """1-2-3-4-5 against 1-1: what is refused is the call that the question leads to."""
    fork = fork_at(ASKS.model_copy(update={"tools": (BOOK, SEND)}), 1)
    assert_sides(rejection(fork, sources()), ASKS.messages[1:], [says("I can't book_table, I have [send_money].")])


def test_invented_call() -> None:
    """1-2-3-4-5 against 1-3-4-5: what the user has not said yet is made up from other calls, what he said is kept."""
    values = {
        ("book_table", "place"): ["Noodle Bar"],
        ("book_table", "people"): ["four", "two"],
        ("book_table", "time"): ["noon"],
        ("weather", "time"): ["never"],
    }
    guess = calls("book_table", place="Luigi's", people="two", time="noon")
    expected = [guess, *ASKS.messages[4:]]
    assert_sides(invented_call(fork_at(ASKS, 1), sources(values=values)), ASKS.messages[1:], expected)


def test_invented_call_needs_other_values() -> None:
    seen = {("book_table", "people"): ["four"], ("book_table", "time"): ["seven"]}
    assert invented_call(fork_at(ASKS, 1), sources(values=seen)) is None
    unanswered = ASKS.model_copy(update={"messages": (*ASKS.messages[:3], says("Sorry, I can't do that."))})
    assert invented_call(Fork(unanswered, 1, 4, Decision.SLOT), sources()) is None


@pytest.mark.parametrize("dialogue", [CALLS, ASKS])
def test_missing_tool_against_the_dialogues_own_turn(dialogue: Dialogue) -> None:
    """1-1 against the call, or the question, that would have been right with the tool."""
    others = (SEND, tool("play_song"))
    sides = missing_tool(fork_at(dialogue, 1), sources(tools=(*dialogue.tools, *others)))
    refusal = says(f"I can't {dialogue.tools[0].name}, I have [send_money, play_song].")
    assert_sides(sides, [refusal], [dialogue.messages[1]])
    assert sides is not None
    assert sides.tools == others


def test_missing_tool_against_misuses_of_an_offered_tool() -> None:
    """A call with a value that was seen with the tool, and the parameter's name where none was; or a question."""
    refusal = says("I can't weather, I have [send_money].")
    values = {("send_money", "amount"): [7]}
    for index, wrong in ((1, calls("send_money", amount=7, to="to")), (2, says("Which amount, to?"))):
        made = sources(index, values, tools=(WEATHER, SEND))
        assert_sides(missing_tool(fork_at(CALLS, 1), made), [refusal], [wrong])
    # Without parameters there is nothing to ask for.
    made = sources(2, tools=(tool("play_song"),))
    assert_sides(
        missing_tool(fork_at(CALLS, 1), made), [says("I can't weather, I have [play_song].")], [calls("play_song")]
    )


def test_missing_tool_is_for_first_requests_and_needs_other_tools() -> None:
    assert missing_tool(fork_at(ASKS, 3), sources(tools=(SEND,))) is None
    assert missing_tool(fork_at(CALLS, 1), sources(tools=(WEATHER, tool("get_weather_alerts")))) is None


def test_repeated_call() -> None:
    """The answer against the call before it, its result once more, and the answer."""
    with_ids = Dialogue(
        messages=(
            CALLS.messages[0],
            Message(
                role="assistant",
                tool_calls=(ToolCall(name="weather", arguments={"city": "Paris", "day": "tomorrow"}, id="a1"),),
            ),
            Message(role="tool", content="sunny", tool_call_id="a1"),
            CALLS.messages[3],
        ),
        tools=CALLS.tools,
    )
    sides = repeated_call(fork_at(with_ids, 3), sources())
    assert_sides(sides, CALLS.messages[3:], CALLS.messages[1:])
    assert sides is not None
    # Two calls of one id would be one to a template that matches results by it.
    assert sides.rejected[0].tool_calls[0].id is None
    assert sides.rejected[1].tool_call_id is None


def test_only_an_answer_to_a_result_can_be_a_repeated_call() -> None:
    small_talk = Dialogue(messages=(user("Hi"), says("Hello.")), tools=(WEATHER,))
    assert repeated_call(fork_at(small_talk, 1), sources()) is None


def test_forced_call_uses_an_offered_tool_where_none_fits() -> None:
    refusal = Dialogue(messages=(user("Order a pizza"), says("I can't do that.")), tools=(WEATHER,))
    sides = forced_call(fork_at(refusal, 1), sources())
    assert (sides.chosen, sides.tools) == ((says("I can't do that."),), (WEATHER,))
    (wrong,) = sides.rejected
    assert [call.name for call in wrong.tool_calls] == ["weather"]


def test_every_fork_is_counted_as_built_or_not_possible() -> None:
    """By hand: three calls (one a first request), a question, a refusal, three answers; no other value to invent."""
    built = trajectory_pairs(ALL, writer=PlainWriter())
    assert Counter(pair.kind for pair in built.pairs) == {
        "needless question": 3,
        "refused call": 3,
        "refused question": 1,
        "missing tool": 2,
        "forced call": 1,
        "repeated call": 3,
    }
    assert built.not_possible == {"missing tool": 2, "invented call": 1}


def test_a_pair_says_where_it_comes_from_and_shares_its_prompt() -> None:
    pairs = trajectory_pairs(ALL, writer=PlainWriter()).pairs
    [question] = [pair for pair in pairs if pair.kind == "refused question"]
    assert (question.id, question.dialogue_id) == ("asks#1 refused question", "asks")
    assert question.source == "hand:1 message 1: refused question"
    assert len({pair.id for pair in pairs}) == len(pairs)
    by_id = {dialogue.id: dialogue for dialogue in ALL}
    for pair in pairs:
        assert pair.prompt == by_id[pair.dialogue_id].messages[: len(pair.prompt)]


def test_both_sides_of_a_pair_share_the_tokens_of_its_prompt() -> None:
    tokenizer = make_tokenizer()
    ensure_tool_template(tokenizer)
    renderer = Renderer(tokenizer)
    for pair in trajectory_pairs(ALL, writer=PlainWriter()).pairs:
        prompt = renderer.prompt_ids(pair.prompt, pair.tools)
        sides = renderer.tokenize_pair(pair)
        assert sides.chosen.input_ids[: len(prompt)] == sides.rejected.input_ids[: len(prompt)] == prompt


def test_the_seed_decides_everything() -> None:
    def built(seed: int) -> list[PreferencePair]:
        return trajectory_pairs(ALL, writer=PhraseWriter(), seed=seed).pairs

    assert built(3) == built(3)
    assert built(3) != built(4)


def test_kinds_are_chosen_and_misspelt_ones_refused() -> None:
    built = trajectory_pairs(ALL, writer=PlainWriter(), kinds=["repeated call"])
    assert {pair.kind for pair in built.pairs} == {"repeated call"}
    assert built.not_possible == {}
    with pytest.raises(ConfigError, match=r"^kinds: unknown 'repeated cal'; use some of needless question"):
        trajectory_pairs(ALL, writer=PlainWriter(), kinds=["repeated cal"])


def test_dialogues_without_tools_have_no_pairs() -> None:
    plain = CALLS.model_copy(update={"tools": ()})
    assert trajectory_pairs([plain], writer=PlainWriter()) == ([], {})


def test_tools_and_values_come_from_the_pool() -> None:
    other = Dialogue(
        messages=(
            user("A table at Luigi's for two at noon."),
            calls("book_table", place="Luigi's", people="two", time="noon"),
            returns("{}"),
            says("Done."),
        ),
        tools=(BOOK,),
    )
    built = trajectory_pairs([ASKS], writer=PlainWriter(), pool=[other, CALLS])
    [invented] = [pair for pair in built.pairs if pair.kind == "invented call"]
    assert invented.rejected[0].tool_calls[0].arguments == {"place": "Luigi's", "people": "two", "time": "noon"}
    [missing] = [pair for pair in built.pairs if pair.kind == "missing tool"]
    assert missing.tools == (WEATHER,)


@pytest.mark.parametrize(
    ("fitting", "other"),
    [
        ("Banks_1_CheckBalance", "Banks_2_TransferMoney"),
        ("QueryStock", "get_stock_price"),
        ("calculate_tips", "calculate_tip"),
        ("AddReminder", "delete_reminders"),
        ("create_user", "create_user"),
    ],
)
def test_a_tool_of_a_related_name_is_no_distractor(fitting: str, other: str) -> None:
    far = tool("PlaySong")
    for seed in range(20):
        assert distractors([tool(fitting)], [tool(other), far], Random(seed)) == (far,)
    assert distractors([tool(fitting)], [tool(other)], Random(0)) == ()


def test_words_that_say_little_relate_no_tools() -> None:
    assert distractors([tool("calculate_tip")], [tool("calculate_bmi")], Random(0)) == (tool("calculate_bmi"),)


def test_distractors_are_as_many_as_asked_for_at_most_and_all_different() -> None:
    pool = [tool(f"{letter * 3}_{letter * 4}") for letter in "abcdefgh"]
    drawn = [distractors([WEATHER], pool, Random(seed), most=4) for seed in range(60)]
    assert {len(tools) for tools in drawn} == {1, 2, 3, 4}
    assert all(len({tool.name for tool in tools}) == len(tools) for tools in drawn)


def words_of(name: str) -> set[str]:
    """The words of a tool's name, found in another way than the builder's."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", name)}


@pytest.fixture(scope="module")
def shipped() -> list[Dialogue]:
    return demo_parts().pairs


def test_pairs_of_the_shipped_dialogues(shipped: Sequence[Dialogue]) -> None:
    """Valid when read back, of a known dialogue, with its own prompt; all kinds are there."""
    pairs = trajectory_pairs(shipped, writer=PhraseWriter()).pairs
    by_id = {dialogue.id: dialogue for dialogue in shipped}
    assert len({pair.id for pair in pairs}) == len(pairs) > 1000
    for pair in pairs:
        assert PreferencePair.model_validate_json(pair.model_dump_json()) == pair
        dialogue = by_id[pair.dialogue_id]
        assert pair.prompt == dialogue.messages[: len(pair.prompt)]
        assert pair.prompt[-1].role in ("user", "tool")
        assert pair.chosen[-1].role == "assistant"
        if pair.kind != "missing tool":
            assert pair.tools == dialogue.tools
            assert pair.chosen == dialogue.messages[len(pair.prompt) :][: len(pair.chosen)]
    counts = Counter(pair.kind for pair in pairs)
    assert set(counts) == set(BUILDERS)
    assert counts.pop("forced call") > 5  # the dialogues hold few rejections of their own
    assert min(counts.values()) > 100


def test_no_fitting_tool_is_offered_where_one_should_be_missing(shipped: Sequence[Dialogue]) -> None:
    common = words_of(
        "query search check find create generate calculate with from user modify get book add delete cancel"
    )
    by_id = {dialogue.id: dialogue for dialogue in shipped}
    pairs = trajectory_pairs(shipped, writer=PhraseWriter(), kinds=["missing tool"]).pairs
    for pair in pairs:
        fitting = {word for tool in by_id[pair.dialogue_id].tools for word in words_of(tool.name)} - common
        offered = {word for tool in pair.tools for word in words_of(tool.name)}
        assert not {word for word in fitting & offered if len(word) > 2}, pair.id


@pytest.mark.parametrize("decision", [None, Decision.SLOT, Decision.RELEVANCE])
def test_nothing_forks_before_the_user_has_spoken(decision: Decision | None) -> None:
    greeted = CALLS.model_copy(update={"messages": (says("Hello! How can I help?", decision), *CALLS.messages)})
    assert [fork.start for fork in forks(greeted)] == [2, 4]
    assert trajectory_pairs([greeted], writer=PlainWriter(), pool=ALL).pairs
    assert forks(Dialogue(messages=(says("Hello!"),), tools=(WEATHER,))) == []
