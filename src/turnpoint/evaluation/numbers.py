"""Numbers in texts: amounts, dates and clocks, in digits and in words, and whether one is among those known."""

import re

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*")
_TEN_THOUSANDS = re.compile(r"(\d+(?:\.\d+)?) ?[만万](?: ?(\d[\d,]*))?")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
# Spelt out, from one on; in Korean and Chinese where something is counted, since the signs stand for much else.
_ENGLISH = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_KOREAN = ("한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열", "열한", "열두")
_CHINESE = ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二")
_SPELT = {word: i for words in (_ENGLISH, _KOREAN, _CHINESE) for i, word in enumerate(words, start=1)} | {"两": 2}
_SPELT_OUT = re.compile(
    rf"\b({'|'.join(_ENGLISH)})\b"
    rf"|(?<![가-힣])({'|'.join(reversed(_KOREAN))}) ?(?:명|개|시|장|번|분|살|잔|권|대|박|달|곳)"
    rf"|({'|'.join(reversed(_CHINESE))}|两) ?(?:个|位|人|张|点|天|号|间|份|次|杯|本|月|年)",
    re.IGNORECASE,
)


def tokens(text: str) -> list[str]:
    """The numbers of a text as they are written: `71,500`, `19:05`, `2024`."""
    return _TOKEN.findall(in_digits(text))


def in_digits(text: str) -> str:
    """The text with Korean and Chinese tens of thousands written out: 7만 1500 as 71500."""
    return _TEN_THOUSANDS.sub(_written_out, text)


def numbers_in(text: str) -> set[float]:
    """The numbers of a text; of dates and clocks each part, hours by both clocks; spelt out ones up to twelve."""
    found = {float(_SPELT[word.lower()]) for match in _SPELT_OUT.finditer(text) for word in match.groups() if word}
    for token in tokens(text):
        for part in token.split(":"):
            plain = part.replace(",", "") if _THOUSANDS.fullmatch(part) else part
            found |= {float(each) for each in plain.split(",") if _PLAIN.fullmatch(each)}
            found |= {float(each) for each in re.findall(r"\d+", plain)} if plain.count(".") > 1 else set()
        if ":" in token:
            hour = int(re.split("[.,]", token.partition(":")[0])[-1])
            found |= {float(hour % 12 or 12), float(hour % 12 + 12)}
    return found


def is_known(token: str, known: set[float]) -> bool:
    """Whether a number is one of the known ones: as it is, rounded, as a share in percent, or without its sign."""
    fraction = token.partition(".")[2]
    decimals = len(fraction) if fraction.isdigit() else 0
    return all(
        any(
            round(size, decimals) == number
            or int(size) == number
            or (size <= 1 and round(size * 100, decimals) == number)
            for size in map(abs, known)
        )
        for number in numbers_in(token)
    )


def _written_out(found: re.Match[str]) -> str:
    return str(round(float(found[1]) * 10_000 + float((found[2] or "0").replace(",", ""))))
