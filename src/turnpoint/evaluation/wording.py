"""How people word things: a rejection, a request, a failure, a denial; and words to compare texts by."""

import re
from collections.abc import Iterator

from turnpoint.dialogue.decisions import asks, refuses, sentences
from turnpoint.evaluation import lexicon
from turnpoint.evaluation.lexicon import wording

_REACH = 240  # characters from the start within which a rejection is one
_WORD = re.compile(r"[a-z]+(?:[0-9]+)?|[가-힣]+|[\u3400-\u9fff]+|[^\W\d_]+", re.IGNORECASE)
_SINGULAR = ("ss", "us", "is")
_SHORTEST = 2  # letters of a word that tells texts apart
_SCRIPTS = {
    "Latin": re.compile("[a-zA-Z]{2}"),
    "Hangul": re.compile("[가-힣]"),
    "Han": re.compile("[\u3400-\u9fff]"),
    "other": re.compile(r"(?![a-zA-Z가-힣\u3400-\u9fff])[^\W\d_]"),
}


def declines(text: str) -> bool:
    """Whether a reply says that the assistant cannot do what was asked."""
    start = wording("no_rejection").sub(" ", text)[:_REACH]
    return refuses(start) or wording("declines").search(start) is not None


def requests(text: str) -> bool:
    """Whether a reply asks the user for something, or says that it needs it."""
    return asks(text) or wording("wants").search(text) is not None


def without_closing(text: str) -> str:
    """The text without sentences such as "Is there anything else?"."""
    return " ".join(each.strip() for each in sentences(text) if wording("closing").search(each) is None)


def only_waits(text: str) -> bool:
    """Whether a text that sounds like a rejection says what is missing: "I can't book it yet, I still need …"."""
    return wording("not_yet").search(text) is not None and requests(text)


def says_failure(text: str) -> bool:
    """Whether a text says that something failed."""
    return wording("failure").search(text) is not None


def is_negative(text: str) -> bool:
    """Whether a text says that something failed or was not to be had."""
    return says_failure(text) or wording("lacking").search(text) is not None


def denies(text: str) -> bool:
    """Whether a text says no in any way."""
    return is_negative(text) or wording("denial").search(text) is not None


def words(text: str) -> Iterator[str]:
    """Words to compare texts by, in lower case; of Korean also how they begin, of Chinese each two signs."""
    for word in _WORD.findall(text.lower()):
        if _SCRIPTS["Hangul"].match(word):
            yield word
            yield from (word[:size] for size in range(_SHORTEST, len(word)))
        elif _SCRIPTS["Han"].match(word):
            yield from (word[i : i + _SHORTEST] for i in range(max(len(word) - 1, 1)))
        elif len(word) >= _SHORTEST and word not in lexicon.words("common"):
            yield word if len(word) <= 3 or word.endswith(_SINGULAR) else word.removesuffix("s")


def shares_script(text: str, value: str) -> bool:
    """Whether two texts have letters of one script, so that the words of one may stand in the other."""
    return any(letters.search(text) and letters.search(value) for letters in _SCRIPTS.values())
