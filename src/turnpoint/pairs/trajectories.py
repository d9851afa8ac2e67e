"""Pairs of whole trajectories: what a dialogue did at a turn, against what it should not have done.

At every turn that makes a decision the dialogue forks (DiaTool-DPO, arXiv 2504.02882; states as there):

| kind | at a | chosen | rejected |
|---|---|---|---|
| needless question | call | its way to the answer (1-3-4-5) | a question, its reply, the same way (1-2-3-4-5) |
| refused call | call | " | a rejection (1-1) |
| invented call | slot question | question, reply, call, result, answer | call with invented values, result, answer |
| refused question | slot question | " | a rejection (1-1) |
| missing tool | first request | fitting tools taken away: a rejection (1-1) | the call or question (1-3-4) |
| forced call | rejection | the rejection | a call of an offered tool, or a question for one |
| repeated call | answer | the answer | the call before it again |

Confirmations before acting are neither needless nor slot questions: no pair forks there.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from turnpoint.dialogue import Decision, Dialogue, Message, PreferencePair, Tool, ToolCall, decisions
from turnpoint.errors import ConfigError
from turnpoint.pairs.writer import Writer


class Built(NamedTuple):
    """Pairs, those of one dialogue beside each other, and how many forks of each kind could not be built."""

    pairs: list[PreferencePair]
    not_possible: Counter[str]


class Fork(NamedTuple):
    """A turn of a dialogue: where two ways part."""

    dialogue: Dialogue
    start: int  # index of the turn's message
    end: int  # one past the answer that ends the dialogue's way from here
    decision: Decision

    @property
    def prompt(self) -> tuple[Message, ...]:
        """What both ways share."""
        return self.dialogue.messages[: self.start]

    @property
    def way(self) -> tuple[Message, ...]:
        """How the dialogue goes on."""
        return self.dialogue.messages[self.start : self.end]


class Sources(NamedTuple):
    """What builders draw on."""

    writer: Writer
    random: Random
    tools: Sequence[Tool]  # of all dialogues, to take distractors from
    values: dict[tuple[str, str], list[Any]]  # (tool, parameter) -> values seen in calls


class Sides(NamedTuple):
    """Both ways of a pair, and the tools they are offered."""

    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[Tool, ...]


def forks(dialogue: Dialogue) -> list[Fork]:
    """Every turn that decides between calling, asking, answering and rejecting what the user has said."""
    kinds = dict(zip(dialogue.turns, decisions(dialogue), strict=True))
    said = next((i for i, message in enumerate(dialogue.messages) if message.role == "user"), len(dialogue.messages))
    answers = [i for i, kind in kinds.items() if kind in (Decision.COMPLETION, Decision.RELEVANCE)]
    found = []
    for start, kind in kinds.items():
        answer = next((i for i in answers if i >= start), None)
        if start > said and answer is not None and kind is not Decision.CONFIRM:
            found.append(Fork(dialogue, start, answer + 1, kind))
    return found


def needless_question(fork: Fork, sources: Sources) -> Sides | None:
    """Ask for values that the user has given; the user gives them again."""
    said = " ".join(message.content or "" for message in fork.prompt if message.role == "user").lower()
    given = {
        name: value
        for call in fork.way[0].tool_calls
        for name, value in call.arguments.items()
        if isinstance(value, str | int | float) and str(value) and str(value).lower() in said
    }
    if not given:
        return None
    asked = sources.random.sample(sorted(given), k=min(len(given), sources.random.choice((1, 1, 2))))
    detour = (
        Message(role="assistant", content=sources.writer.question(asked, sources.random)),
        Message(role="user", content=sources.writer.reply([str(given[name]) for name in asked], sources.random)),
    )
    return Sides(fork.way, detour + fork.way, fork.dialogue.tools)


def rejection(fork: Fork, sources: Sources) -> Sides:
    """Say no although a tool fits."""
    called = {call.name for message in fork.way for call in message.tool_calls}
    fitting = [tool for tool in fork.dialogue.tools if tool.name in called] or fork.dialogue.tools
    others = [tool for tool in fork.dialogue.tools if tool not in fitting]
    return Sides(fork.way, (_rejection(fitting[0], others, sources),), fork.dialogue.tools)


def invented_call(fork: Fork, sources: Sources) -> Sides | None:
    """Call at once, with invented values for what should have been asked, and go on as if they were right."""
    called = next((i for i, message in enumerate(fork.way) if message.tool_calls), None)
    if called is None:
        return None
    said = " ".join(message.content or "" for message in fork.prompt).lower()
    calls = tuple(_with_invented_values(call, said, sources) for call in fork.way[called].tool_calls)
    if calls == fork.way[called].tool_calls:
        return None
    guess = Message(role="assistant", tool_calls=calls)
    return Sides(fork.way, (guess, *fork.way[called + 1 :]), fork.dialogue.tools)


def missing_tool(fork: Fork, sources: Sources) -> Sides | None:
    """Take the dialogue's tools away: now its own call or question is wrong, and a rejection right."""
    if any(message.role == "assistant" for message in fork.prompt):
        return None
    offered = distractors(fork.dialogue.tools, sources.tools, sources.random)
    called = next((call.name for message in fork.way for call in message.tool_calls), None)
    fitting = next((tool for tool in fork.dialogue.tools if tool.name == called), None)
    if fitting is None or not offered:
        return None
    wrong = sources.random.choice((fork.way[0], *_misuses(sources.random.choice(offered), sources)))
    return Sides((_rejection(fitting, offered, sources),), (wrong,), offered)


