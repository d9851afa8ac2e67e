"""What dialogues and the sides of pairs decide, the states they go through, and what users ask for."""

from collections.abc import Sequence
from enum import StrEnum

from turnpoint.dialogue import Decision, Dialogue, Message, PreferencePair
from turnpoint.dialogue.decisions import state_path

_INITIAL, _COMPLETE = "1", "5"  # states by their numbers


class QueryType(StrEnum):
    """What a request of the user holds (DiaTool-DPO, arXiv 2504.02882, query types 1 to 3)."""

    GIVEN = "1 all slots given"
    MISSING = "2 slots missing"
    NO_TOOL = "3 no tool fits"


def query_types(decided: Sequence[Decision], first_turn: int = 0) -> tuple[QueryType, ...]:
    """The types of the requests of a dialogue, by what the assistant decided on them.

    A request whose first turn is a call, or a confirmation before one, gives all slots; one whose first turn asks for a
    slot does not; a rejection says that no tool fits. What is answered without any of these asks for no tool.

    Args:
        decided: the decisions of the turns of the dialogue.
        first_turn: leave out requests that were settled before it.
    """
    found: list[tuple[int, QueryType]] = []
    begun: QueryType | None = None
    for i, decision in enumerate(decided):
        if decision is Decision.RELEVANCE:
            found.append((i, QueryType.NO_TOOL))
            begun = None
        elif decision is Decision.COMPLETION:
            found += [(i, begun)] if begun else []
            begun = None
        elif begun is None:
            begun = QueryType.MISSING if decision is Decision.SLOT else QueryType.GIVEN
    found += [(len(decided), begun)] if begun else []
    return tuple(kind for settled, kind in found if settled >= first_turn)


def dialogue_path(dialogue: Dialogue, decided: Sequence[Decision]) -> str:
    """The states that a dialogue goes through: `1-2-3-4-5`. `decided` is what each of its turns decides."""
    return "-".join(_states(dialogue.messages, decided))


def side_paths(pair: PreferencePair, chosen: Sequence[Decision], rejected: Sequence[Decision]) -> tuple[str, ...]:
    """The states that each side of a pair goes through, chosen first, from where the user's request begins.

    After an answer it begins at the fork, unless the chosen side answers on.

    Args:
        pair: the pair.
        chosen: what each turn of its chosen side decides, those of the prompt first.
        rejected: likewise.
    """
    before = _states(pair.prompt, chosen)
    shared = sum(message.role == "assistant" for message in pair.prompt)
    if before[-1] == _COMPLETE and chosen[shared] is not Decision.COMPLETION:
        sides = ((pair.chosen, chosen[shared:]), (pair.rejected, rejected[shared:]))
        start = 0
    else:
        sides = ((pair.prompt + pair.chosen, chosen), (pair.prompt + pair.rejected, rejected))
        start = len(before) - 1 - before[::-1].index(_INITIAL)
    return tuple("-".join(_states(side, decided)[start:]) for side, decided in sides)


def _states(messages: Sequence[Message], decided: Sequence[Decision]) -> list[str]:
    """The states that messages go through, the turns labelled, so that none is judged anew."""
    turns = (message for message in messages if message.role == "assistant")
    labelled = (turn.model_copy(update={"decision": decision}) for turn, decision in zip(turns, decided, strict=False))
    return state_path(Dialogue.model_construct(messages=tuple(labelled))).split("-")
