"""Each finding over dialogues: what it reports and what it leaves alone."""

import pytest
from tests.doctor.builders import CLOCK, WEATHER, assistant, call, dialogue, found, result, user

from turnpoint.doctor import Severity
from turnpoint.doctor.arguments import broken_schemas, broken_values, missing_required, unknown_parameters
from turnpoint.doctor.dialogues import (
    duplicated_dialogues,
    no_scored_turn,
    repeated_roles,
    system_in_some,
    tools_never_called,
    trailing_messages,
)
from turnpoint.doctor.grounding import ungrounded_optional, ungrounded_required
from turnpoint.doctor.results import empty_results, unanswered_calls, unpaired_results

GOOD = dialogue(user("Weather in Paris?"), call(city="Paris"), result("sunny"), assistant("It is sunny."))


@pytest.mark.parametrize(
    "find",
    [
        no_scored_turn,
        trailing_messages,
        repeated_roles,
        system_in_some,
        tools_never_called,
        duplicated_dialogues,
        unanswered_calls,
        unpaired_results,
        empty_results,
        ungrounded_required,
        ungrounded_optional,
        missing_required,
        unknown_parameters,
        broken_values,
        broken_schemas,
    ],
)
def test_a_sound_dialogue_is_left_alone(find: object) -> None:
    assert callable(find)
    assert find([GOOD]) is None
    assert find([]) is None


def test_dialogues_without_a_scored_turn() -> None:
    silent = dialogue(user("Hi"), source="a:1")
    untrained = dialogue(user("Hi"), assistant("Hello", train=False), source="a:2")
    finding = found(no_scored_turn([silent, GOOD, untrained]))
    assert (finding.severity, finding.count, finding.rows) == (Severity.ERROR, 2, ("a:1", "a:2"))


def test_only_the_first_five_rows_are_shown_and_all_are_named() -> None:
    finding = found(no_scored_turn([dialogue(user("Hi"), source=f"a:{i}") for i in range(7)]))
    assert finding.count == 7
    assert finding.rows == ("a:0", "a:1", "a:2", "a:3", "a:4")
    assert finding.sources == ("a:0", "a:1", "a:2", "a:3", "a:4", "a:5", "a:6")


def test_messages_after_the_last_turn() -> None:
    trailing = dialogue(user("Hi"), assistant("Hello"), user("Thanks"), source="a:1")
    assert found(trailing_messages([trailing, GOOD])).rows == ("a:1",)


def test_two_messages_of_one_role_in_a_row() -> None:
    twice = dialogue(user("Hi"), user("Are you there?"), assistant("Yes"), source="a:1")
    assert found(repeated_roles([GOOD, twice])).rows == ("a:1",)


def test_a_repeat_names_the_row_it_repeats_and_other_tools_make_it_another_row() -> None:
    rows = [dialogue(user("Hi"), assistant("Hello"), source=f"a:{i}") for i in (1, 2)]
    other = dialogue(user("Hi"), assistant("Hello"), source="a:3", tools=(CLOCK,))
    assert found(duplicated_dialogues([*rows, other])).rows == ("a:2 (as a:1)",)


def test_tools_offered_and_never_called_are_counted_over_the_whole_data_set() -> None:
    both = dialogue(user("Hi"), assistant("Hello"), source="a:1", tools=(WEATHER, CLOCK))
    finding = found(tools_never_called([both, GOOD]))
    assert finding.title == "1 of 2 tools are offered and never called"
    assert (finding.rows, finding.sources) == (("a:1: clock",), ("a:1",))


def test_rows_without_a_system_message_where_others_have_one() -> None:
    system = {"role": "system", "content": "Be brief."}
    with_one = dialogue(system, user("Hi"), assistant("Hello"), source="a:1")
    without = dialogue(user("Hi"), assistant("Hello"), source="a:2")
    finding = found(system_in_some([with_one, without, with_one]))
    assert (finding.title, finding.rows) == ("rows without a system message, where 2 have one", ("a:2",))
    assert system_in_some([without]) is None
    assert system_in_some([with_one]) is None
