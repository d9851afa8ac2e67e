"""Rates by hand."""

import json

import pytest
from tests.pairs.dialogues import ALL

from turnpoint.dialogue import Decision
from turnpoint.evaluation import DecisionReport, Verdict, decision_items
from turnpoint.evaluation.rates import agreement_of

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION
ITEMS = {item.decision: item for item in decision_items(ALL)}


SCORES = (-1.0, -2.0, -3.0, -4.0)


def verdict(kind: Decision, decided: Decision, passed: bool, content: bool | None = None) -> Verdict:
    return Verdict(ITEMS[kind], decided, passed, "…", content, SCORES, reason="asks" if decided is SLOT else "")


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
    chosen = DecisionReport([each._replace(content=None) for each in report.verdicts])
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
    turn = read["items"][2].pop("turn")
    assert read["items"][2] == {
        "source": ITEMS[CALL].source,
        "category": "call",
        "decision": "call",
        "decided": "slot",
        "passed": False,
        "reason": "asks",
        "content": False,
        "forgiven": False,
        "by_rules": None,
        "cut": False,
        "scores": list(SCORES),
        "reply": "…",
    }
    assert turn == read["items"][0]["turn"] != read["items"][3]["turn"]


def test_nothing_judged() -> None:
    empty = DecisionReport([])
    assert (empty.micro, empty.macro, empty.arguments) == (0.0, 0.0, None)
    assert [value for _, value in empty.rows()] == ["-", "-", "-", "-", "0.0%", "0.0%"]


def test_intervals_stand_around_their_rates(report: DecisionReport) -> None:
    """Each kind is of one dialogue here, so a rate has no spread of its own, but the means have."""
    found = report.intervals()
    assert list(found) == ["call", "slot", "completion", "micro", "macro"]
    assert found["call"] == (2 / 3, 2 / 3, 2 / 3)
    for name, value in (("micro", report.micro), ("macro", report.macro)):
        assert found[name].value == pytest.approx(value)
        assert found[name].low <= value <= found[name].high
    assert report.as_dict()["intervals"]["call"] == [2 / 3, 2 / 3]
    assert DecisionReport([]).intervals() == {}


def test_a_forgiven_question_passes_in_the_calibrated_rates_alone(report: DecisionReport) -> None:
    verdicts = [each._replace(forgiven=each.decided is SLOT) for each in report.verdicts]
    marked = report._replace(verdicts=verdicts)
    assert (marked.rate(CALL), marked.forgiving().rate(CALL)) == (2 / 3, 1.0)
    assert marked.forgiving().micro == 4 / 6


def test_content_counts_beside_the_decision(report: DecisionReport) -> None:
    """Of the three calls one has the right arguments; of the slot nothing was checked."""
    assert (report.with_content(CALL), report.with_content(SLOT)) == (1 / 3, None)


def test_agreement_by_hand() -> None:
    """Eight of ten agree; 6 and 6 say yes, so chance agrees on .36 + .16 = .52 and kappa is .28 / .48."""
    pairs = [(True, True)] * 5 + [(False, False)] * 3 + [(True, False), (False, True)]
    assert agreement_of(pairs)._asdict() == {"turns": 10, "rate": 0.8, "kappa": pytest.approx(0.28 / 0.48)}
    assert agreement_of([(True, True)] * 3).kappa is None


def test_rates_of_other_categories(report: DecisionReport) -> None:
    verdicts = [each._replace(item=each.item._replace(category="live_simple")) for each in report.verdicts]
    of_benchmark = DecisionReport(verdicts, ("live_simple",))
    assert of_benchmark.rows()[0] == ("live_simple", "50.0%")
    assert of_benchmark.confusion() == {"live_simple": {"call": 4, "slot": 1, "completion": 1}}
