"""Decisions of the turns of a dialogue, and the states it goes through.

A label of the data is taken as it is. Without one a turn is judged by what it says and by what happens next: a
question on the way to a call is a slot question when the user's reply gives a value that the call uses, and a
confirmation when it asks for a go-ahead and the call uses nothing of the reply.
"""

import json
import re
from collections.abc import Sequence

from turnpoint.dialogue.kinds import Decision, State
from turnpoint.dialogue.types import Dialogue, Message

_APOSTROPHE = "['\u2019]"
_CANNOT = rf"can(?:not|{_APOSTROPHE}t| not)\b(?! (?:wait|believe|thank|help but)\b)"
_ADVERBS = r"(?:,? (?:\w+ly|also|just|still|now),?){0,2} "
# A refusal says early, in the present, that the assistant is not able to: "I cannot", "sorry, but cannot", "this cannot
# be done". None are "I'm sorry to hear that", "your booking cannot be changed", "the hotel does not have a pool" and
# "I don't have your number yet".
_REFUSAL = re.compile(
    rf"\A(?:{_CANNOT}|unable)|\b(?:(?:I|we|my \w+|our \w+){_ADVERBS}"
    rf"(?:{_CANNOT}|(?:do not|don{_APOSTROPHE}t)(?: currently)? have\b(?! (?:your|enough|all)\b))"
    rf"|(?:I am|we are|(?:I|we){_APOSTROPHE}(?:m|re)){_ADVERBS}(?:unable|not (?:\w+ly )?(?:able|capable|equipped))\b"
    rf"|(?:this|that|it) {_CANNOT} be done|(?:but|sorry,?) (?:{_CANNOT}|unable)"
    rf"|sorry\b[^.!?]{{0,40}}\b(?:I|we) can only (?:help|assist|support|work)\b"
    r"|beyond (?:my|what)|outside (?:of )?(?:my|what)|no (?:tool|function|way for me)\b"
    r"|none of (?:my|the) (?:tools|functions)|not (?:supported|something I)\b"
    rf"|(?:isn{_APOSTROPHE}t|is not|not) available to me|lack the)"
    r"|수 없(?:습니다|어요|네요|을 것|는 )|(?:기능|도구|권한)(?:이|은|는|가)? ?(?:없|제공되지)|지원(?:하지|되지) ?않"
    r"|(?:도와(?:드리|주)|처리(?:하|해 드리))기 ?어렵"
    r"|无法|(?:我|目前|暂时|现在|还)[^\u3002\uff01\uff1f]{0,6}(?<!能)不能|没有[^\u3002\uff01\uff1f]{0,120}(?:工具|功能|办法|权限)|不支持|做不到|帮不了",
    re.IGNORECASE,
)
_SUBJECT = r"(?:I|you|your|we|it|they|the|this|that|there)\b"
# A question shows in its mark, or in a verb before its subject: "Where are you going to." To be told to tell something
# is a request too.
_REQUEST = re.compile(
    rf"\?|(?:\A|[.!] )\s*(?:(?:what|which|when|where|who|how)(?: (?!{_SUBJECT})\w+){{0,2}}?"
    rf" (?:is|are|do|does|did|will|would|can|could|should) {_SUBJECT}|(?:do|are|will|would|can|could) you\b)"
    r"|\uff1f|(?:알려|말씀해|입력해|제공해|선택해) ?주(?:세요|시|십시오)|(?:정보|항목|값)(?:이|가) (?:더 )?필요"
    r"|请(?:您)?(?:先)?(?:提供|告诉|告知|说明|问|输入|选择|确认)|麻烦(?:您)?(?:提供|说明|告诉)"
    r"|\b(?:(?:please|kindly) (?:provide|tell|give|share|specify|enter|confirm|verify|let me know"
    r"|choose|clarify|describe|indicate|name|pick|select|state)"
    r"|(?:provide|give|tell) me"
    r"|let me know (?:the|your|which|what|when|where|how)"
    r"|I (?:will |just |also |first )?need (?:to know |your |the |some |a few |more ))",
    re.IGNORECASE,
)
_GO_AHEAD = re.compile(
    r"\b(?:confirm|correct|right\?|shall I|may I|can I|should I|would you like|do you want|are you sure|want me to"
    r"|go ahead|proceed)",
    re.IGNORECASE,
)
# A question that opens with one of these asks for a value, whatever else it says: "When would you like to leave?"
_OPEN_QUESTION = re.compile(
    r"(?:^|[.!?;,:]\s|\band )\s*(?:(?:for|on|at|in|from|to|by|with|of) )?"
    r"(?:what|which|when|where|who|whom|whose|how (?:much|many|long))\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"\b(?:anything|something) else\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n\u3002\uff01\uff1f]+[.!?\u3002\uff01\uff1f]*")
