"""Cases that people labelled without having seen the graders: the rules have to agree with 95 of 100."""

import json
from pathlib import Path
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.openai import read_messages
from turnpoint.dialogue import Decision, Tool, ToolCall
from turnpoint.evaluation import DecisionItem, Verdict, strict
from turnpoint.sampling import Reply

FILE = Path(__file__).parent / "labelled.jsonl"
FEWEST, LEAST_AGREEMENT = 60, 0.95


def graded(case: dict[str, Any]) -> Verdict:
    item = DecisionItem(
        read_messages(case["messages"], "case", "messages", Changes()),
        tuple(Tool.model_validate(tool) for tool in case["tools"]),
        Decision(case["decision"]),
        tuple(ToolCall.model_validate(call) for call in case.get("gold_calls") or ()),
        "labelled",
    )
    return strict(item, Reply(case["reply"], cut=False))


def test_the_rules_agree_with_people() -> None:
    cases = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(cases) >= FEWEST
    wrong = [(case, verdict) for case in cases if (verdict := graded(case)).passed is not case["passed"]]
    for case, verdict in wrong:
        print(
            f"{case['decision']} ({case['language']}), labelled {case['passed']}: {case['reply']!r}: {verdict.reason}"
        )
    assert 1 - len(wrong) / len(cases) >= LEAST_AGREEMENT
