"""Pairs of whole dialogues: what each says of itself, what is counted, and that every one keeps the rules."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.checker import problems
from tests.pairs.dialogues import (
    ALL,
    ASKS,
    BOOK,
    CALLS,
    OTHER_TABLE,
    OTHER_WEATHER,
    REFUSES,
    WEATHER,
    PlainWriter,
    calls,
    returns,
    says,
    tool,
    user,
)

from turnpoint.dialogue import Dialogue, PreferencePair, Tool
from turnpoint.errors import ConfigError
from turnpoint.pairs import PhraseWriter, phrase_bank, row_quotas, trajectory_pairs
from turnpoint.pairs.rows import ROWS
from turnpoint.pairs.sources import far_distractors, near_distractors
from turnpoint.pairs.trajectories import KINDS
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.template import Renderer, ensure_tool_template


@pytest.fixture(scope="module")
def shipped() -> list[Dialogue]:
    """Every dialogue that comes with the package."""
    return [dialogue for part in demo_parts() for dialogue in part]


@pytest.fixture(scope="module")
def of_shipped(shipped: Sequence[Dialogue]) -> list[PreferencePair]:
    return trajectory_pairs(shipped, writer=PhraseWriter()).pairs


def test_every_row_of_the_table_is_built_of_the_shipped_dialogues(shipped: Sequence[Dialogue]) -> None:
    """At least 1,500 pairs of the two sets, in less than a minute of one core."""
    start = time.process_time()
    pairs = trajectory_pairs(shipped, writer=PhraseWriter()).pairs
    seconds = time.process_time() - start
    counts = Counter(pair.about["row"] for pair in pairs if pair.about["set"] != "beyond")
    assert set(counts) == {row.name for row in ROWS}
    assert min(counts.values()) > 100
    assert sum(counts.values()) > 3000
    assert seconds < 60


def test_every_pair_passes_an_independent_check(of_shipped: Sequence[PreferencePair]) -> None:
    table = [pair for pair in of_shipped if pair.about["set"] != "beyond"]
    wrong = {pair.id: found for pair in table if (found := problems(pair))}
    assert wrong == {}


@pytest.mark.parametrize("language", ["ko", "zh"])
def test_other_languages_pass_the_check_too(shipped: Sequence[Dialogue], language: str) -> None:
    """The dialogues stay English; requests, questions, replies and rejections are in another language."""
    built = trajectory_pairs(shipped[:150], writer=PhraseWriter(phrase_bank(language)))
    table = [pair for pair in built.pairs if pair.about["set"] != "beyond"]
    assert {pair.id: found for pair in table if (found := problems(pair))} == {}
    assert {pair.about["row"] for pair in table} == {row.name for row in ROWS}


def test_pairs_are_valid_when_read_back_and_all_different(
    shipped: Sequence[Dialogue], of_shipped: Sequence[PreferencePair]
) -> None:
    openings = {dialogue.id: dialogue.key for dialogue in shipped}
    assert len({pair.id for pair in of_shipped}) == len(of_shipped)
    for pair in of_shipped:
        assert PreferencePair.model_validate_json(pair.model_dump_json()) == pair
        assert pair.key == openings[pair.dialogue_id]
        assert pair.chosen[-1].role == "assistant"
    assert {pair.kind for pair in of_shipped} == set(KINDS)


def test_a_pair_says_what_it_is() -> None:
    pairs = trajectory_pairs(ALL, pool=[*ALL, OTHER_TABLE], writer=PlainWriter()).pairs
    [guess] = [pair for pair in pairs if pair.id == "asks#1 invented call easy"]
    assert guess.dialogue_id == "asks"
    assert guess.source == "hand:1 message 1: invented call easy"
    assert guess.about == {
        "row": "invented call easy",
        "query_type": 2,
        "set": "easy",
        "chosen_states": "1-2-3-4-5",
        "rejected_states": "1-3-4-5",
        "opening": ASKS.key,
    }
    [again] = [pair for pair in pairs if pair.id == "asks#5 repeated call"]
    assert again.about == {
        "row": "repeated call",
        "query_type": 1,
        "set": "beyond",
        "chosen_states": "1-2-3-4-5",
        "rejected_states": "1-2-3-4-3-4-5",
        "opening": ASKS.key,
    }


def test_a_request_is_forked_by_the_table_and_other_turns_beyond_it() -> None:
    """ASKS: its request at turn 1; CONFIRMS asks for a go-ahead, so only its later turns fork."""
    pairs = trajectory_pairs(ALL, writer=PlainWriter()).pairs
    beyond = {pair.id for pair in pairs if pair.about["set"] == "beyond"}
    assert beyond == {
        "asks#3 needless question",
        "asks#3 refused call",
        "asks#5 repeated call",
        "calls#3 repeated call",
        "refuses#1 forced call",
        "confirms#3 needless question",
        "confirms#3 refused call",
        "confirms#5 repeated call",
    }
    of_table = Counter(pair.dialogue_id for pair in pairs if pair.about["set"] != "beyond")
    assert set(of_table) == {"asks", "calls"}


def test_states_before_a_turn_are_those_of_the_dialogue_on_both_sides() -> None:
    """What its question asked for shows in the call that came of it, which the rejected side no longer makes."""
    pairs = trajectory_pairs([ASKS], writer=PlainWriter(), kinds=["refused call"]).pairs
    [refused] = [pair.about for pair in pairs if pair.about["set"] == "beyond"]
    assert (refused["chosen_states"], refused["rejected_states"]) == ("1-2-3-4-5", "1-2-1")


def test_a_dialogue_that_stands_twice_gives_its_pairs_once() -> None:
    again = CALLS.model_copy(update={"id": "again", "source": "hand:9"})
    built = trajectory_pairs([CALLS, again], writer=PlainWriter())
    assert {pair.dialogue_id for pair in built.pairs} == {"calls"}
    assert built.not_possible["a dialogue: stands twice"] == 1


def test_what_is_not_built_is_counted_with_its_reason() -> None:
    built = trajectory_pairs([CALLS], writer=PlainWriter(), pool=[CALLS, OTHER_WEATHER])
    assert built.not_possible == {
        "missing tool hard call: no other tool to offer": 1,
        "missing tool hard questions: no other tool to offer": 1,
    }


class _Leaky(PlainWriter):
    """Rewrites nothing: every value stays in the request."""

    def request(self, said: str, *others: object) -> str:
        return said


def test_what_a_writer_gets_wrong_is_left_out_and_counted() -> None:
    built = trajectory_pairs(
        [CALLS], pool=[CALLS, OTHER_WEATHER], writer=_Leaky(), kinds=["invented call", "refused question"]
    )
    assert built.pairs == []
    assert set(built.not_possible) == {
        f"{row}: the request says what it should leave open"
        for row in ("invented call easy", "invented call hard N", "invented call hard M", "refused question easy",
                    "refused question hard")
    }  # fmt: skip


class _Babbling(PlainWriter):
    """Neither asks nor refuses."""

    def question(self, slots: Sequence[str], tool: Tool, random: Random) -> str:
        return "Banana."

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        return "Banana."


def test_turns_beyond_the_table_are_checked_too() -> None:
    built = trajectory_pairs(ALL, writer=_Babbling())
    texts = {message.content for pair in built.pairs for message in (*pair.chosen, *pair.rejected)}
    assert "Banana." not in texts
    assert built.not_possible["refused call: a rejection does not refuse"] == 2
    assert built.not_possible["needless question: a question does not ask"] == 2


def test_invented_values_are_others_and_leave_no_trace(of_shipped: Sequence[PreferencePair]) -> None:
    """Of every call that should have been asked for first, an argument differs; no mark of the program stays behind."""
    for pair in of_shipped:
        written = "".join(message.content or "" for message in (*pair.prompt, *pair.chosen, *pair.rejected))
        assert not any("\ue000" <= character <= "\uf8ff" for character in written)
        if pair.kind == "invented call":
            right, wrong = (
                [call.arguments for message in side for call in message.tool_calls]
                for side in (pair.chosen, pair.rejected)
            )
            assert [str(each).casefold() for each in right] != [str(each).casefold() for each in wrong], pair.id


def test_no_tool_is_added_where_a_dialogue_refuses() -> None:
    [pair] = trajectory_pairs([REFUSES], writer=PlainWriter(), pool=ALL, distractors=3).pairs
    assert pair.tools == REFUSES.tools


def test_a_broken_schema_costs_pairs_and_no_traceback() -> None:
    for schema in ({"pattern": "["}, {"$ref": "#/nowhere"}, {"enum": 5}, {"type": "str"}):
        parameters = {"type": "object", "properties": {"city": schema, "day": {}}, "required": ["city", "day"]}
        broken = CALLS.model_copy(update={"tools": (WEATHER.model_copy(update={"parameters": parameters}),)})
        built = trajectory_pairs([broken], writer=PlainWriter(), pool=ALL, kinds=["refused call"])
        assert built.pairs == []
        assert built.not_possible["refused call easy: the chosen call breaks the schema of its tool"] == 1


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


def test_a_dialogue_gives_the_same_pairs_whatever_comes_before_it() -> None:
    alone = trajectory_pairs([CALLS], writer=PhraseWriter(), pool=ALL).pairs
    after = trajectory_pairs([ASKS, CALLS], writer=PhraseWriter(), pool=ALL).pairs
    assert [pair for pair in after if pair.dialogue_id == "calls"] == alone


def test_kinds_are_chosen_and_misspelt_ones_refused() -> None:
    built = trajectory_pairs(ALL, writer=PlainWriter(), kinds=["repeated call"])
    assert {pair.kind for pair in built.pairs} == {"repeated call"}
    with pytest.raises(ConfigError, match=r"^kinds: unknown 'repeated cal'; use some of needless question"):
        trajectory_pairs(ALL, writer=PlainWriter(), kinds=["repeated cal"])


def test_quotas_are_kept_and_drawn_from_all_dialogues(shipped: Sequence[Dialogue]) -> None:
    quotas = row_quotas(easy=40, hard=60, beyond=7)
    pairs = trajectory_pairs(shipped, writer=PhraseWriter(), quotas=quotas).pairs
    assert Counter(pair.about["set"] for pair in pairs) == {"easy": 40, "hard": 60, "beyond": 7}
    files = {re.split(r"[:[]", pair.source)[0] for pair in pairs}
    assert len(files) == 4


def test_distractors_are_offered_beside_a_pairs_own_tools() -> None:
    pairs = trajectory_pairs([CALLS], writer=PlainWriter(), pool=ALL, distractors=2).pairs
    of_calls = [pair for pair in pairs if pair.kind == "needless question"]
    assert all(WEATHER in pair.tools and 2 <= len(pair.tools) <= 3 for pair in of_calls)


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
    [invented] = [pair for pair in built.pairs if pair.id == "asks#1 invented call easy"]
    assert invented.rejected[0].tool_calls[0].arguments == {"place": "Luigi's", "people": "two", "time": "noon"}
    missing = [pair for pair in built.pairs if pair.kind == "missing tool"]
    assert missing
    assert all(pair.tools == (WEATHER,) for pair in missing)


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
        assert far_distractors([tool(fitting)], [tool(other), far], Random(seed)) == (far,)
    assert far_distractors([tool(fitting)], [tool(other)], Random(0)) == ()


def test_words_that_say_little_relate_no_tools() -> None:
    assert far_distractors([tool("calculate_tip")], [tool("calculate_bmi")], Random(0)) == (tool("calculate_bmi"),)


def test_distractors_are_as_many_as_asked_for_at_most_and_all_different() -> None:
    pool = [tool(f"{letter * 3}_{letter * 4}") for letter in "abcdefgh"]
    drawn = [far_distractors([WEATHER], pool, Random(seed), most=4) for seed in range(60)]
    assert {len(tools) for tools in drawn} == {1, 2, 3, 4}
    assert all(len({tool.name for tool in tools}) == len(tools) for tools in drawn)


@pytest.mark.parametrize(
    ("fitting", "other", "near"),
    [
        ("AddAlarm", "DeleteAlarm", True),
        ("Hotels_1_ReserveHotel", "Hotels_2_SearchHouse", True),
        ("get_stock_price", "QueryStock", False),  # may well be the same
        ("AddAlarm", "PlayMusic", False),
        ("Calculator", "SearchEngine", False),
    ],
)
def test_a_near_distractor_does_something_else_with_the_same_thing(fitting: str, other: str, near: bool) -> None:
    assert near_distractors(tool(fitting), [tool(other)], Random(0)) == ((tool(other),) if near else ())
