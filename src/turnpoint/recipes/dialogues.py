"""The real dialogues of the demo, in three parts that share none: for SFT, for pairs, and held back for evaluation."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from turnpoint.data import load_dialogues
from turnpoint.data.split import part_of
from turnpoint.dialogue import Decision, Dialogue, Tool, decisions, join_adjacent_turns, opening, with_tools
from turnpoint.pairs.trajectories import distractors

DATA = Path(__file__).parent / "data"
_WEIGHTS = (9, 8, 3)  # SFT, pairs, held back


class Parts(NamedTuple):
    """Dialogues by what they are for. No dialogue is in two parts, and no opening request."""

    sft: list[Dialogue]
    pairs: list[Dialogue]
    dev: list[Dialogue]


def demo_parts(seed: int = 0) -> Parts:
    """Read and split the dialogues.

    Glaive and API-Bank repeat their scenarios (seven dialogues delete an account), so they are split by the set of
    tools that a dialogue has: held-back dialogues use sets of tools that training never sees. SGD comes with a dev part
    of its own. A dialogue whose opening request also opens one of a later part is left out of the earlier. To fit a
    demo on two cores, dialogues without tools are left out, each is cut after its first answer to a tool result, which
    is where its decisions about one request end, and a result that is a list keeps its first entry. Dialogues with a
    single tool get others beside it.
    """
    glaive = _ready(DATA / "glaive" / "glaive_toolcall_en_demo.json")
    api_bank = _ready(DATA / "api_bank" / "dialogues.jsonl")
    sgd = _ready(DATA / "sgd" / "train_openai_messages.jsonl")
    dev = [_renamed(dialogue) for dialogue in _ready(DATA / "sgd" / "dev_openai_messages.jsonl")]
    parts = Parts([], [], dev)
    for dialogue in glaive + api_bank:
        parts[part_of("+".join(sorted(tool.name for tool in dialogue.tools)), _WEIGHTS, seed=seed)].append(dialogue)
    for dialogue in sgd:
        parts[part_of(dialogue.id, _WEIGHTS[:2], seed=seed)].append(dialogue)
    pairs = _without_requests_of(parts.dev, parts.pairs)
    sft = _without_requests_of(parts.dev + pairs, parts.sft)
    return Parts(*(_with_distractors(part, Random(seed)) for part in (sft, pairs, parts.dev)))


def _without_requests_of(others: Sequence[Dialogue], dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    taken = {opening_request(dialogue) for dialogue in others}
    return [dialogue for dialogue in dialogues if opening_request(dialogue) not in taken]


def opening_request(dialogue: Dialogue) -> str:
    """The first thing the user says, without case and punctuation."""
    said = next((message.content or "" for message in dialogue.messages if message.role == "user"), "")
    return " ".join(re.findall(r"\w+", said.lower()))


def _ready(file: Path) -> list[Dialogue]:
    dialogues, _ = load_dialogues(file)
    return [_shortened(opening(join_adjacent_turns(dialogue))) for dialogue in dialogues if dialogue.tools]


def _renamed(dialogue: Dialogue) -> Dialogue:
    """SGD counts the dialogues of each of its parts from one, so ids of its dev part are marked."""
    return dialogue.model_copy(update={"id": f"dev {dialogue.id}"})


def _shortened(dialogue: Dialogue) -> Dialogue:
    """The dialogue with the first entry of each tool result that is a list."""
    messages = tuple(
        message.model_copy(update={"content": _first_entry(message.content or "")})
        if message.role == "tool"
        else message
        for message in dialogue.messages
    )
    return dialogue.model_copy(update={"messages": messages})


def _first_entry(result: str) -> str:
    try:
        value = json.loads(result)
    except json.JSONDecodeError:
        return result
    return json.dumps(value[:1], ensure_ascii=False) if isinstance(value, list) else result


def _with_distractors(dialogues: Sequence[Dialogue], random: Random) -> list[Dialogue]:
    """Give each dialogue that has a single tool up to two others, none that would do the same."""
    pool = list({tool.name: tool for dialogue in dialogues for tool in dialogue.tools}.values())
    return [_widened(dialogue, pool, random) for dialogue in dialogues]


def _widened(dialogue: Dialogue, pool: Iterable[Tool], random: Random) -> Dialogue:
    if len(dialogue.tools) > 1 or Decision.RELEVANCE in decisions(dialogue):
        return dialogue
    return with_tools(dialogue, distractors(dialogue.tools, list(pool), random, most=2))
