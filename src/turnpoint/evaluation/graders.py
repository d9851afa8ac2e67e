"""What a reply does, by rules: an item and a reply go in, a verdict with its reason comes out.

Whether the reply decides as the item asks is one thing, whether it then says the right thing is another:

| due | the decision is right where the reply | its content is right where |
|---|---|---|
| call | calls the right tools and no others | the arguments are the right ones |
| slot | asks, calls and refuses nothing | the question names a missing parameter |
| relevance | says that it cannot be done, calls nothing | – |
| completion | says something, calls and refuses nothing | the answer stands on the tool's result |

A call that cannot be read is a call that failed: it passes nowhere. `strict` makes one pass of both. What the rules
cannot know for certain is marked, so that a judge may look at it.
"""

from collections.abc import Callable
from typing import NamedTuple

from turnpoint.dialogue import Decision, Tool, ToolCall
from turnpoint.dialogue.decisions import asks, refuses, reports, states_something
from turnpoint.evaluation.arguments import fault_of_calls, fault_without_gold
from turnpoint.evaluation.grounding import failed, grounds
from turnpoint.evaluation.items import DecisionItem
from turnpoint.evaluation.questions import missing_slots, named_slots
from turnpoint.evaluation.rates import Verdict
from turnpoint.evaluation.wording import declines, denies, only_waits, requests, without_closing
from turnpoint.sampling import Reply
from turnpoint.template import attempts_call, parse_reply

MALFORMED = "malformed call"
_SHOWN = 4  # parameters that a reason names
Grader = Callable[[DecisionItem, Reply], Verdict]


class Read(NamedTuple):
    """A reply, read."""

    text: str
    calls: tuple[ToolCall, ...]


class Asked(NamedTuple):
    """What is missing, and what a question asks for."""

    missing: tuple[str, ...]
    named: tuple[str, ...]


class Graded(NamedTuple):
    """What the rules say of a reply."""

    passed: bool  # the decision is right
    reason: str
    content: bool | None = None  # what it says is right as well; None where there is nothing to check
    sure: bool = True  # the rules know for certain
    forgiven: bool = False  # a sensible question in the place of a call


def grade(item: DecisionItem, reply: Reply) -> Verdict:
    """Judge one reply by whether it decides as the item asks; whether its content is right stands beside."""
    content, calls = parse_reply(reply.text)
    read = Read(content or "", calls)
    if attempts_call(read.text):
        graded = Graded(False, "opens a call that cannot be read", content=False)
    else:
        graded = _GRADERS[item.decision](item, read)
    # An answer that closes with "Anything else?" passes as an answer; by its text alone it would be a question.
    return Verdict(
        item,
        item.decision if graded.passed else decision_of(reply.text),
        graded.passed,
        reply.text,
        graded.content,
        cut=reply.cut,
        reason=graded.reason,
        sure=graded.sure,
        forgiven=graded.forgiven,
    )


def strict(item: DecisionItem, reply: Reply) -> Verdict:
    """Judge one reply by its decision and its content together."""
    return with_content(grade(item, reply))


def with_content(verdict: Verdict) -> Verdict:
    """The verdict, passed only where the content is right as well."""
    return verdict._replace(passed=verdict.passed and verdict.content is not False)


def by_decision(item: DecisionItem, reply: Reply) -> Verdict:
    """Judge one reply by its kind alone, whatever it calls, asks or says."""
    decided = decision_of(reply.text)
    reason = f"is taken for {decided}, where {item.decision} is due"
    sure = decided in (Decision.CALL, MALFORMED)
    return Verdict(item, decided, decided == item.decision, reply.text, cut=reply.cut, reason=reason, sure=sure)


def decision_of(reply: str) -> str:
    """What a reply does, by its text alone: a decision, or `MALFORMED`."""
    content, calls = parse_reply(reply)
    if attempts_call(content):
        return MALFORMED
    if calls:
        return Decision.CALL
    if declines(content or ""):
        return Decision.RELEVANCE
    return Decision.SLOT if asks(content or "") else Decision.COMPLETION


