"""Pairs that teach a new identity: a model's own answer is rejected, the same answer under another name chosen.

Nothing else differs between the sides, so nothing else is learnt from them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from turnpoint.errors import ConfigError
from turnpoint.pairs.samples import Samples, pair_of
from turnpoint.pairs.trajectories import Built


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text under other names.

    A name is replaced where it stands as whole words, in capitals or not; what is part of a new name already is left
    alone: "Deep Qwen" stays where Qwen becomes Deep Qwen.

    Args:
        text: what was said.
        names: old name -> new one; the longest old name goes first.
    """
    old = sorted(names, key=len, reverse=True)
    new = [re.escape(name) for name in names.values()]
    words = re.compile(
        rf"(?P<kept>{'|'.join(_whole(name) for name in sorted(new, key=len, reverse=True))})"
        rf"|(?P<old>{'|'.join(_whole(re.escape(name)) for name in old)})",
        re.IGNORECASE,
    )
    by_case = {name.casefold(): replacement for name, replacement in names.items()}
    return words.sub(lambda found: found["kept"] or by_case[found["old"].casefold()], text)


def rename_pairs(samples: Sequence[Samples], names: Mapping[str, str]) -> Built:
    """A pair of each reply that says an old name; replies that say none, or differ in nothing else, are counted.

    Args:
        samples: prompts with what a model answers.
        names: old name -> new one.

    Raises:
        ConfigError: no name is given, or one is empty.
    """
    if not names or not all(old.strip() and new.strip() for old, new in names.items()):
        raise ConfigError(f"names: must say what becomes of which name, such as SmolLM=Ada (got {dict(names)})")
    built = Built([], Counter())
    for drawn in samples:
        met: set[str] = set()
        for number, reply in enumerate(drawn.replies, start=1):
            said = reply.message.content if reply.message else None
            if reply.message is None or not said or said in met:
                built.not_possible["a reply: stands twice" if said in met else "a reply: is empty"] += 1
                continue
            met.add(said)
            text = renamed(said, names)
            if text == said:
                built.not_possible["a reply: says none of the names"] += 1
                continue
            chosen = reply.message.model_copy(update={"content": text})
            built.pairs.append(pair_of(drawn, (chosen,), (reply.message,), number, row="rename"))
    return built


def _whole(pattern: str) -> str:
    """The pattern where no letter of an alphabet with spaces between its words stands beside it."""
    letter = r"[^\W\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7a3]"
    return rf"(?<!{letter}){pattern}(?!{letter})"
