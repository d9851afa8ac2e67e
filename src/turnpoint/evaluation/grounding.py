"""Whether an answer stands on the tool's result: it reports some of it, adds no number, and says yes and no as it does.

What is new in the result, neither said before nor a mere status, is what an answer may report: one value is enough, in
any of the forms people write it in. A number of the answer must be in the result or in what was said before. Whether a
sentence in another language says what the result says is beyond these rules; `Grounds.sure` is False there.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from turnpoint.dialogue import Message
from turnpoint.evaluation import lexicon
from turnpoint.evaluation.lexicon import wording
from turnpoint.evaluation.numbers import in_digits, is_known, numbers_in, tokens
from turnpoint.evaluation.wording import denies, is_negative, says_failure, shares_script, words

_ORDINAL = re.compile(r"(?<![\d$])(?<![\d$].)\b\d{1,2}[.)] (?=\S)", re.MULTILINE)
_SPELT_OUT = re.compile(r"(?:[A-Z]\w+ ){1,5}(?=\([A-Z]{2,}\))")  # Body Mass Index (BMI)
_CLAUSE = re.compile(r"[,;]\s|[.!?]\s|\n|\band\b|\u3001|\uff0c|\u3002|그리고 ")
_COUNTED = re.compile(r"(?<![$\d.,:])\d+(?= (?:\w+ ){0,3}\w+s\b)")
_NAME = re.compile(
    r"(?<=[a-z,;] )(?!(?:How|What|Which|Would|Is|Do|Dr|Mr|Mrs|Ms|Prof|St|Please|Here|There|You|It|The)\b)[A-Z][a-z]+\b"
)
_STATUS_KEY = re.compile(r"(?:status|success|succeeded|ok|error|result|code)\Z", re.IGNORECASE)
_ID_KEY = re.compile(r"(?:\bid|_id|Id|ID|number|reference|code|url|link|token|timestamp|created_at|updated_at)\Z")


class Grounds(NamedTuple):
    """What an answer stands on."""

    holds: bool
    reason: str
    sure: bool = True


_NOTHING = Grounds(False, "reports nothing of the result", sure=False)


class _Leaf(NamedTuple):
    key: str
    value: Any


def grounds(answer: str, context: Sequence[Message]) -> Grounds:
    """Judge an answer to the tool results that `context` ends with; one without results stands on nothing to check."""
    first = next((i for i in range(len(context), 0, -1) if context[i - 1].role != "tool"), 0)
    results = [_value(message.content or "") for message in context[first:]]
    if not results:
        return Grounds(True, "answers, with no result to report", sure=False)
    said = _said(context[:first])
    answer = in_digits(answer)
    for check in (_polarity, _numbers, _entries, _names, _report):
        if (found := check(answer, results, said)) is not None:
            break
    else:
        return Grounds(True, "answers; the result holds nothing that was not said before")
    acts = any(wording("acts").search(call.name) for call in context[first - 1].tool_calls)
    if found == _NOTHING and acts and wording("done").search(answer):
        return Grounds(True, "says that it is done", sure=False)
    return found


def failed(result: str) -> bool:
    """Whether a tool result says that the call came to nothing."""
    return _outcome([_value(result)]) is False


def _polarity(answer: str, results: Sequence[Any], said: str) -> Grounds | None:
    outcome = _outcome(results)
    if outcome is False and not denies(answer):
        return Grounds(False, "says nothing of the result's failure", sure=False)
    if outcome is True and says_failure(answer):
        return Grounds(False, "says that it failed, where the result says that it was done", sure=False)
    if outcome is False:
        return Grounds(True, "says that the result came to nothing")
    return None


def _numbers(answer: str, results: Sequence[Any], said: str) -> Grounds | None:
    known = numbers_in(" ".join([said, *(_text(result) for result in results)]))
    known |= {float(len(each)) for result in results for each in _lists(result)}
    text = _ORDINAL.sub("", answer)
    if any(isinstance(result, list) for result in results):
        text = _COUNTED.sub("", text)  # "I found 10 hotels": a result may list the first of them only
    unknown = next((token for token in tokens(text) if not is_known(token, known)), None)
    return None if unknown is None else Grounds(False, f"says {unknown}, which the result does not hold", sure=False)


def _entries(answer: str, results: Sequence[Any], said: str) -> Grounds | None:
    """Numbers of one entry of a list beside the name of another: the gym at the hour of the meeting."""
    entries = [each for result in results for found in _lists(result) for each in found if isinstance(each, dict)]
    numbers = [numbers_in(_text(entry)) for entry in entries]
    spoken, general = set(words(said)), numbers_in(said)
    for clause in _CLAUSE.split(answer):
        named = [i for i, entry in enumerate(entries) if _names_text_of(clause, entry, spoken)]
        if len(named) != 1:
            continue
        others = set().union(*(each for i, each in enumerate(numbers) if i != named[0]))
        known = numbers[named[0]] | general
        wrong = [t for t in tokens(clause) if not is_known(t, known) and is_known(t, others)]
        if wrong:
            return Grounds(False, f"says {wrong[0]} of another entry of the result", sure=False)
    return None


def _names_text_of(clause: str, entry: dict[str, Any], spoken: set[str]) -> bool:
    texts = [leaf for leaf in _leaves(entry) if isinstance(leaf.value, str) and not tokens(leaf.value)]
    return any(_names_leaf(clause, leaf, spoken) for leaf in texts)


def _names(answer: str, results: Sequence[Any], said: str) -> Grounds | None:
    """Capitalised words inside sentences: names that nobody said are invented."""
    known = " ".join([said, *(_text(result) for result in results)]).lower()
    names = _NAME.findall(_SPELT_OUT.sub("", answer))
    unknown = next(
        (name for name in names if name.lower() not in known and name.lower() not in lexicon.words("known")), None
    )
    return None if unknown is None else Grounds(False, f"names {unknown}, which the result does not hold", sure=False)


def _report(answer: str, results: Sequence[Any], said: str) -> Grounds | None:
    spoken = set(words(said))
    leaves = [leaf for result in results for leaf in _leaves(result)]
    new = [leaf for leaf in leaves if not _STATUS_KEY.search(leaf.key) and not _was_said(leaf, said, spoken)]
    named = next((leaf for leaf in new if _names_leaf(answer, leaf, spoken)), None)
    if named is not None:
        return Grounds(True, f"reports {str(named.value)[:40]} of the result")
    telling = [leaf for leaf in new if not _ID_KEY.search(leaf.key)]
    if not telling:
        return None
    if not any(tokens(str(leaf.value)) or shares_script(answer, str(leaf.value)) for leaf in telling):
        return Grounds(True, "answers in another script than the result", sure=False)
    return _NOTHING


def _outcome(results: Sequence[Any]) -> bool | None:
    """Whether results say that the call was done (True) or came to nothing (False); None where they do not say."""
    found: set[bool] = set()
    for result in results:
        if isinstance(result, list) and not result:
            found.add(False)
        for leaf in _leaves(result):
            key, value = leaf.key.lower(), leaf.value
            if isinstance(value, bool) and re.search(r"success|\bok\b|available|found|booked|exists", key):
                found.add(value)
            elif key == "error" and value:
                found.add(False)
            elif key in ("status", "result", "message", "") and isinstance(value, str):
                found |= {False} if is_negative(value) else {True} if _is_done(value) else set()
    return False if False in found else True if found else None


def _is_done(text: str) -> bool:
    return not lexicon.words("success").isdisjoint(words(text))


def _is_status(word: str) -> bool:
    return word in lexicon.words("success") or word in lexicon.words("status")


def _was_said(leaf: _Leaf, said: str, spoken: set[str]) -> bool:
    if isinstance(leaf.value, bool) or leaf.value is None:
        return True
    if isinstance(leaf.value, int | float):
        return float(leaf.value) in numbers_in(said)
    told = {word for word in words(leaf.value) if not _is_status(word)}
    return told <= spoken and numbers_in(leaf.value) <= numbers_in(said)


def _names_leaf(answer: str, leaf: _Leaf, spoken: set[str]) -> bool:
    if isinstance(leaf.value, int | float):
        return any(is_known(token, {float(leaf.value)}) for token in tokens(answer))
    told = set(words(answer))
    new = {word for word in words(leaf.value) if word not in spoken and not _is_status(word)}
    if new & told or any(len(word) > 4 and any(each.startswith(word[:5]) for each in told) for word in new):
        return True
    numbers = numbers_in(leaf.value)
    return bool(numbers) and any(is_known(token, numbers) for token in tokens(answer))


def _said(messages: Sequence[Message]) -> str:
    calls = [json.dumps(call.arguments, ensure_ascii=False) for message in messages for call in message.tool_calls]
    return " ".join([*(message.content or "" for message in messages), *calls])


def _value(result: str) -> Any:
    try:
        return json.loads(result)
    except (ValueError, RecursionError):
        return result


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaves(value: Any, key: str = "") -> Iterator[_Leaf]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield _Leaf(key, value)


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _lists(each)
