"""Findings over rows that are nearly the same as others of their data set, or stand in another one too."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.doctor.dialogues import said, ways
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows
from turnpoint.doctor.likeness import NEAR, Text, Texts, near_repeats, pieces_of


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
        texts: to find what is nearly the same.
    """

    name: str
    wholes: dict[bytes, str]
    openings: dict[bytes, str]
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
    found = Held(name, {}, {}, Texts())
    for record in records:
        for messages in ways(record):
            digests = digests_of(messages)
            found.wholes.setdefault(digests.whole, record.source)
            for opening in digests.openings:
                found.openings.setdefault(opening, record.source)
        text = Text(record.source, _told(ways(record)[0]))
        found.texts.add(text, pieces_of(text.text))
    return found


def leaks(records: Iterable[Dialogue | PreferencePair], other: Held) -> tuple[Finding, ...]:
    """Rows that stand in another data set as well: as a whole, with their prompt, or nearly. Each is named once."""
    whole: list[Place] = []
    prompt: list[Place] = []
    near: list[Place] = []
    for record in records:
        way = ways(record)[0]
        digests = digests_of(way)
        asked = digests_of(record.prompt).whole if isinstance(record, PreferencePair) else digests.asked
        text = Text(record.source, _told(way))
        if (source := other.wholes.get(digests.whole)) is not None:
            whole.append(Place(record.source, f" (as {source})"))
        elif (source := other.openings.get(asked)) is not None:
            prompt.append(Place(record.source, f" (as {source})"))
        elif like := other.texts.like(text, pieces_of(text.text)):
            near.append(Place(record.source, f" ({like.likeness:.0%} as {like.source})"))
    mend = f"take them out of one of the two; what is measured on {other.name} was seen in training otherwise"
    found = (
        over_rows(Severity.ERROR, f"rows that stand in {other.name} as well", whole, mend),
        over_rows(Severity.WARNING, f"rows whose prompt stands in {other.name} as well", prompt, mend),
        over_rows(
            Severity.WARNING,
            f"rows with at least {NEAR:.0%} of their text in common with one of {other.name}",
            near,
            mend,
        ),
    )
    return tuple(finding for finding in found if finding)


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
