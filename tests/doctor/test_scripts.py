"""Scripts of texts and of rows."""

import pytest
from tests.doctor.builders import assistant, call, dialogue, pair, result, user

from turnpoint.doctor.scripts import NO_LETTERS, script_of, scripts


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Weather in Paris?", "Latin"),
        ("Wie wäre es mit Köln?", "Latin"),
        ("서울 날씨 알려 줘", "Hangul"),
        ("北京的天气怎么样", "Han"),
        ("東京都庁舎展望室へ", "Kana"),  # eight Han characters, one kana: Japanese
        ("カフェ", "Kana"),
        ("Погода в Париже", "Cyrillic"),
        ("الطقس في باريس", "Arabic"),
        ("\uff21\uff22", "Latin"),  # A and B of full width
        ("12:30 🙂", NO_LETTERS),
        ("", NO_LETTERS),
    ],
)
def test_the_script_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_rows_by_what_users_and_assistants_say() -> None:
    hangul = dialogue(user("서울 날씨?"), call(city="Seoul"), result("sunny and warm today"), assistant("맑아요"))
    latin = dialogue(user("Hi"), assistant("Hello"))
    assert scripts([hangul, latin, latin]) == {"Latin": 2, "Hangul": 1}
    assert scripts([pair("네", "아니요, 아니요", prompt="날씨?")]) == {"Hangul": 1}
