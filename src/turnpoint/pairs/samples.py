"""Pairs out of what a model wrote: several replies to one prompt, a score for each, and which to prefer to which.

A file of samples holds one prompt a line: `prompt` and `tools` in OpenAI's form, `gold` (what the data says there, if
anything), and `replies`, each with the `text` as it was generated and the message that it was read as.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from turnpoint.dialogue import OPENING, Dialogue, Message, PreferencePair, Tool, parse
from turnpoint.errors import DataError
from turnpoint.pairs.trajectories import Built

Select = Literal["best_worst", "best_random", "all"]


class SampledReply(BaseModel):
    """What a model wrote.

    Attributes:
        text: as it was generated, without the end of its turn.
        message: what it was read as; None where it is empty.
        cut: whether it was cut at the most tokens it may have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    message: Message | None = None
    cut: bool = False


class Samples(BaseModel):
    """A prompt, what the data says there, and what a model wrote there.

    Attributes:
        prompt: ends where the assistant takes its turn.
        tools: those offered.
        gold: how the data goes on; empty where it does not.
        replies: in the order in which they were drawn.
        id: tells the prompt from all others of a file.
        dialogue_id: of the dialogue it comes from.
        opening: `Dialogue.key` of that dialogue.
        source: file and line of the data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    gold: tuple[Message, ...] = ()
    replies: tuple[SampledReply, ...] = ()
    id: str
    dialogue_id: str = ""
    opening: str = ""
    source: str = ""

    def row(self) -> dict[str, Any]:
        """The line of a file."""
        row: dict[str, Any] = {"id": self.id, "prompt": [_written(message) for message in self.prompt]}
        row["tools"] = [tool.openai() for tool in self.tools]
        row["gold"] = [_written(message) for message in self.gold]
        row["replies"] = [
            {"text": reply.text, "message": reply.message and reply.message.openai(), "cut": reply.cut}
            for reply in self.replies
        ]
        return row | {name: getattr(self, name) for name in ("dialogue_id", "opening", "source")}


def prompts_of(records: Sequence[Dialogue | PreferencePair], *, every_turn: bool = False) -> list[Samples]:
    """Where a model is to take its turn, and what the data says there.

    Args:
        records: pairs give their prompt, with the chosen side for what is right; dialogues the context of their last
            turn, and one that ends with its user all of it.
        every_turn: the contexts of all turns of a dialogue that follow something the user said.
    """
    found: list[Samples] = []
    for number, record in enumerate(records):
        name = record.id or f"{number}"
        if isinstance(record, PreferencePair):
            facts = {"dialogue_id": record.dialogue_id, "opening": record.key, "source": record.source}
            found.append(Samples(prompt=record.prompt, tools=record.tools, gold=record.chosen, id=name, **facts))
        else:
            found += [_at(record, i, name) for i in _places(record, every_turn)]
    return _distinct(found)


def _places(dialogue: Dialogue, every_turn: bool) -> list[int]:
    """Indexes of messages where the assistant takes its turn; one past the end where the data leaves that open."""
    messages = dialogue.messages
    ends = [] if messages[-1].role == "assistant" else [len(messages)]
    spoken = next((i for i, message in enumerate(messages) if message.role == "user"), len(messages))
    places = [i for i in (*dialogue.turns, *ends) if i > spoken]
    return places if every_turn else places[-1:]


def _at(dialogue: Dialogue, place: int, name: str) -> Samples:
    facts = {"dialogue_id": dialogue.id, "opening": dialogue.key, "source": f"{dialogue.source} message {place}"}
    messages = dialogue.messages
    return Samples(prompt=messages[:place], tools=dialogue.tools, gold=messages[place:], id=f"{name}#{place}", **facts)


def _distinct(prompts: Sequence[Samples]) -> list[Samples]:
    """The prompts under ids that differ: those of the data may not."""
    times = Counter[str]()
    named = []
    for each in prompts:
        times[each.id] += 1
        again = times[each.id] > 1
        named.append(each.model_copy(update={"id": f"{each.id} ({times[each.id]})"}) if again else each)
    return named


def _written(message: Message) -> dict[str, Any]:
    return message.openai() | ({} if message.decision is None else {"decision": message.decision.value})


def read_samples(file: Path) -> Iterator[Samples]:
    """The samples of a file, one a line.

    Raises:
        DataError: the file cannot be read, or a line holds no samples.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{file}:{number}"
                try:
                    raw = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{where}: not JSON: {error.msg}; `turnpoint sample` writes such a file") from None
                if not isinstance(raw, dict) or "prompt" not in raw or "replies" not in raw:
                    raise DataError(f"{where}: holds no prompt and replies; `turnpoint sample` writes such a file")
                yield parse(Samples, raw, where)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}; check the path") from None


