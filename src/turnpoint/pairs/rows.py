"""The table of DiaTool-DPO: which trajectories a request is forked into (arXiv 2504.02882; states 1 to 5 as there).

| kind | query | set | chosen | rejected |
|---|---|---|---|---|
| needless question | 1 | easy | 1-3-4-5 | 1-2-3-4-5 |
| needless question | 1 | hard | 1-3-4-5 | 1-(2xN)-3-4-5 or 1-(2xM)-3-4-5 |
| refused call | 1 | easy, hard | 1-3-4-5 | 1-1 |
| invented call | 2 | easy | 1-2-3-4-5 | 1-3-4-5 |
| invented call | 2 | hard | 1-(2xN)-3-4-5 | 1-3-4-5 or 1-(2xM)-3-4-5 |
| refused question | 2 | easy, hard | 1-2-3-4-5 or 1-(2xN)-3-4-5 | 1-1 |
| missing tool | 3 | hard | 1-1 | 1-3-4 or 1-(2xN)-3-4 |

N is the number of required slots, M a smaller one. In the easy set one question asks for all that is missing; in the
hard set nothing required is said at first, the assistant asks for all that is missing, in the order of the schema, and
the user answers one slot at a time. Here M may be 1, where the paper has N > M > 1: most tools require two values.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from turnpoint.dialogue import Decision, Message, Tool
from turnpoint.pairs.forks import rejection
from turnpoint.pairs.requests import Request
from turnpoint.pairs.sides import Exchange, Side, Sides
from turnpoint.pairs.slots import Slot
from turnpoint.pairs.sources import Sources, call_of, far_distractors, near_distractors, with_invented

_NO_SLOT = "the tool requires nothing"
_ONE_SLOT = "the tool requires fewer than two values"
_OTHER_MIND = "the user changes his mind on the way to the call"
Builder = Callable[[Request, Sources], list[Sides | str]]


class Row(NamedTuple):
    """A row of the table. `build` gives its pairs for a request, or why there is none; `share` is the paper's count."""

    kind: str
    query_type: int
    set: str
    form: str  # N or M, where a row has both
    share: int
    build: Builder

    @property
    def name(self) -> str:
        """What tells the row apart from all others."""
        return " ".join(filter(None, (self.kind, self.set, self.form)))


def easy_needless_question(request: Request, sources: Sources) -> list[Sides | str]:
    """Ask once for what the user has given."""
    return (
        [_needless(request, (_exchange(request, _drawn(request, sources), sources),))] if request.slots else [_NO_SLOT]
    )


def all_needless_questions(request: Request, sources: Sources) -> list[Sides | str]:
    """Ask for everything that the user has given, one question after the other."""
    return [_needless(request, _one_by_one(request, request.slots, sources))] if request.slots else [_NO_SLOT]


def some_needless_questions(request: Request, sources: Sources) -> list[Sides | str]:
    """Ask for some of what the user has given, one question after the other."""
    found = [_needless(request, _one_by_one(request, some, sources)) for some in _some(request, sources)]
    return found or [_ONE_SLOT]


def refused_call(request: Request, sources: Sources) -> list[Sides | str]:
    """Say no although all is there and a tool fits."""
    said = request.complete
    if said is None:
        return [_OTHER_MIND]
    return [_sides(request, said, (), _side((), request.way), _refusal(request, sources))]


def easy_invented_call(request: Request, sources: Sources) -> list[Sides | str]:
    """Call at once, with invented values, where one question was due."""
    said, hidden, chosen = _easy(request, sources)
    return [_sides(request, said, hidden, chosen, _guess(request, (), hidden, sources))] if hidden else [_NO_SLOT]


def easy_refused_question(request: Request, sources: Sources) -> list[Sides | str]:
    """Say no where one question was due."""
    said, hidden, chosen = _easy(request, sources)
    return [_sides(request, said, hidden, chosen, _refusal(request, sources))] if hidden else [_NO_SLOT]


def hard_invented_call(request: Request, sources: Sources) -> list[Sides | str]:
    """Call at once, with invented values, where several questions were due."""
    if not request.slots:
        return [_NO_SLOT]
    rejected = _guess(request, (), request.slots, sources)
    return [_sides(request, _bare(request, sources), request.slots, _hard(request, sources), rejected)]