def forced_call(fork: Fork, sources: Sources) -> Sides:
    """Use a tool that is offered although it does not fit."""
    wrong = sources.random.choice(_misuses(sources.random.choice(fork.dialogue.tools), sources))
    return Sides(fork.way, (wrong,), fork.dialogue.tools)


def repeated_call(fork: Fork, sources: Sources) -> Sides | None:
    """Call again instead of answering with the result that is there."""
    before = fork.prompt[-2:]
    if len(before) < 2 or before[1].role != "tool" or not before[0].tool_calls:
        return None
    again = Message(role="assistant", tool_calls=tuple(c.model_copy(update={"id": None}) for c in before[0].tool_calls))
    return Sides(fork.way, (again, before[1].model_copy(update={"tool_call_id": None}), *fork.way), fork.dialogue.tools)


Builder = Callable[[Fork, Sources], Sides | None]
BUILDERS: dict[str, tuple[tuple[Decision, ...], Builder]] = {
    "needless question": ((Decision.CALL,), needless_question),
    "refused call": ((Decision.CALL,), rejection),
    "invented call": ((Decision.SLOT,), invented_call),
    "refused question": ((Decision.SLOT,), rejection),
    "missing tool": ((Decision.CALL, Decision.SLOT), missing_tool),
    "forced call": ((Decision.RELEVANCE,), forced_call),
    "repeated call": ((Decision.COMPLETION,), repeated_call),
}


def trajectory_pairs(
    dialogues: Sequence[Dialogue],
    *,
    writer: Writer,
    kinds: Sequence[str] = tuple(BUILDERS),
    pool: Sequence[Dialogue] | None = None,
    seed: int = 0,
) -> Built:
    """Every pair that the forks of the dialogues allow.

    Args:
        dialogues: with tools; others have no fork.
        writer: words what the dialogues do not say.
        kinds: names of `BUILDERS`.
        pool: dialogues to take distracting tools and invented values from; None: `dialogues` themselves.
        seed: of every random choice.

    Raises:
        ConfigError: an unknown kind.
    """
    unknown = [kind for kind in kinds if kind not in BUILDERS]
    if unknown:
        raise ConfigError(f"kinds: unknown {unknown[0]!r}; use some of {', '.join(BUILDERS)}")
    pool = dialogues if pool is None else pool
    sources = Sources(writer, Random(seed), _all_tools(pool), _seen_values(pool))
    built = Built([], Counter())
    for dialogue in dialogues:
        for fork in forks(dialogue) if dialogue.tools else ():
            for kind in kinds:
                at, builder = BUILDERS[kind]
                if fork.decision not in at:
                    continue
                sides = builder(fork, sources)
                if sides is None:
                    built.not_possible[kind] += 1
                    continue
                built.pairs.append(_pair(fork, kind, sides))
    return built


