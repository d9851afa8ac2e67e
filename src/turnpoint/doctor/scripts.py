"""In which scripts rows are written. A script is not a language: Latin letters may be English or Vietnamese."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from turnpoint.dialogue import Dialogue, Message, PreferencePair

_NAMED = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana"}
_WIDTHS = ("FULLWIDTH ", "HALFWIDTH ")
_JAPANESE = 0.1  # share of kana from which a text of Han characters is Japanese
NO_LETTERS = "no letters"


def scripts(records: Iterable[Dialogue | PreferencePair]) -> dict[str, int]:
    """How many rows are written mostly in each script, by what users and assistants say; the most frequent first."""
    counted = Counter(script_of(_said(record)) for record in records)
    return dict(counted.most_common())


def script_of(text: str) -> str:
    """The script that most letters of a text are of."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else NO_LETTERS
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[_script(character)] += count
    if not counts:
        return NO_LETTERS
    main = counts.most_common(1)[0][0]
    return "Kana" if main == "Han" and counts["Kana"] >= _JAPANESE * counts.total() else main


@cache
def _script(letter: str) -> str:
    """By the first word of the letter's name in Unicode."""
    name = unicodedata.name(letter, "UNNAMED")
    for width in _WIDTHS:
        name = name.removeprefix(width)
    word = name.split()[0]
    return _NAMED.get(word, word.title())


def _said(record: Dialogue | PreferencePair) -> str:
    messages: Sequence[Message] = (
        record.messages if isinstance(record, Dialogue) else record.prompt + record.chosen + record.rejected
    )
    return " ".join(message.content or "" for message in messages if message.role in ("user", "assistant"))