def half_asked_call(request: Request, sources: Sources) -> list[Sides | str]:
    """Ask for some of what is missing, and invent the rest."""
    found: list[Sides | str] = []
    for some in _some(request, sources):
        rest = tuple(slot for slot in request.slots if slot not in some)
        rejected = _guess(request, _one_by_one(request, some, sources), rest, sources)
        found.append(_sides(request, _bare(request, sources), request.slots, _hard(request, sources), rejected))
    return found or [_ONE_SLOT]


def hard_refused_question(request: Request, sources: Sources) -> list[Sides | str]:
    """Say no where several questions were due."""
    if not request.slots:
        return [_NO_SLOT]
    said = _bare(request, sources)
    return [_sides(request, said, request.slots, _hard(request, sources), _refusal(request, sources))]


def missing_tool(request: Request, sources: Sources) -> list[Sides | str]:
    """Take the fitting tools away: a rejection is right, the call, or one of a tool that is left, is wrong."""
    said, offered = request.complete, _without_its_tool(request, sources)
    if said is None or isinstance(offered, str):
        return [_OTHER_MIND if said is None else str(offered)]
    misuse = Message(role="assistant", tool_calls=(call_of(sources.random.choice(offered), sources),))
    wrong = sources.random.choice((request.way[0], misuse))
    return [_no_tool(request, said, (), (wrong,), offered, sources)]


def missing_tool_after_questions(request: Request, sources: Sources) -> list[Sides | str]:
    """Take the fitting tools away: to ask for all that the call would need, and to call then, is wrong."""
    offered = _without_its_tool(request, sources)
    if not request.slots or isinstance(offered, str):
        return [offered if isinstance(offered, str) else _NO_SLOT]
    said = _bare(request, sources)
    exchanges = _one_by_one(request, request.slots, sources)
    return [_no_tool(request, said, exchanges, request.way[:1], offered, sources, hidden=request.slots)]


ROWS = (
    Row("needless question", 1, "easy", "", 2089, easy_needless_question),
    Row("needless question", 1, "hard", "N", 562, all_needless_questions),
    Row("needless question", 1, "hard", "M", 2530, some_needless_questions),
    Row("refused call", 1, "easy", "", 2090, refused_call),
    Row("refused call", 1, "hard", "", 562, refused_call),
    Row("invented call", 2, "easy", "", 2089, easy_invented_call),
    Row("invented call", 2, "hard", "N", 562, hard_invented_call),
    Row("invented call", 2, "hard", "M", 2530, half_asked_call),
    Row("refused question", 2, "easy", "", 2089, easy_refused_question),
    Row("refused question", 2, "hard", "", 562, hard_refused_question),
    Row("missing tool", 3, "hard", "call", 567, missing_tool),
    Row("missing tool", 3, "hard", "questions", 562, missing_tool_after_questions),
)


def _needless(request: Request, exchanges: tuple[Exchange, ...]) -> Sides | str:
    said = request.complete
    if said is None:
        return _OTHER_MIND
    return _sides(request, said, (), _side((), request.way), _side(exchanges, request.way))


def _easy(request: Request, sources: Sources) -> tuple[str, tuple[Slot, ...], Side]:
    """A first message that leaves slots open, these slots, and the way with one question for them.

    In the dialogue's own words where it goes that way.
    """
    missing = request.open_at_first
    if missing and len(request.asked) == 2:
        exchange = Exchange(*request.asked, tuple(slot.name for slot in missing), missing)
        return request.first, missing, _side((exchange,), request.way)
    if missing:
        return request.first, missing, _side((_exchange(request, missing, sources),), request.way)
    if not request.slots:
        return request.first, (), _side((), request.way)
    hidden = _drawn(request, sources)
    said = _reworded(request, hidden, sources)
    return said, hidden, _side((_exchange(request, hidden, sources),), request.way)


def _bare(request: Request, sources: Sources) -> str:
    """A first message that gives none of the required values."""
    if len(request.open_at_first) == len(request.slots):
        return request.first
    return _reworded(request, request.slots, sources)


