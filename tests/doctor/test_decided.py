"""Findings over decisions, and the decisions and states they come from."""

import pytest
from tests.doctor.builders import WEATHER, assistant, call, dialogue, found, pair, result, user

from turnpoint.dialogue import Decision, Dialogue, PreferencePair, parse
from turnpoint.doctor import Severity, judge
from turnpoint.doctor.decided import only_rejected, rare
from turnpoint.doctor.paths import QueryType, query_types
from turnpoint.doctor.sides import Judged
from turnpoint.pairs import PhraseWriter, phrase_bank, trajectory_pairs
from turnpoint.pairs.trajectories import BEYOND

CALL, SLOT, COMPLETION, RELEVANCE, CONFIRM = Decision


def judged(*decided: Decision) -> Judged:
    return Judged("a", decided, 0, "")


def test_decisions_that_are_hardly_taught() -> None:
    """One slot question of 21 turns is 4.8%, and no rejection is none."""
    rows = [judged(CALL, COMPLETION)] * 10 + [judged(SLOT)]
    finding = found(rare(rows, offer_tools=True))
    assert finding.severity is Severity.WARNING
    assert finding.title == "decisions that are less than 5% of 21 turns: slot 1, no relevance"
    assert finding.count == 2, "decisions, so that it is never 0"
    assert "slot, relevance" in finding.mend
    assert rare(rows, offer_tools=False) is None
    assert rare(rows[:9], offer_tools=True) is None, "18 turns say nothing"
    assert rare([judged(CALL, SLOT, COMPLETION, RELEVANCE)] * 5, offer_tools=True) is None


def test_a_decision_that_is_only_ever_rejected() -> None:
    question = [assistant("Which city?"), user("Paris"), call(city="Paris")]
    rows = [
        pair(question, [call(city="Rome")], source="p:1"),
        pair("I am unable to do that.", [call(city="Rome")], source="p:2"),
    ]
    sides = judge(rows)
    finding = found(only_rejected(sides["chosen"], sides["rejected"]))
    assert finding.title == "first decisions that are only ever rejected: call 2"
    assert (finding.severity, finding.sources) == (Severity.WARNING, ("p:1", "p:2"))
    sides = judge([*rows, pair([call(city="Paris")], "I am unable to do that.")])
    assert only_rejected(sides["chosen"], sides["rejected"]) is None


def test_a_side_that_is_a_question_asks_for_a_slot() -> None:
    rows = [pair([call(city="Paris")], "Which city?"), pair([call(city="Paris")], "It is sunny. Anything else?")]
    assert [row.decided for row in judge(rows)["rejected"]] == [(SLOT,), (COMPLETION,)]


@pytest.mark.parametrize(
    ("decided", "types"),
    [
        ((CALL, COMPLETION), (QueryType.GIVEN,)),
        ((CONFIRM, CALL, COMPLETION), (QueryType.GIVEN,)),
        ((SLOT, SLOT, CALL, COMPLETION), (QueryType.MISSING,)),
        ((CALL, SLOT, CALL, COMPLETION), (QueryType.GIVEN,)),
        ((RELEVANCE,), (QueryType.NO_TOOL,)),
        ((SLOT, RELEVANCE), (QueryType.NO_TOOL,)),
        ((CALL, CALL, COMPLETION, RELEVANCE, SLOT), (QueryType.GIVEN, QueryType.NO_TOOL, QueryType.MISSING)),
        ((COMPLETION, COMPLETION), ()),
        ((), ()),
    ],
)
def test_query_types_by_the_first_decision_on_a_request(
    decided: tuple[Decision, ...], types: tuple[QueryType, ...]
) -> None:
    assert query_types(decided) == types


def test_requests_that_were_settled_before_the_fork_are_left_out() -> None:
    decided = (CALL, COMPLETION, SLOT, CALL, COMPLETION)
    assert query_types(decided, first_turn=2) == (QueryType.MISSING,)
    assert query_types(decided, first_turn=3) == (QueryType.MISSING,), "asked before the fork, answered after it"


def forked(
    prompt: list[dict[str, object]], chosen: list[dict[str, object]], rejected: list[dict[str, object]] | None = None
) -> PreferencePair:
    sides = {"chosen": chosen, "rejected": rejected or REFUSAL}
    return parse(PreferencePair, {"prompt": prompt, **sides, "tools": [WEATHER]}, "p:1")


REFUSAL = [assistant("I am unable to do that.")]
ASKED = [user("Weather?")]
ASKED_IN_FULL = [user("Weather in Paris?")]
WAY = [call(city="Paris"), result("sunny"), assistant("It is sunny.")]


@pytest.mark.parametrize(
    ("prompt", "chosen", "paths"),
    [
        (ASKED, WAY, ("1-3-4-5", "1-1")),
        (ASKED, [assistant("Which city?"), user("Paris"), *WAY], ("1-2-3-4-5", "1-1")),
        ([*ASKED, assistant("Which city?"), user("Paris")], WAY, ("1-2-3-4-5", "1-2-1")),
        ([*ASKED, *WAY, user("And in Rome?")], [call(city="Rome")], ("1-3-4", "1-1")),
        ([*ASKED, *WAY, user("Thanks")], [assistant("You are welcome.")], ("1-3-4-5-5", "1-3-4-5-1")),
    ],
)
def test_states_of_sides_from_where_the_request_begins(
    prompt: list[dict[str, object]], chosen: list[dict[str, object]], paths: tuple[str, str]
) -> None:
    sides = judge([forked(prompt, chosen)])
    assert (sides["chosen"][0].path, sides["rejected"][0].path) == paths


def test_a_request_that_is_refused_after_an_answer_begins_at_initial_on_both_sides() -> None:
    sides = judge([forked([*ASKED, *WAY, user("Book a flight.")], REFUSAL, [call(city="Rome")])])
    assert (sides["chosen"][0].path, sides["rejected"][0].path) == ("1-1", "1-3-4")


def test_states_of_built_pairs_are_those_that_their_maker_planned() -> None:
    """A second request of a dialogue, whose first one stands in the prompt."""
    row = dialogue(*ASKED_IN_FULL, *WAY, user("Weather in Rome for 3 days?"), call(city="Rome", days=3), *WAY[1:])
    built = trajectory_pairs([row], writer=PhraseWriter(phrase_bank("en"))).pairs
    table = [pair for pair in built if pair.about["set"] != BEYOND]
    assert any(len(pair.prompt) > 1 for pair in table)
    sides = judge(table)
    for name in ("chosen", "rejected"):
        assert [row.path for row in sides[name]] == [pair.about[f"{name}_states"] for pair in table]
    types = [query_types(row.decided, row.first_turn)[0][0] for row in sides["chosen"]]
    assert types == [str(pair.about["query_type"]) for pair in table]


def test_states_of_a_whole_dialogue() -> None:
    row = dialogue(*ASKED, *WAY, user("And in Rome?"), call(city="Rome"))
    assert [each.path for each in judge([row])["dialogue"]] == ["1-3-4-5-1-3-4"]
    assert judge(list[Dialogue]()) == {}
