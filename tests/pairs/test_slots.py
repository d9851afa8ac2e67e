"""Where the user says a value, and what is left of a request without it."""

from typing import Any

import pytest

from turnpoint.pairs.slots import find, hints, says, with_unit, without


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("Paris", "How is the weather in paris?", "paris"),
        (1000, "I have 1,000 dollars", "1,000"),
        ("4", "A table for four, please", "four"),
        (70, "I weigh 70.0 kg", "70.0"),
        ("2022-03-11", "on March 11, 2022 please", "March 11, 2022"),
        ("2022-03-11", "the 11th of Mar", "the 11th of Mar"),
        ("2023-10-10", "on 10th Oct 2023?", "10th Oct 2023"),
        ("19:30", "at 7:30 pm", "7:30 pm"),
        ("09:00", "at 9am", "9am"),
        ("2023-03-19 09:30:00", "March 19th at 9:30 AM", "March 19th at 9:30 AM"),
        (["chicken", "rice"], "I have some chicken and rice.", "chicken and rice"),
        ("John", "\ub0b4 \uc774\ub984\uc740 John\uc774\uace0", "John"),
        ("\u5317\u4eac", "\u6211\u5728\u5317\u4eac\u7b49\u4f60", "\u5317\u4eac"),
    ],
)
def test_a_value_is_found_in_the_forms_in_which_people_write_it(value: Any, text: str, found: str) -> None:
    span = find(value, text)
    assert span is not None
    assert text[span.start : span.end] == found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Paris", "Parisian food"),
        (5, "at 15 o'clock"),
        (5, "in 2005"),
        ("19:30", "at 7:30 am"),
        ("2022-03-11", "March 12"),
        (True, "true"),
        (None, "None"),
        ("", "nothing"),
        ([], "nothing"),
        (["chicken", "rice"], "chicken today, and with it plain rice"),
        ({"a": 1}, "a 1"),
    ],
)
def test_what_is_not_said_is_not_found(value: Any, text: str) -> None:
    assert not says(text, value)


def test_a_number_comes_with_its_sign_and_its_unit() -> None:
    text = "It is $50 and 20% for 5 people"
    spans = [find(value, text) for value in (50, 20, 5)]
    assert [text[slice(*with_unit(text, span))] for span in spans if span] == ["$50", "20%", "5 people"]


@pytest.mark.parametrize(
    ("text", "hidden", "left"),
    [
        ("What is the stock price of SQ on March 14th, 2022?", ["SQ", "2022-03-14"], "What is the stock price?"),
        ("I need to book a hotel in Paris from 2022-05-01.", ["Paris", "2022-05-01"], "I need to book a hotel."),
        ("Can you help me delete a scene named \"Movie Time\"?", ["Movie Time"], "Can you help me delete a scene?"),
        ("Hi, I need to calculate my BMI. I weigh 70 kilograms.", [70], "Hi, I need to calculate my BMI."),
        ("Can you check my appointment on March 25th with Dr. Kim?", ["2023-03-25"],
         "Can you check my appointment with Dr. Kim?"),
    ],
)  # fmt: skip
def test_a_request_without_its_values_keeps_the_users_words(text: str, hidden: list[Any], left: str) -> None:
    assert without(text, hidden) == left


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ('Can you play "Shape of You" by Ed Sheeran?', ["Shape of You"]),  # what is there to play?
        ("I am looking for a mystery book by Agatha Christie.", ["mystery"]),  # "looking book"
        ("Can you tell me about the movie Inception?", ["Inception"]),  # "tell me"
        ("I need the distance between New York and Los Angeles.", ["New York", "Los Angeles"]),  # "between and"
        ("a hotel in London, England.", ["London"]),  # "a hotel, England"
        ("Hi, I want 20% of 500. Can you help me with that?", [20, 500]),  # what is "that"?
        ("Paris", ["Paris"]),
    ],
)
def test_words_that_would_hang_in_the_air_are_not_left(text: str, hidden: list[Any]) -> None:
    assert without(text, hidden) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("The Matrix", "Play Matrix, please"),
        ("Dr. Johnson", "with doctor Johnson"),
        ("2022-03-11 09:00", "on March 11"),
    ],
)
def test_a_value_is_hinted_at_without_its_article_title_or_time(value: str, text: str) -> None:
    assert hints(text, value)
    assert not says(text, value)


@pytest.mark.parametrize(("value", "text"), [("The It", "Do it"), ("Thebes", "in bes"), ("a", "a table")])
def test_what_is_left_without_an_article_is_a_name(value: str, text: str) -> None:
    assert hints(text, value) is says(text, value)
