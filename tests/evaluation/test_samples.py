"""Replies against what the data says at their place."""

import math

from tests.pairs.dialogues import ASKS, CALLS, REFUSES, calls, says

from turnpoint.dialogue import Dialogue, Message
from turnpoint.evaluation.samples import gold_scores
from turnpoint.pairs import SampledReply, Samples, sample_pairs

QUESTION, REFUSAL, ANSWER = "For how many people?", "I'm sorry, I can't do that.", "It is done."
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome", "day": "today"}}\n</tool_call>'


def drawn(dialogue: Dialogue, turn: int) -> Samples:
    """Four replies, one of each kind, at a turn."""
    replies = [
        *(SampledReply(text=text, message=says(text)) for text in (QUESTION, REFUSAL, ANSWER)),
        SampledReply(text=CALL, message=calls("weather", city="Rome", day="today")),
    ]
    messages: tuple[Message, ...] = dialogue.messages
    return Samples(
        prompt=messages[:turn], tools=dialogue.tools, gold=messages[turn:], replies=tuple(replies), id=dialogue.id
    )


def test_a_reply_that_decides_as_the_data_does_scores_one() -> None:
    """By turn: a question is due, a call is, an answer is, a rejection is; the call's arguments are judged apart."""
    at = [drawn(ASKS, 1), drawn(CALLS, 1), drawn(ASKS, 5), drawn(REFUSES, 1)]
    assert gold_scores(at) == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]


def test_what_the_data_says_is_chosen_and_a_wrong_reply_rejected() -> None:
    at = [drawn(ASKS, 1)]
    built = sample_pairs(at, gold_scores(at), gold=1.0, select="all")
    first = [(pair.chosen[0].content, pair.rejected[0].content, len(pair.chosen)) for pair in built.pairs]
    own, gold = (QUESTION, 1), (ASKS.messages[1].content, len(ASKS.messages) - 1)
    wrong = (REFUSAL, ANSWER, None)  # None: the call
    assert sorted(map(repr, first)) == sorted(repr((c, w, n)) for c, n in (own, gold) for w in wrong)


def test_where_the_data_says_nothing_nobody_knows() -> None:
    at = drawn(ASKS, 1).model_copy(update={"gold": ()})
    assert all(math.isnan(score) for score in gold_scores([at])[0])
