"""`turnpoint inspect`: the overview, findings for machines, and rows that stand in other data."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import DIALOGUE, PAIR, Ran, assistant, user

from turnpoint.training import DPOConfig

Run = Callable[..., Ran]
Rows = Callable[..., str]
GREETING = {"messages": [user("Hi"), assistant("Hello")]}


def test_the_overview_stands_before_the_findings(run: Run, rows: Rows, model: str) -> None:
    ran = run("inspect", rows(DIALOGUE, GREETING), "--model", model, "--max_length", "24")
    assert ran.code == 0, ran.err
    for told in (
        "2, format openai",
        "1 all slots given: 1; no tool asked for: 1",
        "Latin: 2",
        "1-3-4-5",
        "shows tools, calls, results, system",
        "1 longer than max_length 24 (data.jsonl:1)",
    ):
        assert told in ran.out
    assert ran.out.index("requests by query type") < ran.out.index("findings, the worst first")


def test_the_overview_of_pairs_names_both_sides_and_what_they_share(run: Run, rows: Rows, model: str) -> None:
    ran = run("inspect", rows(PAIR), "--model", model)
    assert ran.code == 0, ran.err
    for told in ("tokens of chosen", "tokens of rejected", "scored tokens, rejected", "times fewer", "1 pairs are few"):
        assert told in ran.out
    without = run("inspect", rows(PAIR))
    assert "turns of rejected" in without.out
    assert "scored tokens" not in without.out


def test_everything_for_machines(run: Run, rows: Rows, model: str) -> None:
    data = rows(*([PAIR] * 7))
    result = json.loads(run("inspect", data, "--model", model, "--json").out)
    [repeat] = [finding for finding in result["findings"] if finding["title"] == "pairs that repeat an earlier row"]
    assert (len(repeat["rows"]), repeat["sources"]) == (5, [f"data.jsonl:{i}" for i in range(2, 8)])
    summary = result["overview"]
    assert summary["rows"] == 7
    assert [side["name"] for side in summary["sides"]] == ["chosen", "rejected"]
    assert summary["sides"][0]["paths"] == {"1-3-4": 7}
    assert summary["tokens"]["max_length"] == DPOConfig.max_length, "as training would, where none is given"
    assert summary["tokens"]["fates"]["drop"]["kept"] == 7
    assert json.loads(run("inspect", data, "--json").out)["overview"]["tokens"] is None


def test_rows_that_stand_in_other_files(run: Run, rows: Rows) -> None:
    data, other, third = rows(DIALOGUE, GREETING), rows(GREETING, name="dev.jsonl"), rows(PAIR, name="third.jsonl")
    result = json.loads(run("inspect", data, "--json", "--against", third, other).out)
    leaks = {each["title"]: each["rows"] for each in result["findings"] if "stand" in each["title"]}
    assert leaks == {f"rows that stand in {other} as well": ["data.jsonl:2 (as dev.jsonl:1)"]}


def test_the_other_splits_of_a_folder_are_looked_into(run: Run, rows: Rows, tmp_path: Path) -> None:
    rows(DIALOGUE, GREETING, name="train.jsonl")
    rows(GREETING, name="test.jsonl")
    told = "rows that stand in split {} as well"
    assert told.format("test") in run("inspect", str(tmp_path)).out
    assert told.format("train") in run("inspect", str(tmp_path), "--split", "test").out
    (tmp_path / "test.jsonl").unlink()
    assert "stand in split" not in run("inspect", str(tmp_path)).out


def test_other_data_has_to_be_there(run: Run, rows: Rows) -> None:
    ran = run("inspect", rows(DIALOGUE), "--against", "nowhere.jsonl")
    assert ran.code == 2
    assert ran.err.startswith("error: nowhere.jsonl: no such file or folder")
