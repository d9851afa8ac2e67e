"""Data sets that DeepSpeed-Chat reads by the names of its classes, with the columns that these read.

https://github.com/microsoft/DeepSpeedExamples, applications/DeepSpeed-Chat/dschat/utils/data/raw_datasets.py
"""

import re
from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import row_id
from turnpoint.data.preference import build_pair
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

CLASSES: Mapping[str, str] = {
    "DahoasRmstaticDataset": "hh-rlhf",
    "DahoasFullhhrlhfDataset": "hh-rlhf",
    "YitingxieRlhfrewarddatasetsDataset": "hh-rlhf",
    "LocalJsonFileDataset": "hh-rlhf",
    "DahoasSyntheticinstructgptjpairwiseDataset": "chat-preference",
    "OpenaiWebgptcomparisonsDataset": "webgpt",
    "StanfordnlpSHPDataset": "shp",
    "PvduySharegptalpacaoavicunaformatDataset": "vicuna",
}
"""Formats by the names of its classes."""

_CITATION = re.compile(r" ?\[\d+(?:, ?\d+)*\]")
_VICUNA_TAG = re.compile(r"(?:\A|\s|</s>)(USER|ASSISTANT):")
_VICUNA_ROLES = {"USER": "user", "ASSISTANT": "assistant"}


def matches_chat(row: Mapping[str, Any]) -> bool:
    """Whether the row has a prompt and two sides; as texts they are verbatim unless this format is asked for."""
    return all(isinstance(row.get(name), str) for name in ("prompt", "chosen", "rejected"))


def read_chat(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read what a user says and two answers of the assistant."""
    return _pair(row, row["prompt"], row["chosen"], row["rejected"], where, changes)


def matches_webgpt(row: Mapping[str, Any]) -> bool:
    """Whether the row has a question and two answers with scores."""
    return all(row.get(name) is not None for name in ("question", "answer_0", "answer_1", "score_0", "score_1"))


def read_webgpt(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read a question and two answers, the one with the higher score chosen; citations of its pages are taken out."""
    question = row["question"].get("full_text") if isinstance(row["question"], Mapping) else row["question"]
    scores = [_number(row[name], name, where) for name in ("score_0", "score_1")]
    if scores[0] == scores[1]:
        raise DataError(f"{where}: score_0, score_1: are equal; nothing is preferred, remove the row (got {scores[0]})")
    answers = [_uncited(_text(row[name], name, where), where, changes) for name in ("answer_0", "answer_1")]
    better = int(scores[1] > scores[0])
    return _pair(row, question, answers[better], answers[1 - better], where, changes)


def matches_shp(row: Mapping[str, Any]) -> bool:
    """Whether the row has a history and two human answers."""
    return all(row.get(name) is not None for name in ("history", "human_ref_A", "human_ref_B", "labels"))


def read_shp(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read a post and two comments; `labels` is 1 where A is preferred and 0 where B is."""
    label = row["labels"]
    if label not in (0, 1, "0", "1"):
        raise DataError(f"{where}: labels: must be 1 where A is preferred, 0 where B is (got {label!r:.80})")
    sides = ("human_ref_B", "human_ref_A")[int(label)], ("human_ref_A", "human_ref_B")[int(label)]
    return _pair(row, row["history"], row[sides[0]], row[sides[1]], where, changes)


def matches_vicuna(row: Mapping[str, Any]) -> bool:
    """Whether the row has a prompt with the tags USER and ASSISTANT, and the answer as its label."""
    prompt = row.get("prompt")
    return isinstance(prompt, str) and isinstance(row.get("label"), str) and _VICUNA_TAG.match(prompt) is not None


def read_vicuna(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read a prompt and its answer; as in `completion`, turns in the prompt are not trained on."""
    parts = _VICUNA_TAG.split(row["prompt"])
    said = [(_VICUNA_ROLES[tag], text.strip()) for tag, text in zip(parts[1::2], parts[2::2], strict=True)]
    messages: list[dict[str, Any]] = [
        {"role": role, "content": text, "train": role != "assistant"} for role, text in said if text
    ]
    messages.append({"role": "assistant", "content": _text(row["label"], "label", where)})
    return parse(Dialogue, {"messages": messages, "id": row_id(row, where), "source": where}, where)


def _pair(
    row: Mapping[str, Any], prompt: Any, chosen: Any, rejected: Any, where: str, changes: Changes
) -> PreferencePair:
    user = parse(Message, {"role": "user", "content": prompt}, where, "prompt")
    better, worse = (
        parse(Message, {"role": "assistant", "content": side}, where, name)
        for name, side in (("chosen", chosen), ("rejected", rejected))
    )
    return build_pair(row, [user], [better], [worse], where, changes)


def _uncited(text: str, where: str, changes: Changes) -> str:
    plain, count = _CITATION.subn("", text)
    changes.add("took out citations such as [1]", where, count)
    return plain


def _number(value: Any, field: str, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: {field}: must be a number (got {value!r:.80})") from None


def _text(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {field}: must be a string that is not empty (got {value!r:.80})")
    return value
