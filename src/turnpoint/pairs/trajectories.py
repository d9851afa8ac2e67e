"""Pairs of whole trajectories out of complete tool dialogues: the table of DiaTool-DPO, and what goes beyond it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from turnpoint.dialogue import OPENING, Decision, Dialogue, Message, PreferencePair, Tool, decisions, with_tools
from turnpoint.dialogue.decisions import state_path
from turnpoint.errors import ConfigError
from turnpoint.pairs.forks import BUILDERS, Fork, Ways, fault_of_ways, forks
from turnpoint.pairs.requests import Request, requests_of
from turnpoint.pairs.rows import ROWS, Row
from turnpoint.pairs.sides import Sides, fault
from turnpoint.pairs.sources import Sources, all_tools, far_distractors, near_distractors, seen_values
from turnpoint.pairs.writer import Writer
from turnpoint.progress import with_progress

BEYOND = "beyond"  # the set of pairs that are in no row of the table
_NEAR = 0.5  # of widened dialogues get a tool about the same thing
_QUERY_TYPES = {Decision.CALL: 1, Decision.COMPLETION: 1, Decision.SLOT: 2, Decision.RELEVANCE: 3}
ROW_NAMES = (*(row.name for row in ROWS), *BUILDERS)
KINDS = tuple(dict.fromkeys([*(row.kind for row in ROWS), *BUILDERS]))


class Built(NamedTuple):
    """Pairs, those of one dialogue beside each other, and how many were not built, by kind and reason."""

    pairs: list[PreferencePair]
    not_possible: Counter[str]


def trajectory_pairs(
    dialogues: Sequence[Dialogue],
    *,
    writer: Writer,
    kinds: Sequence[str] = KINDS,
    quotas: Mapping[str, int] | None = None,
    distractors: int = 0,
    pool: Sequence[Dialogue] | None = None,
    seed: int = 0,
    progress: str | None = None,
) -> Built:
    """Every pair that the requests and the forks of the dialogues allow.

    What a dialogue gives depends on it, on the pool and on the seed, not on the dialogues before it; one that stands
    twice is taken once. Each pair says in `about` its row, its query type, its set (easy, hard or beyond) and the
    states of both sides.

    Args:
        dialogues: with tools; others have no fork.
        writer: words what the dialogues do not say. What it writes is checked; a pair that breaks a rule is left out.
        kinds: those wanted, of `KINDS`.
        quotas: most pairs of each row by its name, of `ROW_NAMES`; rows that are not named give none. None takes all.
        distractors: tools of other dialogues to offer beside those of each pair, at most.
        pool: dialogues to take distracting tools and invented values from; None: `dialogues` themselves.
        seed: of every random choice.
        progress: title of a progress bar over the dialogues; None shows none.

    Raises:
        ConfigError: an unknown kind, or a negative number of distractors.
    """
    _check(kinds, distractors)
    pool = dialogues if pool is None else pool
    tools, values = all_tools(pool), seen_values(pool)
    built, counts = Built([], Counter()), Counter[str]()

    def wanted(kind: str, name: str) -> bool:
        return kind in kinds and (quotas is None or counts[name] < quotas.get(name, 0))

    # Where not all pairs are wanted, they come from dialogues drawn at random, not from the first ones.
    order = dialogues if quotas is None else Random(seed).sample(dialogues, len(dialogues))
    met: set[str] = set()
    for dialogue in with_progress(list(order), progress):
        if not dialogue.tools:
            continue
        content = dialogue.model_dump_json(include={"messages", "tools"})
        if content in met:
            built.not_possible["a dialogue: stands twice"] += 1
            continue
        met.add(content)
        random = Random(f"{seed}:{dialogue.key}")
        dialogue, sources = _widened(dialogue, tools, random, distractors), Sources(writer, random, tools, values)
        requests, left_out = requests_of(dialogue)
        built.not_possible.update({f"a request: {reason}": count for reason, count in left_out.items()})
        for name, made in _of_dialogue(dialogue, requests, sources, wanted):
            if isinstance(made, PreferencePair):
                counts[name] += 1
                built.pairs.append(made)
            else:
                built.not_possible[f"{name}: {made}"] += 1
    return built


def _check(kinds: Sequence[str], distractors: int) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"kinds: unknown {unknown[0]!r}; use some of {', '.join(KINDS)}")
    if distractors < 0:
        raise ConfigError(f"distractors: must be a number of tools from 0 (got {distractors})")


def _of_dialogue(
    dialogue: Dialogue,
    requests: Sequence[Request],
    sources: Sources,
    wanted: Callable[[str, str], bool],
) -> Iterator[tuple[str, PreferencePair | str]]:
    """The pairs of a dialogue, each with the name of its row, or why there is none."""
    for request in requests:
        for row in ROWS:
            made = row.build(request, sources) if wanted(row.kind, row.name) else []
            for i, sides in enumerate(made):
                if wanted(row.kind, row.name):
                    yield row.name, sides if isinstance(sides, str) else _of_row(row, request, sides, i)
    begun = {request.start for request in requests}
    for fork in forks(dialogue):
        for kind, (at, builder) in BUILDERS.items():
            if fork.decision in at and fork.start not in begun and wanted(kind, kind):
                ways = builder(fork, sources)
                if ways is None:
                    yield kind, "not possible there"
                else:
                    yield kind, fault_of_ways(fork, ways) or _of_fork(kind, fork, ways)


def _of_row(row: Row, request: Request, sides: Sides, number: int) -> PreferencePair | str:
    broken = fault(sides, request.tool, (*request.slots, *request.options))
    if broken is not None:
        return broken
    at = request.start
    return PreferencePair(
        prompt=(*sides.before, Message(role="user", content=sides.request)),
        chosen=sides.chosen.messages,
        rejected=sides.rejected.messages,
        tools=sides.tools,
        id=f"{request.dialogue.id}#{at} {row.name}{f' {number + 1}' if number else ''}",
        dialogue_id=request.dialogue.id,
        kind=row.kind,
        about=_about(request.dialogue, row.name, row.query_type, row.set, sides.chosen.states, sides.rejected.states),
        source=f"{request.dialogue.source} message {at}: {row.name}",
    )


def _of_fork(kind: str, fork: Fork, ways: Ways) -> PreferencePair:
    pair = PreferencePair(
        prompt=fork.prompt,
        chosen=ways.chosen,
        rejected=ways.rejected,
        tools=ways.tools,
        id=f"{fork.dialogue.id}#{fork.start} {kind}",
        dialogue_id=fork.dialogue.id,
        kind=kind,
        source=f"{fork.dialogue.source} message {fork.start}: {kind}",
    )
    # What a question before the fork asked for shows on the dialogue's own way, and is the same on both sides.
    kinds = dict(zip(fork.dialogue.turns, decisions(fork.dialogue), strict=True))
    prompt = tuple(m.model_copy(update={"decision": kinds.get(i, m.decision)}) for i, m in enumerate(fork.prompt))
    labelled = pair.model_copy(update={"prompt": prompt})
    paths = (state_path(labelled.side("chosen")), state_path(labelled.side("rejected")))
    return pair.model_copy(update={"about": _about(fork.dialogue, kind, _QUERY_TYPES[fork.decision], BEYOND, *paths)})


def _about(dialogue: Dialogue, row: str, query_type: int, set: str, chosen: str, rejected: str) -> dict[str, str | int]:
    facts: dict[str, str | int] = {"row": row, "query_type": query_type, "set": set}
    return facts | {"chosen_states": chosen, "rejected_states": rejected, OPENING: dialogue.key}


def _widened(dialogue: Dialogue, pool: Sequence[Tool], random: Random, most: int) -> Dialogue:
    """The dialogue with at most `most` tools of others, one of them, now and then, about the same thing.

    Where it refuses, another tool might do what it says cannot be done, so none is added.
    """
    if not most or Decision.RELEVANCE in decisions(dialogue):
        return dialogue
    near = near_distractors(random.choice(dialogue.tools), pool, random) if random.random() < _NEAR else ()
    far = far_distractors(dialogue.tools, pool, random, most)
    return with_tools(dialogue, (*near, *far)[:most])
