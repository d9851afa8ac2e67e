"""Each finding over dialogues: what it reports and what it leaves alone."""

import pytest
from tests.doctor.builders import CLOCK, WEATHER, assistant, call, dialogue, found, result, user

from turnpoint.dialogue import Dialogue
from turnpoint.doctor import Severity
from turnpoint.doctor.arguments import missing_required, unknown_parameters, wrong_types
from turnpoint.doctor.dialogues import (
    decision_balance,
    duplicated_dialogues,
    no_scored_turn,
    repeated_roles,
    tools_never_called,
    trailing_messages,
    unanswered_calls,
    ungrounded_values,
)

GOOD = dialogue(user("Weather in Paris?"), call(city="Paris"), result("sunny"), assistant("It is sunny."))


@pytest.mark.parametrize(
    "find",
    [
        no_scored_turn,
        unanswered_calls,
        trailing_messages,
        repeated_roles,
        tools_never_called,
        ungrounded_values,
        missing_required,
        unknown_parameters,
        wrong_types,
        duplicated_dialogues,
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


def test_only_the_first_five_rows_are_named_and_all_are_counted() -> None:
    finding = found(no_scored_turn([dialogue(user("Hi"), source=f"a:{i}") for i in range(7)]))
    assert finding.count == 7
    assert finding.rows == ("a:0", "a:1", "a:2", "a:3", "a:4")


def test_a_call_in_the_middle_without_a_result() -> None:
    skipped = dialogue(user("Weather in Paris?"), call(city="Paris"), assistant("Sunny."), source="a:1")
    last = dialogue(user("Weather in Paris?"), call(city="Paris"), source="a:2")
    parallel = {"role": "assistant", "tool_calls": [{"name": "weather", "arguments": {"city": c}} for c in ("A", "B")]}
    half = dialogue(user("Weather?"), parallel, result("sunny"), assistant("Sunny."), source="a:3")
    assert found(unanswered_calls([skipped, last, half])).rows == ("a:1", "a:3")


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
    assert finding.title == "1 of 2 tools are offered and never called: clock"
    assert finding.rows == ("a:1",)


def test_a_required_value_that_nobody_said() -> None:
    invented = dialogue(user("Weather?"), call(city="Paris"), source="a:1")
    spelled = dialogue(user("Weather in new york?"), call(city="New-York"), source="a:2")
    optional = dialogue(user("Weather in Paris?"), call(city="Paris", days=3), source="a:3")
    assert found(ungrounded_values([invented, spelled, optional])).rows == ("a:1",)


def test_arguments_against_the_schema() -> None:
    rows = [
        dialogue(user("Weather in Paris?"), call(days=2), source="a:1"),
        dialogue(user("Weather in Paris?"), call(city="Paris", place="Paris", hour=1), source="a:2"),
        dialogue(user("Weather in Paris?"), call(city="Paris", days="two", unit="k"), source="a:3"),
    ]
    assert found(missing_required(rows)).rows == ("a:1: weather(city)",)
    assert found(unknown_parameters(rows)).rows == ("a:2: weather(place, hour)",)
    assert found(wrong_types(rows)).rows == ("a:3: weather(days='two', unit='k')",)


def test_a_long_value_is_cut_in_the_report() -> None:
    long = found(wrong_types([dialogue(user("Weather?"), call(city="Paris", unit="k" * 200))]))
    assert long.rows == (f"d.jsonl:1: weather(unit='{'k' * 58}…)",)


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"type": "integer"}, True, False),
        ({"type": "boolean"}, True, True),
        ({"type": "number"}, 1, True),
        ({"type": "integer"}, 1.5, False),
        ({"type": ["string", "null"]}, None, True),
        ({"type": "date"}, 5, True),
        ({}, [1], True),
        ({"type": "array"}, "a", False),
        ({"enum": [1, 2]}, 3, False),
    ],
)
def test_types_of_json_schema(schema: dict[str, object], value: object, fits: bool) -> None:
    tool = {"name": "t", "parameters": {"type": "object", "properties": {"x": schema}}}
    row = dialogue(user("go"), call("t", x=value), tools=(tool,))
    assert (wrong_types([row]) is None) is fits


def test_extra_parameters_are_fine_where_the_schema_allows_them() -> None:
    tool = {"name": "t", "parameters": {"type": "object", "properties": {}, "additionalProperties": True}}
    assert unknown_parameters([dialogue(user("go"), call("t", x=1), tools=(tool,))]) is None


def test_decision_balance_counts_and_warns_of_what_is_rare() -> None:
    few = found(decision_balance([GOOD]))
    assert few.title == "decisions of 2 turns: call 1, slot 0, completion 1, relevance 0"
    assert (few.severity, few.mend) == (Severity.NOTE, "")
    many = found(decision_balance([GOOD] * 10))
    assert many.severity is Severity.WARNING
    assert "slot, relevance" in many.mend


def test_no_warning_where_no_tools_are_offered() -> None:
    chat = [Dialogue.model_validate({"messages": [user("Hi"), assistant("Hello")]})] * 30
    assert found(decision_balance(chat)).severity is Severity.NOTE
