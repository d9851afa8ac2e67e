"""Rates by hand."""

import json

import pytest
from tests.pairs.dialogues import ALL

from turnpoint.dialogue import Decision
from turnpoint.evaluation import DecisionReport, Verdict, decision_items

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION
ITEMS = {item.decision: item for item in decision_items(ALL)}


SCORES = (-1.0, -2.0, -3.0, -4.0)


def verdict(kind: Decision, decided: Decision, passed: bool, right_arguments: bool | None = None) -> Verdict:
    return Verdict(ITEMS[kind], decided, passed, "…", right_arguments, SCORES)


@pytest.fixture
def report() -> DecisionReport:
    """Call 2 of 3, slot 0 of 1, completion 1 of 2, no relevance."""
    return DecisionReport(
        [
            verdict(CALL, CALL, True, True),
            verdict(CALL, CALL, True, False),
            verdict(CALL, SLOT, False, False),
            verdict(SLOT, CALL, False),
            verdict(COMPLETION, COMPLETION, True),
            verdict(COMPLETION, CALL, False),
        ]
    )


def test_rates_are_passes_over_items(report: DecisionReport) -> None:
    assert [report.rate(kind) for kind in (CALL, SLOT, RELEVANCE, COMPLETION)] == [2 / 3, 0.0, None, 0.5]
    assert report.counts() == {CALL: 3, SLOT: 1, RELEVANCE: 0, COMPLETION: 2}


def test_micro_is_over_all_items_and_macro_over_the_kinds_that_are_there(report: DecisionReport) -> None:
    assert report.micro == 3 / 6
    assert report.macro == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)


def test_arguments_are_counted_at_calls_only(report: DecisionReport) -> None:
    assert report.arguments == 1 / 3


def test_rows_for_a_table(report: DecisionReport) -> None:
    assert report.rows() == [
        ("call", "66.7%"),
        ("slot", "0.0%"),
        ("relevance", "-"),
        ("completion", "50.0%"),
        ("micro", "50.0%"),
        ("macro", "38.9%"),
        ("arguments", "33.3%"),
    ]
    chosen = DecisionReport([each._replace(right_arguments=None) for each in report.verdicts])
    assert chosen.rows() == report.rows()[:-1]


def test_confusion(report: DecisionReport) -> None:
    assert report.confusion() == {
        "call": {"call": 2, "slot": 1},
        "slot": {"call": 1},
        "relevance": {},
        "completion": {"completion": 1, "call": 1},
    }


def test_everything_survives_json(report: DecisionReport) -> None:
    read = json.loads(json.dumps(report.as_dict()))
    assert read == report.as_dict()
    assert read["rates"] == {"call": 2 / 3, "slot": 0.0, "relevance": None, "completion": 0.5}
    assert (read["micro"], read["arguments"]) == (0.5, 1 / 3)
    assert read["items"][2] == {
        "source": ITEMS[CALL].source,
        "decision": "call",
        "decided": "slot",
        "passed": False,
        "right_arguments": False,
        "cut": False,
        "scores": list(SCORES),
        "text": "…",
    }


def test_nothing_judged() -> None:
    empty = DecisionReport([])
    assert (empty.micro, empty.macro, empty.arguments) == (0.0, 0.0, None)
    assert [value for _, value in empty.rows()] == ["-", "-", "-", "-", "0.0%", "0.0%"]
