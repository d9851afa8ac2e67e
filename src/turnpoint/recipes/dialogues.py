"""The real dialogues of the demo, in three parts that share none: for SFT, for pairs, and held back for evaluation."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from turnpoint.data import load_dialogues
from turnpoint.data.split import part_of
from turnpoint.dialogue import Decision, Dialogue, Message, Tool, decisions, join_adjacent_turns, opening, with_tools
from turnpoint.pairs.sources import far_distractors

DATA = Path(__file__).parent / "data"
_WEIGHTS = (9, 8, 3)  # SFT, pairs, held back


class Parts(NamedTuple):
    """Dialogues by what they are for. No dialogue is in two parts, and no opening request."""

    sft: list[Dialogue]
    pairs: list[Dialogue]
    dev: list[Dialogue]


def demo_parts() -> Parts:
    """Read and split the dialogues.

    Dialogues that open with the same request go to the same part, and so do those of Glaive and API-Bank that have the
    same tools, for both repeat their scenarios: seven dialogues delete an account. Held-back dialogues of these two
    thus use sets of tools that training never sees; SGD comes with a dev part of its own. To fit a demo on two cores,
    dialogues without tools are left out, each is cut after its first answer to a tool result, which is where its
    decisions about one request end, what is said beside a call is dropped, so that its first token tells what a turn
    does, and a result that is a list keeps its first entry. Dialogues with a single tool get others beside it.
    """
    glaive = _ready(DATA / "glaive" / "glaive_toolcall_en_demo.json")
    api_bank = _ready(DATA / "api_bank" / "dialogues.jsonl")
    sgd = _ready(DATA / "sgd" / "train_openai_messages.jsonl")
    sgd_dev = [_renamed(dialogue) for dialogue in _ready(DATA / "sgd" / "dev_openai_messages.jsonl")]
    links = [(dialogue, {opening_request(dialogue), _tool_set(dialogue)}) for dialogue in glaive + api_bank]
    links += [(dialogue, {opening_request(dialogue)}) for dialogue in sgd]
    links += [(dialogue, {opening_request(dialogue), "SGD dev"}) for dialogue in sgd_dev]
    parts = Parts([], [], [])
    for keys, group in _linked(links):
        weights = _WEIGHTS[:2] if all(dialogue in sgd for dialogue in group) else _WEIGHTS
        part = len(_WEIGHTS) - 1 if "SGD dev" in keys else part_of(min(keys), weights)
        parts[part].extend(group)
    return Parts(*(_with_distractors(part, Random(0)) for part in parts))


def _linked(dialogues: Iterable[tuple[Dialogue, set[str]]]) -> list[tuple[set[str], list[Dialogue]]]:
    """Groups of dialogues that share a key with one of the group, each with all its keys."""
    groups: list[tuple[set[str], list[Dialogue]]] = []
    for dialogue, keys in dialogues:
        joined = (set(keys), [dialogue])
        for group in [group for group in groups if group[0] & keys]:
            groups.remove(group)
            joined = (group[0] | joined[0], group[1] + joined[1])
        groups.append(joined)
    return groups


def _tool_set(dialogue: Dialogue) -> str:
    return "+".join(sorted(tool.name for tool in dialogue.tools))


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
    """The dialogue with nothing beside its calls, and the first entry of each tool result that is a list."""
    return dialogue.model_copy(update={"messages": tuple(_shortened_message(each) for each in dialogue.messages)})


def _shortened_message(message: Message) -> Message:
    if message.tool_calls:
        return message.model_copy(update={"content": None})
    if message.role == "tool":
        return message.model_copy(update={"content": _first_entry(message.content or "")})
    return message


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
    return with_tools(dialogue, far_distractors(dialogue.tools, list(pool), random, most=2))
