"""Tables to the letter, and a plot that is one."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from rich import box
from rich.console import Console
from tests.pairs.dialogues import ALL

from turnpoint.dialogue import Decision
from turnpoint.errors import CheckpointError
from turnpoint.evaluation import DecisionReport, Verdict, decision_items
from turnpoint.report import comparison, markdown, plot_confusion, plot_rewards

ITEMS = [item for item in decision_items(ALL) if item.decision in (Decision.CALL, Decision.SLOT)]  # 3 and 1


def report(*passed: bool, arguments: bool | None = None) -> DecisionReport:
    decided = [Verdict(item, item.decision, each, "…", arguments) for item, each in zip(ITEMS, passed, strict=True)]
    return DecisionReport(decided)


def test_a_markdown_table() -> None:
    reports = {"base": report(False, False, True, False), "SFT": report(True, True, True, True)}
    assert markdown(reports).splitlines() == [
        "| model | call (n=3) | slot (n=1) | relevance (n=0) | completion (n=0) | micro | macro |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| base | 33.3% | 0.0% | - | - | 25.0% | 16.7% |",
        "| SFT | 100.0% | 100.0% | - | - | 100.0% | 100.0% |",
    ]


def test_a_markdown_table_with_arguments() -> None:
    lines = markdown({"base": report(True, True, True, True, arguments=True)}).splitlines()
    assert lines[0].endswith("| micro | macro | arguments |")
    assert lines[2].endswith("| 100.0% | 100.0% | 100.0% |")


def test_a_table_for_the_terminal() -> None:
    reports = {"base": report(False, False, True, False), "SFT + DPO": report(True, True, True, True)}
    table = comparison(reports)
    table.box = box.ASCII
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(table)
    assert [line.rstrip() for line in console.export_text().splitlines()] == [
        "+------------------------------------------------------------------------+",
        "|           |   call |   slot | relevance | completion |        |        |",
        "| model     |  (n=3) |  (n=1) |     (n=0) |      (n=0) |  micro |  macro |",
        "|-----------+--------+--------+-----------+------------+--------+--------|",
        "| base      |  33.3% |   0.0% |         - |          - |  25.0% |  16.7% |",
        "| SFT + DPO | 100.0% | 100.0% |         - |          - | 100.0% | 100.0% |",
        "+------------------------------------------------------------------------+",
    ]


def metrics(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def step(number: int, chosen: float, rejected: float) -> dict[str, Any]:
    return {
        "step": number,
        "loss": 0.6,
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": float(chosen > rejected),
    }


def test_rewards_are_plotted(tmp_path: Path) -> None:
    run = metrics(
        tmp_path / "metrics.jsonl", [step(1, 0.0, 0.0), step(2, 0.1, -0.2), {"step": 2, "train_runtime": 3.0}]
    )
    plot_rewards(run, tmp_path / "rewards.png")
    image = (tmp_path / "rewards.png").read_bytes()
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == (1080, 444)  # pixels: 9 × 3.7 inches, 120 each
    other = metrics(tmp_path / "other.jsonl", [step(1, 0.0, 0.0), step(2, -0.1, 0.2)])
    plot_rewards(other, tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes() != image


def test_a_confusion_matrix_is_plotted(tmp_path: Path) -> None:
    """A row for each kind that has turns; a column for each decision and whatever else was decided."""
    confusion = {"call": {"call": 4, "malformed call": 1}, "slot": {"slot": 2}, "relevance": {}}
    plot_confusion(confusion, tmp_path / "a.png", title="own")
    image = (tmp_path / "a.png").read_bytes()
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == (888, 324)  # pixels: 2.4 + 5 by 1.6 + 2 · 0.55 inches, 120 each
    plot_confusion(confusion | {"slot": {"call": 2}}, tmp_path / "b.png", title="own")
    assert (tmp_path / "b.png").read_bytes() != image


def test_metrics_without_rewards(tmp_path: Path) -> None:
    run = metrics(tmp_path / "metrics.jsonl", [{"step": 1, "loss": 2.0}])
    with pytest.raises(CheckpointError) as error:
        plot_rewards(run, tmp_path / "rewards.png")
    assert str(error.value) == f"{run}: holds no rewards/margins; give the metrics.jsonl of a preference run"
    assert not (tmp_path / "rewards.png").exists()


@pytest.mark.parametrize("text", [None, '{"step": 1, "rew'])
def test_metrics_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    run = tmp_path / "metrics.jsonl"
    if text is not None:
        run.write_text(text)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: cannot be read as metrics \("):
        plot_rewards(run, tmp_path / "rewards.png")
