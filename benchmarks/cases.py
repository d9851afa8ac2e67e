"""The data of the cases, as preference pairs: what turnpoint trains on, and the same as texts for peers."""

import json
import random
import re
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

from turnpoint.data import load_dialogues, load_pairs
from turnpoint.dialogue import Message, PreferencePair
from turnpoint.recipes.dialogues import DATA as DEMO_DATA
from turnpoint.template import Renderer

DATA = Path(__file__).parent / "data"
_SAMPLES = 8  # of one prompt in case c; half of them are good
_LONGEST_CHAT = 900  # characters of a side in case d


def single_turn(renderer: Renderer) -> list[PreferencePair]:
    """Case a: prompts of several turns, one turn a side."""
    return load_pairs(DATA / "glaive_64.jsonl")[0]


def trajectories(renderer: Renderer) -> list[PreferencePair]:
    """Case b: sides of several turns from whole SGD dialogues, several pairs each, in order of dialogues."""
    return load_pairs(DATA / "sgd_64.jsonl")[0]


def shuffled_trajectories(renderer: Renderer) -> list[PreferencePair]:
    """Case b-shuffled: the pairs of case b in an order that keeps no dialogue together."""
    pairs = trajectories(renderer)
    return random.Random(0).sample(pairs, len(pairs))


def samples(renderer: Renderer) -> list[PreferencePair]:
    """Case c: eight replies to each of four prompts, each of four good ones against each of four bad ones."""
    pairs = single_turn(renderer)
    made = []
    for first in range(0, 4 * _SAMPLES, _SAMPLES):
        replies = [pair.chosen for pair in pairs[first : first + _SAMPLES]]
        good, bad = replies[: _SAMPLES // 2], replies[_SAMPLES // 2 :]
        made += [
            PreferencePair(prompt=pairs[first].prompt, chosen=chosen, rejected=rejected)
            for chosen in good
            for rejected in bad
        ]
    return made


def short_chats(file: Path) -> list[PreferencePair]:
    """Case d: at most two exchanges a side, from a JSONL file of Anthropic/hh-rlhf; no tools, little to share.

    That text is in part offensive, so none of it is shipped.
    """
    with file.open(encoding="utf-8") as lines:
        return list(islice(filter(None, map(_short_pair, lines)), 64))


def _short_pair(line: str) -> PreferencePair | None:
    """The pair of a line; None where it is long or broken."""
    row = json.loads(line)
    chosen, rejected = _exchanges(row["chosen"]), _exchanges(row["rejected"])
    roles = ["user", "assistant"] * (len(chosen) // 2)
    if (
        max(len(row["chosen"]), len(row["rejected"])) > _LONGEST_CHAT
        or [message.role for message in chosen] != roles[:4]
        or [message.role for message in rejected] != roles[:4]
        or chosen[:-1] != rejected[:-1]
        or chosen == rejected
        or not all(message.content for message in chosen + rejected)
    ):
        return None
    return PreferencePair(prompt=chosen[:-1], chosen=chosen[-1:], rejected=rejected[-1:])


def _exchanges(text: str) -> tuple[Message, ...]:
    """The messages of a text in which "Human:" and "Assistant:" take turns, each after an empty line."""
    parts = re.split(r"\n\n(Human|Assistant): ?", text)[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return tuple(
        Message.model_validate({"role": roles[speaker], "content": said.strip()})
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    )


def cases(hh_rlhf: str | None = None) -> dict[str, Callable[[Renderer], list[PreferencePair]]]:
    """All cases by name; d where the file it is made from is given."""
    known: dict[str, Callable[[Renderer], list[PreferencePair]]]
    known = {"a": single_turn, "b": trajectories, "b-shuffled": shuffled_trajectories, "c": samples}
    if hh_rlhf is not None:
        known["d"] = lambda renderer: short_chats(Path(hh_rlhf))
    return known


def lengthened(pairs: Sequence[PreferencePair], renderer: Renderer, tokens: int) -> list[PreferencePair]:
    """The pairs after a longer history, the same for pairs of one prompt: whole demo dialogues, up to `tokens`."""
    files = DEMO_DATA / "sgd" / "train_openai_messages.jsonl"
    talks = [
        tuple(
            message.model_copy(update={"train": False, "tool_calls": ()})
            for message in dialogue.messages
            if message.role in ("user", "assistant") and message.content
        )
        for dialogue in load_dialogues(files)[0]
    ]
    histories: dict[str, tuple[Message, ...]] = {}
    for pair in pairs:
        opening = repr(pair.prompt[:2])
        if opening not in histories:
            at = int(pair.prompt[0].role == "system")
            history: tuple[Message, ...] = ()
            for talk in cycle(talks[len(histories) :] + talks[: len(histories)]):
                longer = (*history, *talk)
                if len(renderer.prompt_ids((*pair.prompt[:at], *longer, *pair.prompt[at:]), pair.tools)) > tokens:
                    break
                history = longer
            histories[opening] = history
    made = []
    for pair in pairs:
        at = int(pair.prompt[0].role == "system")
        prompt = (*pair.prompt[:at], *histories[repr(pair.prompt[:2])], *pair.prompt[at:])
        made.append(pair.model_copy(update={"prompt": prompt}))
    return made


def as_texts(pair: PreferencePair, renderer: Renderer) -> dict[str, str]:
    """Prompt and sides as plain texts, from which a peer makes the same tokens; the end of the side it adds itself."""
    tokenizer = renderer.tokenizer
    prompt = str(tokenizer.decode(renderer.prompt_ids(pair.prompt, pair.tools)))
    texts = {"prompt": prompt}
    for name in ("chosen", "rejected"):
        whole = renderer.text(pair.side(name))
        assert whole.startswith(prompt)
        texts[name] = whole.removeprefix(prompt).rstrip().removesuffix(str(tokenizer.eos_token))
    return texts
