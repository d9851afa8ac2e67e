"""Pairs at any turn that decides: what the dialogue did there, against what it should not have done.

They go beyond the table of DiaTool-DPO (`turnpoint.pairs.rows`), whose trajectories begin with a request:

| kind | at a | chosen | rejected |
|---|---|---|---|
| needless question | call | its way to the answer | a question, its reply, the same way |
| refused call | call | " | a rejection |
| invented call | slot question | question, reply, call, result, answer | call with invented values, result, answer |
| refused question | slot question | " | a rejection |
| missing tool | first request | its tools taken away: a rejection | the call or question, or a misuse of another |
| forced call | rejection | the rejection | a call of an offered tool, or a question for one |
| repeated call | answer | the answer | the call before it again |

Confirmations before acting are neither needless nor slot questions: no pair forks there.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall, decisions
from turnpoint.dialogue.decisions import asks, refuses
from turnpoint.pairs.slots import says
from turnpoint.pairs.sources import Sources, call_of, far_distractors, invented


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


class Ways(NamedTuple):
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


def needless_question(fork: Fork, sources: Sources) -> Ways | None:
    """Ask for values that the user has given; the user gives them again."""
    said = " ".join(message.content or "" for message in fork.prompt if message.role == "user")
    if not fork.way[0].tool_calls:  # a call that is written out in the text
        return None
    call = fork.way[0].tool_calls[0]
    tool = next((tool for tool in fork.dialogue.tools if tool.name == call.name), None)
    given = {
        name: value
        for name, value in call.arguments.items()
        if isinstance(value, str | int | float) and says(said, value)
    }
    if not given or tool is None:
        return None
    asked = sources.random.sample(sorted(given), k=min(len(given), sources.random.choice((1, 1, 2))))
    question = sources.writer.question(asked, tool, sources.random)
    reply = sources.writer.reply([str(given[name]) for name in asked], sources.random)
    detour = (
        Message(role="assistant", content=question, decision=Decision.SLOT),
        Message(role="user", content=reply),
    )
    return Ways(fork.way, detour + fork.way, fork.dialogue.tools)


def refusal(fork: Fork, sources: Sources) -> Ways:
    """Say no although a tool fits."""
    called = {call.name for message in fork.way for call in message.tool_calls}
    fitting = [tool for tool in fork.dialogue.tools if tool.name in called] or fork.dialogue.tools
    others = [tool for tool in fork.dialogue.tools if tool not in fitting]
    return Ways(fork.way, (rejection(fitting[0], others, sources),), fork.dialogue.tools)


def invented_call(fork: Fork, sources: Sources) -> Ways | None:
    """Call at once, with invented values for what should have been asked, and go on as if they were right."""
    called = next((i for i, message in enumerate(fork.way) if message.tool_calls), None)
    if called is None:
        return None
    said = " ".join(message.content or "" for message in fork.prompt)
    calls = tuple(_with_invented_values(call, said, fork, sources) for call in fork.way[called].tool_calls)
    if calls == fork.way[called].tool_calls:
        return None
    guess = Message(role="assistant", tool_calls=calls)
    return Ways(fork.way, (guess, *fork.way[called + 1 :]), fork.dialogue.tools)


def missing_tool(fork: Fork, sources: Sources) -> Ways | None:
    """Take the dialogue's tools away: now its own call or question is wrong, and a rejection right."""
    if any(message.role == "assistant" for message in fork.prompt):
        return None
    offered = far_distractors(fork.dialogue.tools, sources.tools, sources.random)
    called = next((call.name for message in fork.way for call in message.tool_calls), None)
    fitting = next((tool for tool in fork.dialogue.tools if tool.name == called), None)
    if fitting is None or not offered:
        return None
    wrong = sources.random.choice((fork.way[0], *_misuses(sources.random.choice(offered), sources)))
    return Ways((rejection(fitting, offered, sources),), (wrong,), offered)


def forced_call(fork: Fork, sources: Sources) -> Ways:
    """Use a tool that is offered although it does not fit."""
    wrong = sources.random.choice(_misuses(sources.random.choice(fork.dialogue.tools), sources))
    return Ways(fork.way, (wrong,), fork.dialogue.tools)


def repeated_call(fork: Fork, sources: Sources) -> Ways | None:
    """Call again instead of answering with the result that is there."""
    before = fork.prompt[-2:]
    if len(before) < 2 or before[1].role != "tool" or not before[0].tool_calls:
        return None
    again = Message(role="assistant", tool_calls=tuple(c.model_copy(update={"id": None}) for c in before[0].tool_calls))
    return Ways(fork.way, (again, before[1].model_copy(update={"tool_call_id": None}), *fork.way), fork.dialogue.tools)


Builder = Callable[[Fork, Sources], Ways | None]
BUILDERS: dict[str, tuple[tuple[Decision, ...], Builder]] = {
    "needless question": ((Decision.CALL,), needless_question),
    "refused call": ((Decision.CALL,), refusal),
    "invented call": ((Decision.SLOT,), invented_call),
    "refused question": ((Decision.SLOT,), refusal),
    "missing tool": ((Decision.CALL, Decision.SLOT), missing_tool),
    "forced call": ((Decision.RELEVANCE,), forced_call),
    "repeated call": ((Decision.COMPLETION,), repeated_call),
}


def fault_of_ways(fork: Fork, ways: Ways) -> str | None:
    """Which of the written turns does not do what it was written for; None where all do."""
    own = {id(message) for message in fork.dialogue.messages}
    for message in (*ways.chosen, *ways.rejected):
        text = message.content or ""
        if id(message) in own or message.tool_calls:
            continue
        if message.decision is Decision.RELEVANCE and not refuses(text):
            return "a rejection does not refuse"
        if message.decision is Decision.SLOT and (refuses(text) or not asks(text)):
            return "a question does not ask"
    return None


def rejection(missing: Tool, offered: Sequence[Tool], sources: Sources) -> Message:
    """A turn that says no."""
    text = sources.writer.rejection(missing, offered, sources.random)
    return Message(role="assistant", content=text, decision=Decision.RELEVANCE)


def _misuses(tool: Tool, sources: Sources) -> tuple[Message, ...]:
    """What a model does that takes any tool at hand: it calls the tool, or asks for what the tool would need."""
    call = call_of(tool, sources)
    misuses = [Message(role="assistant", tool_calls=(call,))]
    if call.arguments:
        question = sources.writer.question(list(call.arguments)[:2], tool, sources.random)
        misuses.append(Message(role="assistant", content=question, decision=Decision.SLOT))
    return tuple(misuses)


def _with_invented_values(call: ToolCall, said: str, fork: Fork, sources: Sources) -> ToolCall:
    """The call with another value for each argument that nobody has named yet."""
    tool = next((tool for tool in fork.dialogue.tools if tool.name == call.name), None)
    arguments = {
        name: value if tool is None or says(said, value) else invented(tool, name, value, sources)
        for name, value in call.arguments.items()
    }
    return call.model_copy(update={"arguments": arguments})
