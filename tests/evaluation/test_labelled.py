"""Cases that people labelled without having seen the graders, and how many the rules agree with.

The rules were mended by what the first set showed, so agreement with it is no proof; nothing was done after the second.
What the rules are not sure of, above all the wording of a free text that is an argument, is for a judge.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data.changes import Changes
from turnpoint.data.openai import read_messages
from turnpoint.dialogue import Decision, Tool, ToolCall
from turnpoint.evaluation import DecisionItem, Verdict, strict
from turnpoint.sampling import Reply

FEWEST, LEAST_WHERE_SURE = 60, 0.95
LEAST = {"labelled": 0.95, "labelled_again": 0.93}  # 67 of 72 of the second, its figure when it was written


def graded(case: dict[str, Any]) -> Verdict:
    item = DecisionItem(
        read_messages(case["messages"], "case", "messages", Changes()),
        tuple(Tool.model_validate(tool) for tool in case["tools"]),
        Decision(case["decision"]),
        tuple(ToolCall.model_validate(call) for call in case.get("gold_calls") or ()),
        "labelled",
    )
    return strict(item, Reply(case["reply"], cut=False))


@pytest.mark.parametrize("name", LEAST)
def test_the_rules_agree_with_people(name: str) -> None:
    file = Path(__file__).parent / f"{name}.jsonl"
    cases = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(cases) >= FEWEST
    verdicts = [(case, graded(case)) for case in cases]
    wrong = [(case, verdict) for case, verdict in verdicts if verdict.passed is not case["passed"]]
    for case, verdict in wrong:
        print(
            f"{case['decision']} ({case['language']}), labelled {case['passed']}: {case['reply']!r}: {verdict.reason}"
        )
    assert 1 - len(wrong) / len(cases) >= LEAST[name]
    sure = [verdict for _, verdict in verdicts if verdict.sure]
    assert len(sure) > len(cases) / 2
    assert 1 - sum(verdict.sure for _, verdict in wrong) / len(sure) >= LEAST_WHERE_SURE
