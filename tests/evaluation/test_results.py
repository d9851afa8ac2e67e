"""Results of two models on the same turns, against each other; files that cannot be compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.pairs.dialogues import ALL

from turnpoint.errors import DataError
from turnpoint.evaluation import DecisionReport, Verdict, decision_items
from turnpoint.evaluation.results import compare, read_result, result

ITEMS = [item for item in decision_items(ALL) if item.kind in ("call", "completion")]  # three dialogues, one of each
ABOUT = {"model": "m", "dataset": "d", "measure": "decisions", "benchmark": "own", "seed": 0, "judge": None}


def run(passed: str, **about: Any) -> dict[str, Any]:
    """A run that passes where there is an x: calls first, then completions."""
    verdicts = [Verdict(item, item.decision, mark == "x", "…") for item, mark in zip(ITEMS, passed, strict=True)]
    made = result(DecisionReport(verdicts), {**ABOUT, **about})
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


def test_differences_by_hand() -> None:
    """Calls go from 1 to 3 of 3, answers from 2 to 1: two won, one lost, 1/6 more of all; p of 1:2 is 2 · 4/8 = 1."""
    found = {each.name: each for each in compare(run("x--xx-"), run("xxx-x-", model="other"), "a.json")}
    assert list(found) == ["call", "completion", "micro", "macro"]
    calls, answers, whole, mean = found.values()
    assert (calls.before, calls.after, calls.won, calls.lost, calls.p) == (1 / 3, 1.0, 2, 0, 0.5)
    assert (answers.before, answers.after, answers.won, answers.lost, answers.p) == (2 / 3, 1 / 3, 0, 1, 1.0)
    assert (whole.won, whole.lost, whole.p) == (2, 1, 1.0)
    assert whole.moved.value == pytest.approx(1 / 6)
    assert mean.moved.value == pytest.approx((2 / 3 - 1 / 3) / 2)
    assert mean.p is None
    assert all(each.moved.low <= each.moved.value <= each.moved.high for each in found.values())


def test_a_run_against_itself_moves_nothing() -> None:
    for each in compare(run("x--xx-"), run("x--xx-"), "a.json"):
        assert (each.moved, each.won, each.lost, each.p) == ((0, 0, 0), 0, 0, None if each.name == "macro" else 1)


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"benchmark": "bfcl"}, "a.json: benchmark: was measured with 'bfcl', this run with 'own'; what is compared"),
        ({"measure": "choices"}, "a.json: measure: was measured with 'choices'"),
        ({"judge": "gpt"}, "a.json: judge: was measured with 'gpt', this run with None"),
    ],
)
def test_runs_that_differ_in_more_than_the_model(about: dict[str, Any], line: str) -> None:
    with pytest.raises(DataError) as error:
        compare(run("xxxxxx", **about), run("xxxxxx"), "a.json")
    assert str(error.value).startswith(line)


def test_runs_over_other_turns() -> None:
    before, after = run("xxxxxx", seed=1), run("xxxxxx")
    before["items"][2]["turn"] = "another"
    with pytest.raises(DataError) as error:
        compare(before, after, "a.json")
    assert str(error.value) == (
        f"a.json: holds other turns than this run (6 and 6, first at {before['items'][2]['source']}; seed 1 and 0);"
        " compare runs over the same data, limit, per_kind and seed"
    )
    del after["items"][5]
    with pytest.raises(DataError, match=r"\(6 and 5, first at "):
        compare(before, after, "a.json")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "cannot be read: No such file or directory; check the path of --against"),
        ("{", "holds no JSON ("),
        ("[]", "holds no results; give what `turnpoint evaluate --output` wrote"),
        ('{"format": "turnpoint decisions", "version": 0}', "version: is 0, this turnpoint reads 1; measure anew"),
    ],
)
def test_files_that_hold_no_results(tmp_path: Path, text: str | None, line: str) -> None:
    file = tmp_path / "a.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError) as error:
        read_result(str(file))
    assert str(error.value).startswith(f"{file}: {line}")


def test_a_file_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(run("x--xx-")))
    assert read_result(str(tmp_path / "a.json")) == run("x--xx-")