def _call(item: DecisionItem, read: Read) -> Graded:
    due = {call.name for call in item.calls}
    if not read.calls:
        sensible = requests(read.text) and not refuses(read.text) and bool(asked_slots(item, read.text).named)
        reason = f"{_what_instead(read)}, where {_listed(due) or 'a tool'} should be called"
        return Graded(False, reason, False, forgiven=sensible)
    offered = {tool.name: tool for tool in item.tools}
    made = {call.name for call in read.calls}
    if wrong := made - (due or offered.keys()):
        return Graded(False, f"calls {_listed(wrong)}, where {_listed(due) or 'another tool'} should be called", False)
    if due:
        fault = fault_of_calls(read.calls, item.calls, item.tools, item.context)
    else:
        faults = (fault_without_gold(call, offered[call.name], item.context) for call in read.calls)
        fault = next((each for each in faults if each), "")
    # Another value may say the same: "NYC" for "New York".
    return Graded(True, f"calls {_listed(made)}" + (f", but {fault}" if fault else ""), not fault, sure=not fault)


def _slot(item: DecisionItem, read: Read) -> Graded:
    question = without_closing(read.text)
    refused = refuses(question) and not only_waits(question)
    if read.calls or refused or not requests(question):
        return Graded(False, f"{_what_instead(read)}, where a question is due", False, sure=bool(read.calls))
    missing, named = asked_slots(item, question)
    if not missing:
        return Graded(True, "asks, where no parameter is known to be missing", sure=False)
    if found := [name for name in named if name in missing]:
        return Graded(True, f"asks for {', '.join(found)}", True)
    reason = f"asks for {', '.join(named)}" if named else "asks for no parameter"
    due = ", ".join(missing[:_SHOWN]) + (" or others" if len(missing) > _SHOWN else "")
    return Graded(True, f"{reason}, where {due} should be asked for", False, sure=False)


def _relevance(item: DecisionItem, read: Read) -> Graded:
    if read.calls:
        return Graded(False, f"calls {_listed({call.name for call in read.calls})}, where no tool fits")
    if declines(read.text):
        return Graded(True, "says that it cannot be done")
    return Graded(False, f"{_what_instead(read)}, where a rejection is due", sure=False)


def _completion(item: DecisionItem, read: Read) -> Graded:
    context, text = item.context, read.text
    nothing_found = context[-1].role == "tool" and failed(context[-1].content or "") and denies(text)
    answers = states_something(text) or reports(text, context) or nothing_found
    if read.calls or not answers or (refuses(text) and not nothing_found):
        return Graded(False, f"{_what_instead(read)}, where an answer is due", False, sure=bool(read.calls))
    found = grounds(text, context)
    return Graded(True, found.reason, found.holds, found.sure)


_GRADERS: dict[Decision, Callable[[DecisionItem, Read], Graded]] = {
    Decision.CALL: _call,
    Decision.SLOT: _slot,
    Decision.RELEVANCE: _relevance,
    Decision.COMPLETION: _completion,
}


def tools_due(item: DecisionItem) -> list[Tool]:
    """The tools that are or will be called; all of them where nobody knows."""
    due = {call.name for call in item.calls}
    return [tool for tool in item.tools if tool.name in due] or list(item.tools)


def asked_slots(item: DecisionItem, text: str) -> Asked:
    """Which parameters are missing at an item, and which ones a question names."""
    tools = tools_due(item)
    due = {call.name: call.arguments for call in item.calls}
    missing = item.slots or [n for tool in tools for n in missing_slots(tool, due.get(tool.name), item.context)]
    named = [name for tool in tools for name in named_slots(text, tool, item.context)]
    return Asked(tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(named)))


def _what_instead(read: Read) -> str:
    if read.calls:
        return f"calls {_listed({call.name for call in read.calls})}"
    if not read.text:
        return "says nothing"
    return "refuses" if refuses(read.text) else "asks" if requests(read.text) else "answers"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
