"""Where the user says the values that a call is made with, and how to take them out of what he says."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

_WORDS_OF_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DATE_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%H:%M:%S", "%H:%M")
# A letter or digit next to which another word ends. Chinese has no spaces, Korean adds particles to words.
_LETTER = r"[^\W\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7a3]"
# Words that lead to a value and go with it: "on Friday", "for the movie Breakthrough", "called Sam".
_LEAD = re.compile(
    r"(?:(?:,|\band\b|\bor\b)\s*)?"
    r"(?:\b(?:in|on|at|for|to|from|by|with|of|about|near|around|until|till|under|into|as|called|named|titled|entitled"
    r"|using|starting|ending|before|after|between|within|regarding|via)\b\s+)+"
    r"(?:\b(?:the|a|an|my|our|his|her|their|your|this|that|city|town|word|words|name|date|number|id|email|address"
    r"|user|username|account|movie|song|topic|subject|title|keyword|keywords|area|region|location|place)\b\s*)*"
    r"[\"'\u201c\u2018$\u20ac\u00a3#]?\Z",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"%|\s*(?:dollars?|euros?|pounds?|usd|people|persons?|degrees|percent|miles|km|kilometers|kilograms|minutes|hours|days"
    r"|weeks|months|years|meters|cm|kg|o'clock)\b",
    re.IGNORECASE,
)
# What may follow a value that ends what is said of one thing: "in Paris on Friday", not "a mystery book".
_NEXT = re.compile(
    r"\s*(?:$|[.,;:!?)]|(?:in|on|at|for|to|from|by|with|of|about|near|around|until|under|and|or|but|so|please|today"
    r"|tomorrow|tonight|now|is|was|as|called|named|using|starting|ending|if|because|before|after|via)\b)",
    re.IGNORECASE,
)
_MORE_OF_A_NAME = re.compile(r", [A-Z]")  # London, England
# What nobody ends on: a clause that ends with one of these lost what it led to.
_DANGLING = re.compile(
    r"\b(?:a|an|the|my|our|your|his|her|their|this|is|are|was|be|in|on|at|for|to|from|by|with|of|about|near|as|and|or"
    r"|called|named|titled|between|than|into|i'm|it's|both|some|any|has|have|had|costs?|weighs?|related|released|listed"
    r"|located|made|based|held|sent|looking|searching|asking|(?:tell|give|show|find|send|help|play|for) me"
    r"|translate|convert|play|calculate|find|book|search|check|add|set)\s*(?=[.,;:!?]|$)"
    r"|\b(?:from|to|in|for|of|with|by)\s+(?:from|to|in|for|of|with|by|and|or)\b|\b(?:and|or)\s+(?:and|or)\b"
    r"|[\"'\u201c]\s*[\"'\u201d]|[$\u20ac\u00a3#](?!\w)|\(\s*\)|^\W*(?:and|or|from|of|with|by)\b",
    re.IGNORECASE,
)
# Sentences that ask for nothing by themselves.
_EMPTY = re.compile(
    r"\A\W*(?:(?:can|could|will|would) you (?:please )?(?:help|assist)(?: me)?(?: with (?:that|this|it))?"
    r"|(?:please )?help me|thanks?(?: you)?|hi|hello|hey)\W*\Z",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\?|\b(?:I|we)(?:'d| would)? (?:need|want|like|wish|plan|am looking|'m looking|have to)\b"
    r"|\b(?:please|could you|can you|help|let's|I'm (?:looking|searching|trying))\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"\S.*?(?:(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)[.!?](?=\s|$)|$)", re.DOTALL)
_FEWEST_WORDS = 3  # of a request
_BEFORE_A_NAME = re.compile(r"\A(?:the|an?|dr|doctor|mr|mrs|ms|miss|prof|professor|st)\.? ", re.IGNORECASE)
_SHORTEST_NAME = 3  # characters


class Slot(NamedTuple):
    """A required parameter of a call, its value there, and the words in which the user gives it."""

    name: str
    value: Any
    surface: str


class Span(NamedTuple):
    """Half-open range of characters."""

    start: int
    end: int


def find(value: Any, text: str) -> Span | None:
    """Where a text says a value, in one of the forms in which people write it; the first place."""
    for form in _forms(value):
        found = re.search(rf"(?<!{_LETTER})(?:{form})(?!{_LETTER})", text, re.IGNORECASE)
        if found:
            return Span(*found.span())
    return _list_span(value, text) if isinstance(value, list) else None


def with_unit(text: str, span: Span) -> Span:
    """The span of a number with its currency sign and its unit."""
    start = span.start - (span.start > 0 and text[span.start - 1] in "$\u20ac\u00a3")
    unit = _UNIT.match(text, span.end)
    return Span(start, unit.end() if unit else span.end)


def says(text: str, value: Any) -> bool:
    """Whether a text says a value."""
    return find(value, text) is not None


def hints(text: str, value: Any) -> bool:
    """Whether a text says a value or what gives it away: the date of a moment, a name without its article or title."""
    return any(says(text, each) for each in _with_parts(value))


def without(text: str, hidden: Sequence[Any]) -> str | None:
    """A request without the values `hidden`, in the user's own words; None where what is left would not read well.

    A sentence that says a hidden value goes as a whole where another one makes the request; otherwise the words that
    lead to the value go with it.
    """
    sentences = [match.group() for match in _SENTENCE.finditer(text)]
    kept = [each for each in sentences if not any(hints(each, value) for value in hidden)]
    if any(_REQUEST.search(each) and not _EMPTY.match(each) for each in kept):
        return _readable(" ".join(kept), hidden)
    cut: str | None = text
    for part in (part for value in hidden for part in _with_parts(value)):
        while cut is not None and (span := find(part, cut)) is not None:
            cut = _cut(cut, span)
    return None if cut is None else _readable(cut, hidden)


def _with_parts(value: Any) -> list[Any]:
    """The value, and what gives it away as well: the date of a moment, a name without its article or title."""
    if not isinstance(value, str):
        return [value]
    moment = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T]\d\d:\d\d.*", value)
    name = _BEFORE_A_NAME.sub("", value)
    return [
        value,
        *([moment.group(1)] if moment else []),
        *([name] if len(name) >= _SHORTEST_NAME and name != value else []),
    ]


def _forms(value: Any) -> Iterator[str]:
    """Patterns of the ways to write a value, the most literal first."""
    if isinstance(value, bool) or value is None or value == "":
        return
    if isinstance(value, int | float):
        yield from _number_forms(value)
        return
    if not isinstance(value, str):
        return
    yield r"\s+".join(map(re.escape, value.split()))
    if re.fullmatch(r"\d+(?:\.\d+)?", value):
        yield from _number_forms(float(value))
    for layout in _DATE_TIMES:
        try:
            moment = datetime.strptime(value, layout)
        except ValueError:
            continue
        yield from _moment_forms(moment, has_date="%Y" in layout, has_time="%H" in layout)
        return


def _number_forms(value: int | float) -> Iterator[str]:
    number = int(value) if float(value).is_integer() else value
    yield re.escape(str(number)) + (r"(?:\.0+)?" if isinstance(number, int) else "")
    if isinstance(number, int):
        yield re.escape(f"{number:,}")
        if 0 <= number < len(_WORDS_OF_NUMBERS):
            yield _WORDS_OF_NUMBERS[number]


def _moment_forms(moment: datetime, *, has_date: bool, has_time: bool) -> Iterator[str]:
    """March 11, 2022; the 6th of March; 10th Oct 2023 at 9:30 AM."""
    month = _MONTHS[moment.month - 1]
    name = rf"{month[:3]}(?:{month[3:]})?\.?"
    day, year = rf"0?{moment.day}(?:st|nd|rd|th)?", rf"(?:,?\s+(?:of\s+)?{moment.year})?"
    date = rf"(?:(?:the\s+)?(?:{name}\s+(?:the\s+)?{day}{year}|{day}\s+(?:of\s+)?{name}{year}))"
    hour, minute = moment.hour, moment.minute
    half = "a" if hour < 12 else "p"
    minutes = rf"[:.]{minute:02d}"
    optional = minutes if minute else rf"(?:{minutes}(?::00)?)?"
    clock = rf"(?:{(hour - 1) % 12 + 1}{optional}\s*{half}\.?m\.?|0?{hour}{minutes}(?::00)?)"
    if has_date and has_time:
        yield rf"{date}(?:,?\s+(?:at\s+)?){clock}|{clock}\s+(?:on\s+)?{date}"
    elif has_date:
        yield date
    else:
        yield clock


def _list_span(values: list[Any], text: str) -> Span | None:
    """From the first to the last of the values, where little but commas stands between them."""
    spans = [find(value, text) for value in values]
    if not spans or None in spans:
        return None
    known = sorted(span for span in spans if span is not None)
    between = [text[a.end : b.start] for a, b in pairwise(known)]
    if any(re.sub(r"\band\b|\bor\b|\bsome\b|[,&\s]", "", gap, flags=re.IGNORECASE) for gap in between):
        return None
    return Span(known[0].start, known[-1].end)


def _cut(text: str, span: Span) -> str | None:
    """The text without a value and the words that lead to it; None where nothing does."""
    lead = _LEAD.search(text[: span.start])
    if lead is None or "between" in lead.group().lower():  # "between 1 and 100" goes as a whole or not at all
        return None
    rest = text[with_unit(text, span).end :].lstrip("\"'\u201d\u2019")
    goes_on = _NEXT.match(rest) is None or _MORE_OF_A_NAME.match(rest)
    return None if goes_on else text[: lead.start()] + " " + rest


def _readable(text: str, hidden: Sequence[Any]) -> str | None:
    """The text with its spaces in order, None where it is no request any more or words hang in the air."""
    text = re.sub(r"\s+([.,;:!?])", r"\1", " ".join(text.split())).strip(" ,;")
    text = re.sub(r",(?=[.!?])", "", text)
    broken = not text or _DANGLING.search(text) or len(re.findall(r"\w+", text)) < _FEWEST_WORDS
    if broken or not _REQUEST.search(text) or any(hints(text, value) for value in hidden):
        return None
    return text[0].upper() + text[1:]