class Scored(NamedTuple):
    """A way to go on, and how good it is."""

    messages: tuple[Message, ...]
    score: float


def sample_pairs(
    samples: Sequence[Samples],
    scores: Sequence[Sequence[float]],
    *,
    gold: float | None = None,
    select: Select = "best_worst",
    margin: float = 0.0,
    seed: int = 0,
) -> Built:
    """Pairs of replies to one prompt, the better one chosen.

    Args:
        samples: prompts with their replies.
        scores: of each reply; NaN for one that could not be scored, which is left out and counted.
        gold: score of what the data says; None leaves it out. It comes before replies of the same score.
        select: `best_worst` pairs the best with the worst, `best_random` the best with one that is worse, drawn at
            random; `all` makes every pair.
        margin: by which the scores of a pair must differ, more than that.
        seed: of the draws.

    Raises:
        ValueError: as many scores as replies are needed.
    """
    random, built = Random(seed), Built([], Counter())
    for drawn, of_drawn in zip(samples, scores, strict=True):
        ways = _ways(drawn, of_drawn, gold, built.not_possible)
        pairs = [(a, b) for a, b in combinations(ways, 2) if a.score - b.score > margin]
        if not pairs:
            built.not_possible["a prompt: no reply is better than another by more than the margin"] += 1
        for number, (chosen, rejected) in enumerate(_selected(pairs, ways, select, random), start=1):
            both = f"{chosen.score:g} {rejected.score:g}"
            try:
                made = pair_of(drawn, chosen.messages, rejected.messages, number, row="samples", scores=both)
            except DataError:  # a reply may be the best of all and call what is not there
                built.not_possible["a pair: the better reply calls a tool that is not offered"] += 1
            else:
                built.pairs.append(made)
    return built


def _ways(drawn: Samples, scores: Sequence[float], gold: float | None, left_out: Counter[str]) -> list[Scored]:
    """The ways to go on that differ, the best first."""
    ways = [Scored(drawn.gold, gold)] if gold is not None and drawn.gold else []
    for reply, score in zip(drawn.replies, scores, strict=True):
        if reply.message is None:
            left_out["a reply: is empty"] += 1
        elif score != score:
            left_out["a reply: could not be scored"] += 1
        elif any(way.messages[0].said == reply.message.said for way in ways):
            left_out["a reply: stands twice"] += 1
        else:
            ways.append(Scored((reply.message,), score))
    return sorted(ways, key=lambda way: -way.score)


def _selected(
    pairs: Sequence[tuple[Scored, Scored]], ways: Sequence[Scored], select: Select, random: Random
) -> Sequence[tuple[Scored, Scored]]:
    if select == "all" or not pairs:
        return pairs
    worse = [rejected for chosen, rejected in pairs if chosen is ways[0]]
    return [(ways[0], worse[-1] if select == "best_worst" else random.choice(worse))]


def pair_of(
    drawn: Samples,
    chosen: Sequence[Message],
    rejected: Sequence[Message],
    number: int,
    *,
    row: str,
    kind: str | None = None,
    **about: str | int,
) -> PreferencePair:
    """A pair of two ways to go on from a prompt.

    Args:
        drawn: the prompt.
        chosen: the better way.
        rejected: the worse one.
        number: among the pairs that are made of the prompt in this way.
        row: the way in which it is made.
        kind: of the pair; None calls it as the row.
        about: what else is known of it.

    Raises:
        DataError: the two make no pair, as where the better one calls a tool that is not offered.
    """
    known = {"row": row, **about} | ({OPENING: drawn.opening} if drawn.opening else {})
    source = f"{drawn.source}: {row} {number}"
    raw = {
        "prompt": drawn.prompt,
        "chosen": tuple(chosen),
        "rejected": tuple(rejected),
        "tools": drawn.tools,
        "id": f"{drawn.id} {row} {number}",
        "dialogue_id": drawn.dialogue_id,
        "kind": row if kind is None else kind,
        "about": known,
        "source": source,
    }
    return parse(PreferencePair, raw, source)
