"""`turnpoint evaluate`: benchmarks by their own files, results kept and compared, a judge behind a server, a plot."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import DIALOGUE, TOOL, Ran, user
from tests.sampling.test_server import said, serving

Run = Callable[..., Ran]
Rows = Callable[..., str]
BFCL = Path(__file__).parents[1] / "data" / "files" / "bfcl" / "BFCL_v4_parallel.json"
FUNCTIONCHAT = Path(__file__).parents[1] / "data" / "files" / "functionchat" / "FunctionChat-Dialog.jsonl"
SHORT = ("--max_new_tokens", "2")
WHEN2CALL = {
    "uuid": "1",
    "question": "Weather?",
    "correct_answer": "request_for_info",
    "answers": {
        "direct": "It is sunny.",
        "tool_call": '{"name": "weather", "arguments": {"city": "Rome"}}',
        "request_for_info": "In which city?",
        "cannot_answer": "I can't tell.",
    },
    "tools": [TOOL],
}


def test_results_are_kept_and_compared(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    data, first, plot = rows(DIALOGUE, DIALOGUE), tmp_path / "new" / "a.json", tmp_path / "a.png"
    ran = run("evaluate", "decisions", model, data, *SHORT, "--output", str(first), "--plot", str(plot))
    assert ran.code == 0, ran.err
    assert "95% interval" in ran.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    kept = json.loads(first.read_text())
    about = {name: kept[name] for name in ("format", "version", "model", "dataset", "benchmark", "seed", "judge")}
    assert about == {
        "format": "turnpoint decisions", "version": 1, "model": model, "dataset": data, "benchmark": "own", "seed": 0,
        "judge": None,
    }  # fmt: skip
    assert {"reply", "reason", "passed", "source", "turn"} <= kept["items"][0].keys()
    assert kept["intervals"].keys() >= {"call", "completion", "micro", "macro"}

    ran = run("evaluate", "decisions", model, data, *SHORT, "--against", str(first))
    assert ran.code == 0, ran.err
    assert f"against {model}, the same turns ({first})" in ran.out
    assert "+0.0" in ran.out and "[+0.0, +0.0]" in ran.out
    shown = json.loads(run("evaluate", "decisions", model, data, *SHORT, "--against", str(first), "--json").out)
    assert [each["p"] for each in shown["against"]["differences"]] == [1.0, 1.0, 1.0, None]

    ran = run("evaluate", "decisions", model, data, *SHORT, "--against", str(first), "--limit", "1")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {first}: holds other turns than this run (4 and 2, first at")


def test_bfcl_by_its_own_rules(run: Run, model: str) -> None:
    ran = run("evaluate", "decisions", model, str(BFCL), "--benchmark", "bfcl", *SHORT)
    assert ran.code == 0, ran.err
    assert "bfcl: decisions, 2 turns" in ran.out
    result = json.loads(run("evaluate", "decisions", model, str(BFCL), "--benchmark", "bfcl", *SHORT, "--json").out)
    assert result["counts"] == {"parallel": 2}
    assert {each["category"] for each in result["items"]} == {"parallel"}


def test_functionchat_has_a_second_column(run: Run, model: str) -> None:
    words = ("evaluate", "decisions", model, str(FUNCTIONCHAT), "--benchmark", "functionchat", *SHORT)
    ran = run(*words, "--per_kind", "1")
    assert ran.code == 0, ran.err
    heading = next(line for line in ran.out.splitlines() if "passed" in line)
    assert heading.index("passed") < heading.index("calibrated")
    assert "content right too" not in heading
    result = json.loads(run(*words, "--per_kind", "1", "--json").out)
    assert result["further"]["calibrated"].keys() == {"rates", "micro", "macro"}


def test_when2call_by_choice_and_by_generation(run: Run, rows: Rows, model: str) -> None:
    data = rows(WHEN2CALL)
    ran = run("evaluate", "choices", model, data, "--benchmark", "when2call")
    assert ran.code == 0, ran.err
    assert "raw log-prob" in ran.out and "macro F1" in ran.out
    result = json.loads(run("evaluate", "choices", model, data, "--benchmark", "when2call", "--json").out)
    assert result["counts"] == {"slot": 1}
    assert len(result["items"][0]["scores"]) == 4
    ran = run("evaluate", "decisions", model, data, "--benchmark", "when2call", *SHORT)
    assert ran.code == 0, ran.err
    assert "when2call: decisions, 1 turns" in ran.out


def test_a_judge_is_asked_where_the_rules_are_not_sure(run: Run, rows: Rows, model: str) -> None:
    """The tiny model writes two tokens of noise: no call where one is due, which is sure, and an answer that is not."""
    answers = [(200, said('{"reason": "it means sunny", "passed": true}'))]
    with serving(*answers) as (url, heard):
        words = ("evaluate", "decisions", model, rows(DIALOGUE), *SHORT, "--judge", url, "--judge_model", "big")
        ran = run(*words, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    judged = [each for each in result["items"] if each["by_rules"] is not None]
    assert len(judged) == len(heard) == 1
    assert (judged[0]["passed"], judged[0]["reason"]) == (True, "judge: it means sunny")
    assert (result["judge"], result["agreement"]["turns"]) == ("big", 1)
    assert heard[0]["temperature"] == 0.0
    assert "judge: asked about 1 of 2 turns, of which the rules are not sure" in ran.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--judge_model", "big"), "judge_model: has no effect without a judge (got 'big'); add --judge URL"),
        (("--judge", "http://localhost:1/v1"), "judge: needs the name of a model at http://localhost:1/v1"),
        (("--benchmark", "bfcl"), "{data}: is of format openai; --benchmark bfcl reads bfcl"),
        (("--against", "nowhere.json"), "nowhere.json: cannot be read: No such file or directory"),
        (("--output", "/proc/none/a.json"), "--output: cannot write /proc/none/a.json"),
    ],
)
def test_what_does_not_go_together(run: Run, rows: Rows, model: str, words: tuple[str, ...], line: str) -> None:
    data = rows(DIALOGUE)
    ran = run("evaluate", "decisions", model, data, *SHORT, *words)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {line.format(data=data)}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--benchmark", "bfcl"), "benchmark: bfcl holds no turns to choose from; take decisions, or own or when2call"),
        (("--judge", "http://localhost:1/v1"), "judge: choices writes nothing to be judged"),
    ],
)
def test_what_choices_cannot_do(run: Run, rows: Rows, model: str, words: tuple[str, ...], line: str) -> None:
    ran = run("evaluate", "choices", model, rows({"messages": [user("Hi")]}), *words)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {line}")


def test_the_commands_of_the_page_run(run: Run, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model in the place of each run and of the embedded one, two tokens a reply, a judge that always agrees."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "evaluation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) == 8
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root / "examples", tmp_path / "examples")
    shutil.copy(FUNCTIONCHAT, tmp_path)
    shutil.copytree(BFCL.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "when2call_test_mcq.jsonl").write_text(json.dumps(WHEN2CALL))
    with serving(*[(200, said('{"reason": "yes", "passed": true}'))] * 50) as (url, _):
        for command in commands:
            words = shlex.split(command.replace("http://localhost:8000/v1", url))[1:]
            words[2] = model
            short = () if words[1] == "choices" or "--max_new_tokens" in words else SHORT
            ran = run(*words, *short, "--per_kind", "1") if "--per_kind" not in words else run(*words)
            assert ran.code == 0, f"{command}\n{ran.err}"
