"""The two vocabularies of a dialogue: what a turn decides, and which state the dialogue is in."""

from enum import StrEnum


class Decision(StrEnum):
    """What a turn does. `CONFIRM`, a question before acting on known slots, is a kind of its own: it enters no rate."""

    CALL = "call"
    SLOT = "slot"
    COMPLETION = "completion"
    RELEVANCE = "relevance"
    CONFIRM = "confirm"


class State(StrEnum):
    """Where a dialogue stands (DiaTool-DPO, arXiv 2504.02882, states 1 to 5)."""

    INITIAL = "initial"
    SLOTS_INCOMPLETE = "slots incomplete"
    SLOTS_COMPLETE = "slots complete"
    WAITING = "waiting for tool"
    COMPLETE = "complete"
