"""`turnpoint inspect`: the overview, findings for machines, and rows that stand in other data."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import DIALOGUE, PAIR, TOOL, Ran, assistant, user

from turnpoint.cli import main
from turnpoint.training import DPOConfig

Run = Callable[..., Ran]
Rows = Callable[..., str]
GREETING = {"messages": [user("Hi"), assistant("Hello")]}
WRITTEN = {"messages": [user("Weather in Paris?"), assistant('[weather(city="Paris")]')], "tools": [TOOL]}


def test_the_overview_stands_before_the_findings(run: Run, rows: Rows, model: str) -> None:
    ran = run("inspect", rows(DIALOGUE, GREETING), "--model", model, "--max_length", "24")
    assert ran.code == 0, ran.err
    for told in (
        "2, format openai",
        "1 all slots given: 1; no tool offered: 1",
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


def test_a_call_that_is_written_out_is_told_first(run: Run, rows: Rows) -> None:
    result = json.loads(run("inspect", rows(DIALOGUE, WRITTEN), "--json").out)
    first = result["findings"][0]
    assert (first["severity"], first["title"]) == ("error", "calls written out as text")
    assert first["rows"] == ['data.jsonl:2: messages[1] [weather(city="Paris")]']


def test_without_tools_nothing_is_told_of_requests_and_states(run: Run, rows: Rows) -> None:
    plain = run("inspect", rows({"messages": [user("Book a flight."), assistant("I am unable to do that.")]})).out
    assert "query type" not in plain
    assert "states" not in plain
    assert "relevance" in plain
    with_tools = run("inspect", rows(DIALOGUE)).out
    assert "requests by query type" in with_tools
    assert "states, 1 initial" in with_tools


def test_ratings_are_counted(run: Run, rows: Rows) -> None:
    rated = [{**GREETING, "label": label} for label in (True, True, False)]
    assert "rows by rating" in (out := run("inspect", rows(*rated)).out)
    assert "desirable: 2; undesirable: 1" in out
    assert "rows by rating" not in run("inspect", rows(GREETING)).out


def test_nothing_found_is_one_line(run: Run, rows: Rows, model: str) -> None:
    """A dialogue that calls its one tool; 10 of 25 characters a turn."""
    for words, line in (
        ([], "Nothing found: no error, warning or note about 1 rows; --model NAME looks at their tokens too"),
        (["--model", model], "Nothing found: no error, warning or note about 1 rows"),
    ):
        lines = run("inspect", rows(DIALOGUE), *words).out.splitlines()
        assert lines[-1] == line
        assert not any("how to mend" in each for each in lines)


LONG_PATH = "a" * 60 + "/" + "b" * 60 + "/" + "c" * 60


def test_lines_are_whole_where_stdout_is_no_terminal(run: Run, rows: Rows, tmp_path: Path, model: str) -> None:
    (tmp_path / LONG_PATH).mkdir(parents=True)
    data = rows(DIALOGUE, DIALOGUE, WRITTEN, name=f"{LONG_PATH}/data.jsonl")
    words = {"messages": [user("Hi"), assistant("word " * 60 + "end")]}
    other = rows(words, DIALOGUE, name=f"{LONG_PATH}/other.jsonl")
    out = run("inspect", data, "--against", other, "--model", model, "--show", "3").out
    assert out.count(data) == 1, "the title"
    assert f"rows that stand in {other} as well" in out
    assert "take them out of one of the two; what is measured on" in out
    shown = run("inspect", other, "--model", model, "--show", "1").out
    assert "word " * 60 + "end" in shown


def test_the_hundredth_row_is_no_emoji(run: Run, rows: Rows) -> None:
    """`:100:` is one for rich."""
    questions = [{"messages": [user(f"Question {i}?"), assistant("Yes.")], "tools": [TOOL]} for i in range(99)]
    assert "data.jsonl:100: messages[1]" in run("inspect", rows(*questions, WRITTEN)).out


@pytest.mark.parametrize(("fail_on", "bad"), [("error", 1), ("warning", 2), ("note", 3), (None, 0)])
def test_findings_that_are_bad_enough_fail(
    rows: Rows, fail_on: str | None, bad: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error, a warning and a note: a call as text, a repeat, and a tool that is never called."""
    words = ["inspect", rows(WRITTEN, GREETING, GREETING), *(["--fail_on", fail_on] if fail_on else [])]
    if fail_on is None:
        assert main(words) == 0
    else:
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 1
    printed = capsys.readouterr()
    assert "calls written out as text" in printed.out, "the findings are printed all the same"
    line = f"failed on {bad} of 3 findings (--fail_on {fail_on}), the worst: calls written out as text"
    assert (line in printed.err) is (fail_on is not None)


def test_findings_that_are_not_bad_enough_do_not_fail(run: Run, rows: Rows) -> None:
    ran = run("inspect", rows(GREETING, GREETING), "--fail_on", "error", "--json")
    assert (ran.code, "failed on" in ran.err) == (0, False)
    assert [each["severity"] for each in json.loads(ran.out)["findings"]] == ["warning"]


def test_fail_on_is_a_severity(run: Run, rows: Rows) -> None:
    ran = run("inspect", rows(GREETING), "--fail_on", "high")
    assert ran.code == 2
    assert "--fail_on: must be one of error, warning, note or null (got 'high')" in ran.err


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
    leaks = {each["title"]: (each["rows"], each["against"]) for each in result["findings"] if each["against"]}
    assert leaks == {
        f"rows that stand in {other} as well": (["data.jsonl:2 (as dev.jsonl:1)"], other),
        f"rows of a dialogue that opens as one of {third}": (["data.jsonl:1 (as third.jsonl:1)"], third),
    }
    assert result["against"] == {third: 1, other: 1}, "openings of each"


def test_other_data_that_shares_no_row_is_named(run: Run, rows: Rows) -> None:
    data, other = rows(DIALOGUE), rows(GREETING, name="dev.jsonl")
    line = f"no row of {data} is in {other}: compared 1 openings, near-duplicates too"
    assert line in run("inspect", data, "--against", other).out.splitlines()
    assert "no row of" not in run("inspect", data, "--against", data).out
    assert "no row of" not in run("inspect", data).out


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
