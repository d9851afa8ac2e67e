"""Findings over the results of tools."""

import pytest
from tests.doctor.builders import assistant, call, dialogue, found, result, user

from turnpoint.doctor.results import empty_results, unanswered_calls, unpaired_results

WRITTEN_OUT = assistant('<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>')


def test_a_call_in_the_middle_without_a_result() -> None:
    skipped = dialogue(user("Weather in Paris?"), call(city="Paris"), assistant("Sunny."), source="a:1")
    last = dialogue(user("Weather in Paris?"), call(city="Paris"), source="a:2")
    parallel = {"role": "assistant", "tool_calls": [{"name": "weather", "arguments": {"city": c}} for c in ("A", "B")]}
    half = dialogue(user("Weather?"), parallel, result("sunny"), assistant("Sunny."), source="a:3")
    assert found(unanswered_calls([skipped, last, half])).rows == ("a:1", "a:3")


def test_a_second_result_of_one_call_that_is_written_out() -> None:
    twice = dialogue(user("Weather?"), WRITTEN_OUT, result("sunny"), result("sunny"), assistant("Sunny."), source="a:1")
    once = dialogue(user("Weather?"), WRITTEN_OUT, result("sunny"), assistant("Sunny."), source="a:2")
    assert found(unpaired_results([twice, once])).rows == ("a:1: messages[3]",)


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), (" {} ", True), ("[]", True), ("null", True), ("0", False), ("sunny", False)]
)
def test_results_that_hold_nothing(text: str, empty: bool) -> None:
    row = dialogue(user("Weather in Paris?"), call(city="Paris"), result(text), assistant("It is sunny."))
    assert (empty_results([row]) is not None) is empty
