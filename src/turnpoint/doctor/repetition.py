"""Findings over rows that are nearly the same as others of their data set, or stand in another one too."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.doctor.dialogues import said, ways
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows
from turnpoint.doctor.likeness import NEAR, Text, Texts, near_repeats, pieces_of

_NEARLY = f"rows with at least {NEAR:.0%} of their text in common with one of {{}}"
_LEAKS = {  # from the surest to the least; {} is the other data set
    "rows that stand in {} as well": Severity.ERROR,
    "rows whose prompt stands in {} as well": Severity.WARNING,
    "rows of a dialogue that opens as one of {}": Severity.WARNING,
    _NEARLY: Severity.WARNING,
}


class Digests(NamedTuple):
    """What a dialogue holds, as hashes of whole messages; system messages, case and white space do not count.

    Attributes:
        openings: the messages before each assistant message.
        whole: all messages.
    """

    openings: tuple[bytes, ...]
    whole: bytes

    @property
    def asked(self) -> bytes:
        """The messages before the last assistant message; those of nobody where there are none."""
        return self.openings[-1] if self.openings else b""


class Held(NamedTuple):
    """What a data set holds, to look for rows of another one in it.

    Attributes:
        name: how findings call it.
        wholes: digest of a dialogue, or of either side of a pair -> where it is.
        openings: digest of the messages before an assistant message -> where they are.
        keys: how a dialogue opens, or the one that a pair was made of (`key`) -> where it is.
        texts: to find what is nearly the same.
    """

    name: str
    wholes: dict[bytes, str]
    openings: dict[bytes, str]
    keys: dict[str, str]
    texts: Texts


def near_duplicates(records: Iterable[Dialogue | PreferencePair]) -> Finding | None:
    """Rows that say nearly what an earlier one says; not pairs of one dialogue or prompt, which are meant to."""
    return over_rows(
        Severity.WARNING,
        f"rows with at least {NEAR:.0%} of their text in common with an earlier one",
        near_repeats(_text(record) for record in records),
        "keep one of them, or all on one side of a train / eval split; else what is measured was learnt by heart",
    )


def held(name: str, records: Iterable[Dialogue | PreferencePair]) -> Held:
    """What a data set holds."""
    found = Held(name, {}, {}, {}, Texts())
    for record in records:
        found.keys.setdefault(record.key, record.source)
        for messages in ways(record):
            digests = digests_of(messages)
            found.wholes.setdefault(digests.whole, record.source)
            for opening in digests.openings:
                found.openings.setdefault(opening, record.source)
        text = Text(record.source, _told(ways(record)[0]))
        found.texts.add(text, pieces_of(text.text))
    return found


def leaks(records: Iterable[Dialogue | PreferencePair], other: Held) -> tuple[Finding, ...]:
    """Rows that stand in another data set as well: whole, with their prompt, by how they open, or nearly.

    Each is named once, by the first of these.
    """
    places: dict[str, list[Place]] = {title: [] for title in _LEAKS}
    for record in records:
        if found := _leak(record, other):
            title, detail = found
            places[title].append(Place(record.source, detail))
    mend = f"take them out of one of the two; what is measured on {other.name} was seen in training otherwise"
    findings = (
        over_rows(severity, title.format(other.name), places[title], mend) for title, severity in _LEAKS.items()
    )
    return tuple(replace(finding, against=other.name) for finding in findings if finding)


def _leak(record: Dialogue | PreferencePair, other: Held) -> tuple[str, str] | None:
    """The title of `_LEAKS` that tells best how a record stands in another data set, and as which row there."""
    way = ways(record)[0]
    digests = digests_of(way)
    asked = digests_of(record.prompt).whole if isinstance(record, PreferencePair) else digests.asked
    sources = other.wholes.get(digests.whole), other.openings.get(asked), other.keys.get(record.key)
    for title, source in zip(_LEAKS, sources, strict=False):
        if source is not None:
            return title, f" (as {source})"
    text = Text(record.source, _told(way))
    like = other.texts.like(text, pieces_of(text.text))
    return (_NEARLY, f" ({like.likeness:.0%} as {like.source})") if like else None


def digests_of(messages: Sequence[Message]) -> Digests:
    """Hashes of messages up to each assistant message, and of all."""
    digest = hashlib.blake2b(digest_size=16)
    nothing = digest.digest()
    openings = []
    for message in messages:
        if message.role == "assistant" and digest.digest() != nothing:
            openings.append(digest.digest())
        if message.role != "system":
            digest.update(" ".join(said([message]).lower().split()).encode(errors="surrogatepass") + b"\n")
    return Digests(tuple(openings), digest.digest())


def _text(record: Dialogue | PreferencePair) -> Text:
    if isinstance(record, Dialogue):
        return Text(record.source, _told(record.messages))
    told = _told(record.prompt + record.chosen + record.rejected)
    return Text(record.source, told, record.dialogue_id or digests_of(record.prompt).whole.hex())


def _told(messages: Sequence[Message]) -> str:
    """What was said; no system message, since all rows may share a long one."""
    return said([message for message in messages if message.role != "system"])