_REFUSAL_REACH = 200  # characters from the start of a message within which a refusal is one


def refuses(text: str) -> bool:
    """Whether the text says that the assistant cannot do what was asked."""
    return _REFUSAL.search(text[:_REFUSAL_REACH]) is not None


def asks(text: str) -> bool:
    """Whether the text asks the user for something."""
    return _REQUEST.search(text) is not None


def sentences(text: str) -> list[str]:
    """The sentences of a text, and its lines; none is empty."""
    return [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]


def states_something(text: str) -> bool:
    """Whether a sentence of the text is not a question."""
    return any(not asks(sentence) for sentence in sentences(text))


def reports(text: str, before: Sequence[Message]) -> bool:
    """Whether the text names a value of the tool result before it that no one has said yet: "How about Rosa's?"."""
    *earlier, result = before
    if result.role != "tool":
        return False
    sent = [leaf for message in earlier for call in message.tool_calls for leaf in _leaves(call.arguments)]
    said = " ".join([*(message.content or "" for message in earlier), *sent])
    values = [_normal(value) for value in _leaves(_value(result.content or ""))]
    return any(_holds(text, value) and not _holds(said, value) for value in values)


def decisions(dialogue: Dialogue) -> tuple[Decision, ...]:
    """The decision of each turn, in the order of `dialogue.turns`."""
    return tuple(_decision(dialogue.messages, i) for i in dialogue.turns)


def states(dialogue: Dialogue) -> tuple[State, ...]:
    """The states a dialogue goes through: `1-2-3-4-5` is a question, a call and an answer.

    A question leads to slots incomplete, a call through slots complete to waiting for the tool, an answer to
    complete, a rejection back to initial. What the user asks for after an answer starts at initial again.
    """
    path = [State.INITIAL]
    for decision in decisions(dialogue):
        if path[-1] is State.COMPLETE and decision in (Decision.SLOT, Decision.CALL):
            path.append(State.INITIAL)
        match decision:
            case Decision.SLOT:
                path.append(State.SLOTS_INCOMPLETE)
            case Decision.CALL:
                path += [State.SLOTS_COMPLETE, State.WAITING]
            case Decision.COMPLETION:
                path.append(State.COMPLETE)
            case Decision.RELEVANCE:
                path.append(State.INITIAL)
            case Decision.CONFIRM:
                path.append(State.SLOTS_COMPLETE)
    return tuple(path)


def state_path(dialogue: Dialogue) -> str:
    """The states of a dialogue by their numbers in DiaTool-DPO: `1-2-3-4-5`."""
    numbers = {state: str(i) for i, state in enumerate(State, start=1)}
    return "-".join(numbers[state] for state in states(dialogue))


def _decision(messages: Sequence[Message], i: int) -> Decision:
    message = messages[i]
    if message.tool_calls:
        return Decision.CALL
    if message.decision is not None:
        return message.decision
    text = message.content or ""
    after_result = i > 0 and messages[i - 1].role == "tool"
    if refuses(text) and not after_result:
        return Decision.RELEVANCE
    if asks(text):
        return _kind_of_question(messages, i)
    return Decision.COMPLETION


def _kind_of_question(messages: Sequence[Message], i: int) -> Decision:
    """Read on to the next call: a question on the way to it asks for slots or for a go-ahead."""
    replies: list[str] = []
    question = messages[i].content or ""
    greets = not any(message.role == "user" for message in messages[:i])
    if greets or _CLOSING.search(question):
        return Decision.COMPLETION
    for message in messages[i + 1 :]:
        if message.role == "user":
            replies.append(message.content or "")
        elif message.tool_calls and replies:
            values = [_normal(value) for call in message.tool_calls for value in _leaves(call.arguments)]
            known = _said_by_user(messages[:i])
            if any(_holds(" ".join(replies), value) and not _holds(known, value) for value in values):
                return Decision.SLOT
            goes_ahead = _GO_AHEAD.search(question) and not _OPEN_QUESTION.search(question)
            return Decision.CONFIRM if goes_ahead or messages[i - 1].role == "tool" else Decision.SLOT
        elif message.role == "tool" or message.tool_calls or not asks(message.content or ""):
            break
    return Decision.COMPLETION


def _value(result: str) -> object:
    try:
        return json.loads(result)
    except json.JSONDecodeError:
        return result


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _said_by_user(messages: Sequence[Message]) -> str:
    return " ".join(message.content or "" for message in messages if message.role == "user")


def _holds(text: str, value: str) -> bool:
    """Whether the text says the value, in whole words."""
    return bool(value) and f" {value} " in f" {_normal(text)} "


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