def _reworded(request: Request, hidden: Sequence[Slot], sources: Sources) -> str:
    kept = (*(slot for slot in request.slots if slot not in hidden), *request.options)
    said_first = [slot for slot in kept if slot.surface in request.first]
    return sources.writer.request(request.first, hidden, said_first, request.tool, sources.random)


def _hard(request: Request, sources: Sources) -> Side:
    """All that is missing asked for in the order of the schema, one slot answered at a time."""
    return _side(_one_by_one(request, request.slots, sources), request.way)


def _one_by_one(request: Request, slots: Sequence[Slot], sources: Sources) -> tuple[Exchange, ...]:
    """A question for all of `slots` that are still open, and a reply with the first of them, until none is open."""
    return tuple(_exchange(request, slots[i:], sources, answered=slots[i : i + 1]) for i in range(len(slots)))


def _exchange(
    request: Request, asked: Sequence[Slot], sources: Sources, answered: Sequence[Slot] | None = None
) -> Exchange:
    answered, names = tuple(asked if answered is None else answered), tuple(slot.name for slot in asked)
    question = sources.writer.question(names, request.tool, sources.random)
    reply = sources.writer.reply([slot.surface for slot in answered], sources.random)
    return Exchange(
        Message(role="assistant", content=question, decision=Decision.SLOT),
        Message(role="user", content=reply),
        names,
        answered,
    )


def _some(request: Request, sources: Sources) -> list[tuple[Slot, ...]]:
    """For each M from 1 to N - 1 some M of the N slots, in the order of the schema."""
    sizes = range(1, len(request.slots))
    return [_in_order(sources.random.sample(request.slots, k=size), request) for size in sizes]


def _drawn(request: Request, sources: Sources) -> tuple[Slot, ...]:
    """Some of the slots, in the order of the schema; there is one at least."""
    return _in_order(sources.random.sample(request.slots, k=sources.random.randint(1, len(request.slots))), request)


def _in_order(slots: Sequence[Slot], request: Request) -> tuple[Slot, ...]:
    return tuple(slot for slot in request.slots if slot in slots)


def _guess(request: Request, exchanges: tuple[Exchange, ...], made_up: Sequence[Slot], sources: Sources) -> Side | None:
    """Ask what `exchanges` ask, then call with invented values for the rest, and go on as if they were right.

    None where a value has no other.
    """
    way = with_invented(request.way, made_up, request.tool, sources)
    return None if way is None else _side(exchanges, way)


def _refusal(request: Request, sources: Sources) -> Side:
    others = [tool for tool in request.dialogue.tools if tool.name != request.tool.name]
    return _side((), (rejection(request.tool, others, sources),))


def _without_its_tool(request: Request, sources: Sources) -> tuple[Tool, ...] | str:
    """Other tools, some of them about the same thing, in random order; or why none can take its place."""
    if any(message.tool_calls for message in request.before):
        return "a tool was called before, so it is there"
    own = [tool for tool in request.dialogue.tools if tool.name == request.tool.name]
    near = near_distractors(request.tool, sources.tools, sources.random)
    far = far_distractors(own, sources.tools, sources.random)
    offered = list({tool.name: tool for tool in (*near, *far)}.values())
    sources.random.shuffle(offered)
    return tuple(offered) or "no other tool to offer"


def _no_tool(
    request: Request,
    said: str,
    exchanges: tuple[Exchange, ...],
    wrong: tuple[Message, ...],
    offered: tuple[Tool, ...],
    sources: Sources,
    hidden: tuple[Slot, ...] = (),
) -> Sides:
    chosen = _side((), (rejection(request.tool, offered, sources),))
    return Sides(request.before, said, hidden, offered, chosen, _side(exchanges, wrong))


def _sides(request: Request, said: str, hidden: tuple[Slot, ...], chosen: Side, rejected: Side | None) -> Sides | str:
    if rejected is None:
        return "no other value to invent"
    return Sides(request.before, said, hidden, request.dialogue.tools, chosen, rejected)


def _side(exchanges: tuple[Exchange, ...], way: tuple[Message, ...]) -> Side:
    """A side and the states that it is to go through."""
    calls = any(message.tool_calls for message in way)
    end = ("-3-4" if len(way) == 1 else "-3-4-5") if calls else "-1"
    return Side(exchanges, way, "1" + "-2" * len(exchanges) + end)