def distractors(fitting: Sequence[Tool], pool: Sequence[Tool], random: Random, most: int = 3) -> tuple[Tool, ...]:
    """One to `most` tools of `pool` that do not do what the fitting ones do, as far as their names tell.

    A tool whose name tells nothing, such as `SearchEngine`, may do anything and is no distractor.
    """
    names, taken = {tool.name for tool in fitting}, {word for tool in fitting for word in _stem(tool.name)}
    far = [tool for tool in pool if tool.name not in names and _stem(tool.name) and not taken & _stem(tool.name)]
    return tuple(random.sample(far, k=min(len(far), random.randint(1, most))))


def _stem(name: str) -> set[str]:
    """What names of related tools share: `Banks_1_CheckBalance` → banks; `QueryStock` → stock."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).replace("_", " ").split()
    return {word.rstrip("s") for word in words if len(word) > 2 and not word.isdigit()} - _COMMON_WORDS


_COMMON_WORDS = {  # verbs, and nouns for what any tool does
    *("add", "book", "calculate", "cancel", "check", "create", "delete", "find", "generate", "get", "modify", "query"),
    *("engine", "from", "search", "searcher", "tool", "user", "with"),
}


def _rejection(missing: Tool, offered: Sequence[Tool], sources: Sources) -> Message:
    return Message(role="assistant", content=sources.writer.rejection(missing, offered, sources.random))


def _misuses(tool: Tool, sources: Sources) -> tuple[Message, ...]:
    """What a model does that takes any tool at hand: it calls the tool, or asks for what the tool would need."""
    call = _call_of(tool, sources)
    misuses = [Message(role="assistant", tool_calls=(call,))]
    if call.arguments:
        question = sources.writer.question(list(call.arguments)[:2], sources.random)
        misuses.append(Message(role="assistant", content=question))
    return tuple(misuses)


def _with_invented_values(call: ToolCall, said: str, sources: Sources) -> ToolCall:
    """The call with another value for each argument that nobody has named yet."""
    arguments = {
        name: value if str(value).lower() in said else _invented(call.name, name, value, sources)
        for name, value in call.arguments.items()
    }
    return call.model_copy(update={"arguments": arguments, "id": call.id})


def _invented(tool: str, parameter: str, value: Any, sources: Sources) -> Any:
    others = [other for other in sources.values.get((tool, parameter), ()) if other != value]
    return sources.random.choice(others) if others else value


def _call_of(tool: Tool, sources: Sources) -> ToolCall:
    """A call that the tool would take, with values seen in calls of it, or its parameters' names."""
    properties = tool.parameters.get("properties") or {}
    return ToolCall(
        name=tool.name,
        arguments={
            name: sources.random.choice(sources.values.get((tool.name, name), [name.replace("_", " ")]))
            for name in (tool.required or tuple(properties)[:2])
        },
    )


def _all_tools(dialogues: Sequence[Dialogue]) -> list[Tool]:
    return list({tool.name: tool for dialogue in dialogues for tool in dialogue.tools}.values())


def _seen_values(dialogues: Sequence[Dialogue]) -> dict[tuple[str, str], list[Any]]:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for dialogue in dialogues:
        for message in dialogue.messages:
            for call in message.tool_calls:
                for name, value in call.arguments.items():
                    seen.setdefault((call.name, name), {})[json.dumps(value, sort_keys=True)] = value
    return {key: list(values.values()) for key, values in seen.items()}


def _pair(fork: Fork, kind: str, sides: Sides) -> PreferencePair:
    return PreferencePair(
        prompt=fork.prompt,
        chosen=sides.chosen,
        rejected=sides.rejected,
        tools=sides.tools,
        id=f"{fork.dialogue.id}#{fork.start} {kind}",
        dialogue_id=fork.dialogue.id,
        kind=kind,
        source=f"{fork.dialogue.source} message {fork.start}: {kind}",
    )
